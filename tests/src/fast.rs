//! How soon the fast profile notices a dead master, and how often it takes a living one for dead, where
//! advertisements are lost.
//!
//! A BACKUP of advskew n + 1 listens to a MASTER of advskew n: the shipping `Machine` of the BACKUP, without frames.
//! Between two losses nothing can happen, because an advertisement that is heard only starts the timer anew; so a
//! thousand hours take a second.

use carp_fsm::machine::{Input, View};
use carp_fsm::{Duration, Family, InitReason, Instant, Machine, Policy, State};
use carp_proto::{AdvBase, AdvSkew, Demotion, Dialect, Interval, MacAddr};

/// Advertisements arrive so much later than they were sent, evenly spread, in microseconds.
const DELAY: std::ops::Range<u64> = 50..150;

/// A MASTER, a BACKUP, and a network that loses advertisements.
#[derive(Clone, Debug)]
pub struct Watch {
    view: View,
    /// Of the MASTER.
    interval: Interval,
    period: u64,
    loss: f64,
    chance: u64,
}

impl Watch {
    /// The MASTER has advskew `interval`, the BACKUP the next; of 1000 advertisements `per_mille` are lost.
    ///
    /// # Panics
    ///
    /// If nothing is lost.
    pub fn new(interval: u8, dead_ratio: u8, per_mille: u16) -> Self {
        assert!(per_mille > 0, "without losses nothing happens");
        let fast = |skew| Interval::new(AdvBase::new(0), AdvSkew::new(skew));
        let view = View {
            dialect: Dialect::OpenBsd,
            policy: Policy::HARDENED,
            advbase: AdvBase::new(0),
            advskew: AdvSkew::new(interval + 1),
            dead_ratio: Some(dead_ratio),
            demotion: 0,
            preempt: false,
            preempt_delay: Duration::ZERO,
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            maintenance: false,
            ipv4: true,
            ipv6: false,
        };
        Self {
            view,
            interval: fast(interval),
            period: fast(interval).micros(),
            loss: f64::from(per_mille) / 1000.0,
            chance: 1,
        }
    }

    /// Times that a living MASTER is taken for dead in so many hours.
    pub fn false_failovers(&mut self, hours: u64) -> u64 {
        let end = hours * 3_600_000_000;
        let mut backup = self.backup();
        let (mut sent, mut found) = (0, 0);
        while sent < end {
            // Heard so many in a row, of which the last matters, then one or more are lost.
            let heard = 1 + self.run_length(self.loss);
            sent += heard * self.period;
            self.hear(&mut backup, sent);
            let lost = 1 + self.run_length(1.0 - self.loss);
            sent += lost * self.period;
            let next = sent + self.period + self.delay();
            found += u64::from(self.sleeps_until(&mut backup, next));
        }
        found
    }

    /// How long after a crash of the MASTER the BACKUP is MASTER, in microseconds, shortest first.
    pub fn detection(&mut self, crashes: usize) -> Vec<u64> {
        let mut times: Vec<u64> = (0..crashes).map(|_| self.crash()).collect();
        times.sort_unstable();
        times
    }

    fn crash(&mut self) -> u64 {
        loop {
            let mut backup = self.backup();
            let sent = self.period * 1000;
            self.hear(&mut backup, sent);
            // The last ones before the crash may have been lost.
            let lost = self.run_length(1.0 - self.loss);
            let crash = Instant::from_micros(sent + lost * self.period + self.below(self.period));
            let deadline = backup.deadline().expect("a BACKUP waits");
            if crash < deadline {
                backup.step(deadline, Input::Timeout, &self.view);
                assert_eq!(backup.state(), State::Master);
                return (deadline - crash).as_micros();
            }
        }
    }

    fn backup(&self) -> Machine {
        let mut machine = Machine::new(Instant::ZERO, InitReason::LinkDown);
        machine.step(Instant::ZERO, Input::Start, &self.view);
        machine
    }

    /// An advertisement that was sent at this moment arrives.
    fn hear(&mut self, backup: &mut Machine, sent: u64) {
        let now = Instant::from_micros(sent + self.delay());
        let input = Input::Heard {
            family: Family::Ipv4,
            interval: self.interval,
            demotion: Demotion::new(0),
            lower_source: false,
        };
        backup.step(now, input, &self.view);
        assert_eq!(backup.state(), State::Backup);
    }

    /// Nothing is heard until then; true if the BACKUP took over.
    fn sleeps_until(&self, backup: &mut Machine, next: u64) -> bool {
        let due = backup.deadline().filter(|deadline| deadline.as_micros() < next);
        if let Some(deadline) = due {
            backup.step(deadline, Input::Timeout, &self.view);
        }
        backup.state() == State::Master
    }

    /// How many things of this probability do not happen before the first that does.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a small positive number"
    )]
    fn run_length(&mut self, probability: f64) -> u64 {
        let uniform = (self.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        ((1.0 - uniform).ln() / (1.0 - probability).ln()) as u64
    }

    fn delay(&mut self) -> u64 {
        DELAY.start + self.below(DELAY.end - DELAY.start)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    /// `SplitMix64`.
    fn draw(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
