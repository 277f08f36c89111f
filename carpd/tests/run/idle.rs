//! What many virtual hosts cost while nothing happens.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::thread;
use std::time::Duration;

use crate::guard::guard_of;
use crate::network::Network;

/// Of daemon and guard together, with a thousand virtual hosts. What a program's file takes on top depends on how it
/// was built.
const MOST_ANONYMOUS_KB: u64 = 12 * 1024;

#[test]
fn a_thousand_virtual_hosts_take_little_memory() {
    let Some(network) = Network::new("idle") else {
        return;
    };
    let mut hosts = String::new();
    for parent in 0..4 {
        let (name, peer) = (format!("eth{parent}"), format!("peer{parent}"));
        network.ip(&["link", "add", &name, "type", "veth", "peer", "name", &peer]);
        network.ip(&["address", "add", &format!("10.{parent}.0.2/16"), "dev", &name]);
        network.ip(&["link", "set", &peer, "up"]);
        network.ip(&["link", "set", &name, "up"]);
        for vhid in 1..=250 {
            let _ = writeln!(
                hosts,
                "[[vhid]]\ninterface = \"{name}\"\nvhid = {vhid}\npassword = \"x\"\nmode = \"vmac\"\n\
                 addresses = [\"10.{parent}.1.{vhid}\"]"
            );
        }
    }
    let daemon = network.start("here", &hosts);
    for _ in 0..1001 {
        daemon.wait_for("BACKUP -> MASTER");
    }
    thread::sleep(Duration::from_secs(1));
    let guard = guard_of(&daemon).as_raw_nonzero().get();
    let sum = |field: &str| -> u64 {
        let of = |pid: u32| {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
            let line = rollup.lines().find_map(|line| line.strip_prefix(field));
            let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kilobytes.expect("a field of smaps_rollup")
        };
        of(daemon.child.id()) + of(guard.unsigned_abs())
    };
    let (anonymous, all) = (sum("Pss_Anon:"), sum("Pss:"));
    // Not by `println!`, which a passing test keeps to itself.
    let _ = writeln!(
        io::stderr(),
        "daemon and guard: {anonymous} kB anonymous memory, {all} kB in all (PSS)"
    );
    assert!(anonymous < MOST_ANONYMOUS_KB, "{anonymous} kB");
}
