//! Living nodes: the network of `carpd lab`, with the command that was built along with these tests.
#![allow(dead_code, reason = "not every test program needs all of it")]

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use carp_fsm::Instant;
use carp_std::linux::Clock;
use carpd::lab::measure::Succession;
use carpd::lab::{Lab, Node, Plan, Setup, check};
use serde_json::Value;

/// The node on station 1.
pub(crate) const A: usize = 0;
/// The node on station 2.
pub(crate) const B: usize = 1;

/// For everything that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Nodes that do not run yet, and a client. `None`: something is missing, and this is not the place where that
/// matters.
pub(crate) fn lab<const N: usize>(nodes: [Setup; N]) -> Option<Lab<N>> {
    lab_in(Plan::default(), nodes)
}

/// The same, in other surroundings.
pub(crate) fn lab_in<const N: usize>(plan: Plan, nodes: [Setup; N]) -> Option<Lab<N>> {
    for node in &nodes {
        if let Err(missing) = check(Some(node.software)) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
            // Not `eprintln!`: the harness keeps what a passing test prints.
            let _ = writeln!(std::io::stderr(), "LEFT OUT: {missing}");
            return None;
        }
    }
    Some(Lab::new(carpd(), plan, nodes, Arc::default()).unwrap())
}

/// The executable.
fn carpd() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_carpd-under-test"))
}

/// What `carpd status --json` prints on a node.
pub(crate) fn status(node: &Node) -> Value {
    let output = Command::new(carpd())
        .args(["status", "--json", "--socket"])
        .arg(node.socket())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{node}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The state of a node's virtual host: `MASTER`.
pub(crate) fn state(node: &Node) -> String {
    status(node)["virtual_hosts"][0]["state"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A counter of a node.
pub(crate) fn counter(status: &Value, name: &str) -> u64 {
    status["counters"][name]
        .as_u64()
        .unwrap_or_else(|| panic!("no counter {name} in {status}"))
}

/// The changes of state that a node has logged since its start: `BACKUP -> MASTER (master timed out)`.
pub(crate) fn transitions(node: &Node) -> Vec<String> {
    let log = node.log();
    let transition = |line: &str| {
        let (_, transition) = line.split_once(" carp: 7@eth0: ")?;
        let (transition, _) = transition.split_once(')')?;
        transition.contains(" -> ").then(|| format!("{transition})"))
    };
    log.lines().filter_map(transition).collect()
}

/// Waits until a node is the only master and answers.
pub(crate) fn settle<const N: usize>(lab: &mut Lab<N>, master: usize) {
    let settled = lab.client.settle(&lab.nodes[master], PATIENCE);
    let logs = || lab.nodes.each_ref().map(Node::log).join("\n");
    settled.unwrap_or_else(|error| panic!("{} is not the master: {error}\n{}", lab.nodes[master], logs()));
    let expected = std::array::from_fn(|node| node == master);
    assert_eq!(owners(lab), expected, "who has the address");
}

/// Which of the nodes has the virtual address. One that was killed does not count.
pub(crate) fn owners<const N: usize>(lab: &Lab<N>) -> [bool; N] {
    lab.nodes
        .each_ref()
        .map(|node| node.is_up() && node.has_address(&lab.topology).unwrap())
}

/// Kills a master and cuts it off, and waits for its successor.
pub(crate) fn crash(lab: &mut Lab, node: usize) -> Succession {
    crash_to(lab, node, 1 - node)
}

/// The same where there are more than two.
pub(crate) fn crash_to<const N: usize>(lab: &mut Lab<N>, node: usize, heir: usize) -> Succession {
    let start = Clock.now();
    lab.topology.block(lab.nodes[node].station()).unwrap();
    lab.nodes[node].kill();
    succession_to(lab, node, heir, start)
}

/// Lets a node come back after [`crash`].
pub(crate) fn reboot<const N: usize>(lab: &mut Lab<N>, node: usize) {
    lab.start(node).unwrap();
    lab.topology.unblock(lab.nodes[node].station()).unwrap();
}

/// Waits until the other node has followed `old` as master.
pub(crate) fn succession(lab: &mut Lab, old: usize, since: Instant) -> Succession {
    succession_to(lab, old, 1 - old, since)
}

/// Waits until `new` has followed `old` as master.
pub(crate) fn succession_to<const N: usize>(
    lab: &mut Lab<N>,
    old: usize,
    new: usize,
    since: Instant,
) -> Succession {
    let (old, new) = (&lab.nodes[old], &lab.nodes[new]);
    let what = format!("{new} to take over from {old}");
    lab.client.succession([old, new], &what, since, PATIENCE).unwrap()
}

/// Waits until something holds.
pub(crate) fn eventually<const N: usize>(lab: &mut Lab<N>, what: &str, holds: impl Fn(&Lab<N>) -> bool) {
    let end = Clock.now() + PATIENCE.into();
    while !holds(lab) {
        let logs = || lab.nodes.each_ref().map(Node::log).join("\n");
        assert!(Clock.now() < end, "waited in vain: {what}\n{}", logs());
        lab.client.pause(Duration::from_millis(20)).unwrap();
    }
}

/// Lets time pass and returns who advertised meanwhile.
pub(crate) fn masters_during<const N: usize>(lab: &mut Lab<N>, time: Duration) -> Vec<IpAddr> {
    let start = Clock.now();
    lab.client.pause(time).unwrap();
    let mut masters: Vec<_> = lab
        .client
        .record()
        .since(start)
        .map(|advertisement| advertisement.source)
        .collect();
    masters.sort();
    masters.dedup();
    masters
}
