//! The role with its deadlines counted from now, for model checkers.

use core::hash::{Hash, Hasher};

use super::{Machine, Role, Stance};
use crate::time::{Duration, Instant};

impl Machine {
    /// Feeds everything the next steps depend on. Two machines that feed the same behave the same, as long as their
    /// intervals are no longer than `longest`.
    pub(crate) fn hash_relative(&self, now: Instant, longest: Duration, state: &mut impl Hasher) {
        core::mem::discriminant(&self.role).hash(state);
        match self.role {
            Role::Init { reason, retry } => (reason, relative(now, retry)).hash(state),
            Role::Backup {
                down4,
                down6,
                because,
                stance,
                ties,
            } => {
                let downs = (relative(now, down4), relative(now, down6));
                let starting = (stance == Stance::Starting).then(|| relative(now, Some(self.since)));
                // In maintenance it matters whether it has been BACKUP for an interval.
                let young = (now < self.since + longest).then(|| relative(now, Some(self.since)));
                (downs, because, stance, starting, young, ties).hash(state);
            }
            Role::Master {
                next_ad,
                reannounce,
                answer_from,
                ties,
                tenure,
            } => (
                (relative(now, Some(next_ad)), reannounce),
                (answer_from - now, ties, tenure),
            )
                .hash(state),
            // When it began is only reported.
            Role::Leaving {
                since: _,
                until,
                then,
            } => (relative(now, Some(until)), then).hash(state),
        }
    }
}

/// Microseconds from now, negative (as two's complement) for the past.
pub(crate) fn relative(now: Instant, at: Option<Instant>) -> Option<u64> {
    at.map(|at| at.as_micros().wrapping_sub(now.as_micros()))
}
