//! Maintenance mode, with peers of every kind.

use core::net::IpAddr;

use std::vec::Vec;

use carp_proto::AdvBase;

use super::*;
use crate::{Cause, GroupId};

fn maintain(sim: &mut Sim, id: NodeId, maintenance: bool) {
    sim.command(id, |node, now| node.set_maintenance(now, maintenance));
}

fn demote(sim: &mut Sim, id: NodeId, weight: u16) {
    sim.command(id, |node, now| {
        node.demote(now, GroupId(0), Cause::Operator, weight).unwrap();
    });
}

/// How hand-overs of a node ended.
fn outcomes(sim: &Sim, id: NodeId) -> Vec<(HandOver, Option<IpAddr>)> {
    let of_node = sim.trace().iter().filter(|entry| entry.node == id);
    of_node
        .filter_map(|entry| match entry.kind {
            TraceKind::Event(EventKind::HandOver { outcome, peer, .. }) => Some((outcome, peer)),
            _ => None,
        })
        .collect()
}

fn bow_outs(sim: &Sim) -> usize {
    let sent = TraceKind::Sent(TransmitKind::BowOut);
    sim.trace().iter().filter(|entry| entry.kind == sent).count()
}

fn somebody_always_owns(sim: &Sim, from: Instant) {
    for (at, owners) in ownership(sim, from) {
        assert!(!owners.is_empty(), "nobody owns at {at}");
    }
}

/// Two nodes, of which the first is MASTER.
fn pair(dialect: Dialect, preempt: bool) -> (Sim, Vec<NodeId>) {
    let (mut sim, ids) = nodes(1, &[0, 100], |host| {
        host.dialect = dialect;
        host.preempt = preempt;
    });
    sim.run_for(seconds(10));
    (sim, ids)
}

#[test]
fn the_address_moves_at_once_whether_or_not_the_peer_preempts_and_stays_there() {
    for dialect in Dialect::ALL {
        for preempt in [false, true] {
            let (mut sim, ids) = pair(dialect, preempt);
            let entered = sim.now();
            maintain(&mut sim, ids[0], true);
            sim.run_for(Duration::from_millis(50));
            assert_eq!(sim.owners(vhid()), [ids[1]], "{dialect} {preempt}");
            let (outcome, peer) = outcomes(&sim, ids[0])[0];
            assert!(matches!(outcome, HandOver::Done(after) if after < Duration::from_millis(1)));
            assert_eq!(peer, Some([10, 0, 0, 2].into()));
            somebody_always_owns(&sim, entered);

            sim.run_for(seconds(60));
            assert_eq!(sim.owners(vhid()), [ids[1]], "{dialect} {preempt}");
            assert_eq!(bow_outs(&sim), 1, "{dialect} {preempt}");
        }
    }
}

#[test]
fn leaving_takes_the_address_back_only_with_preemption() {
    for dialect in Dialect::ALL {
        for preempt in [false, true] {
            let (mut sim, ids) = pair(dialect, preempt);
            maintain(&mut sim, ids[0], true);
            sim.run_for(seconds(10));
            let left = sim.now();
            maintain(&mut sim, ids[0], false);
            sim.run_for(seconds(2));
            let owner = if preempt { ids[0] } else { ids[1] };
            assert_eq!(sim.owners(vhid()), [owner], "{dialect} {preempt}");
            somebody_always_owns(&sim, left);
        }
    }
}

#[test]
fn who_leaves_before_the_successor_is_heard_stays_master_if_it_is_better() {
    for dialect in Dialect::ALL {
        for preempt in [false, true] {
            let (mut sim, ids) = pair(dialect, preempt);
            let entered = sim.now();
            maintain(&mut sim, ids[0], true);
            maintain(&mut sim, ids[0], false);
            sim.run_for(seconds(10));
            assert_eq!(sim.owners(vhid()), [ids[0]], "{dialect} {preempt}");
            somebody_always_owns(&sim, entered);
        }
    }
}

#[test]
fn leaving_restores_the_advskew_that_is_configured_now() {
    let (mut sim, ids) = nodes(1, &[0], unchanged);
    sim.run_for(seconds(10));
    maintain(&mut sim, ids[0], true);
    let skew = |sim: &Sim| {
        let host = sim.host(ids[0], vhid()).unwrap();
        sim.node(ids[0]).unwrap().status(host).unwrap().advskew.get()
    };
    assert_eq!(skew(&sim), 240, "254 on FreeBSD's wire");
    command(&mut sim, ids[0], |node, now, host| {
        node.reconfigure(now, host, virtual_host(vhid(), 33)).unwrap();
    });
    assert_eq!(skew(&sim), 240);
    maintain(&mut sim, ids[0], false);
    assert_eq!(skew(&sim), 33);
}

