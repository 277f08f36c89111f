//! Bounded liveness: every state that was reached runs on without faults, until it does the same for ever.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasherDefault;

use carp_fsm::{Duration, State};
use carp_proto::Dialect;

use super::promises::Violation;
use super::reference;
use super::scenario::{Fault, Scenario};
use super::search::Identity;
use super::step::Step;
use super::world::World;

/// Results that are remembered; when there are more, all are forgotten (about 24 bytes each).
const REMEMBERED: usize = 40_000_000;

/// More steps than this at one moment is a storm.
const STEPS_PER_MOMENT: u32 = 200;

/// The circle in which an election goes is much smaller.
const STEPS_IN_ALL: usize = 10_000;

/// How the network behaves once nothing goes wrong any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Every message arrives before anything else happens.
    Prompt,
    /// Whatever is due at one moment happens before any message arrives: messages cross.
    Crossing,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prompt => "every message arrives at once",
            Self::Crossing => "messages cross",
        })
    }
}

/// What a state comes to.
#[derive(Clone, Copy)]
struct Outcome {
    /// After how many microseconds it is so for good.
    after: u32,
    /// The masters, one bit each; 0 if there is none even in the end (nobody is healthy).
    masters: Masters,
}

/// Who is MASTER, if that is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Masters {
    Proper(u8),
    Improper,
}

/// Lets states run on, and remembers what became of them.
pub struct Settle {
    schedule: Schedule,
    known: HashMap<u64, Outcome, BuildHasherDefault<Identity>>,
    bound: Duration,
    /// The longest that any state took.
    pub slowest: Duration,
}

impl Settle {
    /// Nothing known yet.
    pub fn new(scenario: &Scenario, schedule: Schedule) -> Self {
        Self {
            schedule,
            known: HashMap::default(),
            bound: bound(scenario),
            slowest: Duration::ZERO,
        }
    }

    /// From here on, every set of nodes that hear each other gets exactly one master for good, the right one, and in
    /// time.
    pub fn check(&mut self, world: &World<'_>) -> Result<(), Violation> {
        let mut world = world.fork();
        world.crowded = false;
        world.calm()?;
        let after = self.run(&mut world)?;
        self.slowest = self.slowest.max(after);
        if after > self.bound {
            return Err(Violation(format!(
                "without further faults, it takes {after} s until there is one master for good; {} s are the bound",
                self.bound
            )));
        }
        Ok(())
    }

    /// Lets a state run on until the bound, for its log.
    pub fn retell(&self, world: &mut World<'_>) {
        world.crowded = false;
        let _ = world.calm();
        let end = world.now + self.bound;
        while self.come_to_rest(world).is_ok()
            && world.next_deadline().is_some_and(|next| next <= end)
            && world.apply(Step::Sleep).is_ok()
        {}
    }

    /// Which schedule this is.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    fn run(&mut self, world: &mut World<'_>) -> Result<Duration, Violation> {
        // State, its masters, and how long it lasts.
        let mut path: Vec<(u64, Masters, u32)> = Vec::new();
        let end = loop {
            self.come_to_rest(world)?;
            let (state, masters) = (world.fingerprint(), masters(world));
            if let Some(outcome) = self.known.get(&state) {
                break *outcome;
            }
            if path.len() > STEPS_IN_ALL {
                return Err(Violation(
                    "without further faults, nothing ever repeats itself".into(),
                ));
            }
            if let Some(start) = path.iter().position(|(earlier, ..)| *earlier == state) {
                Self::check_cycle(world, &path[start..])?;
                break Outcome { after: 0, masters };
            }
            let before = world.now;
            if world.next_deadline().is_none() {
                path.push((state, masters, 0));
                Self::check_cycle(world, &path[path.len() - 1..])?;
                break Outcome { after: 0, masters };
            }
            world.apply(Step::Sleep)?;
            path.push((
                state,
                masters,
                (world.now - before).as_micros().try_into().unwrap_or(u32::MAX),
            ));
        };
        if self.known.len() + path.len() > REMEMBERED {
            self.known.clear();
        }
        let mut after = end.after;
        for (state, masters, lasts) in path.into_iter().rev() {
            if after > 0 || masters != end.masters {
                after = after.saturating_add(lasts);
            }
            self.known.insert(
                state,
                Outcome {
                    after,
                    masters: end.masters,
                },
            );
        }
        Ok(Duration::from_micros(after.into()))
    }

    /// Everything that happens at this moment.
    fn come_to_rest(&self, world: &mut World<'_>) -> Result<(), Violation> {
        for _ in 0..STEPS_PER_MOMENT {
            let due = world.due().first().copied();
            let message = (!world.flight.is_empty()).then_some(Step::Deliver(0));
            let fire = due.map(Step::Fire);
            let step = match self.schedule {
                Schedule::Prompt => message.or(fire),
                Schedule::Crossing => fire.or(message),
            };
            match step {
                Some(step) => world.apply(step)?,
                None => return Ok(()),
            }
        }
        Err(Violation(
            "without further faults, messages and timers never come to rest".into(),
        ))
    }

    fn check_cycle(world: &World<'_>, cycle: &[(u64, Masters, u32)]) -> Result<(), Violation> {
        let first = cycle.first().map(|(_, masters, _)| *masters);
        if cycle.iter().any(|(_, masters, _)| *masters == Masters::Improper) {
            return Err(Violation(
                "without further faults, there never is exactly one master for good".into(),
            ));
        }
        if cycle.iter().any(|(_, masters, _)| Some(*masters) != first) {
            return Err(Violation(
                "without further faults, the master changes for ever".into(),
            ));
        }
        best_wins(world)
    }
}

