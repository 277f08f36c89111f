//! Everything that is claimed, measured in one run beside its peers.
//!
//! ```text
//! cargo run --release -p carp-benches --bin report                  everything, some hours; root for the network
//! cargo run --release -p carp-benches --bin report -- --quick       a look, in minutes
//! cargo run --release -p carp-benches --bin report -- --only crypto one part
//! ```
//!
//! Writes `docs/results.md`, and beside it in `docs/results/` the plots and, as JSON, every sample. What was measured
//! of the same commit with the same options is not measured again. What must not be passed is in
//! `benches/limits.toml`.

mod callgrind;
mod crypto;
mod data;
mod failover;
mod fire;
mod firmware;
mod footprint;
mod machine;
mod network;
mod page;
mod part;
mod plot;
mod proof;
mod scale;
mod timeline;
mod tools;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io, thread};

use clap::Parser;

use data::{Results, SCHEMA};
use part::{Options, PARTS, Part, Step};
use tools::{Failure, now};

/// Measures everything that is claimed, beside its peers
#[derive(Debug, Parser)]
#[command(name = "report")]
struct Arguments {
    /// Only these parts
    #[arg(long, value_name = "PART", value_parser = PARTS.map(|part| part.name))]
    only: Vec<String>,
    /// A look in minutes: fewer samples, generous limits for times
    #[arg(long)]
    quick: bool,
    /// Only what needs no root
    #[arg(long)]
    rootless: bool,
    /// Measure again what was measured of this commit with these options
    #[arg(long)]
    again: bool,
    /// Measure nothing, only write page and plots again from what is stored
    #[arg(long, conflicts_with = "again")]
    page: bool,
    /// Where results.md and results/ are written
    #[arg(long, value_name = "DIRECTORY", default_value_os_t = tools::workspace().join("docs"))]
    out: PathBuf,
}

