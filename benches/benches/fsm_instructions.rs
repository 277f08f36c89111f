//! Instructions per event of a node, counted by callgrind, for more and more hosts. Exits with 1 if an event costs more
//! than three times as much with 4096 hosts as with 4.

use std::{
    env,
    process::{Command, ExitCode},
};

use carp_benches::node::{EVENTS, Election, Event, Fixture, HOSTS};

/// The argument with which this program calls itself, before the number of hosts and the index of an event.
const CHILD: &str = "--count-this";
/// Events are counted so many at a time.
const RUNS: usize = 200;
/// With the most hosts, an event may take so many times what it takes with 4.
const LIMIT: u64 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().map(String::as_str) == Some(CHILD) {
        let number = |at: usize| arguments.get(at).and_then(|number| number.parse().ok());
        match (number(1), number(2)) {
            (Some(hosts), Some(event)) => child(hosts, event),
            _ => panic!("the number of hosts, and the index of an event"),
        }
        return ExitCode::SUCCESS;
    }

    println!("instructions per event, with 1, 4, 64, 1024 and 4096 hosts");
    let mut too_many = false;
    for (index, event) in EVENTS.iter().enumerate() {
        let counts = HOSTS.map(|hosts| instructions(hosts, index));
        let exceeded = counts[4] > LIMIT * counts[1];
        let hundredths = counts[4] * 100 / counts[1].max(1);
        println!(
            "{:<32} {:>8} {:>8} {:>8} {:>8} {:>8}  {}.{:02} of 4 hosts, limit {LIMIT}{}",
            event.name,
            counts[0],
            counts[1],
            counts[2],
            counts[3],
            counts[4],
            hundredths / 100,
            hundredths % 100,
            if exceeded { "  EXCEEDED" } else { "" }
        );
        too_many |= exceeded;
    }
    println!("{:<32} {:>8}", "a step of the machine alone", instructions(0, 0));
    ExitCode::from(u8::from(too_many))
}

fn child(hosts: usize, event: usize) {
    if hosts == 0 {
        let mut election = Election::new();
        for _ in 0..RUNS {
            counted_by_callgrind(&mut election, Election::hear);
        }
        return;
    }
    let mut fixture = Fixture::new(hosts);
    let Event { prepare, run, .. } = &EVENTS[event];
    prepare(&mut fixture, RUNS);
    for _ in 0..RUNS {
        counted_by_callgrind(&mut fixture, *run);
    }
}

/// The function whose instructions are counted, by name.
#[inline(never)]
fn counted_by_callgrind<T>(it: &mut T, run: fn(&mut T)) {
    run(it);
}

fn instructions(hosts: usize, event: usize) -> u64 {
    let itself = env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=*counted_by_callgrind*",
        ])
        .arg(itself)
        .args([CHILD, &hosts.to_string(), &event.to_string()])
        .output()
        .expect("valgrind cannot be run: install it (apt-get install valgrind)");
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split_once("Collected :"));
    let runs = u64::try_from(RUNS).unwrap_or(1);
    match collected.and_then(|(_, count)| count.trim().parse::<u64>().ok()) {
        Some(count) if output.status.success() && count > 0 => count / runs,
        _ => panic!("valgrind counted nothing for {hosts} hosts:\n{report}"),
    }
}
