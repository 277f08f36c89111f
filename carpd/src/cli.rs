//! The command line: what can be asked, and the exit codes.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, DEFAULT_CONTROL_SOCKET, Machine, Purpose};

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod failover;
mod operate;

use operate::Operate;

/// Something is wrong: a mistake in the configuration, or the command failed. For `status`: degraded.
const FAILED: u8 = 1;
/// There is no answer from the daemon, or no outcome yet, so nothing is known. Monitoring systems call this UNKNOWN.
const NO_ANSWER: u8 = 3;
/// The command line is not understood.
const MISUSE: u8 = 64;

const EXIT_CODES: &str = "\
Exit codes:
  0   done; for status: healthy
  1   mistakes in the configuration, or failed; for status: degraded
  2   for status: down, every virtual host is in INIT
  3   no answer from carpd, or the outcome is not known yet
  64  the command line is not understood";

/// CARP: one IP address, several machines, one of them answering.
#[derive(Debug, Parser)]
#[command(name = "carpd", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run in the foreground until SIGTERM or SIGINT; then hand the addresses over and end
    #[command(long_about = "\
Run in the foreground until SIGTERM or SIGINT.

Every change of state is one line on standard output, as the FreeBSD kernel words it, with the time before and \
details behind:

  2026-11-21T10:00:00.123Z carp: 7@eth0: BACKUP -> MASTER (master timed out)

On SIGTERM or SIGINT carpd says goodbye, keeps the addresses until another machine has taken over or a short time \
has passed, removes them, and ends with exit code 0. On SIGHUP it does what carpd reload does. Needs CAP_NET_RAW and CAP_NET_ADMIN, which root has.")]
    Run {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Which of the file's [nodes] this machine is, if not the one with its host name
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
    },
    /// Check a configuration file: every mistake with its line and what to write instead
    Check {
        /// The configuration file
        #[arg(value_name = "FILE", required_unless_present = "defaults")]
        file: Option<PathBuf>,
        /// Print a file with every key, its meaning and its default instead
        #[arg(long, conflicts_with_all = ["file", "node"])]
        defaults: bool,
        /// Check it as this one of the file's [nodes], instead of the one with this machine's host name
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
    },
    /// Show the virtual hosts of the running carpd, and a verdict as the exit code
    #[command(after_help = "Exit codes: 0 healthy, 1 degraded, 2 down, 3 no answer from carpd.")]
    Status {
        /// Print everything as JSON, with a stable schema
        #[arg(long)]
        json: bool,
        /// One line for each virtual host: name, state, addresses
        #[arg(long, conflicts_with = "json")]
        short: bool,
        /// The verdict alone, in one line, for monitoring
        #[arg(long, conflicts_with_all = ["json", "short"])]
        verdict: bool,
        /// Show it again whenever it has changed, until interrupted
        #[arg(long, conflicts_with = "json")]
        watch: bool,
        #[command(flatten)]
        socket: Socket,
    },
    /// Show the virtual hosts as BSD's ifconfig does: a tab, then "carp: MASTER vhid 200 advbase 1 advskew 0"
    Ifconfig {
        #[command(flatten)]
        socket: Socket,
    },
    #[command(flatten)]
    Operate(Operate),
    /// Print a random password: 19 characters, the most that every CARP takes
    #[command(long_about = "\
Print a random password: 19 characters, the most that every CARP takes; 95 bits, easy to read out, no quotes needed.

  (umask 077; carpd genkey > /etc/carpd/carpd.password)")]
    Genkey,
    /// Watch an election: three simulated nodes, no root, no network, a few milliseconds
    ///
    /// Election, crash and take-over, return and preemption, planned hand-over, with the measured times beside the
    /// formula. Exit code 1 if anything differs from what CARP promises.
    Demo,
    /// Measure fail-over with real packets: two nodes and a client in network namespaces
    #[command(long_about = "\
Measure fail-over with real packets.

Builds two nodes and a client on one switch, in network namespaces of their own; runs carpd on the nodes; crashes it, \
stops it, pulls its cable, lets it come back, and measures what the client notices. Takes half a minute and leaves \
nothing behind, also when it is interrupted. Needs CAP_NET_RAW and CAP_NET_ADMIN, which root has.

Exit code 1 if a limit is missed.")]
    Lab {
        /// Put this daemon in place of the second node, and then of the first
        #[arg(long, value_name = "DAEMON")]
        peer: Option<Peer>,
        /// How often each fault is caused
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        runs: u32,
        /// Print the measurements as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take off the addresses of a carpd that has died; `run` starts it
    #[command(hide = true)]
    Guard,
    /// The client of `lab`
    #[command(hide = true)]
    LabProbe {
        /// The address to ping
        target: IpAddr,
        /// The interface to listen on
        interface: String,
    },
    /// Print the version
    Version,
}

/// How `status` is shown.
#[derive(Debug, Clone, Copy)]
enum StatusForm {
    Table,
    Short,
    Verdict,
    Json,
}

/// Other implementations that the lab knows.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Peer {
    /// UCarp, of the Debian package ucarp
    Ucarp,
}

#[derive(Debug, clap::Args)]
struct Socket {
    /// The control socket of the running carpd
    #[arg(long, value_name = "PATH", default_value = DEFAULT_CONTROL_SOCKET)]
    socket: PathBuf,
}

