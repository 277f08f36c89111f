//! Everything that is claimed, measured in one run beside its peers.
//!
//! ```text
//! cargo run --release -p carp-benches --bin report                  everything; root for the network
//! cargo run --release -p carp-benches --bin report -- --quick       a look, in minutes
//! cargo run --release -p carp-benches --bin report -- --only crypto one part
//! ```
//!
//! Writes `docs/results.md` (with `--quick` `target/report/results.md`), and beside it in `results/` the plots and, as
//! JSON, every sample. What was measured of the same commit with the same options is not measured again. What must not
//! be passed is in `benches/limits.toml`.

mod callgrind;
mod compare;
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
use std::sync::mpsc;
use std::{fs, io, iter, thread};

use clap::Parser;

use compare::Comparison;
use data::{Results, SCHEMA};
use part::{Company, Options, PARTS, Part, Step};
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
    /// Measure nothing, only tell which ratios of two runs differ by more than 10 %: what was --out of each
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
    compare: Option<Vec<PathBuf>>,
    /// Where results.md and results/ are written [default: docs; with --quick target/report, so that a
    /// look takes nothing away from what an hour has measured]
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

impl Arguments {
    fn out(&self) -> PathBuf {
        let default = if self.quick { "target/report" } else { "docs" };
        self.out
            .clone()
            .unwrap_or_else(|| tools::workspace().join(default))
    }
}

