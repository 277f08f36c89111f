use carp_fsm::{Duration, Instant};

/// How late a [`Host`](crate::Host) was at its deadlines: what the machine's load does to the election.
///
/// A node that is late by more than the difference of two advskews can lose an election that it should win. A
/// real-time priority helps; on a virtual machine the host may be the cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    counts: [u64; Self::BOUNDS.len() + 1],
    worst: Option<(Duration, Instant)>,
    last: Option<(Duration, Instant)>,
}

impl Lateness {
    /// The upper bounds of the classes in which deadlines are counted. Lateness beyond the last one is in a
    /// class of its own.
    pub const BOUNDS: [Duration; 9] = [
        Duration::from_micros(100),
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(20),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_secs(1),
    ];

    /// Of each class, its upper bound (`None`: there is none) and how many deadlines were met with that
    /// lateness, up to and including the bound.
    pub fn classes(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = Self::BOUNDS.into_iter().map(Some).chain([None]);
        bounds.zip(self.counts)
    }

    /// The largest lateness since the start, and when it was.
    pub fn worst(&self) -> Option<(Duration, Instant)> {
        self.worst
    }

    /// How late the last deadline was met, and when that was.
    pub fn last(&self) -> Option<(Duration, Instant)> {
        self.last
    }

    /// Counts a deadline that was met at `now`.
    pub fn note(&mut self, deadline: Instant, now: Instant) {
        let late = now - deadline;
        self.last = Some((late, now));
        let class = Self::BOUNDS.partition_point(|&bound| bound < late);
        self.counts[class] += 1;
        if self.worst.is_none_or(|(worst, _)| late > worst) {
            self.worst = Some((late, now));
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_counted_by_how_late_they_were_met() {
        let mut lateness = Lateness::default();
        let deadline = Instant::from_micros(1_000_000);
        for micros in [0, 100, 101, 999, 30_000, 1_000_000, 1_000_001] {
            lateness.note(deadline, deadline + Duration::from_micros(micros));
        }
        let counts: Vec<u64> = lateness.classes().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 2, 0, 0, 0, 0, 1, 0, 1, 1]);
        let worst = Duration::from_micros(1_000_001);
        assert_eq!(lateness.worst(), Some((worst, deadline + worst)));
        lateness.note(deadline, deadline);
        assert_eq!(lateness.worst(), Some((worst, deadline + worst)));
        assert_eq!(lateness.last(), Some((Duration::ZERO, deadline)));
    }
}
