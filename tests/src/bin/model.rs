//! The long run of the model check: `model [STATES [SCENARIO ..]]`.

use carp_tests::model::{scenario::SCENARIOS, search::search};

fn main() {
    let mut args = std::env::args().skip(1);
    let limit = args.next().map_or(50_000, |n| n.parse().expect("a number of states"));
    let names: Vec<String> = args.collect();
    let mut total = 0;
    for scenario in SCENARIOS.iter().filter(|s| names.is_empty() || names.iter().any(|n| n == s.name)) {
        let begin = std::time::Instant::now();
        let report = search(scenario, limit);
        total += report.states;
        println!("{:24} {:>9} states {:>10} steps depth {:>2} exhausted {} slowest {} of {} in {:.1?}", scenario.name, report.states, report.steps, report.depth, report.exhausted, report.slowest, carp_tests::model::settle::bound(scenario), begin.elapsed());
        if let Some(c) = &report.counterexample { println!("{c}"); }
    }
    println!("{total}");
}