#[test]
fn a_peer_without_an_advantage_is_moved_to_all_the_same() {
    for dialect in Dialect::ALL {
        for preempt in [false, true] {
            let (mut sim, ids) = pair(dialect, preempt);
            // On the wire it is as bad as maintenance, or worse.
            demote(&mut sim, ids[1], 240);
            sim.run_for(seconds(5));
            let entered = sim.now();
            maintain(&mut sim, ids[0], true);
            sim.run_for(seconds(60));
            assert_eq!(sim.owners(vhid()), [ids[1]], "{dialect} {preempt}");
            somebody_always_owns(&sim, entered);
        }
    }
}

#[test]
fn a_slower_master_gets_the_address_too() {
    for preempt in [false, true] {
        let mut sim = Sim::new(1);
        let host = |base, skew| HostConfig {
            advbase: AdvBase::new(base),
            preempt,
            ..virtual_host(vhid(), skew)
        };
        let fast = sim
            .add(NodePlan::new("fast", [10, 0, 0, 1]).host(host(1, 0)))
            .unwrap();
        let slow = sim
            .add(NodePlan::new("slow", [10, 0, 0, 2]).host(host(2, 0)))
            .unwrap();
        sim.run_for(seconds(10));
        maintain(&mut sim, fast, true);
        sim.run_for(seconds(10));
        assert_eq!(sim.owners(vhid()), [slow]);

        // Both MASTER, and the slower one is heard before it knows that it would have to yield.
        for (from, to) in [(fast, slow), (slow, fast)] {
            sim.cut(from, to);
        }
        sim.run_for(seconds(10));
        assert_eq!(sim.owners(vhid()), [fast, slow]);
        sim.heal(slow, fast);
        let healed = sim.now();
        sim.run_for(seconds(3));
        sim.heal(fast, slow);
        sim.run_for(seconds(10));
        assert_eq!(sim.owners(vhid()), [slow]);
        somebody_always_owns(&sim, healed);
    }
}

#[test]
fn alone_it_stays_master_and_says_so() {
    let (mut sim, ids) = nodes(1, &[0], unchanged);
    sim.run_for(seconds(10));
    let entered = sim.now();
    maintain(&mut sim, ids[0], true);
    sim.run_for(seconds(60));
    let nobody = HandOver::NobodyTookOver(Policy::HARDENED.leave_wait);
    assert_eq!(outcomes(&sim, ids[0]), [(nobody, None)]);
    assert_eq!(bow_outs(&sim), 1);
    somebody_always_owns(&sim, entered);
}

#[test]
fn a_backup_has_nothing_to_hand_over_and_takes_over_after_everybody_else() {
    let (mut sim, ids) = nodes(1, &[0, 50, 100], preempting);
    sim.run_for(seconds(10));
    maintain(&mut sim, ids[1], true);
    assert_eq!(outcomes(&sim, ids[1]), [(HandOver::NotMaster, None)]);
    sim.crash(ids[0]);
    sim.run_for(seconds(5));
    assert_eq!(masters(&sim), [ids[2]]);
    assert_eq!(transitions(sim.trace(), ids[1]).len(), 1, "not even for a moment");
    sim.crash(ids[2]);
    sim.run_for(seconds(5));
    assert_eq!(masters(&sim), [ids[1]], "somebody must be");
    sim.restart(ids[2]);
    sim.run_for(seconds(5));
    assert_eq!(masters(&sim), [ids[2]]);
}

#[test]
fn a_master_that_leaves_is_replaced_by_a_node_in_maintenance_if_there_is_no_other() {
    for dialect in Dialect::ALL {
        let (mut sim, ids) = nodes(1, &[0, 100], |host| host.dialect = dialect);
        sim.run_for(seconds(10));
        maintain(&mut sim, ids[1], true);
        let stopped = sim.now();
        sim.command(ids[0], Node::shutdown);
        sim.run_for(seconds(3));
        assert_eq!(sim.owners(vhid()), [ids[1]], "{dialect}");
        somebody_always_owns(&sim, stopped);
    }
}

