//! The model check at the size that every change has to pass; `docs/proof.md` says what it proves, and how to run it
//! larger.

use std::fs;
use std::path::Path;

use carp_tests::model::groups::{GROUP_SCENARIOS, search_groups};
use carp_tests::model::mutants::MUTANTS;
use carp_tests::model::scenario::SCENARIOS;
use carp_tests::model::search::search;

/// Distinct states of each scenario.
const STATES: usize = 30_000;

/// Of each scenario with groups.
const GROUP_STATES: usize = 5_000;

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

#[test]
fn every_group_ends_at_one_node() {
    for scenario in GROUP_SCENARIOS {
        let reached = search_groups(scenario, GROUP_STATES)
            .unwrap_or_else(|found| panic!("{}: {found}", scenario.name));
        assert!(
            reached >= GROUP_STATES,
            "{}: only {reached} states",
            scenario.name
        );
    }
}

/// The shortest way to the kernels' known flaw, as it is printed.
#[test]
fn a_counterexample_reads_like_a_log() {
    let scenario = SCENARIOS
        .iter()
        .find(|scenario| scenario.name == "kernel-equals-freebsd")
        .expect("a scenario of that name");
    let counterexample = search(scenario, STATES).counterexample.expect("a known flaw");
    let expected = "
   12.000000  -  timer of a
   12.000000  a  advertises
   12.000000  -  a crashes
   12.000000  -  a starts
   12.000000  a  INIT -> BACKUP (initialization complete)
   12.000000  a  does not own the addresses
without further faults (messages cross):
   12.000000  -  1/0 from a to b arrives
   12.000000  -  time passes until the next deadline
   15.000000  -  timer of a
   15.000000  a  BACKUP -> MASTER (master timed out)
   15.000000  a  owns the addresses
   15.000000  a  announces
   15.000000  a  advertises
   15.000000  -  timer of b
   15.000000  b  BACKUP -> MASTER (master timed out)
   15.000000  b  owns the addresses
   15.000000  b  announces
   15.000000  b  advertises
   15.000000  -  1/0 from a to b arrives
   15.000000  b  MASTER -> BACKUP (more frequent advertisement received)
   15.000000  b  does not own the addresses
   15.000000  -  1/0 from b to a arrives
   15.000000  a  MASTER -> BACKUP (more frequent advertisement received)
   15.000000  a  does not own the addresses
   15.000000  -  time passes until the next deadline
   18.000000  -  timer of a
";
    let printed = counterexample.to_string();
    assert!(
        printed.starts_with(expected.trim_start_matches('\n')),
        "{printed}"
    );
    assert!(
        printed.ends_with("violation: without further faults, there never is exactly one master for good")
    );
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
