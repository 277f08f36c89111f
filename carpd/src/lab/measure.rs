//! What the client observes, and the numbers that follow from it. Pure calculation.

use std::net::IpAddr;

use carp_fsm::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// The client pings this often.
pub const PING_INTERVAL: Duration = Duration::from_millis(10);
/// A ping that is not answered within this time is lost.
///
/// Long enough for a busy machine. Short, so that a ping which the client's kernel held back while it looked for the
/// address does not count as answered when the successor is there.
pub const PING_PATIENCE: Duration = Duration::from_millis(100);

/// Something that the client saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Observation {
    /// An advertisement arrived.
    Advertisement(Advertisement),
    /// A ping was answered or given up.
    Ping(Ping),
}

/// An advertisement as it was on the wire. Nobody has checked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertisement {
    /// When it arrived.
    #[serde(with = "micros")]
    pub at: Instant,
    /// Who sent it.
    pub source: IpAddr,
    /// Its virtual host.
    pub vhid: u8,
    /// Its advbase.
    pub advbase: u8,
    /// Its advskew.
    pub advskew: u8,
}

/// One ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// When it was sent.
    #[serde(with = "micros")]
    pub at: Instant,
    /// Whether the answer came in time.
    pub answered: bool,
}

/// All that the client has seen, in the order in which it was seen.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The advertisements.
    pub advertisements: Vec<Advertisement>,
    /// The pings, in the order in which they were sent.
    pub pings: Vec<Ping>,
}

/// Lost pings of a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPings {
    /// How many in all.
    pub count: u32,
    /// The longest run of lost pings, each counted as [`PING_INTERVAL`].
    pub outage: Duration,
}

/// When one node followed another as master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Succession {
    /// The last advertisement of the old master before the first of the new one.
    pub last: Instant,
    /// The first advertisement of the new master.
    pub first: Instant,
}

/// How long a backup waits for a silent master: `3 * advbase + advskew / 256` seconds (`docs/protocol.md` §8).
pub const fn master_down(advbase: u8, advskew: u8) -> Duration {
    Duration::from_micros(3_000_000 * advbase as u64 + 1_000_000 * advskew as u64 / 256)
}

impl Record {
    /// Adds what was seen next.
    pub fn push(&mut self, observation: Observation) {
        match observation {
            Observation::Advertisement(advertisement) => self.advertisements.push(advertisement),
            Observation::Ping(ping) => self.pings.push(ping),
        }
    }

    /// How `new` followed `old`, if it advertised since `since`. Each says whether a source address is its own.
    pub fn succession(
        &self,
        old: impl Fn(IpAddr) -> bool,
        new: impl Fn(IpAddr) -> bool,
        since: Instant,
    ) -> Option<Succession> {
        let first = self
            .since(since)
            .find(|advertisement| new(advertisement.source))?
            .at;
        let mut before = self.advertisements.iter().rev();
        let last = before
            .find(|advertisement| old(advertisement.source) && advertisement.at <= first)?
            .at;
        Some(Succession { last, first })
    }

    /// The only node that advertised since `since`, if it did so at least `count` times.
    pub fn sole_master(&self, since: Instant, count: usize) -> Option<IpAddr> {
        let master = self.since(since).next()?.source;
        let alone = self
            .since(since)
            .all(|advertisement| advertisement.source == master);
        (alone && self.since(since).count() >= count).then_some(master)
    }

    /// The pings that were sent since `since` and lost.
    pub fn lost_pings(&self, since: Instant) -> LostPings {
        let (mut count, mut run, mut longest) = (0_u32, 0_u32, 0_u32);
        for ping in self.pings.iter().filter(|ping| ping.at >= since) {
            if ping.answered {
                run = 0;
            } else {
                count += 1;
                run += 1;
                longest = longest.max(run);
            }
        }
        LostPings {
            count,
            outage: Duration::from_micros(u64::from(longest) * PING_INTERVAL.as_micros()),
        }
    }

    /// The advertisements that arrived since `since`.
    pub fn since(&self, since: Instant) -> impl Iterator<Item = &Advertisement> {
        self.advertisements
            .iter()
            .filter(move |advertisement| advertisement.at >= since)
    }
}

/// Points in time as microseconds since the machine was started.
mod micros {
    use carp_fsm::Instant;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(at: &Instant, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(at.as_micros())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Instant, D::Error> {
        u64::deserialize(from).map(Instant::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    const fn millis(at: u64) -> Instant {
        Instant::from_micros(at * 1000)
    }

    fn is(node: IpAddr) -> impl Fn(IpAddr) -> bool {
        move |source| source == node
    }

    fn record(advertisements: &[(u64, IpAddr)], lost: &[bool]) -> Record {
        let advertisement = |&(at, source)| Advertisement {
            at: millis(at),
            source,
            vhid: 7,
            advbase: 1,
            advskew: 0,
        };
        let ping = |(at, lost): (u64, &bool)| Ping {
            at: millis(at),
            answered: !lost,
        };
        Record {
            advertisements: advertisements.iter().map(advertisement).collect(),
            pings: (0..).step_by(10).zip(lost).map(ping).collect(),
        }
    }

    #[test]
    fn the_formula() {
        assert_eq!(master_down(1, 100).as_micros(), 3_390_625);
        assert_eq!(master_down(1, 0).as_micros(), 3_000_000);
        assert_eq!(master_down(255, 254).as_micros(), 765_992_187);
    }

    #[test]
    fn detection_is_from_the_last_of_the_old_to_the_first_of_the_new() {
        let seen = record(
            &[(0, B), (1000, A), (2000, A), (5391, B), (5400, A), (6782, B)],
            &[],
        );
        let succession = seen.succession(is(A), is(B), millis(2001));
        let expected = Succession {
            last: millis(2000),
            first: millis(5391),
        };
        assert_eq!(succession, Some(expected));
        assert_eq!(seen.succession(is(A), is(B), millis(6783)), None, "nothing new");
        assert_eq!(
            seen.succession(is(B), is(A), millis(0)).map(|found| found.last),
            Some(millis(0))
        );
        assert_eq!(
            record(&[(1, B)], &[]).succession(is(A), is(B), millis(0)),
            None,
            "nothing old"
        );
    }

    #[test]
    fn a_master_is_alone_only_if_nobody_else_advertises() {
        let seen = record(&[(0, A), (1000, B), (2000, B)], &[]);
        assert_eq!(seen.sole_master(millis(0), 1), None);
        assert_eq!(seen.sole_master(millis(500), 2), Some(B));
        assert_eq!(seen.sole_master(millis(500), 3), None);
        assert_eq!(seen.sole_master(millis(2001), 0), None);
    }

    #[test]
    fn the_outage_is_the_longest_run_and_not_the_sum() {
        let seen = record(&[], &[true, true, false, true, true, true, false, true]);
        let all = LostPings {
            count: 6,
            outage: Duration::from_millis(30),
        };
        assert_eq!(seen.lost_pings(millis(0)), all);
        let end = LostPings {
            count: 1,
            outage: Duration::from_millis(10),
        };
        assert_eq!(seen.lost_pings(millis(60)), end);
        assert_eq!(seen.lost_pings(millis(1000)).count, 0);
    }

    #[test]
    fn observations_are_lines_of_json() {
        let ping = Observation::Ping(Ping {
            at: millis(5),
            answered: true,
        });
        let line = serde_json::to_string(&ping).expect("JSON");
        assert_eq!(line, r#"{"kind":"ping","at":5000,"answered":true}"#);
        assert_eq!(
            serde_json::from_str::<Observation>(&line).expect("the same"),
            ping
        );
    }
}
