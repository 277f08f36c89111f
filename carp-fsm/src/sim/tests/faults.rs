//! What can go wrong in a simulation goes wrong as it should.

use super::*;
use crate::action::TransmitResult;
use crate::id::{GroupId, IfaceId};

fn count(sim: &Sim, wanted: impl Fn(&TraceEntry) -> bool) -> usize {
    sim.trace().iter().filter(|entry| wanted(entry)).count()
}

fn is_sent(entry: &TraceEntry) -> bool {
    entry.kind == TraceKind::Sent(TransmitKind::Advertisement)
}

#[test]
fn frames_are_lost_and_duplicated_as_often_as_asked() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    let network = |loss, duplicates| Network {
        loss_per_mille: loss,
        duplicates_per_mille: duplicates,
        ..Network::default()
    };
    sim.run_for(seconds(10));
    sim.take_trace();
    sim.set_network(network(200, 0));
    sim.run_for(seconds(1_000));
    let lost = 1_000
        - count(&sim, |entry| {
            matches!(entry.kind, TraceKind::Heard { .. }) && entry.node == ids[1]
        });
    assert!((150..250).contains(&lost), "{lost} of 1000 lost");
    sim.set_network(network(0, 300));
    sim.run_for(seconds(1_000));
    let twice = sim.node(ids[1]).unwrap().stats().duplicates;
    assert!((250..350).contains(&twice), "{twice} of 1000 duplicated");
}

#[test]
fn frames_overtake_each_other_only_if_they_may() {
    let overtaken = |reorders| {
        let (mut sim, _) = nodes(1, &[0, 100], unchanged);
        sim.set_network(Network {
            delay_max: seconds(3),
            reorders,
            ..Network::default()
        });
        (0..100).any(|_| {
            sim.run_for(seconds(1));
            let under_way = sim.deliveries.iter().map(|Reverse(delivery)| delivery);
            let mut arrivals: Vec<_> = under_way.map(|one| (one.from, one.sequence, one.at)).collect();
            arrivals.sort_unstable();
            let overtakes = |pair: &[(NodeId, u64, Instant)]| pair[0].0 == pair[1].0 && pair[1].2 < pair[0].2;
            arrivals.windows(2).any(overtakes)
        })
    };
    assert!(overtaken(true));
    assert!(!overtaken(false));
}

#[test]
fn a_paused_master_hears_what_waits_before_it_says_that_it_is_one() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    sim.run_for(seconds(10));
    sim.pause(ids[0]);
    sim.run_for(seconds(10));
    assert_eq!(
        sim.states(vhid()),
        [State::Master, State::Master],
        "it keeps what it has"
    );
    sim.command(ids[0], |_, _| panic!("no command reaches it"));
    sim.take_trace();
    sim.resume(ids[0]);
    // It heard a worse master, which it answers twice, and makes up for one advertisement only.
    assert_eq!(count(&sim, |entry| is_sent(entry) && entry.node == ids[0]), 3);
    sim.run_for(seconds(1));
    assert_eq!(masters(&sim), [ids[0]]);
}

#[test]
fn a_paused_backup_hears_what_waits_before_it_takes_over() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    sim.run_for(seconds(10));
    sim.pause(ids[1]);
    sim.run_for(seconds(500));
    let waiting = sim.members[ids[1].0].inbox.len();
    assert_eq!(waiting, 64, "and the rest was lost");
    sim.resume(ids[1]);
    sim.run_for(seconds(1));
    assert_eq!(masters(&sim), [ids[0]]);
    assert_eq!(
        transitions(sim.trace(), ids[1]).len(),
        1,
        "INIT to BACKUP, and no more"
    );
}

#[test]
fn a_paused_node_learns_of_its_cable_later() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    sim.run_for(seconds(10));
    sim.pause(ids[0]);
    sim.set_link(ids[0], LinkState::Down);
    assert_eq!(sim.states(vhid())[0], State::Master);
    sim.resume(ids[0]);
    assert_eq!(sim.states(vhid())[0], State::Init);
}

#[test]
fn clocks_that_go_wrong_by_500_ppm_disturb_nothing() {
    let mut sim = Sim::new(1);
    let plan = |name, last, skew| {
        let plan = NodePlan::new(name, [10, 0, 0, last]);
        plan.host(virtual_host(vhid(), skew))
    };
    let a = sim.add(plan("a", 1, 0).clock(seconds(86_400), -500)).unwrap();
    let b = sim.add(plan("b", 2, 100).clock(Duration::ZERO, 500)).unwrap();
    sim.run_for(seconds(10));
    assert_eq!(
        became_master(&sim, a),
        Instant::from_micros(3_001_501),
        "it is slow"
    );
    assert!(sim.local_time(a) > sim.local_time(b));
    sim.run_for(seconds(3_600));
    assert_eq!(masters(&sim), [a]);
    assert_eq!(transitions(sim.trace(), b).len(), 1);
    let heard = count(&sim, |entry| matches!(entry.kind, TraceKind::Heard { .. }));
    assert!(
        (3_600..3_608).contains(&heard),
        "{heard} advertisements in an hour"
    );
    sim.crash(a);
    sim.take_trace();
    let heard_last = sim.now();
    sim.run_for(seconds(10));
    assert!(became_master(&sim, b) - heard_last < Duration::from_micros(3_390_625));
}

