//! What one step of the election reads, and what follows from it for intervals and timers.

use carp_proto::{AdvBase, AdvSkew, Byte4, Demotion, Dialect, Interval};

use crate::policy::Policy;
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
    /// Sum of the group's demotion.
    pub demotion: u16,
    /// Take over from a slower master.
    pub preempt: bool,
    /// After INIT, leave a living master alone for so long.
    pub preempt_delay: Duration,
    /// The node is in maintenance mode (§11).
    pub maintenance: bool,
    /// Advertises over IPv4.
    pub ipv4: bool,
    /// Advertises over IPv6.
    pub ipv6: bool,
}

impl View {
    /// Interval on the wire: advbase and the effective skew.
    pub fn interval(&self) -> Interval {
        Interval::new(self.advbase, self.effective_skew())
    }

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

    /// Master-down deadlines for IPv4 and IPv6, started now.
    pub(super) fn down_timers(&self, now: Instant) -> (Option<Instant>, Option<Instant>) {
        let down = now + self.master_down();
        (self.ipv4.then_some(down), self.ipv6.then_some(down))
    }

    pub(super) fn master_down(&self) -> Duration {
        let wait = self.dialect.master_down_micros(self.advbase, self.base_skew());
        // Two in maintenance advertise alike, but do not wait equally long.
        let more = if self.maintenance {
            Interval::new(AdvBase::new(0), self.advskew).micros()
        } else {
            0
        };
        Duration::from_micros(wait.saturating_add(more))
    }

    /// Periodic advertisements until a new MASTER announces again; 0: never.
    pub(super) fn reannounce(&self) -> u16 {
        let soon = self
            .policy
            .reannounce
            .max(self.dialect.rules().announces_again.unwrap_or(0));
        match u16::from(soon) {
            0 => self.refresh(),
            soon => soon,
        }
    }

    /// Periodic advertisements from one announcement to the next; 0: there is none.
    pub(super) fn refresh(&self) -> u16 {
        let period = self.period(self.effective_skew()).as_micros();
        let refresh = self.policy.announce_refresh.as_micros();
        let count = refresh
            .saturating_add(period.saturating_sub(1))
            .checked_div(period);
        match refresh {
            0 => 0,
            _ => count
                .and_then(|count| u16::try_from(count).ok())
                .unwrap_or(u16::MAX),
        }
    }
}
