//! Seeded runs in any number. `sim --help` tells how.

#![expect(
    clippy::disallowed_methods,
    reason = "a stopwatch for people; the runs have virtual time"
)]

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use carp_fsm::Duration;
use carp_tests::runs::{Violation, run, tell};

const USAGE: &str =
    "usage: sim [RUNS [FIRST]]     runs of the seeds FIRST (0) and up, 1000 of them if not said
       sim --seed N           one run, as a log
Three nodes under faults drawn from the seed, then quiet: docs/proof.md says what is promised. Uses all cores.
Ends with status 1 if a promise is broken, and names the seeds.";

/// Seeds that are handed to a thread at a time.
const CHUNK: u64 = 256;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    let wanted = match args[..] {
        ["--seed", seed] => number(seed).map(one),
        [] => Some(many(0, 1_000)),
        [runs] => number(runs).map(|runs| many(0, runs)),
        [runs, first] => number(runs)
            .zip(number(first))
            .map(|(runs, first)| many(first, runs)),
        _ => None,
    };
    wanted.unwrap_or_else(|| {
        eprintln!("{USAGE}");
        ExitCode::from(64)
    })
}

fn one(seed: u64) -> ExitCode {
    let (log, report) = tell(seed);
    let (verdict, code) = match report.violation {
        Some(violation) => (format!("violation: {violation}"), ExitCode::FAILURE),
        None => (
            format!(
                "one master for good {} s after the last fault; {} s are the bound",
                report.settled_after, report.bound
            ),
            ExitCode::SUCCESS,
        ),
    };
    let mut out = std::io::stdout().lock();
    for line in log.iter().chain([&verdict]) {
        // Whoever reads only the beginning has closed the pipe.
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
    code
}

/// What some runs came to.
#[derive(Default)]
struct Sum {
    faults: u64,
    events: u64,
    slowest: Duration,
    violations: Vec<(u64, Violation)>,
}

fn many(first: u64, runs: u64) -> ExitCode {
    let begin = Instant::now();
    let next = AtomicU64::new(first);
    let end = first.saturating_add(runs);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let sums: Vec<Sum> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&next, end))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a run does not panic"))
            .collect()
    });
    let mut violations: Vec<(u64, Violation)> = sums.iter().flat_map(|sum| sum.violations.clone()).collect();
    violations.sort_unstable_by_key(|(seed, _)| *seed);
    let (faults, events): (u64, u64) = (
        sums.iter().map(|sum| sum.faults).sum(),
        sums.iter().map(|sum| sum.events).sum(),
    );
    let slowest = sums.iter().map(|sum| sum.slowest).max().unwrap_or_default();
    println!(
        "{runs} runs, {faults} faults, {events} events in {:.0} s on {threads} cores; the slowest settled after {slowest} s",
        begin.elapsed().as_secs_f64()
    );
    for (seed, violation) in violations.iter().take(20) {
        println!("seed {seed}: {violation}");
    }
    if violations.is_empty() {
        println!("no promise was broken");
        return ExitCode::SUCCESS;
    }
    println!(
        "{} runs broke a promise; `sim --seed N` shows one",
        violations.len()
    );
    ExitCode::FAILURE
}

fn work(next: &AtomicU64, end: u64) -> Sum {
    let mut sum = Sum::default();
    loop {
        let start = next.fetch_add(CHUNK, Ordering::Relaxed);
        if start >= end {
            return sum;
        }
        for seed in start..end.min(start.saturating_add(CHUNK)) {
            let report = run(seed);
            sum.faults += u64::from(report.faults);
            sum.events += report.events;
            sum.slowest = sum.slowest.max(report.settled_after);
            sum.violations
                .extend(report.violation.map(|violation| (seed, violation)));
        }
    }
}
