//! Demotion as a ledger: which causes hold now, each with weight and age.
//!
//! The sum is computed from the causes that hold, never counted up and down, so it cannot drift.

use core::fmt;

use crate::id::{GroupId, HostId, IfaceId};
use crate::time::Instant;

/// Why a group is demoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Cause {
    /// An interface of the group has no carrier. Set and cleared by the node.
    LinkDown(IfaceId),
    /// Advertisements of this virtual host cannot be sent. Set and cleared by the node.
    SendErrors(HostId),
    /// Services are not up yet.
    NotReady,
    /// The operator said so.
    Operator,
    /// Something outside, such as state synchronisation; the number is the adapter's.
    External(u8),
}

impl Cause {
    /// The node alone knows whether this holds; `demote` and `clear` refuse it.
    pub(crate) fn is_observed(self) -> bool {
        matches!(self, Self::LinkDown(_) | Self::SendErrors(_))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkDown(_) => f.pad("interface down"),
            Self::SendErrors(_) => f.pad("send error"),
            Self::NotReady => f.pad("not ready"),
            Self::Operator => f.pad("operator"),
            Self::External(number) => write!(f, "external {number}"),
        }
    }
}

/// A cause cannot be entered into the ledger, or not be struck. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LedgerError {
    /// [`LEDGER_LEN`] causes hold already.
    Full,
    /// The node observes this cause itself.
    Observed,
    /// This cause holds, and [`clear_all`](crate::Node::clear_all) was not forced.
    StillHolds(Cause),
    /// No virtual host was ever configured in this group.
    NoSuchGroup(GroupId),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(
                f,
                "{LEDGER_LEN} causes demote this group already; clear one first"
            ),
            Self::Observed => {
                f.write_str("this cause is observed by the node; it clears when it no longer holds")
            }
            Self::StillHolds(cause) => {
                write!(f, "this still holds: {cause}; put it right, or clear by force")
            }
            Self::NoSuchGroup(group) => write!(f, "no virtual host is in group {}", group.0),
        }
    }
}

impl core::error::Error for LedgerError {}

/// Causes that one group can hold at a time, the observed ones aside (they need no entry).
pub const LEDGER_LEN: usize = 8;

/// A cause that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holding {
    /// Why.
    pub cause: Cause,
    /// How much it adds; 0 if it was reset by force while it holds.
    pub weight: u16,
    /// Since when.
    pub since: Instant,
}

/// The entries of one group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    entries: heapless::Vec<Holding, LEDGER_LEN>,
}

impl Ledger {
    pub(crate) const fn new() -> Self {
        Self {
            entries: heapless::Vec::new(),
        }
    }

    /// Sets the weight of a cause; a cause that holds already keeps its age.
    pub(crate) fn set(&mut self, now: Instant, cause: Cause, weight: u16) -> Result<(), LedgerError> {
        if cause.is_observed() {
            return Err(LedgerError::Observed);
        }
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.cause == cause) {
            entry.weight = weight;
            return Ok(());
        }
        self.entries
            .push(Holding {
                cause,
                weight,
                since: now,
            })
            .map_err(|_| LedgerError::Full)
    }

    pub(crate) fn clear(&mut self, cause: Cause) {
        self.entries.retain(|entry| entry.cause != cause);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Holding> {
        self.entries.iter().copied()
    }
}
