//! The fast profile, frames and all.

use super::*;
use crate::config::Profile;
use crate::id::GroupId;
use crate::ledger::Cause;

/// Nodes of the fast profile with these advskews.
fn fast(seed: u64, skews: &[u8], dead_ratio: u8) -> (Sim, Vec<NodeId>) {
    nodes(seed, skews, |host| {
        host.profile = Profile::fast(dead_ratio);
        host.dialect = Dialect::OpenBsd;
        host.advbase = carp_proto::AdvBase::new(0);
    })
}

fn units(units: u64) -> Duration {
    Duration::from_micros(units * 1_000_000 / 256)
}

fn left(sim: &Sim) -> Vec<(NodeId, String)> {
    let entries = sim.trace().iter();
    entries
        .filter(|entry| matches!(entry.kind, TraceKind::Event(EventKind::FastProfileLeft { .. })))
        .map(|entry| (entry.node, format!("{entry}")))
        .collect()
}

#[test]
fn a_crash_is_noticed_within_milliseconds() {
    for (skews, ratio) in [([1, 2], 3), ([2, 3], 3), ([2, 3], 5), ([16, 17], 3)] {
        for phase in 0..20 {
            let (mut sim, ids) = fast(phase, &skews, ratio);
            sim.run_for(seconds(2));
            sim.run_for(Duration::from_micros(phase * 1_237));
            assert_eq!(masters(&sim), [ids[0]]);
            sim.crash(ids[0]);
            let crashed = sim.now();
            sim.run_for(seconds(1));
            assert_eq!(masters(&sim), [ids[1]]);
            let wait = became_master(&sim, ids[1]) - crashed;
            let longest = units(u64::from(skews[1]) * u64::from(ratio)) + Duration::from_micros(150);
            // It had heard the last advertisement at most one interval before.
            let shortest = longest - units(u64::from(skews[0])) - Duration::from_micros(200);
            assert!(shortest <= wait && wait <= longest, "{skews:?} x {ratio}: {wait}");
        }
    }
}

#[test]
fn a_pause_in_which_the_master_was_heard_costs_nothing() {
    for millis in 1..200 {
        let (mut sim, ids) = fast(millis, &[1, 2], 3);
        sim.run_for(seconds(2));
        let before = sim.trace().len();
        sim.pause(ids[1]);
        sim.run_for(Duration::from_millis(millis));
        sim.resume(ids[1]);
        assert_eq!(masters(&sim), [ids[0]], "after {millis} ms");
        assert_eq!(
            transitions(&sim.trace()[before..], ids[1]),
            [],
            "after {millis} ms"
        );
    }
}

#[test]
fn handing_over_and_stopping_make_before_they_break() {
    let (mut sim, ids) = fast(5, &[2, 3], 3);
    sim.run_for(seconds(1));
    let before = sim.now();
    command(&mut sim, ids[0], |node, now, host| {
        node.hand_over(now, host).unwrap();
    });
    sim.run_for(Duration::from_millis(100));
    assert_eq!(masters(&sim), [ids[1]]);
    sim.command(ids[1], Node::shutdown);
    sim.run_for(Duration::from_millis(100));
    assert_eq!(masters(&sim), [ids[0]]);
    let owners = ownership(&sim, before);
    assert!(owners.iter().all(|(_, owners)| !owners.is_empty()), "{owners:?}");
}

#[test]
fn two_equals_part() {
    for seed in 0..20 {
        let (mut sim, ids) = fast(seed, &[2, 2], 3);
        sim.run_for(seconds(5));
        let master = masters(&sim);
        assert_eq!(master.len(), 1);
        let settled = ids.iter().map(|id| last_change(&sim, *id).0).max().unwrap();
        assert!(settled < Instant::ZERO + seconds(1), "{settled}");
    }
}

#[test]
fn one_frame_in_a_hundred_lost_moves_nothing() {
    let (mut sim, ids) = fast(1, &[8, 12, 16], 3);
    sim.set_network(Network {
        loss_per_mille: 10,
        ..Network::default()
    });
    sim.run_for(seconds(1200));
    assert_eq!(masters(&sim), [ids[0]]);
    // Four advertisements or more in a row must be lost to be missed: once in 100 000 000.
    let moves = transitions(sim.trace(), ids[1]).len() + transitions(sim.trace(), ids[2]).len();
    assert!(moves <= 4, "{moves} transitions");
}

