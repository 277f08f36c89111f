//! Hand-over and clean shutdown.

use super::*;

#[test]
fn a_planned_hand_over_makes_before_it_breaks() {
    for preempt in [false, true] {
        for mode in [LinkMode::Plain, LinkMode::Vmac] {
            let (mut sim, ids) = nodes(1, &[0, 100], |host| {
                host.preempt = preempt;
                host.mode = mode;
            });
            sim.run_for(seconds(10));
            let asked = sim.now();
            command(&mut sim, ids[0], |node, now, host| {
                node.hand_over(now, host).unwrap();
            });
            sim.run_for(seconds(30));
            assert_eq!(sim.owners(vhid()), [ids[1]], "and it stays there");
            for (at, owners) in ownership(&sim, asked) {
                assert!(!owners.is_empty(), "nobody owns at {at}");
            }
            let done = sim.trace().iter().find_map(|entry| match entry.kind {
                TraceKind::Event(EventKind::HandOver {
                    outcome: HandOver::Done(after),
                    ..
                }) => Some(after),
                _ => None,
            });
            assert!(done.unwrap() < Duration::from_millis(2));
        }
    }
}

#[test]
fn a_hand_over_without_a_successor_is_called_off() {
    let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
    sim.run_for(seconds(10));
    sim.crash(ids[1]);
    let asked = sim.now();
    command(&mut sim, ids[0], |node, now, host| {
        node.hand_over(now, host).unwrap();
    });
    sim.run_for(seconds(3));
    assert_eq!(sim.owners(vhid()), [ids[0]]);
    assert!(
        ownership(&sim, asked)
            .iter()
            .all(|(_, owners)| owners == &[ids[0]])
    );
}

#[test]
fn both_nodes_asked_to_hand_over_keep_one_master() {
    let (mut sim, ids) = nodes(1, &[0, 100], preempting);
    sim.run_for(seconds(10));
    for id in &ids {
        command(&mut sim, *id, |node, now, host| {
            node.hand_over(now, host).unwrap();
        });
    }
    sim.run_for(seconds(10));
    assert_eq!(sim.owners(vhid()).len(), 1);
}

#[test]
fn a_clean_shutdown_loses_no_moment_of_ownership() {
    for mode in [LinkMode::Plain, LinkMode::Vmac] {
        for seed in 0..50 {
            let (mut sim, ids) = nodes(seed, &[0, 100, 200], |host| host.mode = mode);
            sim.run_for(seconds(10));
            let bowed_out = sim.now();
            sim.command(ids[0], Node::shutdown);
            sim.run_for(seconds(5));
            assert!(sim.node(ids[0]).unwrap().is_quiet());
            for (at, owners) in ownership(&sim, bowed_out) {
                assert!(!owners.is_empty(), "seed {seed}: nobody owns at {at}");
            }
            assert_eq!(
                sim.owners(vhid()),
                [ids[1]],
                "seed {seed}: one owner after settling"
            );
            let taken = became_master(&sim, ids[1]) - bowed_out;
            assert!(taken < Duration::from_millis(1), "seed {seed}: {taken}");
        }
    }
}
