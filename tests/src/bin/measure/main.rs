//! What carpd promises, measured beside UCarp and keepalived: planned changes, crashes, chaos, kills, floods, replays,
//! and what it costs when nothing happens. The limits are those of the report, `benches/limits.toml`.
//!
//! ```text
//! cargo run --release -p carp-tests --bin measure             everything, in forty minutes
//! cargo run --release -p carp-tests --bin measure -- --fast   each once or a few times, in minutes
//! ```
//!
//! The report shows what it found (`docs/results.md`). Needs root, iproute2, UCarp and keepalived; `docs/lab.md` has the network
//! and how times are taken. The program is carpd, too: what is measured is what was built with it (when idle,
//! where its size counts, the one beside it: `cargo build --release -p carpd`).
#![cfg(target_os = "linux")]

mod bench;
mod chaos;
mod crash;
mod flood;
mod idle;
mod killed;
mod line;
mod loss;
mod planned;
mod replay;
mod timeline;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use carpd::lab::{LabError, Software};
use clap::{Parser, ValueEnum};

use bench::Bench;

/// Measures what carpd promises, beside UCarp and keepalived
#[derive(Debug, Parser)]
#[command(name = "measure")]
struct Options {
    /// Each once or a few times, with generous limits for times
    #[arg(long)]
    fast: bool,
    /// Each once, as for --fast
    #[arg(long)]
    once: bool,
    /// Who is measured: carpd alone with --fast or --once, otherwise UCarp and keepalived, too
    #[arg(long, value_name = "NAME", value_parser = software)]
    software: Vec<Software>,
    /// Only these parts
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// Write host.md and host.json there
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Stop, hand-over, reload, restart, preemption
    Planned,
    /// Crashes, pulled cables, partitions
    Crash,
    /// Faults at random, and reloads
    Chaos,
    /// SIGKILL at random moments
    Killed,
    /// Invalid packets
    Flood,
    /// Recorded advertisements
    Replay,
    /// What nothing costs
    Idle,
    /// The fast profile on a network that loses packets
    Loss,
    /// One crash in detail, for a picture
    Timeline,
}

impl Part {
    /// The part of the report, whose limits it is held to.
    fn of_report(self) -> &'static str {
        match self {
            Self::Planned | Self::Crash | Self::Loss | Self::Timeline => "failover",
            Self::Chaos | Self::Killed | Self::Flood | Self::Replay => "fire",
            Self::Idle => "footprint",
        }
    }

    fn measure(self, bench: &mut Bench) -> Result<(), LabError> {
        match self {
            Self::Planned => planned::measure(bench),
            Self::Crash => crash::measure(bench),
            Self::Chaos => chaos::measure(bench),
            Self::Killed => killed::measure(bench),
            Self::Flood => flood::measure(bench),
            Self::Replay => replay::measure(bench),
            Self::Idle => idle::measure(bench),
            Self::Loss => loss::measure(bench),
            Self::Timeline => timeline::measure(bench),
        }
    }
}

fn main() -> ExitCode {
    let first = std::env::args().nth(1);
    if first.is_some_and(|first| !first.starts_with('-')) {
        return carpd::cli::main();
    }
    let options = Options::parse();
    let parts = if options.only.is_empty() {
        Part::value_variants()
    } else {
        &options.only
    };
    let mut bench = match Bench::new(options.fast, options.once, options.software) {
        Ok(bench) => bench,
        Err(error) => return failed(&error),
    };
    for part in parts {
        let name = part.to_possible_value();
        let name = name.map_or(String::new(), |name| name.get_name().to_owned());
        bench.heading(name, part.of_report());
        if let Err(error) = part.measure(&mut bench) {
            bench.error(&error);
            if matches!(error, LabError::Interrupted) {
                break;
            }
        }
    }
    if let Some(directory) = options.out
        && let Err(error) = bench.write(&directory)
    {
        return failed(&error);
    }
    println!("\n{}", bench.verdict());
    if bench.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn software(name: &str) -> Result<Software, String> {
    let all = [Software::Carpd, Software::Ucarp, Software::Keepalived];
    let found = all.into_iter().find(|software| software.to_string() == name);
    found.ok_or_else(|| "it is carpd, ucarp or keepalived".to_owned())
}

fn failed(error: &LabError) -> ExitCode {
    eprintln!("measure: {error}");
    ExitCode::FAILURE
}
