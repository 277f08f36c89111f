//! Instructions per operation, counted by callgrind, with their limits. Exits with 1 if one is exceeded.
//!
//! Counts do not depend on what else the machine does. Callgrind's processor has no SHA instructions, so the
//! compression is the portable one, as on a microcontroller.

use std::{
    env,
    process::{Command, ExitCode},
};

use carp_benches::wire::{FLOOR, Fixture, Limit, OPERATIONS, VERIFY};

/// The argument with which this program calls itself, before the index of an operation.
const CHILD: &str = "--count-this";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some(CHILD) {
        let index: usize = arguments
            .next()
            .and_then(|index| index.parse().ok())
            .expect("the index of an operation");
        let fixture = Fixture::new();
        let run = OPERATIONS[index].run;
        run(&fixture); // finds out about the processor, once
        counted_by_callgrind(run, &fixture);
        return ExitCode::SUCCESS;
    }

    let counts: Vec<u64> = (0..OPERATIONS.len()).map(instructions).collect();
    let mut too_many = false;
    println!(
        "{:<28} {:>12} {:>8} {:>8}",
        "operation", "instructions", "/ floor", "/ verify"
    );
    for (operation, count) in OPERATIONS.iter().zip(&counts) {
        let (of_floor, of_verify) = (count * 100 / counts[FLOOR], count * 100 / counts[VERIFY]);
        let hundredths = |ratio: u64| format!("{}.{:02}", ratio / 100, ratio % 100);
        let (exceeded, limit) = match operation.limit {
            Limit::None => (false, String::new()),
            Limit::OfFloor(limit) => {
                let limit = u64::from(limit);
                (
                    count * 100 > limit * counts[FLOOR],
                    format!("limit {} of the floor", hundredths(limit)),
                )
            }
            Limit::OfVerify(limit) => {
                let limit = u64::from(limit);
                (
                    count * 100 >= limit * counts[VERIFY],
                    format!("limit {} of verify", hundredths(limit)),
                )
            }
        };
        let mark = if exceeded { "  EXCEEDED" } else { "" };
        println!(
            "{:<28} {count:>12} {:>8} {:>8}  {limit}{mark}",
            operation.name,
            hundredths(of_floor),
            hundredths(of_verify)
        );
        too_many |= exceeded;
    }
    ExitCode::from(u8::from(too_many))
}

/// The function whose instructions are counted, by name.
#[inline(never)]
fn counted_by_callgrind(run: fn(&Fixture), fixture: &Fixture) {
    run(fixture);
}

fn instructions(index: usize) -> u64 {
    let itself = env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=*counted_by_callgrind*",
        ])
        .arg(itself)
        .args([CHILD, &index.to_string()])
        .output()
        .expect("valgrind cannot be run: install it (apt-get install valgrind)");
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split_once("Collected :"));
    match collected.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if output.status.success() && count > 0 => count,
        _ => panic!(
            "valgrind counted nothing for {}:\n{report}",
            OPERATIONS[index].name
        ),
    }
}