#[test]
fn both_in_maintenance_keep_one_master_and_do_not_play_ping_pong() {
    for dialect in Dialect::ALL {
        for preempt in [false, true] {
            for pause in [0, 100, 20_000] {
                let (mut sim, ids) = nodes(1, &[0, 100], |host| {
                    host.dialect = dialect;
                    host.preempt = preempt;
                });
                sim.run_for(seconds(10));
                for id in &ids {
                    maintain(&mut sim, *id, true);
                    sim.run_for(Duration::from_millis(pause));
                }
                sim.run_for(seconds(10));
                let (then, owners) = (sim.now(), sim.owners(vhid()));
                assert_eq!(owners.len(), 1, "{dialect} {preempt} {pause}");
                sim.run_for(seconds(60));
                assert_eq!(sim.owners(vhid()), owners);
                assert!(bow_outs(&sim) <= 2, "{dialect} {preempt} {pause}");
                for id in &ids {
                    assert!(transitions(sim.trace(), *id).iter().all(|(at, _)| *at < then));
                }
            }
        }
    }
}

#[test]
fn two_in_maintenance_that_meet_as_masters_agree() {
    for dialect in Dialect::ALL {
        for seed in 0..20 {
            let (mut sim, ids) = nodes(seed, &[0, 100], |host| host.dialect = dialect);
            for id in &ids {
                maintain(&mut sim, *id, true);
            }
            sim.cut(ids[0], ids[1]);
            sim.cut(ids[1], ids[0]);
            sim.run_for(seconds(20));
            assert_eq!(sim.owners(vhid()), ids);
            sim.heal(ids[0], ids[1]);
            sim.heal(ids[1], ids[0]);
            sim.run_for(seconds(15));
            let (then, owners) = (sim.now(), sim.owners(vhid()));
            assert_eq!(owners.len(), 1, "{dialect} {seed}");
            sim.run_for(seconds(30));
            for id in &ids {
                assert!(transitions(sim.trace(), *id).iter().all(|(at, _)| *at < then));
            }
        }
    }
}

#[test]
fn two_of_three_in_maintenance_leave_it_to_the_third() {
    for dialect in Dialect::ALL {
        for preempt in [false, true] {
            for order in [[0, 1], [1, 0], [0, 2], [2, 0], [1, 2]] {
                let (mut sim, ids) = nodes(1, &[0, 100, 200], |host| {
                    host.dialect = dialect;
                    host.preempt = preempt;
                });
                sim.run_for(seconds(10));
                for node in order {
                    maintain(&mut sim, ids[node], true);
                    sim.run_for(seconds(5));
                }
                let third = (0..3).find(|node| !order.contains(node)).unwrap();
                assert_eq!(sim.owners(vhid()), [ids[third]], "{dialect} {preempt} {order:?}");
            }
        }
    }
}

/// The third has a larger advbase: it is slower than who is in maintenance, and yields to it. Each bow-out would call all
/// of them back.
#[test]
fn two_in_maintenance_and_a_slower_third_do_not_hand_over_in_a_circle() {
    for dialect in Dialect::ALL {
        let (mut sim, ids) = nodes(1, &[100, 0, 200], |host| {
            host.dialect = dialect;
            host.preempt = true;
            host.advbase = AdvBase::new(if host.advskew.get() == 200 { 2 } else { 1 });
        });
        sim.run_for(seconds(10));
        for node in [0, 1] {
            maintain(&mut sim, ids[node], true);
        }
        sim.run_for(seconds(30));
        assert!(bow_outs(&sim) <= 4, "{dialect}: {}", bow_outs(&sim));
        assert_eq!(sim.owners(vhid()).len(), 1, "{dialect}");
    }
}

/// FreeBSD's wire cannot tell maintenance from demotion: 240 is all there is. Nobody preempts on a tie, so the
/// demoted node keeps what it has, and gets what is handed over to it.
#[test]
fn on_a_tie_with_a_demoted_node_the_demoted_node_is_master() {
    for preempt in [false, true] {
        let (mut sim, ids) = nodes(1, &[0, 10], |host| host.preempt = preempt);
        sim.run_for(seconds(10));
        demote(&mut sim, ids[0], 240);
        sim.run_for(seconds(5));
        assert_eq!(
            sim.owners(vhid()),
            [ids[usize::from(preempt)]],
            "demotion moves it only with preemption"
        );
        maintain(&mut sim, ids[1], true);
        sim.run_for(seconds(30));
        assert_eq!(sim.owners(vhid()), [ids[0]]);
        sim.command(ids[0], |node, now| {
            node.clear(now, GroupId(0), Cause::Operator).unwrap();
        });
        sim.run_for(seconds(30));
        assert_eq!(sim.owners(vhid()), [ids[0]]);
    }
}
