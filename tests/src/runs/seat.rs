//! What is known of a node apart from the node itself, told by the trace and by what was done to it.

use carp_fsm::{Duration, Instant, State};
use carp_proto::Dialect;

use super::plan::Member;
use crate::model::reference::{self, Rank};

/// Demotion by the operator.
pub(super) const OPERATOR: u16 = 100;

#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// What was done to it.
    pub(super) running: bool,
    pub(super) paused: bool,
    pub(super) link: bool,
    pub(super) enabled: bool,
    pub(super) shutdown: bool,
    pub(super) demoted: bool,
    pub(super) maintenance: bool,
    /// In maintenance mode now or earlier: farewells that began there may take longer.
    pub(super) maintained: bool,
    pub(super) refuses: bool,
    pub(super) isolated: bool,
    /// A command since the last check.
    pub(super) forced: bool,
    pub(super) handing_over: bool,
    /// What it did.
    pub(super) state: State,
    pub(super) owner: Option<bool>,
    /// Refused addresses may be asked for again.
    pub(super) refused: bool,
    pub(super) resigned: bool,
    /// BACKUP because it yielded to an equal.
    pub(super) tied: bool,
    /// The last that was heard is worse, but an equal may be about to preempt it as well.
    pub(super) preempts: bool,
    pub(super) demotion: u16,
    pub(super) heard: Option<(Rank, usize)>,
    /// When it last yielded: in plain mode it advertises once more then.
    pub(super) yielded: Option<Instant>,
    /// By its own clock: entered BACKUP, or heard an advertisement over IPv4, and over IPv6.
    pub(super) quiet: [Instant; 2],
    /// The advbase of the master heard then, if it would not have taken over from it; else 0.
    pub(super) behind: [u8; 2],
    pub(super) failing: bool,
    /// Of a round of advertisements, one in each family.
    frames: usize,
    errors: u8,
    successes: u8,
    /// Since when there is no room for what it says.
    blocked: Option<Instant>,
    /// Rounds that may have failed because there was none.
    missed: u64,
    pub(super) failing_since: Instant,
}

impl Seat {
    pub(super) fn started(now: Instant) -> Self {
        Self {
            running: true,
            paused: false,
            link: true,
            enabled: true,
            shutdown: false,
            demoted: false,
            maintenance: false,
            maintained: false,
            refuses: false,
            isolated: false,
            forced: false,
            handing_over: false,
            state: State::Init,
            owner: None,
            refused: false,
            resigned: false,
            tied: false,
            preempts: false,
            demotion: 0,
            heard: None,
            yielded: None,
            quiet: [now; 2],
            behind: [0; 2],
            failing: false,
            frames: 0,
            errors: 0,
            successes: 0,
            blocked: None,
            missed: 0,
            failing_since: now,
        }
    }

    /// A new process; what surrounds it stays.
    pub(super) fn restarted(&self, now: Instant) -> Self {
        Self {
            link: self.link,
            refuses: self.refuses,
            isolated: self.isolated,
            ..Self::started(now)
        }
    }

    pub(super) fn can_act(&self) -> bool {
        self.running && !self.paused
    }

    /// Takes part.
    pub(super) fn healthy(&self) -> bool {
        self.running && self.link && self.enabled && !self.shutdown
    }

    pub(super) fn rank(&self, member: &Member) -> Rank {
        let host = &member.host;
        let advskew = if self.maintenance {
            reference::MAINTENANCE
        } else {
            host.advskew.get()
        };
        reference::rank(host.dialect, host.advbase.get(), advskew, self.demotion)
    }

    /// How long it waits in silence, for the master whose family is more patiently waited for.
    pub(super) fn patience(&self, member: &Member) -> Duration {
        let families = self.behind.map(|behind| self.patience_behind(member, behind));
        families.into_iter().max().unwrap_or_default()
    }

    /// How long it waits in silence for a master of this advbase.
    pub(super) fn patience_behind(&self, member: &Member, behind: u8) -> Duration {
        let (dialect, skew) = (member.host.dialect, member.host.advskew.get());
        let base = member.host.advbase.get().max(behind);
        Duration::from_micros(reference::master_down(dialect, base, skew, self.maintenance))
    }

