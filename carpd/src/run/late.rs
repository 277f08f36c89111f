//! How late this machine does what is due, as far as somebody should do something about it.

use std::collections::VecDeque;

use carp_fsm::{Duration, Instant};
use carp_std::Lateness;

/// What a difference of 25 in advskew makes up for. A machine at ease is later by a hundredth of that.
const BAD: Duration = Duration::from_millis(100);
/// For so long it is worth a warning.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// One line in this time at most.
const PERIOD: Duration = Duration::from_secs(10);
/// The largest ones that are remembered.
const MANY: usize = 64;

/// The bad ones of the last hour, each larger than those that came later.
#[derive(Default)]
pub(super) struct Late {
    worst: VecDeque<(Duration, Instant)>,
    last: Option<Instant>,
    told: Option<Instant>,
}

impl Late {
    /// Takes note of the last deadline. Returns how late it was, if somebody should be told.
    pub(super) fn look(&mut self, lateness: &Lateness, now: Instant) -> Option<Duration> {
        let (late, at) = lateness
            .last()
            .filter(|(late, at)| *late > BAD && self.last != Some(*at))?;
        self.last = Some(at);
        while self.worst.back().is_some_and(|(smaller, _)| *smaller <= late) {
            self.worst.pop_back();
        }
        self.worst.push_back((late, at));
        self.worst.truncate(MANY);
        if self.told.is_some_and(|told| now < told + PERIOD) {
            return None;
        }
        self.told = Some(now);
        Some(late)
    }

    /// The largest of the last hour, and how long ago the last was.
    pub(super) fn bad(&self, now: Instant) -> Option<(Duration, Duration)> {
        let recent = |at: &Instant| now - *at < REMEMBERED;
        let (worst, _) = self.worst.iter().find(|(_, at)| recent(at))?;
        let last = self.last.filter(recent)?;
        Some((*worst, now - last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_worst_of_the_last_hour_is_told() {
        let mut late = Late::default();
        let mut look = |millis: u64, seconds: u64| {
            let mut lateness = Lateness::default();
            let (now, then) = (
                at(seconds),
                Instant::from_micros(seconds * 1_000_000 - millis * 1000),
            );
            lateness.note(then, now);
            late.look(&lateness, now)
        };
        assert_eq!(look(100, 10), None, "not bad");
        assert_eq!(look(500, 20), Some(Duration::from_millis(500)));
        assert_eq!(look(900, 21), None, "told just now");
        assert_eq!(look(200, 1000), Some(Duration::from_millis(200)));
        let millis = Duration::from_millis;
        let seconds = Duration::from_secs;
        assert_eq!(late.bad(at(1001)), Some((millis(900), seconds(1))));
        assert_eq!(late.bad(at(3700)), Some((millis(200), seconds(2700))));
        assert_eq!(late.bad(at(4600)), None);
    }
}
