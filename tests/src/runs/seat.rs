//! What is known of a node apart from the node itself, told by the trace and by what was done to it.

use std::collections::VecDeque;

use carp_fsm::{Duration, Instant, Profile, State};
use carp_proto::Dialect;

use super::plan::Member;
use crate::model::reference::{self, Rank};

/// Demotion by the operator.
pub(super) const OPERATOR: u16 = 100;

/// Counters that a simulated node remembers for each virtual host.
const REMEMBERED: usize = 64;

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// What was done to it.
    pub(super) running: bool,
    pub(super) paused: bool,
    pub(super) shutdown: bool,
    pub(super) demoted: bool,
    pub(super) maintenance: bool,
    /// When it last entered that.
    pub(super) maintenance_since: Instant,
    /// In maintenance mode now or earlier: farewells that began there may take longer.
    pub(super) maintained: bool,
    pub(super) refuses: bool,
    pub(super) isolated: bool,
    /// When it changed its key.
    pub(super) rekeyed: Option<Instant>,
    /// A command since the last check.
    pub(super) forced: bool,
    /// What it said.
    pub(super) demotion: u16,
    pub(super) split: bool,
    /// Its virtual hosts, each on an interface of its own.
    pub(super) sides: Vec<Side>,
}

/// A virtual host of a node.
#[derive(Clone, Debug)]
pub(super) struct Side {
    /// What was done to it.
    pub(super) link: bool,
    pub(super) enabled: bool,
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
    /// Somebody without the fast profile was heard.
    pub(super) left_fast: bool,
    /// MASTER, and something of its group was lost here: it may bow out for who is better.
    pub(super) offers: bool,
    /// At this moment, from whom.
    pub(super) heard: Option<(Rank, usize)>,
    /// What was heard last since it is BACKUP.
    pub(super) follows: Option<Rank>,
    /// When the other one of the group last took over from somebody who could be heard.
    pub(super) moved: Option<Instant>,
    /// When it last yielded: in plain mode it advertises once more then.
    pub(super) yielded: Option<Instant>,
    /// By its own clock: entered BACKUP, or heard an advertisement over IPv4, and over IPv6.
    pub(super) quiet: [Instant; 2],
    /// The interval of the master heard then, if it is waited for as long as it needs.
    pub(super) behind: [Option<u16>; 2],
    pub(super) failing: bool,
    pub(super) failing_since: Instant,
    /// Of a round of advertisements, one to each destination.
    frames: usize,
    errors: u8,
    successes: u8,
    /// Counters heard, and places of those that were sent.
    remembered: VecDeque<Option<u64>>,
    /// Since when there is no room for what it says.
    blocked: Option<Instant>,
    /// Rounds that may have failed because there was none.
    missed: u64,
    /// Rounds that left since it last waited for room or failed, three at most.
    in_a_row: u8,
    /// So it may make good again before three successes in a row are known of.
    pub(super) unsure: bool,
}

impl Seat {
    pub(super) fn started(now: Instant, hosts: usize) -> Self {
        Self {
            running: true,
            paused: false,
            shutdown: false,
            demoted: false,
            maintenance: false,
            maintenance_since: now,
            maintained: false,
            refuses: false,
            isolated: false,
            rekeyed: None,
            forced: false,
            demotion: 0,
            split: false,
            sides: vec![Side::started(now); hosts],
        }
    }

    /// A new process; what surrounds it stays.
    pub(super) fn restarted(&self, now: Instant) -> Self {
        let mut seat = Self {
            refuses: self.refuses,
            isolated: self.isolated,
            ..Self::started(now, self.sides.len())
        };
        for (side, before) in seat.sides.iter_mut().zip(&self.sides) {
            side.link = before.link;
        }
        seat
    }

    pub(super) fn can_act(&self) -> bool {
        self.running && !self.paused
    }

    /// Takes part.
    pub(super) fn healthy(&self, side: usize) -> bool {
        let side = &self.sides[side];
        self.running && !self.shutdown && side.link && side.enabled
    }

    pub(super) fn rank(&self, member: &Member, side: usize) -> Rank {
        let host = &member.host;
        let advskew = if self.maintenance {
            reference::MAINTENANCE
        } else {
            host.advskew.get()
        };
        reference::rank(host.dialect, self.advbase(member, side), advskew, self.demotion)
    }

    /// The dead ratio of the fast profile, while that holds.
    pub(super) fn dead_ratio(&self, member: &Member, side: usize) -> Option<u8> {
        match member.host.profile {
            Profile::Fast { dead_ratio } if !self.sides[side].left_fast => Some(dead_ratio.get()),
            Profile::Fast { .. } | Profile::Normal => None,
        }
    }

