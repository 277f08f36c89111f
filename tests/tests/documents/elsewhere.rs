//! Commands of the documents that something else runs, and what is no command.

/// What is run by something else: the command, the file that runs it, and how it is written there.
pub(crate) const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("./ci.sh", ".ci/run", "/../ci.sh\" full"),
    ("./ci.sh full", ".ci/run", "/../ci.sh\" full"),
    ("./run.sh", "ci.sh", "carp-embassy/examples/linux-tap/run.sh"),
    ("./run.sh 600", "ci.sh", "fuzz/run.sh 10"),
    (
        "cargo bench -p carp-benches",
        "ci.sh",
        "cargo bench --quiet -p carp-benches",
    ),
    (
        "cargo install --locked cargo-fuzz",
        "ci.sh",
        "cargo install --quiet --locked cargo-fuzz",
    ),
    (
        "cargo build --release -p carpd && sudo ./target/release/carpd lab",
        "ci.sh",
        "target/release/carpd lab\n",
    ),
    (
        "cargo run -p carpd --example generate -- DIRECTORY",
        "carpd/tests/packaging.rs",
        "example::generate",
    ),
    (
        "cargo run --profile model -p carp-tests --bin model -- 4000000",
        PROOF,
        "\"model\", \"model\"",
    ),
    (
        "cargo run --profile model -p carp-tests --bin model -- 4000000 three-mixed",
        PROOF,
        "\"model\", \"model\"",
    ),
    (
        "cargo run --profile model -p carp-tests --bin mutants",
        "ci.sh",
        "--profile model -p carp-tests --bin mutants",
    ),
    (
        "cargo run --release -p carp-benches --bin report",
        "ci.sh",
        REPORT,
    ),
    (
        "cargo run --release -p carp-benches --bin report -- --quick",
        "ci.sh",
        REPORT,
    ),
    (
        "cargo run --release -p carp-benches --bin report -- --only crypto",
        "benches/src/bin/report/main.rs",
        "\"--only\", \"crypto\"",
    ),
    (
        "cargo run --release -p carp-benches --bin report -- --compare FIRST SECOND",
        "benches/src/bin/report/main.rs",
        "\"--compare\", \"first\", \"second\"",
    ),
    (
        "cargo run -q -p carp-proto --example encode -- --vhid 1 --address 10.0.0.1/24 --password secret --source \
         10.0.0.2 > frame.hex",
        "tests/tests/wire_examples.rs",
        "printed(\"encode\"",
    ),
    (
        "cargo run -q -p carp-proto --example decode -- --vhid 1 --address 10.0.0.1/24 --password secret < frame.hex",
        "tests/tests/wire_examples.rs",
        "printed(\"decode\"",
    ),
    ("cargo test -p carp-fsm --all-features", "ci.sh", TESTS),
    (
        "cargo test -p carp-tests --all-features --test firmware_images",
        "ci.sh",
        TESTS,
    ),
    (
        "cargo run --release -p carp-tests --bin fast_table",
        "benches/src/bin/report/failover.rs",
        "\"fast_table\"",
    ),
    (
        "cargo run --release -p carp-tests --bin measure",
        NETWORK,
        "\"measure\", \"release\"",
    ),
    (
        "cargo run --release -p carp-tests --bin measure -- --fast",
        "ci.sh",
        "-p carp-tests --bin measure -- --fast",
    ),
    (
        "cargo run --release -p carp-tests --bin measure -- --only flood",
        NETWORK,
        "[\"--only\", part]",
    ),
    (
        "cargo run --release -p carp-tests --bin measure -- --out docs/results",
        NETWORK,
        "arg(\"--out\")",
    ),
    (
        "cargo run --release -p carp-tests --bin sim -- --seed 4711",
        "tests/tests/seeded_runs.rs",
        "tell(",
    ),
    (
        "cargo run --release -p carp-tests --bin sim -- 1000000",
        PROOF,
        "\"sim\", \"release\"",
    ),
    (
        "cargo run --release -p carpd -- demo",
        "ci.sh",
        "cargo run --quiet --release -p carpd -- demo",
    ),
    ("cargo test", "ci.sh", TESTS),
    ("cargo test -p carp-tests --test model_check", "ci.sh", TESTS),
    ("cargo test -p carp-tests --test seeded_runs", "ci.sh", TESTS),
    ("cargo test -p carp-tests --test transcripts", "ci.sh", TESTS),
    ("cargo test .. model_check", "ci.sh", TESTS),
    ("carpd lab", "ci.sh", "target/release/carpd lab\n"),
    ("carpd lab --json", "carpd/tests/lab.rs", "\"--json\""),
    (
        "carpd lab --peer ucarp",
        "ci.sh",
        "target/release/carpd lab --peer ucarp",
    ),
    ("carpd lab --runs 10", "carpd/tests/lab.rs", "\"--runs\", \"10\""),
    ("carpd lab-probe", "carpd/src/lab/client.rs", "lab-probe"),
    ("carpd run", "carpd/tests/run/main.rs", "run"),
    (
        "carpd test-failover",
        "carpd/tests/run/failover.rs",
        "\"test-failover\"",
    ),
    (
        "PROPTEST_CASES=20000 cargo test -p carp-tests --test oracle",
        "ci.sh",
        TESTS,
    ),
];

/// Who runs scripts.
pub(crate) const RUNNERS: &[&str] = &[
    "ci.sh",
    "benches/src/bin/report/crypto.rs",
    "benches/src/bin/report/footprint.rs",
    "benches/src/bin/report/scale.rs",
];

const NETWORK: &str = "benches/src/bin/report/network.rs";
const PROOF: &str = "benches/src/bin/report/proof.rs";
const REPORT: &str = "-p carp-benches --bin report -- --quick";
const TESTS: &str = "cargo test --workspace --all-features";

/// Looks like a command, and is none.
pub(crate) const NO_COMMANDS: &[&str] = &["carpd: ", "carpd::"];
