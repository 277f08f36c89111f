//! One run: faults, quiet, and the promises.

use carp_fsm::sim::{Network, NodeId, Sim};
use carp_fsm::{Duration, Instant, TransmitResult};

use super::attack::RECORDED;
use super::chance::Chance;
use super::faults::{LONGEST_DELAY, heal, network, rekey, restart, set_link, strike};
use super::judge::{Judge, Violation};
use super::plan::{Member, NODES, Plan, VHIDS};

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// How long it took from the last fault until there was one master for good.
    pub settled_after: Duration,
    /// How long it may have taken.
    pub bound: Duration,
    /// Things that were done to the nodes.
    pub faults: u32,
    /// Things that happened.
    pub events: u64,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
}

/// The run of this seed.
pub fn run(seed: u64) -> Report {
    play(seed, &mut |_| ())
}

/// The run of this seed as a log, and what became of it.
pub fn tell(seed: u64) -> (Vec<String>, Report) {
    let mut log = Vec::new();
    let report = play(seed, &mut |line: &dyn Fn() -> String| log.push(line()));
    (log, report)
}

type Tell<'a> = &'a mut dyn FnMut(&dyn Fn() -> String);

fn play(seed: u64, tell: Tell<'_>) -> Report {
    let mut chance = Chance::new(seed);
    let plan = Plan::draw(&mut chance);
    tell(&|| plan.to_string());
    let mut report = Report {
        settled_after: Duration::ZERO,
        bound: Duration::ZERO,
        faults: 0,
        events: 0,
        violation: None,
    };
    let mut stage = Stage::new(&plan, seed);
    let verdict = stage.perform(&mut chance, &mut report, tell);
    report.violation = verdict.err();
    report
}

struct Stage<'p> {
    plan: &'p Plan,
    sim: Sim,
    judge: Judge<'p>,
}

impl<'p> Stage<'p> {
    fn new(plan: &'p Plan, seed: u64) -> Self {
        let mut sim = Sim::new(seed);
        for (index, member) in plan.members.iter().enumerate() {
            sim.add(member.plan(index, plan.hosts))
                .expect("a valid configuration");
        }
        if plan.attacked {
            sim.record(RECORDED);
        }
        let judge = Judge::new(plan, &sim);
        Self { plan, sim, judge }
    }

    fn perform(&mut self, chance: &mut Chance, report: &mut Report, tell: Tell<'_>) -> Result<(), Violation> {
        self.judge_moment(report, tell)?;
        self.sim.set_network(network(chance));
        for _ in 0..5 + chance.below(25) {
            let pause = Duration::from_micros(chance.below(4_000_000));
            self.pass(self.sim.now() + pause, report, tell)?;
            let at = self.sim.now();
            let done =
                strike(&mut self.sim, &mut self.judge, chance).map_err(|what| Violation { at, what })?;
            report.faults += u32::from(done != "nothing");
            tell(&|| format!("{at:>12}  -  {done}"));
            self.judge_moment(report, tell)?;
        }
        self.calm(chance, report, tell)?;
        let calm = self.sim.now();
        tell(&|| format!("{calm:>12}  -  from here on nothing goes wrong"));
        self.judge_moment(report, tell)?;
        report.bound = self.bound();
        let settled = self.settle(calm, report, tell)?;
        report.settled_after = settled - calm;
        Ok(())
    }

    /// Time passes until the end of the bound, and longer; tells when it was settled for good.
    fn settle(&mut self, calm: Instant, report: &mut Report, tell: Tell<'_>) -> Result<Instant, Violation> {
        let end = calm + report.bound;
        // Where nobody takes part, nothing happens.
        let mut since = self.judge.settled(&self.sim).ok().map(|masters| (calm, masters));
        // Long enough for two more rounds.
        let watched = end + Duration::from_secs(10);
        while self.sim.step(watched) {
            self.judge_moment(report, tell)?;
            match (self.judge.settled(&self.sim), &since) {
                (Ok(masters), Some((_, before))) if masters == *before => {}
                (Ok(masters), _) => since = Some((self.sim.now(), masters)),
                (Err(_), _) => since = None,
            }
        }
        let verdict = self.judge.settled(&self.sim);
        let wrong = |what| {
            Err(Violation {
                at: self.sim.now(),
                what,
            })
        };
        match (verdict, since) {
            (Err(what), _) => wrong(format!("long after the last fault: {what}")),
            (Ok(_), Some((settled, _))) if settled > end => wrong(format!(
                "it took until {settled} until there was one master for good; {end} is the bound"
            )),
            (Ok(_), Some((settled, _))) => Ok(settled),
            (Ok(_), None) => Ok(calm),
        }
    }

    fn pass(&mut self, end: Instant, report: &mut Report, tell: Tell<'_>) -> Result<(), Violation> {
        while self.sim.step(end) {
            self.judge_moment(report, tell)?;
        }
        Ok(())
    }

    fn judge_moment(&mut self, report: &mut Report, tell: Tell<'_>) -> Result<(), Violation> {
        for entry in self.sim.take_trace() {
            report.events += 1;
            tell(&|| entry.to_string());
            self.judge.see(&self.sim, &entry)?;
        }
        self.judge.check(&self.sim)
    }

