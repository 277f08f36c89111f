//! What the election reads of one virtual host, for model checkers.

use core::hash::{Hash, Hasher};

use super::{ASKED_TO_HAND_OVER, Host, IGNORES_LINK, IGNORES_SENDING, LEFT_FAST, SEND_THRESHOLD, SendHealth};
use crate::machine::relative;
use crate::time::Instant;

impl<const ADDRS: usize> Host<ADDRS> {
    /// Every field is named, so that a new one cannot be forgotten here.
    pub(crate) fn hash_election(&self, now: Instant, state: &mut impl Hasher) {
        let Self {
            // Fixed from the start, or derived from what is.
            config: _,
            unicast: _,
            authenticator: _,
            changing,
            machine,
            pending,
            wanted,
            asked,
            // Only has to differ from earlier ones.
            owner_seq: _,
            waits_until,
            refusals,
            sending,
            // Only has to differ from others.
            counter: _,
            marks,
            // Reported only.
            peer: _,
        } = self;
        let SendHealth {
            errors,
            successes,
            awaited,
            reached,
            failing_since,
            retry_at,
        } = sending;
        machine.hash_relative(now, state);
        (changing, self.sends(), self.waits()).hash(state);
        (pending, wanted, asked).hash(state);
        // Counts that only matter up to a limit: from the sixth refusal on, the wait is the same. Successes make good
        // what errors there were.
        let successes = Some(successes.min(&SEND_THRESHOLD)).filter(|_| *errors > 0);
        (refusals.min(&6), errors.min(&SEND_THRESHOLD), successes).hash(state);
        relative(now, *waits_until).hash(state);
        // Whether counters are followed is not part of the election.
        for mark in [LEFT_FAST, IGNORES_LINK, IGNORES_SENDING, ASKED_TO_HAND_OVER] {
            marks.has(mark).hash(state);
        }
        (
            awaited,
            reached,
            failing_since.is_some(),
            relative(now, *retry_at),
        )
            .hash(state);
    }
}
