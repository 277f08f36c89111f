//! Nodes that have each other as peers, with and without multicast.

use super::*;
use crate::node::Peer;

/// Three nodes of which each has the others as peers.
fn unicast(seed: u64, multicast: bool, change: impl Fn(&mut HostConfig<ADDRS>)) -> (Sim, Vec<NodeId>) {
    let mut sim = Sim::new(seed);
    let mut ids = Vec::new();
    for number in 1..=3_u8 {
        let mut host = virtual_host(vhid(), (number - 1) * 100);
        change(&mut host);
        let others = (1..=3).filter(|other| *other != number);
        let peers: Vec<Peer> = others
            .map(|other| Peer {
                address: [10, 0, 0, other].into(),
                min_ttl: 255,
            })
            .collect();
        let plan = NodePlan::new(["a", "b", "c"][usize::from(number) - 1], [10, 0, 0, number]);
        ids.push(sim.add(plan.unicast(multicast, &peers).host(host)).unwrap());
    }
    (sim, ids)
}

/// What happens to three nodes, whatever way they speak: (when, which, to).
fn story(mut sim: Sim, ids: &[NodeId]) -> Vec<(Instant, NodeId, State)> {
    sim.set_network(Network {
        delay_min: Duration::from_micros(100),
        delay_max: Duration::from_micros(100),
        ..Network::default()
    });
    sim.run_for(seconds(10));
    sim.crash(ids[0]);
    sim.run_for(seconds(10));
    sim.restart(ids[0]);
    sim.run_for(seconds(10));
    command(&mut sim, ids[0], |node, now, host| {
        node.hand_over(now, host).unwrap();
    });
    sim.run_for(seconds(10));
    command(&mut sim, ids[1], |node, now, host| {
        node.set_enabled(now, host, false).unwrap();
    });
    sim.run_for(seconds(10));
    let mut all = Vec::new();
    for id in ids {
        all.extend(
            transitions(sim.trace(), *id)
                .into_iter()
                .map(|(at, to)| (at, *id, to)),
        );
    }
    all
}

#[test]
fn three_nodes_do_by_unicast_what_they_do_by_multicast() {
    for dialect in [Dialect::FreeBsd, Dialect::OpenBsd, Dialect::NetBsd] {
        let change = |host: &mut HostConfig<ADDRS>| {
            host.dialect = dialect;
            host.preempt = true;
        };
        let (sim, ids) = nodes(1, &[0, 100, 200], change);
        let expected = story(sim, &ids);
        assert!(expected.len() >= 10, "{expected:?}");
        for multicast in [false, true] {
            let (sim, ids) = unicast(1, multicast, change);
            assert_eq!(story(sim, &ids), expected, "{dialect:?}, multicast: {multicast}");
        }
    }
}

#[test]
fn without_multicast_nobody_else_hears_anything() {
    let (mut sim, ids) = unicast(1, false, unchanged);
    let stranger = sim
        .add(NodePlan::new("d", [10, 0, 0, 4]).host(virtual_host(vhid(), 50)))
        .unwrap();
    sim.run_for(seconds(20));
    assert_eq!(sim.node(stranger).unwrap().stats().ipackets, 0);
    // It speaks to all, and they believe it, for it knows the key; FreeBSD asks no more.
    assert_eq!(masters(&sim), [ids[0], stranger]);
}

#[test]
fn peers_of_one_family_are_enough_for_both() {
    let six = |host: &mut HostConfig<ADDRS>| {
        host.addresses.insert("2001:db8::7".parse().unwrap()).unwrap();
    };
    let (mut sim, ids) = unicast(1, false, six);
    sim.run_for(seconds(20));
    assert_eq!(masters(&sim), [ids[0]]);
    assert_eq!(sim.node(ids[1]).unwrap().stats().ipackets6, 0);
}