    fn advbase(&self, member: &Member, side: usize) -> u8 {
        let advbase = member.host.advbase.get();
        if self.sides[side].left_fast {
            advbase.max(1)
        } else {
            advbase
        }
    }

    /// May it take over from a slower master? While its group is split, the better node takes the rest.
    pub(super) fn preempts(&self, member: &Member) -> bool {
        member.host.preempt || self.split && member.policy.fails_over_as_group
    }

    /// How long it waits in silence, for the master whose family is more patiently waited for.
    pub(super) fn patience(&self, member: &Member, side: usize) -> Duration {
        let families = self.sides[side].behind;
        let families = families.map(|behind| self.patience_behind(member, side, behind));
        families.into_iter().max().unwrap_or_default()
    }

    /// No BACKUP waits longer in silence. In the fast profile, or having resigned, who has left maintenance mode may still
    /// give its master the time that it gave it there; in the fast profile who comes from INIT may listen for one that
    /// is slower.
    pub(super) fn longest_patience(&self, member: &Member, side: usize) -> Duration {
        let host = &member.host;
        let skew = host.advskew.get();
        let longest = match host.profile {
            Profile::Fast { dead_ratio } => {
                let slowest = Some(reference::MAINTENANCE);
                let listens = reference::master_down(host.dialect, 1, skew, self.maintenance);
                reference::fast_master_down(dead_ratio.get(), skew, true, slowest).max(listens)
            }
            Profile::Normal if self.maintained && self.sides[side].resigned => {
                let [base, _] = self.sides[side]
                    .behind
                    .iter()
                    .flatten()
                    .max()
                    .unwrap_or(&0)
                    .to_be_bytes();
                reference::master_down(host.dialect, host.advbase.get().max(base), skew, true)
            }
            Profile::Normal => 0,
        };
        self.patience(member, side).max(Duration::from_micros(longest))
    }

    /// How long it waits for a master of this interval that is silent since then.
    pub(super) fn patience_since(
        &self,
        member: &Member,
        side: usize,
        since: Instant,
        behind: Option<u16>,
    ) -> Duration {
        if self.maintenance && self.maintenance_since > since {
            // The time that it gave its master before, or its own from then on.
            let before = self.patience_for(member, side, behind, false);
            let own = self.patience_for(member, side, None, true);
            return before.max(self.maintenance_since - since + own);
        }
        self.patience_behind(member, side, behind)
    }

    fn patience_behind(&self, member: &Member, side: usize, behind: Option<u16>) -> Duration {
        self.patience_for(member, side, behind, self.maintenance)
    }

    fn patience_for(&self, member: &Member, side: usize, behind: Option<u16>, maintenance: bool) -> Duration {
        let (dialect, skew) = (member.host.dialect, member.host.advskew.get());
        let [base, heard] = behind.unwrap_or_default().to_be_bytes();
        Duration::from_micros(if let Some(ratio) = self.dead_ratio(member, side) {
            reference::fast_master_down(ratio, skew, maintenance, behind.map(|_| heard))
        } else {
            let base = self.advbase(member, side).max(base);
            reference::master_down(dialect, base, skew, maintenance)
        })
    }

    /// The interval of who was just heard, if it is waited for as long as it needs: in the fast profile, and by who
    /// takes over from nobody who lives.
    pub(super) fn slower_master(&self, member: &Member, side: usize) -> Option<u16> {
        let patient =
            self.sides[side].resigned || self.maintenance || self.dead_ratio(member, side).is_some();
        let heard = self.sides[side].heard.map(|(heard, _)| heard.interval);
        heard.filter(|interval| patient && *interval != reference::BOW_OUT)
    }

    /// How much longer it may wait: less than one advertisement interval, after a tie.
    pub(super) fn parting(&self, member: &Member, side: usize) -> Duration {
        let longest = u64::from(self.advbase(member, side)) + 1;
        Duration::from_secs(if self.sides[side].tied { longest } else { 0 })
    }

    /// How long it waits for a successor. Who is in maintenance waits for a slower master to be heard again.
    pub(super) fn farewell(&self, member: &Member) -> Duration {
        let slowest = Duration::from_secs(if self.maintained { 4 } else { 0 });
        // An offer takes the place of an advertisement, which may be early.
        member.policy.leave_wait + member.policy.brings_forward + slowest
    }

    /// The sum of what holds.
    pub(super) fn holds(&self) -> u16 {
        let operator = if self.demoted { OPERATOR } else { 0 };
        self.sides.iter().map(Side::lost).sum::<u16>() + operator
    }

    /// Something of the group is lost here, and who is MASTER of the rest may offer it to others.
    pub(super) fn look_for_losses(&mut self, member: &Member) {
        let lost = self.sides.iter().any(|side| side.lost() > 0);
        for side in &mut self.sides {
            side.offers |= lost && side.state == State::Master && member.policy.fails_over_as_group;
        }
    }

