//! What follows from one step of the election.

use core::fmt;

use crate::state::{Reason, Transition};
use crate::time::Duration;

/// Wishes that follow from a step: a small set, added to the host's pending wishes by the node.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Wishes(u8);

impl Wishes {
    /// Put the addresses on.
    pub const OWN: Wishes = Wishes(1);
    /// Send an advertisement (one per family).
    pub const ADVERTISE: Wishes = Wishes(1 << 1);
    /// Send a bow-out (one per family).
    pub const BOW_OUT: Wishes = Wishes(1 << 2);
    /// Send a gratuitous ARP or neighbour advertisement per address.
    pub const ANNOUNCE: Wishes = Wishes(1 << 3);
    /// Take the addresses off.
    pub const DISOWN: Wishes = Wishes(1 << 4);

    /// Nothing wished.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All of `other` is in `self`.
    pub const fn contains(self, other: Wishes) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Wishes) -> Wishes {
        Wishes(self.0 | other.0)
    }

    /// `self` less `other`.
    #[must_use]
    pub const fn without(self, other: Wishes) -> Wishes {
        Wishes(self.0 & !other.0)
    }
}

impl fmt::Debug for Wishes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::OWN, "OWN"),
            (Self::ADVERTISE, "ADVERTISE"),
            (Self::BOW_OUT, "BOW_OUT"),
            (Self::ANNOUNCE, "ANNOUNCE"),
            (Self::DISOWN, "DISOWN"),
        ];
        let mut set = f.debug_set();
        for (_, name) in names.iter().filter(|(wish, _)| self.contains(*wish)) {
            set.entry(&format_args!("{name}"));
        }
        set.finish()
    }
}

/// What a step leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// To be done.
    pub wishes: Wishes,
    /// The state changed.
    pub transition: Option<Transition>,
    /// A hand-over ended.
    pub hand_over: Option<HandOver>,
}

/// What a rule of the election leads to. What follows from the states before and after is not in it.
#[derive(Clone, Copy, Default)]
pub(super) struct Reaction {
    pub(super) wishes: Wishes,
    /// Why there is another state, if there is.
    pub(super) reason: Option<Reason>,
}

impl Reaction {
    /// No other state.
    pub(super) fn wish(wishes: Wishes) -> Self {
        Self { wishes, reason: None }
    }

    /// Another state.
    pub(super) fn change(reason: Reason) -> Self {
        Self {
            wishes: Wishes::default(),
            reason: Some(reason),
        }
    }

    /// And this as well.
    pub(super) fn with(self, more: Wishes) -> Self {
        Self {
            wishes: self.wishes.with(more),
            ..self
        }
    }
}

/// How a hand-over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HandOver {
    /// The successor was heard this long after the bow-out.
    Done(Duration),
    /// Nobody was heard for this long (or nobody better, where only a better one may have it): we stay MASTER,
    /// unless the link went down, the state was forced or a stop was asked for meanwhile, which has a transition
    /// of its own.
    NobodyTookOver(Duration),
    /// There was nothing to hand over, or it is stopping.
    NotMaster,
}
