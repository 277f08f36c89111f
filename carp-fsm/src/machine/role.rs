//! What a machine is in, and what it remembers only there.

use super::Departure;
use crate::state::{InitReason, Reason};
use crate::time::Instant;

/// Role and the deadlines that exist only in that role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Init {
        reason: InitReason,
        retry: Option<Instant>,
    },
    Backup {
        down4: Option<Instant>,
        down6: Option<Instant>,
        /// Why it becomes MASTER when these have passed: nobody was heard; or a worse master is to be preempted, but
        /// not at the same moment at which an equal does it; or its group moves here, and these run out when the next
        /// advertisement is overdue.
        because: Reason,
        stance: Stance,
        /// Yielded to an equal so many times in a row, and has heard no master since.
        ties: u8,
    },
    Master {
        next_ad: Instant,
        /// Periodic advertisements until the addresses are announced again; 0: not again.
        reannounce: u8,
        /// Before a quarter of the interval before this, a worse master gets no further answer. In maintenance: before
        /// this, it does not hand over to one.
        answer_from: Instant,
        /// As in BACKUP before; forgotten with the first periodic advertisement.
        ties: u8,
        tenure: Tenure,
    },
    /// Bowed out; still owner, no longer advertising, until the successor is heard.
    Leaving {
        since: Instant,
        until: Instant,
        then: Departure,
    },
}

/// What a BACKUP thinks of taking over from a master that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stance {
    /// The better one is MASTER.
    Ready,
    /// Handed over on request: it does not take the role back from its successor.
    Resigned,
    /// It comes from INIT, and services here are still starting: not before the preempt delay has passed.
    Starting,
}

/// What has happened to a MASTER. In one byte: with two a machine would take four more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tenure {
    /// It has taken over from somebody who was heard, and so may others have: when a master bows out, every backup
    /// takes over for a moment. It has no last word: words of those that yield would make others take over again.
    New,
    /// It heard nobody for its master-down time, or has announced its addresses again since it took over.
    Settled,
    /// At the next deadline it bows out for whoever is better instead of advertising; it was new before.
    NewAndOffers,
    /// The same; it was settled before.
    SettledAndOffers,
    /// It bowed out and stayed. Equals that took over meanwhile yield to what it says now; were it to yield to what
    /// they have said or say in another family, nobody would be left. Settled with the next advertisement.
    Kept,
}

impl Tenure {
    pub(super) const fn is_settled(self) -> bool {
        matches!(self, Self::Settled | Self::SettledAndOffers | Self::Kept)
    }

    pub(super) const fn offers(self) -> bool {
        matches!(self, Self::NewAndOffers | Self::SettledAndOffers)
    }

    pub(super) const fn offering(self, offers: bool) -> Self {
        match (self.is_settled(), offers) {
            (false, false) => Self::New,
            (true, false) => Self::Settled,
            (false, true) => Self::NewAndOffers,
            (true, true) => Self::SettledAndOffers,
        }
    }
}
