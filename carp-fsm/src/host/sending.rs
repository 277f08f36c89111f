//! Do our advertisements leave (`carp_send_ad_error`, §10)?

use super::{BUSY_RETRY, Destination, Destinations, HELD_BACK, Host, IGNORES_SENDING};
use crate::machine::Wishes;
use crate::policy::Policy;
use crate::time::{Duration, Instant};

/// Errors or successes in a row that change the verdict on sending.
pub(super) const SEND_THRESHOLD: u8 = 3;

/// How send errors count.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendRule {
    /// Until three successes in a row; else only errors in a row count.
    pub(super) adds_up: bool,
    /// Three successes in a row end the demotion.
    pub(super) forgives: bool,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SendHealth {
    pub(super) errors: u8,
    pub(super) successes: u8,
    /// Of the round under way: what became of these is not known yet,
    pub(super) awaited: Destinations,
    /// and for these a frame left.
    pub(super) reached: Destinations,
    pub(crate) failing_since: Option<Instant>,
    /// While failing: when the demotion may be lifted on trial.
    pub(crate) retry_at: Option<Instant>,
}

impl<const ADDRS: usize> Host<ADDRS> {
    /// What became of an advertisement. True if the verdict on sending changed.
    ///
    /// One round of advertisements, one to each destination, counts once. It failed if there is a family in which
    /// nothing left: whoever waits in that family takes over. A peer that cannot be reached while others of its
    /// family are is not our fault. Kernels count each frame.
    pub(crate) fn reported(&mut self, now: Instant, to: Destination, left: bool, policy: &Policy) -> bool {
        let adds_up = policy.senderr_adds_up;
        let rule = SendRule {
            adds_up,
            forgives: adds_up || self.config.dialect.rules().forgives_send_errors,
        };
        let succeeded = match self.sending.round(to, left) {
            _ if !adds_up => left,
            Some(reached) => self.reaches_each_family(reached),
            None => return false,
        };
        if !succeeded {
            return self.sending.failed(now, policy.senderr_retry);
        }
        let healed = self.sending.succeeded(rule);
        if healed {
            self.marks.put(IGNORES_SENDING, false);
        }
        healed
    }

    /// The next periodic advertisement is due by `now`. If the one before still waits for room, its round has failed: a
    /// queue that is full for that long is no burst. True if the verdict on sending changed.
    pub(crate) fn misses_round(&mut self, now: Instant, policy: &Policy) -> bool {
        let due = self.machine.advertises_at().is_some_and(|at| at <= now);
        let held_back = due && self.marks.has(HELD_BACK) && !self.sending.awaited.is_empty();
        held_back && self.sending.failed(now, policy.senderr_retry)
    }

    /// On trial: perhaps it can send again.
    pub(crate) fn forgive(&mut self) {
        self.sending = SendHealth::default();
        self.marks.put(IGNORES_SENDING, false);
    }
}

impl SendHealth {
    /// A wish to advertise begins a round.
    pub(super) fn wish(&mut self, wishes: Wishes, to: Destinations) {
        if wishes.contains(Wishes::BOW_OUT) || wishes.contains(Wishes::DISOWN) {
            self.forget_round();
        } else if wishes.contains(Wishes::ADVERTISE) {
            self.awaited = to;
        }
    }

    /// It will not be completed.
    pub(super) fn forget_round(&mut self) {
        (self.awaited, self.reached) = (Destinations::NONE, Destinations::NONE);
    }

    /// Whom the round reached, once it is over.
    fn round(&mut self, to: Destination, left: bool) -> Option<Destinations> {
        if !self.awaited.remove(to) {
            return None;
        }
        self.reached.remove(to);
        if left {
            self.reached.add(to);
        }
        let is_over = self.awaited.is_empty();
        is_over.then(|| core::mem::take(&mut self.reached))
    }

    /// True if the verdict changed.
    pub(super) fn succeeded(&mut self, rule: SendRule) -> bool {
        let was_failing = self.failing_since.is_some();
        if !rule.adds_up && !was_failing {
            self.errors = 0;
        }
        self.successes = self.successes.saturating_add(1);
        if self.successes < SEND_THRESHOLD || (was_failing && !rule.forgives) {
            return false;
        }
        *self = Self::default();
        was_failing
    }

    /// True if the verdict changed.
    pub(super) fn failed(&mut self, now: Instant, retry: Option<Duration>) -> bool {
        self.successes = 0;
        self.errors = self.errors.saturating_add(1);
        if self.errors < SEND_THRESHOLD || self.failing_since.is_some() {
            return false;
        }
        self.failing_since = Some(now);
        self.try_later(now, retry);
        true
    }

    /// Sets the time of the next trial; one without any wait would never end.
    pub(crate) fn try_later(&mut self, now: Instant, retry: Option<Duration>) {
        self.retry_at = retry.map(|wait| now + wait.max(BUSY_RETRY));
    }
}