fn main() -> ExitCode {
    if callgrind::is_child() {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let outcome = match arguments.compare.as_deref() {
        Some([first, second]) => Comparison::read([first, second]).map(|comparison| {
            println!("{comparison}");
            comparison.agrees()
        }),
        _ => report(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures. Whether nothing is beyond its limit; and if CI is set, whether everything was measured that was asked for: there a
/// tool that is missing is a failure.
fn report(arguments: &Arguments) -> Result<bool, Failure> {
    let limits = carp_benches::limits::read();
    let out = arguments.out();
    let raw = out.join("results");
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
    page::write(&out, &limits, &all)?;
    let verdict = page::Summary::new(&limits, &all);
    for exceeded in &verdict.exceeded {
        println!("exceeded: {exceeded}");
    }
    println!("{verdict}\n{}", out.join("results.md").display());
    let complete = std::env::var_os("CI").is_none_or(|ci| ci != "true")
        || all
            .iter()
            .flat_map(|results| results.left_out.values())
            .all(|why| arguments.rootless && why == part::NEEDS_ROOT || why == part::NEEDS_TIME);
    Ok(complete && !failed && verdict.exceeded.is_empty())
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

/// What is done one after the other, of which part.
type Lane = Vec<(usize, &'static Step)>;
/// What is done at the same time.
type Turn = Vec<Lane>;

/// First all that may be done at the same time, then one after the other what has to be alone.
fn turns(options: Options, work: &[(usize, &'static Step)]) -> Vec<Turn> {
    let (together, alone): (Lane, Lane) = work.iter().partition(|(_, step)| step.may_share(options));
    let (queue, at_once): (Lane, Lane) = together
        .into_iter()
        .partition(|(_, step)| options.quick && step.company == Company::Work);
    let lanes = at_once.into_iter().map(|item| vec![item]);
    let together: Turn = lanes.chain([queue]).filter(|lane| !lane.is_empty()).collect();
    let turns = iter::once(together).chain(alone.into_iter().map(|item| vec![vec![item]]));
    turns.filter(|turn| !turn.is_empty()).collect()
}

/// Does the work, and stores after each step what there is. Whether a step failed.
fn measure(
    raw: &Path,
    options: Options,
    all: &mut [Results],
    work: &[(usize, &'static Step)],
) -> Result<bool, Failure> {
    let turns = turns(options, work);
    let of_lane = |lane: &Lane| lane.iter().map(|(_, step)| step.seconds(options)).sum::<f64>();
    let estimate = |turn: &Turn| turn.iter().map(of_lane).fold(0.0, f64::max);
    for turn in &turns {
        println!("{:>7}  {}", clock(estimate(turn)), names(all, turn));
    }
    let mut failed = false;
    let begin = now();
    for (at, turn) in turns.iter().enumerate() {
        if let [lane] = &turn[..]
            && let [(index, step)] = lane[..]
            && !step.may_share(options)
        {
            let busy = machine::quiet();
            all[index].busy.remove(step.name);
            if busy > machine::QUIET {
                println!("the machine is not quiet: something takes {busy:.0} % of it");
                all[index].busy.insert(step.name.to_owned(), busy.round());
            }
        }
        println!(
            "[{}/{}] {}; about {} left",
            at + 1,
            turns.len(),
            names(all, turn),
            clock(turns[at..].iter().map(estimate).sum())
        );
        thread::scope(|scope| {
            let (sender, done) = mpsc::channel();
            for lane in turn {
                let sender = sender.clone();
                scope.spawn(move || {
                    for &(index, step) in lane {
                        // Whoever should receive it is there until all have ended.
                        let _ = sender.send((index, Done::of(step, options)));
                    }
                });
            }
            drop(sender);
            done.into_iter().try_for_each(|(index, done)| {
                failed |= done.outcome.is_err();
                done.add_to(&mut all[index]);
                store(raw, &all[index])
            })
        })?;
    }
    if !turns.is_empty() {
        println!("measured in {}", clock(begin.elapsed().as_secs_f64()));
    }
    Ok(failed)
}

/// What a step has come to.
struct Done {
    step: &'static Step,
    outcome: Result<(), Failure>,
    /// Seconds.
    took: f64,
    found: Results,
}

impl Done {
    fn of(step: &'static Step, options: Options) -> Self {
        let (start, mut found) = (now(), Results::default());
        let outcome = (step.run)(options, &mut found);
        let took = start.elapsed().as_secs_f64().round();
        Self {
            step,
            outcome,
            took,
            found,
        }
    }

    fn add_to(self, results: &mut Results) {
        let name = self.step.name.to_owned();
        match self.outcome {
            Ok(()) => {
                results.figures.extend(self.found.figures);
                results.raw.extend(self.found.raw);
                results.took.insert(name, self.took);
            }
            Err(error) => {
                eprintln!("report: {}, {name}: {error}", results.part);
                results.left_out.insert(name, format!("failed: {error}"));
            }
        }
    }
}

fn names(all: &[Results], turn: &Turn) -> String {
    let names: Vec<_> = turn
        .iter()
        .flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_that_are_documented_are_understood() {
        let parse = |arguments: &[&str]| {
            Arguments::try_parse_from(iter::once(&"report").chain(arguments))
                .map_err(|error| error.to_string())
        };
        assert_eq!(parse(&["--only", "crypto"]).unwrap().only, ["crypto"]);
        let compare = parse(&["--compare", "first", "second"]).unwrap().compare.unwrap();
        assert_eq!(compare, [Path::new("first"), Path::new("second")]);
        assert!(parse(&["--compare", "first"]).is_err());
        assert!(parse(&["--only", "nothing"]).is_err());
    }

    #[test]
    fn in_a_quick_run_work_waits_for_work_and_the_rest_does_not() {
        let all = |options| {
            let work: Vec<_> = PARTS
                .iter()
                .flat_map(|part| part.steps)
                .map(|step| (0, step))
                .collect();
            turns(options, &work)
        };
        let options = |quick| Options {
            quick,
            rootless: false,
        };
        let is_work = |lane: &Lane| lane.iter().all(|(_, step)| step.company == Company::Work);
        let quick = all(options(true));
        assert_eq!(quick[0].iter().filter(|lane| is_work(lane)).count(), 1);
        assert!(quick[0].iter().all(|lane| lane.len() == 1 || is_work(lane)));
        let full = all(options(false));
        assert!(full[0].len() > 1 && full[0].iter().all(is_work));
        for turns in [quick, full] {
            assert!(
                turns[1..]
                    .iter()
                    .all(|turn| turn.len() == 1 && turn[0].len() == 1)
            );
        }
    }
}
