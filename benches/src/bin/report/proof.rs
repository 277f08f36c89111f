//! What was searched, and what was found.

use crate::data::Results;
use crate::page::Section;
use crate::part::{Company, Need, Options, Part, Step};
use crate::tools::{Failure, cargo, output, patient, program, run, script};

pub(crate) const PART: Part = Part {
    name: "proof",
    title: "Proof",
    builds: &[
        "build --release --package carp-tests --bin sim",
        "build --profile model --package carp-tests --bin model --bin mutants",
        "test --no-run --package carp-tests --all-features --test transcripts --test wire_vectors --test kernel_elections",
    ],
    steps: &[
        Step {
            name: "model check",
            seconds: [17.0, 600.0],
            needs: &[],
            company: Company::Work,
            run: model,
        },
        Step {
            name: "seeded runs",
            seconds: [5.0, 400.0],
            needs: &[],
            company: Company::Work,
            run: runs,
        },
        Step {
            name: "vectors",
            seconds: [5.0, 5.0],
            needs: &[],
            company: Company::Work,
            run: vectors,
        },
        Step {
            name: "planted bugs",
            seconds: [0.0, 600.0],
            needs: &[Need::Time],
            company: Company::Work,
            run: planted,
        },
        Step {
            name: "fuzzing",
            seconds: [0.0, 600.0],
            needs: &[
                Need::Time,
                Need::Tool("cargo-fuzz", "cargo-fuzz, by cargo install; and nightly"),
            ],
            company: Company::Work,
            run: fuzz,
        },
    ],
    section,
};

/// Under this name: the way to a state in which a promise does not hold.
const COUNTEREXAMPLE: &str = "counterexample";
/// Under this name: each run that broke a promise, and which.
const SEEDS: &str = "seeds that broke a promise";

/// The number before a word.
fn before(line: &str, word: &str) -> Option<f64> {
    line.split_once(word)?.0.split_whitespace().last()?.parse().ok()
}

fn model(options: Options, results: &mut Results) -> Result<(), Failure> {
    let states = options.times(10_000, 300_000).to_string();
    let (text, well) = output(patient(&program("carp-tests", "model", "model")).arg(states))?;
    let mut steps = 0.0;
    for line in text.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if let Some(states) = before(line, " states,") {
            results.add(format!("states of {name}"), "model check", "", vec![states]);
            steps += before(line, " steps,").unwrap_or(0.0);
        } else if let Some(states) = before(line, " distinct states in ") {
            results.add("distinct states", "model check", "", vec![states]);
        }
    }
    results.add("steps between them", "model check", "", vec![steps]);
    results.add(
        "promises that did not hold",
        "model check",
        "",
        vec![f64::from(u8::from(!well))],
    );
    if !well {
        // What is found as expected stands before it.
        let lines: Vec<_> = text.lines().collect();
        let from = lines
            .iter()
            .rposition(|line| line.ends_with("ended by a counterexample"));
        let found = lines[from.unwrap_or(0)..].join("\n");
        results.raw.insert(COUNTEREXAMPLE.to_owned(), found.into());
    }
    Ok(())
}

fn runs(options: Options, results: &mut Results) -> Result<(), Failure> {
    let count = options.times(5000, 1_000_000).to_string();
    let (text, _) = output(patient(&program("carp-tests", "sim", "release")).arg(count))?;
    for (what, word) in [
        ("runs", " runs, "),
        ("faults", " faults, "),
        ("events", " events in "),
    ] {
        let number = text.lines().find_map(|line| before(line, word));
        results.add(
            what,
            "seeded runs",
            "",
            vec![number.ok_or_else(|| format!("sim printed something else: {text}"))?],
        );
    }
    let broken = text
        .lines()
        .find_map(|line| before(line, " runs broke a promise"));
    results.add(
        "runs that broke a promise",
        "seeded runs",
        "",
        vec![broken.unwrap_or(0.0)],
    );
    let named: Vec<_> = text.lines().filter(|line| line.starts_with("seed ")).collect();
    if !named.is_empty() {
        results.raw.insert(SEEDS.to_owned(), named.into());
    }
    Ok(())
}

