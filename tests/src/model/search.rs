//! Breadth first through all states, with little memory: a state is a parent and a step, and is walked to again when
//! its turn comes.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use carp_fsm::{Duration, Instant};

use super::promises::Violation;
use super::scenario::{Expect, Scenario};
use super::settle::{Schedule, Settle};
use super::step::Step;
use super::world::World;

/// Lines of what follows without faults that a counterexample shows.
const AND_SO_ON: usize = 60;

/// Hashes of hashes.
#[derive(Default)]
pub struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only 64-bit fingerprints are stored");
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

/// What a search found.
#[derive(Debug)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Steps tried, those to known states among them.
    pub steps: usize,
    /// Every state that can be reached with at most so many steps was reached.
    pub depth: usize,
    /// There are no further states.
    pub exhausted: bool,
    /// The longest that any state took to settle.
    pub slowest: Duration,
    /// The first violation, with one of the shortest ways to it.
    pub counterexample: Option<Counterexample>,
}

/// The way to a violation, as a log.
#[derive(Debug)]
pub struct Counterexample {
    /// What went wrong.
    pub violation: Violation,
    /// What happened before, and after the last fault.
    pub log: Vec<String>,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.log {
            writeln!(f, "{line}")?;
        }
        write!(f, "violation: {}", self.violation)
    }
}

/// All states reached, as a tree: each was first reached by this step from this parent.
struct Tree {
    parents: Vec<u32>,
    steps: Vec<Step>,
}

/// The states from the start to the one under examination.
struct Trail<'s>(Vec<(u32, World<'s>)>);

impl Report {
    /// Did the search find what it should? If not, what it found.
    pub fn verdict(&self, scenario: &Scenario) -> Result<(), String> {
        match (scenario.expect, &self.counterexample) {
            (Expect::Holds, None) => Ok(()),
            (Expect::Holds, Some(counterexample)) => Err(format!("counterexample:\n{counterexample}")),
            (Expect::Flaw(words), Some(counterexample)) if counterexample.violation.0.contains(words) => {
                Ok(())
            }
            (Expect::Flaw(words), Some(other)) => Err(format!(
                "expected: {words}\nfound another counterexample:\n{other}"
            )),
            (Expect::Flaw(words), None) => Err(format!("expected, but no longer found: {words}")),
        }
    }
}

/// One line: states, steps, depth, the longest time to settle.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>10} states, {:>11} steps, depth {:>3}",
            self.states, self.steps, self.depth
        )?;
        if self.counterexample.is_some() {
            return f.write_str(", ended by a counterexample");
        }
        let end = if self.exhausted { ", all there are" } else { "" };
        write!(f, ", settled within {} s{end}", self.slowest)
    }
}

/// Searches until this many states were reached, or there are no more, or one violates.
pub fn search(scenario: &Scenario, limit: usize) -> Report {
    let mut seen: HashSet<u64, BuildHasherDefault<Identity>> = HashSet::default();
    let mut tree = Tree {
        parents: vec![0],
        steps: vec![Step::Wait],
    };
    let mut settles = [Schedule::Prompt, Schedule::Crossing].map(|schedule| Settle::new(scenario, schedule));
    let mut report = Report {
        states: 0,
        steps: 0,
        depth: 0,
        exhausted: false,
        slowest: Duration::ZERO,
        counterexample: None,
    };
    let root = match start(scenario) {
        Ok(root) => root,
        Err(violation) => {
            report.counterexample = Some(Counterexample {
                violation,
                log: Vec::new(),
            });
            return report;
        }
    };
    seen.insert(root.fingerprint());
    let mut trail = Trail(vec![(0, root)]);
    let mut level = 0..1;
    let found = 'search: loop {
        let end = tree.parents.len();
        for index in level.clone() {
            let steps = match trail.walk_to(index, report.depth, &tree) {
                Ok(world) => world.steps(),
                Err(violation) => break 'search Some((index, None, None, violation)),
            };
            for step in steps {
                report.steps += 1;
                let Some((_, world)) = trail.0.last() else {
                    continue;
                };
                let mut next = world.fork();
                if let Err(violation) = next.apply(step) {
                    break 'search Some((index, Some(step), None, violation));
                }
                if !seen.insert(next.fingerprint()) {
                    continue;
                }
                tree.parents.push(number(index));
                tree.steps.push(step);
                for settle in &mut settles {
                    if let Err(violation) = settle.check(&next) {
                        break 'search Some((index, Some(step), Some(settle.schedule()), violation));
                    }
                }
                if tree.parents.len() >= limit {
                    break 'search None;
                }
            }
        }
        level = end..tree.parents.len();
        if level.is_empty() {
            report.exhausted = true;
            break None;
        }
        report.depth += 1;
    };
    report.states = tree.parents.len();
    report.slowest = settles[0].slowest.max(settles[1].slowest);
    report.counterexample = found.map(|(index, step, schedule, violation)| {
        let mut steps = tree.way_to(index);
        steps.extend(step);
        Counterexample {
            log: retell(scenario, &steps, schedule),
            violation,
        }
    });
    report
}

/// Where the search begins.
fn start(scenario: &Scenario) -> Result<World<'_>, Violation> {
    let mut world = World::new(scenario)?;
    while scenario.settled && world.now < Instant::ZERO + Duration::from_secs(12) {
        let step = if !world.flight.is_empty() {
            Step::Deliver(0)
        } else if let Some(index) = world.due().first() {
            Step::Fire(*index)
        } else {
            Step::Sleep
        };
        world.apply(step)?;
    }
    Ok(world)
}

impl Tree {
    fn way_to(&self, mut index: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        while index != 0 {
            steps.push(self.steps[index]);
            index = self.parents[index] as usize;
        }
        steps.reverse();
        steps
    }
}

impl<'s> Trail<'s> {
    /// The state `index`, which is `depth` steps from the start. Neighbours share most of their way.
    fn walk_to(&mut self, index: usize, depth: usize, tree: &Tree) -> Result<&World<'s>, Violation> {
        let (mut at, mut depth) = (number(index), depth);
        let mut ahead = Vec::new();
        while self.0.get(depth).is_none_or(|(known, _)| *known != at) {
            ahead.push(at);
            at = tree.parents[at as usize];
            depth -= 1;
        }
        self.0.truncate(depth + 1);
        for at in ahead.into_iter().rev() {
            let mut next = self.0[self.0.len() - 1].1.fork();
            next.apply(tree.steps[at as usize])?;
            self.0.push((at, next));
        }
        Ok(&self.0[self.0.len() - 1].1)
    }
}

/// A state's number; 2^32 states would take more memory than any machine has that this runs on today.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Goes the way once more, and writes down what happens; then what follows without further faults.
fn retell(scenario: &Scenario, steps: &[Step], then: Option<Schedule>) -> Vec<String> {
    let Ok(mut world) = start(scenario) else {
        return Vec::new();
    };
    world.keep_log();
    for step in steps {
        // Only the last one can violate, and that is what is told.
        let _ = world.apply(*step);
    }
    let mut log = world.log().to_vec();
    if let Some(schedule) = then {
        world.keep_log();
        Settle::new(scenario, schedule).retell(&mut world);
        log.push(format!("without further faults ({schedule}):"));
        log.extend(world.log().iter().take(AND_SO_ON).cloned());
        if world.log().len() > AND_SO_ON {
            log.push("              and so on".into());
        }
    }
    log
}