/// The definition of the command line, from which manual pages and completions are made.
pub fn definition() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(MISUSE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match cli.command {
        Command::Run { config, node } => run(&config, node),
        Command::Check { file, node, .. } => match file {
            Some(file) => check(&file, node),
            None => print(config::EXAMPLE),
        },
        Command::Status {
            json,
            short,
            verdict,
            watch,
            socket,
        } => {
            let form = match (json, short, verdict) {
                (true, ..) => StatusForm::Json,
                (_, true, _) => StatusForm::Short,
                (.., true) => StatusForm::Verdict,
                _ => StatusForm::Table,
            };
            status(&socket.socket, form, watch)
        }
        Command::Ifconfig { socket } => ifconfig(&socket.socket),
        Command::Operate(operate) => operate.run(),
        Command::Genkey => genkey(),
        Command::Demo => demo(),
        Command::Lab { peer, runs, json } => lab(peer, runs, json),
        Command::Guard => guard(),
        Command::LabProbe { target, interface } => lab_probe(target, &interface),
        Command::Version => print(concat!("carpd ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn demo() -> ExitCode {
    let (timeline, passed) = crate::demo::run();
    match print(&timeline) {
        ExitCode::SUCCESS if !passed => ExitCode::from(FAILED),
        printed => printed,
    }
}

fn genkey() -> ExitCode {
    match crate::genkey::generate() {
        Ok(password) => print(&(password + "\n")),
        Err(error) => {
            complain(format_args!("no random numbers: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn check(file: &Path, node: Option<String>) -> ExitCode {
    let Some(config) = load(file, Purpose::Check, node) else {
        return ExitCode::from(FAILED);
    };
    print(&format!("{}: ok, {}\n", file.display(), config.size()))
}

/// Loads a configuration, with its mistakes and warnings on standard error.
fn load(file: &Path, purpose: Purpose, node: Option<String>) -> Option<Config> {
    match config::load(file, purpose, &Machine::this(node)) {
        Ok(loaded) => {
            let _ = io::stderr().write_all(loaded.report.to_string().as_bytes());
            loaded.config
        }
        Err(error) => {
            complain(format_args!("cannot read {}: {error}", file.display()));
            None
        }
    }
}

/// Tells what failed. Standard error can be closed; then there is nobody to tell.
fn complain(what: impl Display) {
    let _ = writeln!(io::stderr(), "carpd: {what}");
}

/// Prints to standard output. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(format_args!("cannot write to standard output: {error}"));
            ExitCode::from(FAILED)
        }
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::IpAddr;
    use std::path::Path;
    use std::process::ExitCode;

    use super::{FAILED, Peer, complain, load, print};
    use crate::config::Purpose;
    use crate::lab;

    pub(super) fn run(file: &Path, node: Option<String>) -> ExitCode {
        let Some(config) = load(file, Purpose::Run, node.clone()) else {
            return ExitCode::from(FAILED);
        };
        match crate::run::run(&config, file, node) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(error);
                ExitCode::from(FAILED)
            }
        }
    }

    pub(super) fn lab(peer: Option<Peer>, runs: u32, json: bool) -> ExitCode {
        let carpd = match std::env::current_exe() {
            Ok(carpd) => carpd,
            Err(error) => {
                complain(format_args!("cannot find the executable of carpd: {error}"));
                return ExitCode::from(FAILED);
            }
        };
        let peer = peer.map(|Peer::Ucarp| lab::Software::Ucarp);
        let report = lab::run(&lab::Options { peer, runs, carpd });
        let printed = if json {
            let json = serde_json::to_string_pretty(&report);
            print(&json.map_or_else(|error| error.to_string(), |json| json + "\n"))
        } else if report.measurements.is_empty() {
            ExitCode::SUCCESS
        } else {
            print(&report.table())
        };
        if let Some(error) = &report.error {
            complain(format_args!("lab: {error}"));
        }
        if report.passed {
            printed
        } else {
            ExitCode::from(FAILED)
        }
    }

    pub(super) fn guard() -> ExitCode {
        match carp_std::linux::guard() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(format_args!("guard: {error}"));
                ExitCode::from(FAILED)
            }
        }
    }

    pub(super) fn lab_probe(target: IpAddr, interface: &str) -> ExitCode {
        match lab::probe::run(target, interface) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                complain(error);
                ExitCode::from(FAILED)
            }
            Ok(never) => match never {},
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::net::IpAddr;
    use std::path::Path;
    use std::process::ExitCode;

    use super::{FAILED, NO_ANSWER, Peer, StatusForm, WORKS_ELSEWHERE, complain};

    pub(super) fn run(_file: &Path, _node: Option<String>) -> ExitCode {
        needs_linux("run")
    }

    pub(super) fn status(_socket: &Path, _form: StatusForm, _watch: bool) -> ExitCode {
        needs_linux("status");
        ExitCode::from(NO_ANSWER)
    }

    pub(super) fn ifconfig(_socket: &Path) -> ExitCode {
        needs_linux("ifconfig");
        ExitCode::from(NO_ANSWER)
    }

    pub(super) fn lab(_peer: Option<Peer>, _runs: u32, _json: bool) -> ExitCode {
        needs_linux("lab")
    }

    pub(super) fn guard() -> ExitCode {
        needs_linux("guard")
    }

    pub(super) fn lab_probe(_target: IpAddr, _interface: &str) -> ExitCode {
        needs_linux("lab-probe")
    }

    fn needs_linux(command: &str) -> ExitCode {
        complain(format_args!("{command} needs Linux; {WORKS_ELSEWHERE}"));
        ExitCode::from(FAILED)
    }
}

/// What is left on other systems.
#[cfg(not(target_os = "linux"))]
const WORKS_ELSEWHERE: &str = "check, genkey, demo and version work here";

#[cfg(target_os = "linux")]
use client::{ifconfig, status};
#[cfg(not(target_os = "linux"))]
use elsewhere::{guard, ifconfig, lab, lab_probe, run, status};
#[cfg(target_os = "linux")]
use linux::{guard, lab, lab_probe, run};

#[cfg(test)]
mod tests {
    #[test]
    fn the_definitions_are_consistent() {
        super::definition().debug_assert();
    }
}
