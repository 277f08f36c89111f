//! What CARP promises, scenario by scenario.

use std::format;
use std::string::String;

use carp_proto::{Dialect, Key};

use super::*;
use crate::action::TransmitKind;
use crate::config::{HostConfig, LinkMode, LinkState};
use crate::machine::HandOver;
use crate::policy::Policy;
use crate::state::Reason;

mod changes;
mod groups;
mod leaving;
mod maintenance;
mod unicast;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn vhid() -> Vhid {
    Vhid::new(7).unwrap()
}

/// Nodes a, b, c, .. with these skews.
fn nodes(seed: u64, skews: &[u8], change: impl Fn(&mut HostConfig<ADDRS>)) -> (Sim, Vec<NodeId>) {
    with_policy(seed, skews, Policy::HARDENED, change)
}

fn with_policy(
    seed: u64,
    skews: &[u8],
    policy: Policy,
    change: impl Fn(&mut HostConfig<ADDRS>),
) -> (Sim, Vec<NodeId>) {
    let mut sim = Sim::new(seed);
    let mut ids = Vec::new();
    for ((name, number), skew) in ["a", "b", "c", "d", "e"].into_iter().zip(1..).zip(skews) {
        let mut host = virtual_host(vhid(), *skew);
        change(&mut host);
        let plan = NodePlan::new(name, [10, 0, 0, number]).policy(policy).host(host);
        ids.push(sim.add(plan).unwrap());
    }
    (sim, ids)
}

fn preempting(host: &mut HostConfig<ADDRS>) {
    host.preempt = true;
}

fn unchanged(_: &mut HostConfig<ADDRS>) {}

fn masters(sim: &Sim) -> Vec<NodeId> {
    let states = sim.states(vhid()).into_iter().enumerate();
    states
        .filter(|(_, state)| *state == State::Master)
        .map(|(index, _)| NodeId(index))
        .collect()
}

fn last_change(sim: &Sim, id: NodeId) -> (Instant, State) {
    *transitions(sim.trace(), id).last().unwrap()
}

/// When a node became MASTER for the last time.
fn became_master(sim: &Sim, id: NodeId) -> Instant {
    let all = transitions(sim.trace(), id);
    all.iter()
        .rev()
        .find(|(_, state)| *state == State::Master)
        .unwrap()
        .0
}

fn command(sim: &mut Sim, id: NodeId, command: impl FnOnce(&mut Node<'static, ADDRS>, Instant, HostId)) {
    let host = sim.host(id, vhid()).unwrap();
    sim.command(id, |node, now| command(node, now, host));
}

/// Owners after every entry of the trace from `from` on.
fn ownership(sim: &Sim, from: Instant) -> Vec<(Instant, Vec<NodeId>)> {
    let mut owners = BTreeSet::new();
    let mut history = Vec::new();
    for entry in sim.trace() {
        match entry.kind {
            TraceKind::Owner { owner: true, .. } => {
                owners.insert(entry.node);
            }
            TraceKind::Owner { owner: false, .. } | TraceKind::Fault(Fault::Crash) => {
                owners.remove(&entry.node);
            }
            _ => {}
        }
        if entry.at >= from {
            history.push((entry.at, owners.iter().copied().collect()));
        }
    }
    history
}

#[test]
fn the_best_node_is_elected() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    sim.run_for(seconds(10));
    assert_eq!(masters(&sim), [ids[0]]);
    assert_eq!(sim.owners(vhid()), [ids[0]]);
    assert_eq!(became_master(&sim, ids[0]), Instant::from_micros(3_000_000));
}

#[test]
fn a_crash_is_noticed_after_the_master_down_time() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    sim.run_for(Duration::from_millis(10_500));
    let heard = sim
        .node(ids[1])
        .unwrap()
        .status(sim.host(ids[1], vhid()).unwrap())
        .unwrap()
        .peer
        .unwrap()
        .at;
    sim.crash(ids[0]);
    sim.run_for(seconds(10));
    assert_eq!(masters(&sim), [ids[1]]);
    assert_eq!(
        became_master(&sim, ids[1]) - heard,
        Duration::from_micros(3_390_625)
    );
}

#[test]
fn who_comes_back_takes_over_only_with_preemption() {
    for preempt in [false, true] {
        let (mut sim, ids) = nodes(1, &[0, 100], |host| host.preempt = preempt);
        sim.run_for(seconds(10));
        sim.crash(ids[0]);
        sim.run_for(seconds(10));
        let back = sim.now();
        sim.restart(ids[0]);
        sim.run_for(seconds(10));
        assert_eq!(masters(&sim), [ids[usize::from(!preempt)]]);
        assert_eq!(sim.owners(vhid()), masters(&sim));
        if preempt {
            assert!(
                became_master(&sim, ids[0]) - back < seconds(2),
                "at the next advertisement"
            );
        }
    }
}

