//! The model check at the size that every change has to pass; `docs/proof.md` says what it proves, and how to run it
//! larger.

use carp_tests::model::scenario::SCENARIOS;
use carp_tests::model::search::search;

/// Distinct states of each scenario.
const STATES: usize = 60_000;

#[test]
fn every_scenario_keeps_every_promise() {
    let mut states = 0;
    for scenario in SCENARIOS {
        let report = search(scenario, STATES);
        println!("{:24} {report}", scenario.name);
        report
            .verdict(scenario)
            .unwrap_or_else(|found| panic!("{}: {found}", scenario.name));
        states += report.states;
    }
    assert!(states >= 1_000_000, "only {states} states: raise STATES");
}
