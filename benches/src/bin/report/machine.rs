//! What was measured, and on what.

use std::fs;

use crate::tools::answer;

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