#[test]
fn who_comes_back_waits_the_delay_before_it_preempts() {
    let (mut sim, ids) = nodes(1, &[0, 100], |host| {
        host.preempt = true;
        host.preempt_delay = seconds(30);
    });
    sim.run_for(seconds(10));
    sim.crash(ids[0]);
    sim.run_for(seconds(10));
    let back = sim.now();
    sim.restart(ids[0]);
    sim.run_for(seconds(29));
    assert_eq!(masters(&sim), [ids[1]]);
    sim.run_for(seconds(10));
    assert_eq!(masters(&sim), [ids[0]]);
    let waited = became_master(&sim, ids[0]) - back;
    assert!(seconds(30) <= waited && waited < seconds(32), "{waited}");
}

#[test]
fn three_and_five_nodes_have_one_master_whoever_fails() {
    for skews in [&[0, 50, 100][..], &[0, 50, 100, 150, 200]] {
        let (mut sim, ids) = nodes(1, skews, preempting);
        for survivor in 0..ids.len() {
            sim.run_for(seconds(10));
            assert_eq!(masters(&sim), [ids[survivor]], "{} nodes", ids.len());
            sim.crash(ids[survivor]);
        }
        for id in ids.iter().rev() {
            sim.restart(*id);
            sim.run_for(seconds(10));
            assert_eq!(masters(&sim), [*id]);
        }
    }
}

#[test]
fn another_password_makes_two_masters_that_count_each_other() {
    let mut sim = Sim::new(1);
    let a = sim
        .add(NodePlan::new("a", [10, 0, 0, 1]).host(virtual_host(vhid(), 0)))
        .unwrap();
    let mut other = virtual_host(vhid(), 100);
    other.key = Key::from_passphrase(b"Secret").unwrap();
    let b = sim.add(NodePlan::new("b", [10, 0, 0, 2]).host(other)).unwrap();
    sim.run_for(seconds(20));
    assert_eq!(masters(&sim), [a, b]);
    for id in [a, b] {
        assert!(sim.node(id).unwrap().stats().badauth > 5);
        assert_eq!(transitions(sim.trace(), id).len(), 2, "it never moves our state");
    }
}

#[test]
fn a_one_way_cut_makes_two_masters_until_it_heals() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    sim.run_for(seconds(10));
    // b no longer hears a, but a hears b.
    sim.cut(ids[0], ids[1]);
    sim.run_for(seconds(10));
    assert_eq!(masters(&sim), ids, "a hears only a slower master, b hears nobody");
    let healed = sim.now();
    sim.heal(ids[0], ids[1]);
    sim.run_for(seconds(5));
    assert_eq!(sim.owners(vhid()), [ids[0]]);
    let (settled, state) = last_change(&sim, ids[1]);
    assert_eq!(state, State::Backup);
    assert!(settled - healed < seconds(2));
}

#[test]
fn a_pulled_cable_moves_the_addresses_and_a_plugged_one_brings_them_back() {
    let (mut sim, ids) = nodes(1, &[0, 100], preempting);
    sim.run_for(seconds(10));
    sim.set_link(ids[0], LinkState::Down);
    sim.run_for(seconds(10));
    assert_eq!(sim.owners(vhid()), [ids[1]]);
    sim.set_link(ids[0], LinkState::Up);
    sim.run_for(seconds(10));
    assert_eq!(sim.owners(vhid()), [ids[0]]);
    let group = crate::GroupId(0);
    assert_eq!(sim.node(ids[0]).unwrap().demotion(group), 0);
}

#[test]
fn one_frame_in_twenty_lost_for_an_hour_disturbs_little() {
    let (mut sim, ids) = nodes(7, &[0, 100], preempting);
    sim.set_network(Network {
        loss_per_mille: 50,
        ..Network::default()
    });
    sim.run_for(seconds(3600));
    // Three advertisements in a row are lost once in 8000; then the backup takes over for one interval.
    let moves = transitions(sim.trace(), ids[1]).len();
    assert!(moves < 10, "{moves} transitions");
    assert_eq!(masters(&sim), [ids[0]]);
    let overlap = ownership(&sim, Instant::from_micros(10_000_000));
    assert!(
        overlap.iter().all(|(_, owners)| !owners.is_empty()),
        "somebody owns at every moment"
    );
}

#[test]
fn every_dialect_elects_the_best_node() {
    for dialect in Dialect::ALL {
        for policy in [Policy::KERNEL, Policy::HARDENED] {
            let (mut sim, ids) = with_policy(3, &[100, 0], policy, |host| {
                host.dialect = dialect;
                host.preempt = true;
            });
            sim.run_for(seconds(20));
            assert_eq!(masters(&sim), [ids[1]], "{dialect}");
            sim.crash(ids[1]);
            sim.run_for(seconds(20));
            assert_eq!(masters(&sim), [ids[0]], "{dialect}");
        }
    }
}