    /// How many frames say one thing: while keys change, each twice.
    fn frames_in_a_round(&self, member: &Member, now: Instant) -> usize {
        let grace = member.policy.change_grace;
        let changes = self.rekeyed.is_some_and(|at| now - at < grace);
        member.destinations() * if changes { 2 } else { 1 }
    }

    /// With one more advertisement. If hardened, a round counts once; all of it leaves, or none.
    pub(super) fn ends_round(&mut self, member: &Member, side: usize, now: Instant) -> bool {
        let count = self.frames_in_a_round(member, now);
        let side = &mut self.sides[side];
        side.frames += 1;
        let ends = !member.policy.senderr_adds_up || side.frames >= count;
        if ends {
            side.frames = 0;
        }
        ends
    }
}

impl Side {
    fn started(now: Instant) -> Self {
        Self {
            link: true,
            enabled: true,
            handing_over: false,
            state: State::Init,
            owner: None,
            refused: false,
            resigned: false,
            tied: false,
            preempts: false,
            left_fast: false,
            offers: false,
            heard: None,
            follows: None,
            moved: None,
            yielded: None,
            quiet: [now; 2],
            behind: [None; 2],
            failing: false,
            failing_since: now,
            frames: 0,
            errors: 0,
            successes: 0,
            blocked: None,
            missed: 0,
            in_a_row: 0,
            unsure: false,
            remembered: VecDeque::new(),
        }
    }

    /// How much its group is demoted because of it.
    fn lost(&self) -> u16 {
        [!self.link, self.failing]
            .into_iter()
            .map(|lost| if lost { 240 } else { 0 })
            .sum()
    }

    /// Three errors demote: altogether if hardened, else in a row. Three successes in a row make good again, unless it
    /// is FreeBSD 13 itself.
    pub(super) fn count(&mut self, sent: bool, member: &Member, now: Instant) {
        let adds_up = member.policy.senderr_adds_up;
        if sent {
            self.successes = (self.successes + 1).min(3);
            self.in_a_row = (self.in_a_row + 1).min(3);
            let forgives = adds_up || member.host.dialect != Dialect::FreeBsd;
            if self.successes == 3 && (forgives || !self.failing) {
                // Those of before a wait may not count: a round that was missed meanwhile is an error.
                let missed = if self.in_a_row == 3 { 0 } else { self.missed };
                self.forgive();
                self.missed = missed;
            } else if !adds_up && !self.failing {
                self.errors = 0;
            }
        } else {
            (self.successes, self.in_a_row) = (0, 0);
            self.errors = (self.errors + 1).min(3);
            if self.errors == 3 && !self.failing {
                self.failing = true;
                self.failing_since = now;
            }
        }
    }

    /// There is no room for what it says.
    pub(super) fn wait_for_room(&mut self, now: Instant) {
        self.in_a_row = 0;
        self.blocked = self.blocked.or(Some(now));
    }

    /// What waited for room has left, or not; or it will not be sent any more.
    pub(super) fn end_wait(&mut self, member: &Member, now: Instant) {
        self.missed += self.may_have_missed(member, now);
        if self.blocked.take().is_some() && self.failing {
            (self.successes, self.unsure) = (0, true);
        }
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
        let (advbase, advskew) = (member.host.advbase.get(), member.host.advskew.get());
        // No shorter, whatever is added to it.
        let interval = reference::period(u16::from_be_bytes([
            advbase,
            if advbase > 0 { 0 } else { advskew },
        ]));
        // Who answers worse masters begins up to four in each interval.
        let each = if member.policy.answer_worse_master {
            interval / 4
        } else {
            interval
        };
        let rounds = |since| (now - since).as_micros() / each + 1;
        self.blocked.map_or(0, rounds)
    }

    pub(super) fn forgive(&mut self) {
        (self.failing, self.errors, self.successes) = (false, 0, 0);
        (self.missed, self.unsure) = (0, false);
    }

    /// Surely: a frame that could not be sent in the end may have taken the place of one that was heard.
    pub(super) fn remembers(&self, counter: u64) -> bool {
        let newest = self.remembered.iter().rev().take(REMEMBERED * 3 / 4);
        newest.into_iter().any(|known| *known == Some(counter))
    }

    pub(super) fn may_remember(&self, counter: u64) -> bool {
        self.remembered.contains(&Some(counter))
    }

    /// A counter was heard; none: one was sent.
    pub(super) fn remember(&mut self, counter: Option<u64>) {
        self.remembered.push_back(counter);
        if self.remembered.len() > REMEMBERED {
            self.remembered.pop_front();
        }
    }
}
