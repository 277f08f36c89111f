//! Whose turn it is to be read: every socket that has something, so that a flood on one interface does not keep the
//! others waiting.

use std::collections::VecDeque;

use carp_fsm::IfaceId;

/// So many frames are read for each socket that is ready, at most, before all are looked at again.
pub(super) const MAX_BURST: usize = 32;

/// Rounds of reading: it is asked which sockets have something, and then each of them is read in turn. In the first
/// round, once: usually that is all there is, and the next question says so. While there is more, the rounds get longer,
/// and the questions fewer.
#[derive(Debug, Default)]
pub(super) struct Turns {
    ready: VecDeque<IfaceId>,
    /// Turns before this round is over.
    left: usize,
    /// Turns of each socket in this round.
    burst: usize,
}

impl Turns {
    /// The next one to read, or `None` if the round is over.
    pub(super) fn next(&mut self) -> Option<IfaceId> {
        self.left = self.left.checked_sub(1)?;
        self.ready.pop_front()
    }

    /// There was something; there may be more.
    pub(super) fn again(&mut self, iface: IfaceId) {
        self.ready.push_back(iface);
    }

    /// Begins a round with the sockets that have something now.
    pub(super) fn begin(&mut self, ready: impl Iterator<Item = IfaceId>) {
        self.ready.clear();
        self.ready.extend(ready);
        self.burst = match self.ready.len() {
            0 => 0,
            _ => (2 * self.burst).clamp(1, MAX_BURST),
        };
        self.left = self.ready.len() * self.burst;
    }
}
