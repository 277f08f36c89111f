//! Who wins, once more and independently: `docs/protocol.md` §8 to §10.
//! Times are in microseconds. Nothing here is taken from the crates that are checked.

use std::fmt;

use carp_proto::Dialect;

/// The bow-out 255/255 as an interval.
pub const BOW_OUT: u16 = 0xffff;

/// advskew with demotion, as the dialect puts it on the wire and compares it.
pub fn effective_skew(dialect: Dialect, advskew: u8, demotion: u16) -> u8 {
    match dialect {
        Dialect::FreeBsd => u8::try_from((u16::from(advskew) + demotion).min(240)).unwrap_or(240),
        Dialect::OpenBsd => advskew,
        Dialect::NetBsd | Dialect::Ucarp => {
            if demotion > 0 && advskew < 240 {
                240
            } else {
                advskew
            }
        }
    }
}

/// What a node is worth in the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// Compared first where the dialect does; else 0.
    pub demotion: u8,
    /// advbase and effective skew.
    pub interval: u16,
}

impl Rank {
    /// Whole seconds of the interval.
    pub fn advbase(self) -> u8 {
        self.interval.to_be_bytes()[0]
    }
}

/// As in `1/128`, with the demotion behind it if there is any.
impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.interval >> 8, self.interval & 0xff)?;
        if self.demotion > 0 {
            write!(f, " demoted by {}", self.demotion)?;
        }
        Ok(())
    }
}

/// The rank of a node of this configuration.
pub fn rank(dialect: Dialect, advbase: u8, advskew: u8, demotion: u16) -> Rank {
    Rank {
        demotion: match dialect {
            Dialect::OpenBsd => u8::try_from(demotion).unwrap_or(u8::MAX),
            _ => 0,
        },
        interval: u16::from(advbase) << 8 | u16::from(effective_skew(dialect, advskew, demotion)),
    }
}

/// May (and must) a BACKUP of `own` rank take over from the sender of `heard`? In the fast profile (§13) a bow-out
/// counts, and a slower master is waited for.
pub fn takes_over(dialect: Dialect, preempt: bool, fast: bool, own: Rank, heard: Rank) -> bool {
    let by_demotion = dialect == Dialect::OpenBsd;
    let preempts =
        preempt && own.interval < heard.interval && (!by_demotion || heard.demotion >= own.demotion);
    let (base, skew) = (u32::from(own.interval >> 8), u32::from(own.interval & 0xff));
    let outlasts = if fast {
        heard.interval == BOW_OUT
    } else {
        u32::from(heard.interval) > ((3 * base) << 8 | skew) && !(by_demotion && base == 0)
    };
    preempts || outlasts || by_demotion && heard.demotion > own.demotion
}

/// May (and must) a MASTER of `own` rank yield to the sender of `heard`?
pub fn yields(dialect: Dialect, own: Rank, heard: Rank, lower_source: bool) -> bool {
    match dialect {
        Dialect::FreeBsd | Dialect::NetBsd => own.interval >= heard.interval,
        Dialect::OpenBsd => {
            heard.demotion < own.demotion || heard.demotion == own.demotion && own.interval >= heard.interval
        }
        Dialect::Ucarp => own.interval > heard.interval || own.interval == heard.interval && lower_source,
    }
}

/// advskew of whoever is in maintenance mode.
pub const MAINTENANCE: u8 = 254;

/// Between two advertisements of a node that sends this interval; 0/0 counts as 0/1.
pub fn period(interval: u16) -> u64 {
    u64::from(interval.max(1)) * 1_000_000 / 256
}

/// Between two advertisements of a node in maintenance mode, and of nobody less often.
pub fn longest_period(advbase: u8) -> u64 {
    period(u16::from(advbase) << 8 | u16::from(MAINTENANCE))
}

/// How long a BACKUP with the fast profile waits in silence (§13): so many of its own intervals, or of those that it
/// heard last if they are longer.
pub fn fast_master_down(dead_ratio: u8, advskew: u8, maintenance: bool, heard: Option<u8>) -> u64 {
    let wait = |skew: u8| u64::from(dead_ratio) * period(skew.into());
    let own = if maintenance {
        wait(MAINTENANCE) + u64::from(advskew) * 1_000_000 / 256
    } else {
        wait(advskew)
    };
    own.max(heard.map_or(0, wait))
}

/// How long a BACKUP waits in silence; in maintenance mode, after everybody else.
pub fn master_down(dialect: Dialect, advbase: u8, advskew: u8, maintenance: bool) -> u64 {
    let micros = |skew| u64::from(skew) * 1_000_000 / 256;
    if maintenance {
        return master_down(dialect, advbase, MAINTENANCE, false) + micros(advskew);
    }
    let (base, skew) = (u64::from(advbase) * 1_000_000, micros(advskew));
    match dialect {
        Dialect::OpenBsd => 3 * (base + skew),
        _ => 3 * base + skew,
    }
}