#[test]
fn who_cannot_send_is_replaced_and_who_cannot_own_steps_back() {
    let (mut sim, ids) = nodes(1, &[0, 100], preempting);
    sim.run_for(seconds(10));
    sim.set_sending(ids[0], TransmitResult::Error);
    sim.run_for(seconds(10));
    assert_eq!(masters(&sim), [ids[1]], "it demoted itself, and yielded");
    assert_eq!(sim.node(ids[0]).unwrap().demotion(GroupId(0)), 240);
    sim.set_sending(ids[0], TransmitResult::Sent);
    sim.run_for(seconds(60));
    assert_eq!(masters(&sim), [ids[0]]);

    sim.refuse_addresses(ids[1], true);
    sim.crash(ids[0]);
    sim.run_for(seconds(20));
    assert!(sim.owners(vhid()).is_empty());
    assert!(count(&sim, |entry| matches!(entry.kind, TraceKind::Refused { .. })) > 1);
    sim.refuse_addresses(ids[1], false);
    sim.run_for(seconds(64));
    assert_eq!(sim.owners(vhid()), [ids[1]]);
}

#[test]
fn virtual_hosts_on_several_segments_are_told_apart() {
    let (inside, outside) = (SEGMENT, IfaceId(1));
    let other = Vhid::new(8).unwrap();
    let mut sim = Sim::new(1);
    let plan = |name, last, skew| {
        let hosts = [(inside, vhid()), (outside, other)];
        hosts
            .into_iter()
            .fold(NodePlan::new(name, [10, 0, 0, last]), |plan, (iface, vhid)| {
                plan.host(HostConfig {
                    iface,
                    preempt: true,
                    ..virtual_host(vhid, skew)
                })
            })
    };
    let a = sim.add(plan("a", 1, 0)).unwrap();
    let b = sim.add(plan("b", 2, 100)).unwrap();
    sim.run_for(seconds(10));
    assert_eq!(
        (sim.owners(vhid()), sim.owners(other)),
        (Vec::from([a]), Vec::from([a]))
    );
    sim.set_link_on(a, outside, LinkState::Down);
    sim.run_for(seconds(10));
    assert_eq!(sim.owners(other), [b], "its cable was pulled");
    assert_eq!(
        sim.owners(vhid()),
        [b],
        "and the other follows, for it is demoted"
    );
    let lines: Vec<String> = sim.trace().iter().map(|entry| format!("{entry}")).collect();
    let log = lines.join("\n");
    for expected in [
        "  a  vhid 8: MASTER -> INIT (hardware interface down)",
        "  b  vhid 7: hears 1/240 from 10.0.0.1",
        "  b  vhid 8: advertises",
        "  a  cable pulled",
    ] {
        assert!(log.contains(expected), "{expected:?} is not in\n{log}");
    }
}

#[test]
fn a_cut_is_of_one_way_and_is_told() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    sim.cut(ids[0], ids[1]);
    sim.cut(ids[0], ids[1]);
    assert!(sim.is_cut(ids[0], ids[1]) && !sim.is_cut(ids[1], ids[0]));
    sim.heal(ids[0], ids[1]);
    let faults: Vec<TraceKind> = sim
        .trace()
        .iter()
        .map(|entry| entry.kind)
        .filter(|kind| matches!(kind, TraceKind::Fault(_)))
        .collect();
    assert_eq!(
        faults,
        [
            TraceKind::Fault(Fault::Cut(ids[1])),
            TraceKind::Fault(Fault::Heal(ids[1]))
        ]
    );
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let run = |seed| {
        let (mut sim, ids) = nodes(seed, &[0, 50, 100], preempting);
        sim.set_network(Network {
            loss_per_mille: 300,
            duplicates_per_mille: 300,
            delay_max: Duration::from_millis(500),
            reorders: true,
            ..Network::default()
        });
        for id in &ids {
            sim.run_for(seconds(9));
            sim.pause(*id);
            sim.run_for(seconds(9));
            sim.resume(*id);
        }
        let lines: Vec<String> = sim.trace().iter().map(|entry| format!("{entry}")).collect();
        lines
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn what_was_recorded_can_be_played_again_and_is_not_believed() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    let (a, b) = (ids[0], ids[1]);
    assert_eq!(sim.recorded().len(), 0);
    sim.record(2);
    sim.run_for(seconds(10) + Duration::from_millis(500));
    let recorded: Vec<Recorded> = sim.recorded().cloned().collect();
    assert_eq!(recorded.len(), 2);
    assert!(recorded.iter().all(|said| said.from == a));
    sim.crash(a);
    let crashed = sim.now();
    while sim.owners(vhid()) != [b] && sim.now() < crashed + seconds(10) {
        sim.run_for(Duration::from_millis(500));
        for said in &recorded {
            sim.inject(b, said);
        }
    }
    // 3 s and 100/256 s after what it heard last: no later for what it has heard before.
    let (taken, _) = *transitions(sim.trace(), b).last().unwrap();
    assert!(taken - crashed < Duration::from_micros(3_390_625), "{taken}");
    sim.record(0);
    assert_eq!(sim.recorded().len(), 0);
}
