//! The model check in any size. `model --help` tells how.

#![expect(
    clippy::disallowed_methods,
    reason = "a stopwatch for people; the search itself has virtual time"
)]

use std::process::ExitCode;
use std::time::Instant;

use carp_tests::model::groups::{GROUP_SCENARIOS, search_groups};
use carp_tests::model::scenario::{Expect, SCENARIOS};
use carp_tests::model::search::search;

const USAGE: &str = "usage: model [STATES [SCENARIO ..]]
Searches every scenario (or those named) until STATES distinct states each were reached, 50000 if not said.
Ends with status 1 and the shortest counterexample where something does not hold.";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let limit = match args.next().as_deref().map(str::parse) {
        None => 50_000,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    let names: Vec<String> = args.collect();
    let groups = GROUP_SCENARIOS.iter().map(|scenario| scenario.name);
    let known: Vec<&str> = SCENARIOS
        .iter()
        .map(|scenario| scenario.name)
        .chain(groups)
        .collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        eprintln!("no scenario {unknown}; there are:");
        for name in known {
            eprintln!("  {name}");
        }
        return ExitCode::from(64);
    }
    let begin = Instant::now();
    let mut states = 0;
    let chosen = SCENARIOS
        .iter()
        .filter(|s| names.is_empty() || names.iter().any(|name| name == s.name));
    for scenario in chosen {
        let report = search(scenario, limit);
        states += report.states;
        println!("{:24} {report}", scenario.name);
        if let Err(found) = report.verdict(scenario) {
            println!("{found}");
            return ExitCode::FAILURE;
        }
        if let (Expect::Flaw(_), Some(counterexample)) = (scenario.expect, &report.counterexample) {
            println!("{:24} as expected: {}", "", counterexample.violation);
        }
    }
    let chosen = GROUP_SCENARIOS
        .iter()
        .filter(|s| names.is_empty() || names.iter().any(|name| name == s.name));
    for scenario in chosen {
        match search_groups(scenario, limit) {
            Ok(reached) => {
                states += reached;
                println!("{:24} {reached:>10} states, each ends at one node", scenario.name);
            }
            Err(found) => {
                println!(
                    "{:24} 0 states, ended by a counterexample\n{found}",
                    scenario.name
                );
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{states} distinct states in {} s{}",
        begin.elapsed().as_secs(),
        peak_memory()
    );
    ExitCode::SUCCESS
}

/// What the system says, where it says anything.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or_else(String::new, |peak| format!(", {} of memory", peak.trim()))
}