fn main() -> ExitCode {
    if callgrind::is_child() {
        return ExitCode::SUCCESS;
    }
    match report(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing is beyond its limit; and if CI is set, whether everything was measured that was asked for: there a
/// tool that is missing is a failure.
fn report(arguments: &Arguments) -> Result<bool, Failure> {
    let limits = carp_benches::limits::read();
    let raw = arguments.out.join("results");
    fs::create_dir_all(&raw).map_err(|error| format!("cannot make {}: {error}", raw.display()))?;
    let options = Options {
        quick: arguments.quick,
        rootless: arguments.rootless,
    };
    let chosen = |part: &&Part| {
        !arguments.page && (arguments.only.is_empty() || arguments.only.iter().any(|name| name == part.name))
    };
    let commit = machine::commit();
    let mut all = Vec::new();
    let mut work: Vec<(usize, &'static Step)> = Vec::new();
    for part in PARTS.iter().filter(chosen) {
        let stored = (!arguments.again)
            .then(|| stored(&raw, part, &commit, options))
            .flatten();
        let mut results = stored.unwrap_or_else(|| Results {
            schema: SCHEMA,
            part: part.name.to_owned(),
            commit: commit.clone(),
            quick: options.quick,
            machine: machine::machine(),
            ..Results::default()
        });
        results.left_out.clear();
        for step in part.steps {
            match step.lacks(options) {
                _ if results.took.contains_key(step.name) => {}
                Some(why) => {
                    println!("left out: {}, {}: {why}", part.name, step.name);
                    results.left_out.insert(step.name.to_owned(), why);
                }
                None => work.push((all.len(), step)),
            }
        }
        all.push(results);
    }
    build(&all, &work)?;
    let failed = measure(&raw, options, &mut all, &work)?;
    // The page is about everything that there is, whatever was measured now.
    for part in PARTS.iter().filter(|part| !chosen(part)) {
        all.extend(load(&raw, part));
    }
    all.sort_by_key(|results| PARTS.iter().position(|part| part.name == results.part));
    page::write(&arguments.out, &limits, &all)?;
    let verdict = page::Summary::new(&limits, &all);
    println!("{verdict}\n{}", arguments.out.join("results.md").display());
    let complete = std::env::var_os("CI").is_none_or(|ci| ci != "true")
        || all
            .iter()
            .flat_map(|results| results.left_out.values())
            .all(|why| arguments.rootless && why == part::NEEDS_ROOT || why == part::NEEDS_TIME);
    Ok(complete && !failed && verdict.exceeded == 0)
}

/// Builds what the work needs.
fn build(all: &[Results], work: &[(usize, &Step)]) -> Result<(), Failure> {
    let needed = |part: &&Part| work.iter().any(|(at, _)| all[*at].part == part.name);
    let builds: BTreeSet<_> = PARTS.iter().filter(needed).flat_map(|part| part.builds).collect();
    for arguments in builds {
        println!("cargo {arguments} (minutes, the first time)");
        tools::run(&mut tools::cargo(arguments.split(' ')))?;
    }
    Ok(())
}

/// Does the work, and stores after each step what there is. Whether a step failed.
fn measure(
    raw: &Path,
    options: Options,
    all: &mut [Results],
    work: &[(usize, &'static Step)],
) -> Result<bool, Failure> {
    let at_once = |(_, step): &(usize, &'static Step)| options.quick && step.alongside;
    let mut turns: Vec<Vec<(usize, &'static Step)>> = vec![work.iter().copied().filter(at_once).collect()];
    turns.extend(
        work.iter()
            .copied()
            .filter(|item| !at_once(item))
            .map(|item| vec![item]),
    );
    turns.retain(|turn| !turn.is_empty());
    let mut failed = false;
    let begin = now();
    for (at, turn) in turns.iter().enumerate() {
        let left: f64 = turns[at..].iter().map(|turn| estimate(all, turn, options)).sum();
        println!(
            "[{}/{}] {}; about {} left",
            at + 1,
            turns.len(),
            names(all, turn),
            clock(left)
        );
        let found: Vec<_> = thread::scope(|scope| {
            let start = |&(index, step): &(usize, &'static Step)| {
                let run = move || {
                    let (start, mut results) = (now(), Results::default());
                    let outcome = (step.run)(options, &mut results);
                    (outcome, start.elapsed().as_secs_f64().round(), results)
                };
                (index, step, scope.spawn(run))
            };
            let started: Vec<_> = turn.iter().map(start).collect();
            let join = |child: thread::ScopedJoinHandle<'_, _>| {
                child
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            started
                .into_iter()
                .map(|(index, step, child)| (index, step, join(child)))
                .collect()
        });
        for (index, step, (outcome, took, found)) in found {
            let results = &mut all[index];
            match outcome {
                Ok(()) => {
                    results.figures.extend(found.figures);
                    results.raw.extend(found.raw);
                    results.took.insert(step.name.to_owned(), took);
                }
                Err(error) => {
                    eprintln!("report: {}, {}: {error}", results.part, step.name);
                    results
                        .left_out
                        .insert(step.name.to_owned(), format!("failed: {error}"));
                    failed = true;
                }
            }
            store(raw, results)?;
        }
    }
    if !turns.is_empty() {
        println!("measured in {}", clock(begin.elapsed().as_secs_f64()));
    }
    Ok(failed)
}

/// Seconds.
fn estimate(all: &[Results], turn: &[(usize, &Step)], options: Options) -> f64 {
    let seconds = |&(at, step): &(usize, &Step)| {
        all[at]
            .took
            .get(step.name)
            .copied()
            .unwrap_or(step.seconds(options))
    };
    turn.iter().map(seconds).fold(0.0, f64::max)
}

fn names(all: &[Results], turn: &[(usize, &Step)]) -> String {
    let names: Vec<_> = turn
        .iter()
        .map(|(at, step)| format!("{}: {}", all[*at].part, step.name))
        .collect();
    names.join(" | ")
}

fn store(raw: &Path, results: &Results) -> Result<(), Failure> {
    let path = raw.join(format!("{}.json", results.part));
    let text = serde_json::to_string(&results)?;
    fs::write(&path, text + "\n").map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(())
}

/// What was measured of these sources with these options.
fn stored(raw: &Path, part: &Part, commit: &str, options: Options) -> Option<Results> {
    let results = load(raw, part)?;
    (results.commit == commit && !commit.is_empty() && results.quick == options.quick).then_some(results)
}

fn load(raw: &Path, part: &Part) -> Option<Results> {
    let path = raw.join(format!("{}.json", part.name));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            eprintln!("report: cannot read {}: {error}", path.display());
            return None;
        }
    };
    let results: Option<Results> = serde_json::from_str(&text).ok();
    results.filter(|results| results.schema == SCHEMA)
}

fn clock(seconds: f64) -> String {
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        ..5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