#[test]
fn only_an_owner_advertises() {
    let (mut sim, ids) = nodes(5, &[0, 50, 100], preempting);
    sim.set_network(Network {
        loss_per_mille: 200,
        ..Network::default()
    });
    for round in 0..20 {
        let id = ids[round % 3];
        sim.run_for(seconds(7));
        command(&mut sim, id, |node, now, host| node.hand_over(now, host).unwrap());
        sim.run_for(seconds(7));
        sim.set_link(id, LinkState::Down);
        sim.run_for(seconds(7));
        sim.set_link(id, LinkState::Up);
    }
    let mut owners = BTreeSet::new();
    let mut sent = 0;
    for entry in sim.trace() {
        match entry.kind {
            TraceKind::Owner { owner: true, .. } => assert!(owners.insert(entry.node), "{entry}"),
            TraceKind::Owner { owner: false, .. } => {
                owners.remove(&entry.node);
            }
            TraceKind::Sent(TransmitKind::Advertisement | TransmitKind::BowOut) => {
                assert!(owners.contains(&entry.node), "{entry}");
                sent += 1;
            }
            _ => {}
        }
    }
    assert!(sent > 200);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let (mut sim, ids) = nodes(seed, &[0, 50, 100], preempting);
        sim.set_network(Network {
            loss_per_mille: 300,
            ..Network::default()
        });
        sim.run_for(seconds(60));
        sim.crash(ids[0]);
        sim.run_for(seconds(60));
        let lines: Vec<String> = sim.trace().iter().map(|entry| format!("{entry}")).collect();
        lines
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn the_trace_reads_like_a_log() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    sim.run_for(seconds(4));
    sim.crash(ids[0]);
    sim.run_for(seconds(5));
    let lines: Vec<String> = sim.trace().iter().map(|entry| format!("{entry}")).collect();
    let log = lines.join("\n");
    for expected in [
        "    0.000000  a  INIT -> BACKUP (initialization complete)",
        "    3.000000  a  BACKUP -> MASTER (master timed out)",
        "    4.000000  a  crash",
        "  b  owns the addresses",
    ] {
        assert!(log.contains(expected), "{expected:?} is not in\n{log}");
    }
}

#[test]
fn a_plan_that_no_node_takes_adds_none() {
    let mut sim = Sim::new(1);
    let twice = NodePlan::new("a", [10, 0, 0, 1])
        .host(virtual_host(vhid(), 0))
        .host(virtual_host(vhid(), 1));
    assert_eq!(sim.add(twice), Err(ConfigError::Duplicate));
    assert!(sim.states(vhid()).is_empty());
}

#[test]
fn reasons_name_the_cause() {
    let (mut sim, ids) = nodes(1, &[0, 100], preempting);
    sim.run_for(seconds(5));
    sim.command(ids[0], Node::shutdown);
    sim.run_for(seconds(2));
    sim.crash(ids[0]);
    sim.restart(ids[0]);
    sim.run_for(seconds(5));
    let reasons = |id: NodeId| -> Vec<Reason> {
        let entries = sim.trace().iter().filter(|entry| entry.node == id);
        entries
            .filter_map(|entry| match entry.kind {
                TraceKind::Event(EventKind::Transition { reason, .. }) => Some(reason),
                _ => None,
            })
            .collect()
    };
    assert_eq!(
        reasons(ids[1]),
        [
            Reason::InitializationComplete,
            // The bow-out is slower than anything.
            Reason::PreemptingSlowerMaster,
            Reason::MoreFrequentAdvertisement,
        ]
    );
}

/// The HMACs of the dialects agree for one IPv4 address, so mixed groups are met with.
#[test]
fn an_openbsd_peer_is_believed_by_whoever_is_told_that_it_repeats_itself() {
    let beside_openbsd = |dialect, peers_repeat_counter| {
        let mut sim = Sim::new(5);
        let openbsd = HostConfig {
            dialect: Dialect::OpenBsd,
            ..virtual_host(vhid(), 0)
        };
        let ours = HostConfig {
            dialect,
            peers_repeat_counter,
            ..virtual_host(vhid(), 100)
        };
        let peer = NodePlan::new("peer", [10, 0, 0, 1])
            .host(openbsd)
            .policy(Policy::KERNEL);
        sim.add(peer).unwrap();
        sim.add(NodePlan::new("ours", [10, 0, 0, 2]).host(ours)).unwrap();
        sim.run_for(seconds(20));
        let told = |entry: &&TraceEntry| {
            matches!(
                entry.kind,
                TraceKind::Event(EventKind::Neighbour {
                    kind: crate::NeighbourKind::RepeatsCounter,
                    ..
                })
            )
        };
        (sim.owners(vhid()).len(), sim.trace().iter().filter(told).count())
    };
    assert_eq!(beside_openbsd(Dialect::OpenBsd, false), (1, 0));
    assert_eq!(beside_openbsd(Dialect::FreeBsd, true), (1, 0));
    assert_eq!(
        beside_openbsd(Dialect::FreeBsd, false),
        (2, 1),
        "as Policy::ignores_replays warns, and who has to be told says so, once"
    );
}

mod equals;
mod fast;
mod faults;
