//! The model check at the size that every change has to pass; `docs/proof.md` says what it proves, and how to run it
//! larger.

use std::fs;
use std::path::Path;

use carp_tests::model::mutants::MUTANTS;
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

/// The bugs themselves are planted by `cargo run --profile model -p carp-tests --bin mutants`.
#[test]
fn planted_bugs_still_fit_the_source() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../carp-fsm/src");
    assert!(MUTANTS.len() >= 12);
    for mutant in MUTANTS {
        let source = fs::read_to_string(sources.join(mutant.file)).expect("a source file of carp-fsm");
        let count = source.matches(mutant.find).count();
        assert_eq!(
            count, 1,
            "bring tests/src/model/mutants.rs up to date: \"{}\"",
            mutant.what
        );
        assert_ne!(mutant.find, mutant.put);
    }
}