    /// Everything that can end ends; what is off may stay off, and one node may stay alone.
    fn calm(&mut self, chance: &mut Chance, report: &mut Report, tell: Tell<'_>) -> Result<(), Violation> {
        self.sim.set_network(Network::default());
        let alone = usize::try_from(chance.below(10)).unwrap_or(NODES);
        for index in 0..NODES {
            let id = NodeId(index);
            heal(&mut self.sim, index);
            self.sim.set_sending(id, TransmitResult::Sent);
            self.sim.refuse_addresses(id, false);
            self.judge.seats[index].refuses = false;
            if self.judge.seats[index].paused {
                self.judge.seats[index].paused = false;
                self.sim.resume(id);
            }
            self.judge_moment(report, tell)?;
            for number in 0..self.plan.hosts {
                self.set_right(chance, (index, number));
                self.judge_moment(report, tell)?;
            }
            let seat = &self.judge.seats[index];
            if (!seat.running || seat.shutdown) && chance.percent(70) {
                restart(&mut self.sim, &mut self.judge, index);
            }
            self.judge_moment(report, tell)?;
        }
        // Who crashed has it when it starts.
        let rekeys = self.judge.seats.iter().any(|seat| seat.rekeyed.is_some());
        for index in (0..NODES).filter(|_| rekeys) {
            rekey(&mut self.sim, &mut self.judge, index);
            self.judge_moment(report, tell)?;
        }
        for other in (0..NODES).filter(|other| alone < NODES && *other != alone) {
            self.sim.cut(NodeId(alone), NodeId(other));
            self.sim.cut(NodeId(other), NodeId(alone));
            self.judge.seats[alone].isolated = true;
        }
        Ok(())
    }

    /// Plugs in what was pulled, and enables what was disabled, most of the time.
    fn set_right(&mut self, chance: &mut Chance, (index, number): (usize, usize)) {
        let side = &mut self.judge.seats[index].sides[number];
        let (plug, enable) = (
            !side.link && chance.percent(70),
            !side.enabled && chance.percent(70),
        );
        let id = NodeId(index);
        if let (true, Some(host)) = (enable, self.sim.host(id, VHIDS[number])) {
            side.enabled = true;
            self.sim.command(id, |node, now| {
                node.set_enabled(now, host, true).expect("it exists");
            });
        }
        if plug {
            set_link(&mut self.sim, &mut self.judge, (index, number), true);
        }
    }

    /// As in the model check: leaving takes its time; then a BACKUP that hears nobody waits out its master-down time
    /// and advertises; who hears a better master yields within one period. Once more, because masters whose
    /// advertisements cross may both yield. What is under way arrives before that, a delay of preemption may run,
    /// equals may meet 16 times, a send-error demotion is lifted on trial, refused addresses are tried again. Clocks
    /// differ by a thousandth.
    fn bound(&self) -> Duration {
        let members = self.plan.members.iter();
        let longest = |what: fn(&Member) -> Duration| members.clone().map(what).max().unwrap_or_default();
        let period = longest(|member| Duration::from_secs(u64::from(member.host.advbase.get()) + 1));
        let seats = self.judge.seats.iter().zip(&self.plan.members);
        let sides = 0..self.plan.hosts;
        let patience = seats.clone().flat_map(|(seat, member)| {
            let patience = |side| seat.longest_patience(member, side);
            sides.clone().map(patience)
        });
        let farewell = seats.map(|(seat, member)| seat.farewell(member)).max();
        let rounds = patience.max().unwrap_or_default() + period;
        let mut sides = self.judge.seats.iter().flat_map(|seat| &seat.sides);
        let failing = sides.any(|side| side.failing);
        let retry = longest(|member| member.policy.senderr_retry.unwrap_or_default());
        let refused = (0..NODES).any(|index| self.is_refused(index));
        let again = longest(|member| Duration::from_micros(64 * member.policy.refused_retry.as_micros()));
        let ties = if self.plan.has_equals() { 16 } else { 0 };
        // Until it is seen that a group is split, and then until it no longer is.
        let splits = if self.plan.hosts > 1 { 4 } else { 0 };
        let parts = [
            LONGEST_DELAY,
            farewell.unwrap_or_default(),
            longest(|member| member.policy.linger),
            longest(|member| member.host.preempt_delay),
            if failing { retry } else { Duration::ZERO },
            if refused { again } else { Duration::ZERO },
            Duration::from_micros((2 + ties + splits) * (rounds + period).as_micros()),
        ];
        let sum = parts.into_iter().fold(Duration::ZERO, |sum, part| sum + part);
        sum + Duration::from_micros(sum.as_micros() / 1_000)
    }

    fn is_refused(&self, index: usize) -> bool {
        let id = NodeId(index);
        VHIDS.iter().any(|vhid| {
            let node = self.sim.node(id).zip(self.sim.host(id, *vhid));
            let status = node.and_then(|(node, host)| node.status(host));
            status.and_then(|status| status.init_reason) == Some(carp_fsm::InitReason::AddressRefused)
        })
    }
}