/// Leaving takes at most its time; then a BACKUP that hears nobody waits out its master-down timer and advertises; who
/// hears a better master yields within one period. Once more, because two masters whose advertisements cross may both
/// yield. Where sending failed, the demotion for that is lifted on trial only after a while; refused addresses are
/// tried again after 64 times the first wait at most. Who changed its key last signs with the old one for the grace.
pub fn bound(scenario: &Scenario) -> Duration {
    let maintenance = scenario.faults.contains(&Fault::Maintain);
    let members = scenario.members.iter();
    // Who is left alone is waited for as long as it needs.
    let advbase = members
        .clone()
        .map(|member| member.advbase)
        .max()
        .unwrap_or_default();
    let slowest = members.clone().map(|member| member.advskew).max();
    let patience = members.clone().map(|member| match member.fast {
        Some(ratio) if advbase == 0 => {
            reference::fast_master_down(ratio, member.advskew, maintenance, slowest)
        }
        _ => reference::master_down(member.dialect, advbase, member.advskew, maintenance),
    });
    let grace = if scenario.faults.contains(&Fault::Rekey) {
        scenario.policy.change_grace.as_micros()
    } else {
        0
    };
    let on_trial = match scenario.policy.senderr_retry {
        Some(retry) if scenario.faults.contains(&Fault::SendErrors) => retry.as_micros(),
        _ => 0,
    };
    let refused = if scenario.faults.contains(&Fault::Refuse) {
        64 * scenario.policy.refused_retry.as_micros()
    } else {
        0
    };
    Duration::from_micros(
        on_trial
            + refused
            + scenario.policy.leave_wait.as_micros()
            + scenario.policy.linger.as_micros()
            + grace
            + 2 * (patience.max().unwrap_or(0) + reference::longest_period(advbase)),
    )
}

/// Each node that hears nobody by itself, all others together: exactly one of the healthy is MASTER, and nobody else
/// owns.
fn masters(world: &World<'_>) -> Masters {
    let mut bits = 0;
    let (mut healthy, mut together) = (0, 0);
    for (index, seat) in (0_u8..).zip(&world.seats) {
        let (master, owner) = (world.is_master(index), world.is_owner(index));
        if master && seat.healthy() {
            bits |= 1 << index;
        }
        let proper = if !seat.healthy() {
            // Who cannot be heard may think what it likes, but who was stopped owns nothing.
            seat.send_errors || !owner
        } else if seat.isolated || seat.deaf {
            // It hears nobody.
            master
        } else {
            healthy += 1;
            together += i32::from(master);
            master == owner && (master || world.state(index) == State::Backup)
        };
        if !proper {
            return Masters::Improper;
        }
    }
    // Who is heard by a deaf master, which cannot yield, is right to be BACKUP.
    let deaf = world
        .seats
        .iter()
        .any(|seat| seat.healthy() && seat.deaf && !seat.isolated);
    if together > 1 || healthy > 0 && together == 0 && !deaf {
        return Masters::Improper;
    }
    Masters::Proper(bits)
}

/// Where everybody preempts (and nobody has handed over on request), nobody who is not in maintenance is better than
/// the MASTER in the end.
fn best_wins(world: &World<'_>) -> Result<(), Violation> {
    let mut best = None;
    let mut master = None;
    let mut dialect: Option<Dialect> = None;
    for (index, seat) in (0_u8..).zip(&world.seats) {
        if (seat.send_errors || seat.refuses || seat.deaf) && seat.running.is_some() {
            return Ok(());
        }
        if !seat.healthy() || seat.isolated {
            continue;
        }
        let (member, rank) = (world.member(index), world.rank(index));
        let comparable = dialect.is_none_or(|dialect| dialect == member.dialect);
        if !member.preempt || seat.resigned || !comparable {
            return Ok(());
        }
        dialect = Some(member.dialect);
        // In maintenance it takes over from nobody.
        if !seat.maintenance {
            best = Some(best.map_or(rank, |best| rank.min(best)));
        }
        if world.is_master(index) {
            master = Some((member.name, rank));
        }
    }
    match (master, best) {
        (Some((name, rank)), Some(best)) if rank > best => Err(Violation(format!(
            "without further faults, {name} stays MASTER with {rank}, though {best} preempts"
        ))),
        _ => Ok(()),
    }
}
