//! What the election reads of one virtual host, for model checkers.

use core::hash::{Hash, Hasher};

use super::{
    BOWS_OUT, HELD_BACK, Host, IGNORES_LINK, IGNORES_SENDING, LEFT_FAST, SEND_THRESHOLD, SendHealth,
};
use crate::machine::relative;
use crate::time::{Duration, Instant};

impl<const ADDRS: usize> Host<ADDRS> {
    /// Every field is named, so that a new one cannot be forgotten here.
    pub(crate) fn hash_election(&self, now: Instant, state: &mut impl Hasher) {
        let Self {
            // Fixed from the start, or derived from what is.
            config,
            authenticator: _,
            unicast,
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
            // Matters where groups may be split, which the node knows.
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
        let longest = Duration::from_secs(u64::from(config.advbase.get()).saturating_add(1));
        machine.hash_relative(now, longest, state);
        (changing, self.sends(), self.waits()).hash(state);
        (pending, unicast, wanted, asked).hash(state);
        (pending.tells() && marks.has(BOWS_OUT)).hash(state);
        (!awaited.is_empty() && marks.has(HELD_BACK)).hash(state);
        // Counts that only matter up to a limit: from the sixth refusal on, the wait is the same. Successes make good
        // what errors there were.
        let successes = Some(successes.min(&SEND_THRESHOLD)).filter(|_| *errors > 0);
        (refusals.min(&6), errors.min(&SEND_THRESHOLD), successes).hash(state);
        relative(now, *waits_until).hash(state);
        // Whether counters are followed is not part of the election.
        for mark in [LEFT_FAST, IGNORES_LINK, IGNORES_SENDING] {
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
