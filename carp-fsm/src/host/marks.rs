//! What is true of a virtual host for a while, a bit each: with a byte each, all would pay for it in RAM.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark(u8);

/// Those that are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Marks(u8);

/// A peer's counter is followed.
pub(crate) const FOLLOWS: Mark = Mark(1);
/// Somebody without the fast profile was heard: advbase 1 and the dialect's timers until INIT.
pub(crate) const LEFT_FAST: Mark = Mark(1 << 1);
/// The demotion for its interface was reset while the link was down; until it is up again.
pub(crate) const IGNORES_LINK: Mark = Mark(1 << 2);
/// The demotion for sending that fails was reset; until sending works again.
pub(crate) const IGNORES_SENDING: Mark = Mark(1 << 3);
/// What waits to be said is a bow-out, and not an advertisement.
pub(crate) const BOWS_OUT: Mark = Mark(1 << 4);

/// There was no room for something that it wished to say since it last wished to advertise.
pub(crate) const HELD_BACK: Mark = Mark(1 << 5);

impl Marks {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn has(self, mark: Mark) -> bool {
        self.0 & mark.0 != 0
    }

    pub(crate) fn put(&mut self, mark: Mark, is: bool) {
        self.0 = if is { self.0 | mark.0 } else { self.0 & !mark.0 };
    }
}
