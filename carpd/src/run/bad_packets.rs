//! What the second log level tells: how many bad packets came in, and of which kinds. Never one line for each:
//! whoever can send them could fill the disk.

use std::fmt::Write as _;

use carp_fsm::{Duration, Instant};
use carp_std::Rejected;

use super::Carp;

/// One line in this time at most.
const PERIOD: Duration = Duration::from_secs(10);
/// The counters, by the names of the kernels.
const KINDS: [&str; 8] = [
    "badif", "badttl", "hdrops", "badsum", "badver", "badlen", "badauth", "badvhid",
];

/// What has been told, and when.
pub(super) struct BadPackets {
    told: [u64; KINDS.len()],
    told_at: Instant,
    /// Not before this is the next line.
    due: Instant,
    last: Option<Rejected>,
    waits: bool,
}

impl BadPackets {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            told: [0; KINDS.len()],
            told_at: now,
            due: now,
            last: None,
            waits: false,
        }
    }

    /// The line that is due, if there is one. Without `is_wanted`, nothing is remembered either.
    pub(super) fn look(&mut self, carp: &mut Carp, is_wanted: bool, now: Instant) -> Option<String> {
        self.last = carp.take_rejected().or(self.last);
        let mut counts = [0; KINDS.len()];
        for (name, value) in carp.node().stats().iter() {
            if let Some(place) = KINDS.iter().position(|kind| *kind == name) {
                counts[place] = value;
            }
        }
        let interface = self.last.and_then(|last| carp.link().interface_name(last.iface));
        self.tell(counts, interface, is_wanted, now)
    }

    /// When [`look`](Self::look) has something to tell even if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waits.then_some(self.due)
    }

    fn tell(
        &mut self,
        counts: [u64; KINDS.len()],
        interface: Option<&str>,
        is_wanted: bool,
        now: Instant,
    ) -> Option<String> {
        if !is_wanted {
            (self.told, self.told_at, self.waits) = (counts, now, false);
            return None;
        }
        self.waits = counts != self.told;
        if !self.waits || now < self.due {
            return None;
        }
        let new = KINDS.iter().zip(counts.iter().zip(self.told));
        let new = new.map(|(kind, (count, told))| (count - told, kind));
        let new: Vec<_> = new
            .filter(|(count, _)| *count > 0)
            .map(|(count, kind)| format!("{count} {kind}"))
            .collect();
        let seconds = (now - self.told_at).as_micros().div_ceil(1_000_000);
        let mut line = format!("carpd: bad packets in {seconds} s: {}", new.join(", "));
        if let (Some(Rejected { source, vhid, .. }), Some(interface)) = (self.last.take(), interface) {
            let _ = write!(line, "; the last from {source} on {interface}");
            if let Some(vhid) = vhid {
                let _ = write!(line, " with vhid {vhid}");
            }
        }
        (self.told, self.told_at, self.due, self.waits) = (counts, now, now + PERIOD, false);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use carp_fsm::IfaceId;
    use carp_proto::Rejection;

    use super::*;

    #[test]
    fn a_flood_is_a_line_in_ten_seconds() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut bad = BadPackets::new(at(0));
        let counts = |badttl, badauth| [0, badttl, 0, 0, 0, 0, badauth, 0];
        assert_eq!(bad.tell(counts(0, 0), None, true, at(5)), None);
        bad.last = Some(Rejected {
            iface: IfaceId(0),
            source: [192, 0, 2, 9].into(),
            vhid: Some(7),
            why: Rejection::BadAuth,
        });
        assert_eq!(
            bad.tell(counts(0, 3), Some("eth0"), true, at(6)).as_deref(),
            Some("carpd: bad packets in 6 s: 3 badauth; the last from 192.0.2.9 on eth0 with vhid 7")
        );
        assert_eq!(bad.deadline(), None);
        assert_eq!(bad.tell(counts(0, 4), None, true, at(7)), None, "too soon");
        assert_eq!(bad.deadline(), Some(at(16)));
        assert_eq!(
            bad.tell(counts(2, 100_000), None, true, at(16)).as_deref(),
            Some("carpd: bad packets in 10 s: 2 badttl, 99997 badauth")
        );
        assert_eq!(
            bad.tell(counts(3, 100_000), None, false, at(40)),
            None,
            "not wanted"
        );
        assert_eq!(
            bad.tell(counts(3, 100_000), None, true, at(50)),
            None,
            "told of later"
        );
    }
}