/// The tests say how many of which there are: `vectors: WHAT, DIALECT: N`.
fn vectors(_: Options, results: &mut Results) -> Result<(), Failure> {
    let mut command = cargo([
        "test",
        "--package",
        "carp-tests",
        "--all-features",
        "--test",
        "transcripts",
    ]);
    command.args([
        "--test",
        "wire_vectors",
        "--test",
        "kernel_elections",
        "--",
        "--nocapture",
        "--test-threads=1",
    ]);
    let text = run(&mut patient(&command))?;
    for line in text.lines() {
        let Some((_, line)) = line.split_once("vectors: ") else {
            continue;
        };
        let parsed = line
            .split_once(", ")
            .and_then(|(what, rest)| Some((what, rest.split_once(": ")?)));
        let Some((what, (dialect, count))) = parsed else {
            continue;
        };
        results.add(
            format!("{what} that agree"),
            dialect,
            "",
            vec![count.trim().parse()?],
        );
    }
    if results
        .figures
        .iter()
        .any(|figure| figure.what.ends_with(" that agree"))
    {
        return Ok(());
    }
    Err("the tests do not say what they have compared".into())
}

fn planted(_: Options, results: &mut Results) -> Result<(), Failure> {
    let (text, _) = output(&mut patient(&program("carp-tests", "mutants", "model")))?;
    let line = text.lines().find(|line| line.ends_with(" planted bugs found"));
    let (found, all) = line
        .and_then(|line| Some((before(line, " of ")?, before(line, " planted bugs found")?)))
        .ok_or_else(|| format!("mutants ended with: {}", text.lines().last().unwrap_or_default()))?;
    results.add("planted bugs", "model check", "", vec![all]);
    results.add(
        "planted bugs that were not found",
        "model check",
        "",
        vec![all - found],
    );
    Ok(())
}

/// The figures are what the script prints.
fn fuzz(_: Options, results: &mut Results) -> Result<(), Failure> {
    let text = run(script("fuzz/run.sh").arg("60"))?;
    let mut target = "";
    for line in text.lines() {
        if let Some((name, rest)) = line.split_once(": ")
            && rest.contains(" inputs, then ")
        {
            target = name;
        } else if let Some((_, count)) = line.split_once("stat::number_of_executed_units:") {
            results.add(
                "executions",
                format!("fuzz target {target}"),
                "",
                vec![count.trim().parse()?],
            );
        } else if let Some((_, count)) = line.split_once("edges covered:") {
            results.add(
                "edges covered",
                format!("fuzz target {target}"),
                "",
                vec![count.trim().parse()?],
            );
        }
    }
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "as every section")]
fn section(results: &Results, section: &mut Section<'_>) -> Result<(), Failure> {
    section.text(
        "[proof.md](proof.md) says what is promised and how it is searched for: the model check visits all states that \
         faults can lead to, breadth first, as many of each scenario as it is told; seeded runs are chance, with real \
         times; vectors were recorded from kernels and daemons, or written for a rule, by dialect; planted bugs are \
         changes to the election that the model check must notice; fuzzing was one minute for each target here, and \
         longer before a release ([fuzz/README.md](../fuzz/README.md)).",
    );
    section.table("exhaustive", |figure| {
        figure.whom == "model check" && !figure.what.starts_with("states of ")
    });
    if let Some(found) = results.raw.get(COUNTEREXAMPLE).and_then(|found| found.as_str()) {
        section.text(&format!("```text\n{found}\n```"));
    }
    section.table("by chance", |figure| figure.whom == "seeded runs");
    let seeds = results.raw.get(SEEDS).and_then(|seeds| seeds.as_array());
    for seed in seeds.into_iter().flatten().filter_map(|seed| seed.as_str()) {
        section.text(&format!("Broken in {seed}."));
    }
    section.table("vectors", |figure| figure.what.ends_with(" that agree"));
    section.transposed("fuzz", |what| {
        matches!(what, "executions" | "edges covered").then_some(what)
    });
    section.table("scenario of the model check", |figure| {
        figure.what.starts_with("states of ")
    });
    Ok(())
}
