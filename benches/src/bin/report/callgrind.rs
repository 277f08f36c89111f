//! Instructions, counted by callgrind: they do not depend on what else the machine does. This program calls itself.
//!
//! Callgrind's processor has no SHA instructions, so the compression is the portable one, as on a microcontroller.

use std::env;
use std::process::Command;

use carp_benches::{group, node, wire};

use crate::tools::{Failure, output, patient};

/// The argument with which this program calls itself.
const CHILD: &str = "--count-this";
/// Events are counted so many at a time.
const RUNS: u32 = 200;

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Counted {
    /// An operation of `carp_benches::wire`.
    Wire(usize),
    /// An event of `carp_benches::node`, and the number of virtual hosts.
    Node(usize, usize),
    /// A move of `carp_benches::group`, and the number of virtual hosts: once, for all of them.
    Group(usize, usize),
    /// A step of the machine alone.
    Step,
}

/// Whether this process was only there to be counted, and has been.
pub(crate) fn is_child() -> bool {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [first, rest @ ..] = &arguments[..] else {
        return false;
    };
    if first != CHILD {
        return false;
    }
    let numbers: Vec<usize> = rest.iter().filter_map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [operation] => {
            let fixture = wire::Fixture::new();
            let run = wire::OPERATIONS[operation].run;
            run(&fixture); // finds out about the processor, once
            for _ in 0..RUNS {
                counted_by_callgrind(&mut &fixture, |fixture| run(fixture));
            }
        }
        [event, hosts] => {
            let mut fixture = node::Fixture::new(hosts);
            let node::Event { prepare, run, .. } = &node::EVENTS[event];
            prepare(&mut fixture, RUNS as usize);
            for _ in 0..RUNS {
                counted_by_callgrind(&mut fixture, run);
            }
        }
        [at, hosts, _] => {
            let mut group = group::Group::new(hosts);
            let group::Move { prepare, run, .. } = &group::MOVES[at];
            prepare(&mut group);
            counted_by_callgrind(&mut group, run);
        }
        _ => {
            let mut election = node::Election::new();
            for _ in 0..RUNS {
                counted_by_callgrind(&mut election, node::Election::hear);
            }
        }
    }
    true
}

/// The function whose instructions are counted, by name.
#[inline(never)]
fn counted_by_callgrind<T>(it: &mut T, run: impl Fn(&mut T)) {
    run(it);
}

/// Instructions of one run.
pub(crate) fn instructions(counted: Counted) -> Result<f64, Failure> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*counted_by_callgrind*")
        .arg(env::current_exe()?)
        .arg(CHILD);
    match counted {
        Counted::Wire(operation) => command.arg(operation.to_string()),
        Counted::Node(event, hosts) => command.args([event, hosts].map(|number| number.to_string())),
        Counted::Group(at, hosts) => command.args([at, hosts, 1].map(|number| number.to_string())),
        Counted::Step => &mut command,
    };
    let runs = if let Counted::Group(..) = counted { 1 } else { RUNS };
    let (report, well) = output(&mut patient(&command))?;
    let collected = report.lines().find_map(|line| line.split_once("Collected :"));
    match collected.and_then(|(_, count)| count.trim().parse::<f64>().ok()) {
        Some(count) if well && count > 0.0 => Ok((count / f64::from(runs)).round()),
        _ => Err(format!("valgrind counted nothing: {report}").into()),
    }
}
