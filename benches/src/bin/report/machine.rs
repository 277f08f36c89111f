//! What was measured, and on what.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::tools::{answer, now};

/// The commit of the sources; empty if there are changes besides results.
pub(crate) fn commit() -> String {
    let status = [
        "status",
        "--porcelain",
        "--",
        ".",
        ":!docs/results",
        ":!docs/results.md",
    ];
    if answer("git", &status).is_empty() {
        answer("git", &["rev-parse", "HEAD"])
    } else {
        String::new()
    }
}

/// Percent of the processors that something may take of a machine that is called quiet.
pub(crate) const QUIET: f64 = 5.0;
/// What was done before may end later than the program that did it: the kernel removes network namespaces by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the machine is quiet, but not for ever. How much of its processors is taken all the same, in percent.
pub(crate) fn quiet() -> f64 {
    let start = now();
    loop {
        let before = ticks();
        thread::sleep(Duration::from_secs(1));
        let busy = busy(before, ticks());
        if busy <= QUIET || start.elapsed() > PATIENCE {
            return busy;
        }
    }
}

/// Of all processors since the start of the machine: all ticks, and the idle ones. Zero where nothing says so.
fn ticks() -> [f64; 2] {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    parse_ticks(stat.lines().next().unwrap_or_default())
}

/// `cpu`, then ticks as user, niced user, system, idle, waiting for a disk, and more that is not idle.
fn parse_ticks(line: &str) -> [f64; 2] {
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .take(8) // what guests took is counted twice
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    [ticks.iter().sum(), ticks.iter().skip(3).take(2).sum()]
}

fn busy([all, idle]: [f64; 2], [all_now, idle_now]: [f64; 2]) -> f64 {
    let (all, idle) = (all_now - all, idle_now - idle);
    if all > 0.0 {
        100.0 * (1.0 - idle / all)
    } else {
        0.0
    }
}

/// Machine and versions.
pub(crate) fn machine() -> Vec<(String, String)> {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, name: &str| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split_once([':', '=']));
        value.map_or(String::new(), |(_, value)| {
            value.trim().trim_matches('"').to_owned()
        })
    };
    let first = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let package = |name: &str| answer("dpkg-query", &["--show", "--showformat=${Version}", name]);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let rows = [
        ("date", answer("date", &["-u", "+%F %R UTC"])),
        (
            "processor",
            format!("{cores} x {}", after(&file("/proc/cpuinfo"), "model name")),
        ),
        ("memory", after(&file("/proc/meminfo"), "MemTotal")),
        ("system", after(&file("/etc/os-release"), "PRETTY_NAME")),
        ("kernel", file("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("load at the start", file("/proc/loadavg").trim().to_owned()),
        ("this project", env!("CARGO_PKG_VERSION").to_owned()),
        ("Rust", first(answer("rustc", &["--version"]))),
        ("UCarp", package("ucarp")),
        ("keepalived", package("keepalived")),
        ("valgrind", answer("valgrind", &["--version"])),
        ("QEMU", first(answer("qemu-system-arm", &["--version"]))),
    ];
    let not_empty = rows.into_iter().filter(|(_, value)| !value.is_empty());
    not_empty.map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_idle_is_busy() {
        let before = parse_ticks("cpu  100 5 20 1000 30 0 3 2 50 50");
        let after = parse_ticks("cpu  160 5 40 1090 40 0 13 12 90 90");
        assert!((busy(before, after) - 50.0).abs() < 1e-9);
        assert!(busy(before, before).abs() < 1e-9);
    }
}
