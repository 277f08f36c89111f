//! What one step of the election reads, and what follows from it for intervals and timers.

use carp_proto::{AdvBase, AdvSkew, Byte4, Demotion, Dialect, Interval, MacAddr};

use crate::policy::Policy;
use crate::random::mix;
use crate::time::{Duration, Instant};

/// advskew of every virtual host in maintenance mode; FreeBSD's rule puts it on the wire as 240.
const MAINTENANCE_SKEW: AdvSkew = AdvSkew::new(254);

/// What the machine reads of its host and node. Nothing of it is kept.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// What is on the wire and who wins.
    pub dialect: Dialect,
    /// Manners.
    pub policy: Policy,
    /// Configured advbase.
    pub advbase: AdvBase,
    /// Configured advskew.
    pub advskew: AdvSkew,
    /// The fast profile holds (advbase is 0 then): a master is dead after this many intervals.
    pub dead_ratio: Option<u8>,
    /// Sum of the group's demotion.
    pub demotion: u16,
    /// Take over from a slower master.
    pub preempt: bool,
    /// After INIT, leave a living master alone for so long.
    pub preempt_delay: Duration,
    /// Of the interface: no other node on the segment has it.
    pub mac: MacAddr,
    /// The node is in maintenance mode (§11).
    pub maintenance: bool,
    /// Advertises over IPv4.
    pub ipv4: bool,
    /// Advertises over IPv6.
    pub ipv6: bool,
}

impl View {
    /// Interval on the wire: advbase and the effective skew.
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub fn interval(&self) -> Interval {
        Interval::new(self.advbase, self.effective_skew())
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(super) fn effective_skew(&self) -> AdvSkew {
        self.dialect.effective_skew(self.base_skew(), self.demotion)
    }

    /// Before demotion.
    pub(super) fn base_skew(&self) -> AdvSkew {
        if self.maintenance {
            MAINTENANCE_SKEW
        } else {
            self.advskew
        }
    }

    /// Byte 4 on the wire: the demotion count where the dialect has one, else 0.
    pub fn demotion_byte(&self) -> Demotion {
        Demotion::new(if self.compares_demotion() {
            u8::try_from(self.demotion).unwrap_or(u8::MAX)
        } else {
            0
        })
    }

    pub(super) fn compares_demotion(&self) -> bool {
        self.dialect.rules().byte4 == Byte4::Demotion
    }

    pub(super) fn period(&self, skew: AdvSkew) -> Duration {
        Duration::from_micros(self.dialect.advertisement_interval_micros(self.advbase, skew))
    }

    pub(super) fn quarter(&self, skew: AdvSkew) -> Duration {
        Duration::from_micros(self.period(skew).as_micros() / 4)
    }

    /// Master-down deadlines for IPv4 and IPv6, so long from now.
    pub(super) fn down_timers(&self, now: Instant, wait: Duration) -> (Option<Instant>, Option<Instant>) {
        let down = now + wait;
        (self.ipv4.then_some(down), self.ipv6.then_some(down))
    }

    /// How long a BACKUP waits for a silent MASTER after this many ties in a row.
    pub(super) fn waits(&self, ties: u8) -> Duration {
        let wait = match self.dead_ratio {
            Some(ratio) => self.intervals(ratio, self.base_skew()),
            None => self.dialect.master_down_micros(self.advbase, self.base_skew()),
        };
        self.and_more(wait, ties)
    }

    /// How long a BACKUP waits that comes from INIT. In the fast profile a living master may be one that does not
    /// have it, and is heard once a second: whoever is to leave it alone listens for that long, but no longer than it
    /// is to.
    pub(super) fn waits_at_first(&self) -> Duration {
        let slow = self.dialect.master_down_micros(AdvBase::new(1), self.base_skew());
        let listens = match self.dead_ratio {
            Some(_) => self.preempt_delay.min(Duration::from_micros(slow)),
            None => Duration::ZERO,
        };
        self.waits(0).max(listens)
    }

    /// How long a BACKUP waits for a MASTER that advertised like this. One that would not take over from it while it
    /// lives gives a slower one the time that it needs; so does everybody in the fast profile, where it is no
    /// master that will time out.
    pub(super) fn waits_for(&self, peer: Interval, willing: bool, ties: u8) -> Duration {
        let its_own = match self.dead_ratio {
            Some(ratio) => self.intervals(ratio, peer.skew()),
            None if willing => 0,
            None => self.dialect.master_down_micros(peer.base(), self.base_skew()),
        };
        self.waits(ties).max(self.and_more(its_own, ties))
    }

    /// Would it take over from this master while it lives? Not if it handed over (and has resigned), nor in
    /// maintenance. But who bows out asks to be replaced, and somebody must be MASTER.
    pub(super) fn is_willing(&self, peer: Interval, resigned: bool) -> bool {
        peer == Interval::BOW_OUT || !(resigned || self.maintenance)
    }

    /// What tells those apart that would wait equally long.
    fn and_more(&self, wait: u64, ties: u8) -> Duration {
        // Two in maintenance advertise alike, but do not wait equally long.
        let more = if self.maintenance {
            Interval::new(AdvBase::new(0), self.advskew).micros()
        } else {
            0
        };
        Duration::from_micros(wait.saturating_add(more)) + self.parting(ties)
    }

    fn intervals(&self, count: u8, skew: AdvSkew) -> u64 {
        self.period(skew).as_micros().saturating_mul(u64::from(count))
    }

    /// A MASTER that stays is heard once in each period. Whoever yields at once to an equal is heard when it
    /// takes over, and no more before the next master-down time.
    pub(super) fn is_one_period(&self, quiet: Duration) -> bool {
        let half = self.period(self.effective_skew()).as_micros() / 2;
        (half..=half.saturating_mul(3)).contains(&quiet.as_micros())
    }

    /// How much longer than its master-down time to wait after this many ties in a row, if any: 0 to 15 sixteenths
    /// of the advertisement interval. Each round looks at other bits of what is different for every node, so
    /// two that count alike part within 16 rounds; 15 times of 16 in the first.
    pub(super) fn parting(&self, ties: u8) -> Duration {
        if ties == 0 {
            return Duration::ZERO;
        }
        let mac = self.mac.0.iter();
        let bits = mix(mac.fold(0, |number, octet| number << 8 | u64::from(*octet)));
        let nibble = bits.rotate_right(u32::from(ties).wrapping_mul(4)) & 0xf;
        let sixteenth = self.period(self.effective_skew()).as_micros() >> 4;
        Duration::from_micros(sixteenth.saturating_mul(nibble))
    }

    /// Periodic advertisements until a new MASTER announces again; 0: never.
    pub(super) fn reannounce(&self) -> u8 {
        let dialect = self.dialect.rules().announces_again.unwrap_or(0);
        match self.policy.reannounce.max(dialect) {
            0 => self.refresh(),
            soon => soon,
        }
    }

    /// Periodic advertisements from one announcement to the next; 0: there is none.
    pub(super) fn refresh(&self) -> u8 {
        let period = self.period(self.effective_skew());
        // Counted, not divided: the division of 64-bit numbers is larger than any function here.
        let (mut count, mut left) = (0_u8, self.policy.announce_refresh);
        while left > Duration::ZERO && count < u8::MAX {
            count = count.saturating_add(1);
            left = left - period;
        }
        count
    }
}
