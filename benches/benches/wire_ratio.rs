//! Time per operation as a ratio to two raw SHA-1 compressions, measured side by side so that the speed of
//! the machine cancels out. Exits with 1 if a ratio is above its limit, which leaves room for a busy machine.

use std::{hint::black_box, process::ExitCode, time::Instant};

use carp_benches::wire::{FLOOR, Fixture, OPERATIONS};

/// Rounds; the median of them counts.
const ROUNDS: usize = 401;
/// Runs of an operation in a round.
const RUNS: u32 = 1000;
/// Operations, what their ratio is meant to be, and what it may be.
const LIMITS: [(&str, f64, f64); 4] = [
    ("sign", 1.25, 1.6),
    ("verify", 1.25, 1.6),
    ("receive, bytes to verdict", 1.35, 1.6),
    ("sign and emit a frame", 1.35, 1.6),
];

fn main() -> ExitCode {
    let fixture = Fixture::new();
    let mut nanoseconds = vec![Vec::with_capacity(ROUNDS); OPERATIONS.len()];
    for _ in 0..ROUNDS {
        for (operation, nanoseconds) in OPERATIONS.iter().zip(&mut nanoseconds) {
            nanoseconds.push(time(operation.run, &fixture));
        }
    }
    let medians: Vec<f64> = nanoseconds.into_iter().map(median).collect();

    let mut too_slow = false;
    println!(
        "{:<28} {:>8} {:>8} {:>8} {:>8}",
        "operation", "ns", "/ floor", "aim", "limit"
    );
    for (operation, nanoseconds) in OPERATIONS.iter().zip(&medians) {
        let ratio = nanoseconds / medians[FLOOR];
        print!("{:<28} {nanoseconds:>8.1} {ratio:>8.2}", operation.name);
        match LIMITS.iter().find(|(name, ..)| *name == operation.name) {
            Some((_, aim, limit)) => {
                let exceeded = ratio > *limit;
                println!(" {aim:>8} {limit:>8}{}", if exceeded { "  EXCEEDED" } else { "" });
                too_slow |= exceeded;
            }
            None => println!(),
        }
    }
    ExitCode::from(u8::from(too_slow))
}

/// Nanoseconds of one run.
#[expect(clippy::disallowed_methods, reason = "measuring time is what it is for")]
fn time(run: fn(&Fixture), fixture: &Fixture) -> f64 {
    let start = Instant::now();
    for _ in 0..RUNS {
        black_box(run)(black_box(fixture));
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(RUNS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
