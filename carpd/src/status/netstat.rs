//! The counters in the words of BSD's `netstat -s -p carp`.

use std::fmt::Write as _;

use super::{Lateness, Status};

/// Name of a counter, indentation, and its words for one packet and for any other number.
///
/// They are FreeBSD's, in its order. `badif` and `preempt` are OpenBSD's; `replays`, `loops` (both of them also counted
/// as `badauth`), `duplicates` and `senderr` have no line in any of them.
const LINES: [(&str, &str, &str, &str); 18] = [
    (
        "ipackets",
        "\t",
        "packet received (IPv4)",
        "packets received (IPv4)",
    ),
    (
        "ipackets6",
        "\t",
        "packet received (IPv6)",
        "packets received (IPv6)",
    ),
    (
        "badif",
        "\t\t",
        "packet discarded for bad interface",
        "packets discarded for bad interface",
    ),
    (
        "badttl",
        "\t\t",
        "packet discarded for wrong TTL",
        "packets discarded for wrong TTL",
    ),
    (
        "hdrops",
        "\t\t",
        "packet shorter than header",
        "packets shorter than header",
    ),
    (
        "badsum",
        "\t\t",
        "discarded for bad checksum",
        "discarded for bad checksums",
    ),
    (
        "badver",
        "\t\t",
        "discarded packet with a bad version",
        "discarded packets with a bad version",
    ),
    (
        "badlen",
        "\t\t",
        "discarded because packet too short",
        "discarded because packet too short",
    ),
    (
        "badauth",
        "\t\t",
        "discarded for bad authentication",
        "discarded for bad authentication",
    ),
    (
        "replays",
        "\t\t\t",
        "of them heard before (replayed)",
        "of them heard before (replayed)",
    ),
    (
        "loops",
        "\t\t\t",
        "of them our own, come back through a loop",
        "of them our own, come back through a loop",
    ),
    (
        "badvhid",
        "\t\t",
        "discarded for bad vhid",
        "discarded for bad vhid",
    ),
    (
        "duplicates",
        "\t\t",
        "packet delivered twice",
        "packets delivered twice",
    ),
    ("opackets", "\t", "packet sent (IPv4)", "packets sent (IPv4)"),
    ("opackets6", "\t", "packet sent (IPv6)", "packets sent (IPv6)"),
    (
        "onomem",
        "\t\t",
        "send failed due to mbuf memory error",
        "send failed due to mbuf memory error",
    ),
    (
        "senderr",
        "\t\t",
        "send failed for another reason",
        "send failed for another reason",
    ),
    ("preempt", "\t", "transition to master", "transitions to master"),
];

impl Status {
    /// The text of `carpd netstat`. A counter without words of its own is shown by its name.
    pub fn netstat(&self) -> String {
        let mut text = "carp:\n".to_owned();
        for (name, indentation, one, many) in LINES {
            if let Some(&count) = self.counters.get(name) {
                let words = if count == 1 { one } else { many };
                let _ = writeln!(text, "{indentation}{count} {words}");
            }
        }
        for (name, count) in &self.counters {
            if !LINES.iter().any(|(known, ..)| known == name) {
                let _ = writeln!(text, "\t{count} {name}");
            }
        }
        text + &self.lateness_lines()
    }

    /// How late this machine did what was due, which no kernel counts.
    fn lateness_lines(&self) -> String {
        let Lateness {
            classes,
            worst_us,
            worst_at,
            ..
        } = &self.lateness;
        let all: u64 = classes.iter().map(|class| class.count).sum();
        let deadlines = if all == 1 { "deadline" } else { "deadlines" };
        let mut text = format!("lateness:\n\t{all} {deadlines}\n");
        let mut left = all;
        for (class, next) in classes.iter().zip(classes.iter().skip(1)) {
            left -= class.count;
            if let Some(above) = class.up_to_us.filter(|_| next.count > 0) {
                let _ = writeln!(text, "\t\t{left} later than {}", millis(above));
            }
        }
        if let (Some(worst), Some(at)) = (worst_us, worst_at) {
            let _ = writeln!(text, "\t\tthe worst by {}, at {at}", millis(*worst));
        }
        text
    }
}

/// `1.234 ms`, without zeros at the end.
fn millis(micros: u64) -> String {
    let text = format!("{}.{:03}", micros / 1000, micros % 1000);
    format!("{} ms", text.trim_end_matches('0').trim_end_matches('.'))
}