#[test]
fn a_node_without_it_ends_it_with_an_event_and_the_election_goes_on() {
    // An OpenBSD neighbour with 1/0, which nobody heard while it was BACKUP.
    let (mut sim, ids) = fast(3, &[2, 3], 3);
    let mut host = virtual_host(vhid(), 0);
    host.dialect = Dialect::OpenBsd;
    let plan = NodePlan::new("bsd", [10, 0, 0, 9])
        .policy(Policy::KERNEL)
        .host(host);
    let bsd = sim.add(plan).unwrap();
    sim.run_for(seconds(10));
    assert_eq!(masters(&sim), [ids[0]]);
    assert_eq!(left(&sim), [], "it only listens");

    // Cut off, it becomes MASTER; healed, it is heard.
    for id in &ids {
        sim.cut(*id, bsd);
        sim.cut(bsd, *id);
    }
    sim.run_for(seconds(5));
    // (It yields to the first that it hears, mostly before its own next.)
    for id in &ids {
        sim.heal(bsd, *id);
    }
    sim.run_for(seconds(2));
    for id in &ids {
        sim.heal(*id, bsd);
    }
    let healed = sim.now();
    sim.run_for(seconds(20));
    let left_by = left(&sim);
    assert_eq!(left_by.len(), 2, "each says so once: {left_by:?}");
    assert!(
        left_by[0]
            .1
            .ends_with("leaves the fast profile: 10.0.0.9 advertises 1/0"),
        "{left_by:?}"
    );
    assert_eq!(masters(&sim).len(), 1);
    let status = |sim: &Sim, id| {
        sim.node(id)
            .unwrap()
            .status(sim.host(id, vhid()).unwrap())
            .unwrap()
    };
    for id in &ids {
        let status = status(&sim, *id);
        assert!(status.left_fast);
        assert_eq!(status.advbase.get(), 1);
    }
    let late = ownership(&sim, healed + seconds(10));
    assert!(late.iter().all(|(_, owners)| owners.len() == 1), "{late:?}");

    // Taken out, and the configuration given again: the master first, then the others.
    sim.crash(bsd);
    sim.run_for(seconds(10));
    let first = masters(&sim)[0];
    let second = ids.iter().copied().find(|id| *id != first).unwrap();
    for id in [first, second] {
        let config = sim
            .node(id)
            .unwrap()
            .config(sim.host(id, vhid()).unwrap())
            .unwrap()
            .clone();
        command(&mut sim, id, |node, now, host| {
            node.reconfigure(now, host, config).unwrap();
        });
        sim.run_for(Duration::from_millis(50));
    }
    sim.run_for(seconds(5));
    assert_eq!(left(&sim).len(), 2, "nobody left again");
    assert!(ids.iter().all(|id| !status(&sim, *id).left_fast));
    assert_eq!(masters(&sim), [first]);
}

/// A FreeBSD or UCarp neighbour hears advbase 0 as the best there is, and stays BACKUP.
#[test]
fn other_dialects_follow_a_fast_master() {
    for dialect in [Dialect::FreeBsd, Dialect::NetBsd, Dialect::Ucarp] {
        let (mut sim, ids) = fast(4, &[2, 3], 3);
        let mut host = virtual_host(vhid(), 0);
        host.dialect = dialect;
        let policy = Policy {
            ignores_replays: false,
            ..Policy::KERNEL
        };
        sim.add(NodePlan::new("other", [10, 0, 0, 9]).policy(policy).host(host))
            .unwrap();
        sim.run_for(seconds(30));
        assert_eq!(masters(&sim), [ids[0]], "{dialect}");
        assert_eq!(left(&sim), []);
    }
}

#[test]
fn impossible_values_are_refused() {
    let plan = |change: &dyn Fn(&mut HostConfig<ADDRS>)| {
        let mut host = virtual_host(vhid(), 2);
        host.profile = Profile::fast(3);
        host.dialect = Dialect::OpenBsd;
        host.advbase = carp_proto::AdvBase::new(0);
        change(&mut host);
        Sim::new(1)
            .add(NodePlan::new("a", [10, 0, 0, 1]).host(host))
            .map(|_| ())
    };
    assert_eq!(plan(&|_| {}), Ok(()));
    assert_eq!(
        plan(&|host| host.profile = Profile::fast(2)),
        Err(ConfigError::FastDeadRatio)
    );
    assert_eq!(
        plan(&|host| host.advbase = carp_proto::AdvBase::new(1)),
        Err(ConfigError::FastAdvBase)
    );
    assert_eq!(
        plan(&|host| {
            host.dialect = Dialect::FreeBsd;
            host.advbase = carp_proto::AdvBase::new(1);
        }),
        Err(ConfigError::FastDialect)
    );
}

/// Its own three intervals are less than one of its successor's: it must know the other's when it becomes BACKUP, not
/// only when it hears it for the second time.
#[test]
fn a_successor_that_is_much_slower_keeps_what_was_handed_over() {
    let (mut sim, ids) = fast(3, &[16, 240], 3);
    sim.run_for(seconds(5));
    let host = sim.host(ids[0], vhid()).unwrap();
    sim.command(ids[0], |node, now| node.hand_over(now, host).unwrap());
    sim.run_for(Duration::from_millis(1));
    assert_eq!(masters(&sim), [ids[1]]);
    let before = sim.trace().len();
    sim.run_for(seconds(20));
    assert_eq!(transitions(&sim.trace()[before..], ids[0]), []);
    // A change that starts the timers anew forgets nothing, either.
    for weight in [true, false] {
        sim.command(ids[0], |node, now| node.set_maintenance(now, weight));
        sim.run_for(Duration::from_millis(300));
    }
    assert_eq!(transitions(&sim.trace()[before..], ids[0]), []);
}

/// By demotion the slower one wins, and the faster one must wait for it.
#[test]
fn who_yields_to_a_slower_one_that_is_less_demoted_waits_for_it() {
    let (mut sim, ids) = fast(4, &[16, 240], 3);
    // Before it has announced for the second time: later it would say a last word, and the other would answer it.
    sim.run_for(Duration::from_millis(200));
    sim.command(ids[0], |node, now| {
        node.demote(now, GroupId(0), Cause::Operator, 1).unwrap();
    });
    sim.run_for(Duration::from_millis(1));
    assert_eq!(masters(&sim), [ids[1]]);
    let before = sim.trace().len();
    sim.run_for(seconds(20));
    assert_eq!(transitions(&sim.trace()[before..], ids[0]), []);
}
