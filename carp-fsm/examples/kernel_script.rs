//! Runs a script recorded from a kernel through our node, and prints what it does as lines of JSON.
//!
//! ```text
//! cargo run -p carp-fsm --features sim --example kernel_script -- --dialect freebsd SCRIPT
//! ```
//!
//! The script language is documented in `carp_fsm::sim::script`. The node runs with `Policy::KERNEL`, in virtual time,
//! with the timer ticks of that kernel. A script that cannot be run ends with 1, a wrong command line with 2.

use std::process::ExitCode;

use carp_fsm::sim::script;
use carp_proto::Dialect;

const USAGE: &str = "usage: kernel_script --dialect freebsd|openbsd FILE";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (dialect, file) = match arguments[..] {
        ["--dialect", "freebsd", file] | [file, "--dialect", "freebsd"] => (Dialect::FreeBsd, file),
        ["--dialect", "openbsd", file] | [file, "--dialect", "openbsd"] => (Dialect::OpenBsd, file),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let events = std::fs::read_to_string(file)
        .map_err(|error| format!("{file}: {error}"))
        .and_then(|text| script::run(dialect, &text).map_err(|error| format!("{file}: {error}")));
    match events {
        Ok(events) => {
            for event in events {
                println!("{event}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("kernel_script: {error}");
            ExitCode::FAILURE
        }
    }
}