    /// The advbase of who was just heard, if it takes over from nobody who lives.
    pub(super) fn slower_master(&self) -> u8 {
        match self.heard {
            Some((heard, _))
                if (self.resigned || self.maintenance) && heard.interval != reference::BOW_OUT =>
            {
                heard.advbase()
            }
            _ => 0,
        }
    }

    /// How much longer it may wait: less than one advertisement interval, after a tie.
    pub(super) fn parting(&self, member: &Member) -> Duration {
        let longest = u64::from(member.host.advbase.get()) + 1;
        Duration::from_secs(if self.tied { longest } else { 0 })
    }

    /// How long it waits for a successor. Who is in maintenance waits for a slower master to be heard again.
    pub(super) fn farewell(&self, member: &Member) -> Duration {
        let slowest = Duration::from_secs(if self.maintained { 4 } else { 0 });
        member.policy.leave_wait + slowest
    }

    /// The sum of what holds.
    pub(super) fn holds(&self) -> u16 {
        [(self.demoted, OPERATOR), (!self.link, 240), (self.failing, 240)]
            .into_iter()
            .filter_map(|(holds, weight)| holds.then_some(weight))
            .sum()
    }

    /// With one more advertisement. If hardened, a round counts once; all of it leaves, or none.
    pub(super) fn ends_round(&mut self, member: &Member) -> bool {
        let addresses = &member.host.addresses;
        let families = [addresses.ipv4().count() > 0, addresses.ipv6().count() > 0];
        let count = families.into_iter().filter(|has| *has).count();
        self.frames += 1;
        let ends = !member.policy.senderr_adds_up || self.frames >= count;
        if ends {
            self.frames = 0;
        }
        ends
    }

    /// Three errors demote: altogether if hardened, else in a row. Three successes in a row make good again, unless it
    /// is FreeBSD 13 itself.
    pub(super) fn count(&mut self, sent: bool, member: &Member, now: Instant) {
        let adds_up = member.policy.senderr_adds_up;
        if sent {
            self.successes = (self.successes + 1).min(3);
            let forgives = adds_up || member.host.dialect != Dialect::FreeBsd;
            if self.successes == 3 && (forgives || !self.failing) {
                self.forgive();
            } else if !adds_up && !self.failing {
                self.errors = 0;
            }
        } else {
            self.successes = 0;
            self.errors = (self.errors + 1).min(3);
            if self.errors == 3 && !self.failing {
                self.failing = true;
                self.failing_since = now;
            }
        }
    }

    /// There is no room for what it says.
    pub(super) fn wait_for_room(&mut self, now: Instant) {
        self.blocked = self.blocked.or(Some(now));
    }

    /// What waited for room has left, or not; or it will not be sent any more.
    pub(super) fn end_wait(&mut self, member: &Member, now: Instant) {
        self.missed += self.may_have_missed(member, now);
        self.blocked = None;
    }

    /// May sending that fails be counted now, though fewer errors are known of? A round fails if there is no room
    /// before the next advertisement is due. How long ago its first one was due is not known here.
    pub(super) fn may_fail(&mut self, member: &Member, now: Instant) -> bool {
        let missed = self.missed + self.may_have_missed(member, now);
        let fails = missed > 0 && u64::from(self.errors) + missed >= 3;
        if fails {
            (self.failing, self.errors, self.successes) = (true, 3, 0);
            self.failing_since = now;
        }
        fails
    }

    fn may_have_missed(&self, member: &Member, now: Instant) -> u64 {
        let interval = u64::from(member.host.advbase.get()) * 1_000_000;
        let rounds = |since| (now - since).as_micros() / interval + 1;
        self.blocked.map_or(0, rounds)
    }

    pub(super) fn forgive(&mut self) {
        (self.failing, self.errors, self.successes) = (false, 0, 0);
        self.missed = 0;
    }
}
