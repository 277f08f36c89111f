//! Key and addresses change on living nodes, one after the other (protocol.md §11).

use std::net::IpAddr;

use super::*;

const BOTH_ORDERS: [[usize; 2]; 2] = [[0, 1], [1, 0]];

/// A dialect, and whether the virtual host has a link-local address: OpenBSD then has two digests.
const DIALECTS: [(Dialect, bool); 5] = [
    (Dialect::FreeBsd, false),
    (Dialect::OpenBsd, false),
    (Dialect::OpenBsd, true),
    (Dialect::NetBsd, false),
    (Dialect::Ucarp, false),
];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn other_key(host: &mut HostConfig<ADDRS>) {
    host.key = Key::from_passphrase(b"another").unwrap();
}

fn add(address: IpAddr) -> impl Fn(&mut HostConfig<ADDRS>) {
    move |host| {
        host.addresses.insert(address).unwrap();
    }
}

fn remove(address: IpAddr) -> impl Fn(&mut HostConfig<ADDRS>) {
    move |host| {
        assert!(host.addresses.remove(&address));
    }
}

fn reconfigure(sim: &mut Sim, id: NodeId, change: &impl Fn(&mut HostConfig<ADDRS>)) {
    command(sim, id, |node, now, host| {
        let mut config = node.config(host).unwrap().clone();
        change(&mut config);
        node.reconfigure(now, host, config).unwrap();
    });
}

fn changes(sim: &Sim, ids: &[NodeId]) -> usize {
    ids.iter().map(|id| transitions(sim.trace(), *id).len()).sum()
}

/// Elects one master among `skews.len()` nodes, then makes the changes in this order, `apart` from each other, and
/// waits until everything old is forgotten. Returns the number of transitions since.
fn transitions_during(
    start: impl Fn(&mut HostConfig<ADDRS>),
    change: impl Fn(&mut HostConfig<ADDRS>),
    order: &[usize],
    apart: Duration,
) -> usize {
    let (mut sim, ids) = nodes(1, &[0, 100, 200][..order.len()], start);
    sim.run_for(seconds(10));
    assert_eq!(masters(&sim), [ids[0]]);
    let before = changes(&sim, &ids);
    for index in order {
        reconfigure(&mut sim, ids[*index], &change);
        sim.run_for(apart);
    }
    sim.run_for(seconds(200));
    changes(&sim, &ids) - before
}

#[test]
fn a_key_changes_ten_seconds_apart() {
    for (dialect, link_local) in DIALECTS {
        let start = |host: &mut HostConfig<ADDRS>| {
            host.dialect = dialect;
            if link_local {
                add(address("fe80::7"))(host);
            }
        };
        for order in BOTH_ORDERS {
            let count = transitions_during(start, other_key, &order, seconds(10));
            assert_eq!(count, 0, "{dialect:?}, {link_local}, {order:?}");
        }
    }
}

#[test]
fn an_address_comes_and_goes_ten_seconds_apart() {
    for (dialect, link_local) in DIALECTS {
        if dialect == Dialect::Ucarp {
            continue; // It hashes one address for ever.
        }
        let start = |host: &mut HostConfig<ADDRS>| {
            host.dialect = dialect;
            if link_local {
                add(address("fe80::7"))(host);
            }
        };
        let more = address("192.0.2.200");
        let with_more = |host: &mut HostConfig<ADDRS>| {
            start(host);
            add(more)(host);
        };
        for order in BOTH_ORDERS {
            let added = transitions_during(start, add(more), &order, seconds(10));
            let removed = transitions_during(with_more, remove(more), &order, seconds(10));
            assert_eq!((added, removed), (0, 0), "{dialect:?}, {link_local}, {order:?}");
        }
    }
}

#[test]
fn the_first_address_of_a_family_comes_and_the_last_goes() {
    let six = address("2001:db8::7");
    for order in BOTH_ORDERS {
        assert_eq!(transitions_during(unchanged, add(six), &order, seconds(10)), 0);
        assert_eq!(transitions_during(add(six), remove(six), &order, seconds(10)), 0);
        let link_local = address("fe80::7");
        let openbsd = |host: &mut HostConfig<ADDRS>| host.dialect = Dialect::OpenBsd;
        assert_eq!(
            transitions_during(openbsd, add(link_local), &order, seconds(10)),
            0
        );
    }
}

#[test]
fn three_nodes_change_in_any_order() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(
            transitions_during(unchanged, other_key, &order, seconds(25)),
            0,
            "{order:?}"
        );
    }
}

#[test]
fn who_changes_too_late_is_alone_until_it_does() {
    for order in BOTH_ORDERS {
        let count = transitions_during(unchanged, other_key, &order, seconds(70));
        assert!(count > 0, "{order:?}");
    }
}

#[test]
fn changes_may_follow_each_other() {
    for order in BOTH_ORDERS {
        let (mut sim, ids) = nodes(1, &[0, 100], unchanged);
        sim.run_for(seconds(10));
        let before = changes(&sim, &ids);
        for last in 200..205 {
            for index in order {
                reconfigure(&mut sim, ids[index], &add([192, 0, 2, last].into()));
                sim.run_for(seconds(10));
            }
        }
        // Changed and changed back, while one of them heard of neither.
        sim.run_for(seconds(200));
        reconfigure(&mut sim, ids[order[0]], &other_key);
        sim.run_for(seconds(10));
        reconfigure(&mut sim, ids[order[0]], &|host| {
            host.key = virtual_host(vhid(), 0).key;
        });
        sim.run_for(seconds(200));
        assert_eq!(changes(&sim, &ids), before);
    }
}

#[test]
fn a_master_that_dies_during_a_change_is_replaced_in_time() {
    for order in [[0, 1, 2], [1, 2, 0]] {
        let (mut sim, ids) = nodes(1, &[0, 100, 200], unchanged);
        sim.run_for(seconds(10));
        for (index, id) in order.into_iter().enumerate() {
            if sim.node(ids[id]).is_some() {
                reconfigure(&mut sim, ids[id], &other_key);
            }
            sim.run_for(seconds(10));
            if index == 1 {
                sim.crash(ids[0]);
                sim.run_for(seconds(4));
                assert_eq!(masters(&sim), [ids[1]]);
            }
        }
        sim.run_for(seconds(200));
        assert_eq!(masters(&sim), [ids[1]]);
        assert_eq!(changes(&sim, &ids[2..]), 1, "the third waits all the time");
    }
}

/// Nodes 0, 1 and 2 of which these are kernels: they change at once, and know no other key before or after.
fn with_kernels(kernels: &[usize], kernel: Policy) -> (Sim, Vec<NodeId>) {
    let mut sim = Sim::new(1);
    let mut add = |index: usize| {
        let number = u8::try_from(index).unwrap();
        let policy = if kernels.contains(&index) {
            kernel
        } else {
            Policy::HARDENED
        };
        let host = virtual_host(vhid(), number * 100);
        let plan = NodePlan::new(["a", "b", "c"][index], [10, 0, 0, number + 1]);
        sim.add(plan.policy(policy).host(host)).unwrap()
    };
    let ids = (0..3).map(&mut add).collect();
    sim.run_for(seconds(10));
    (sim, ids)
}

/// Who cannot help it: it does not understand the MASTER, node 0, for a while.
fn is_deaf(index: usize, kernels: &[usize], order: &[usize]) -> bool {
    let position = |of| order.iter().position(|index| *index == of).unwrap();
    let before_the_master = position(index) < position(0);
    match (kernels.contains(&0), kernels.contains(&index)) {
        _ if index == 0 => false,
        // A MASTER of ours is understood by whoever has not changed, and by whoever changes after it.
        (false, kernel) => kernel && before_the_master,
        (true, false) => !before_the_master,
        (true, true) => true,
    }
}

/// Whoever can understand the MASTER all the time never moves; everybody does, in the end.
#[test]
fn whatever_the_order_among_ours_and_kernels_nobody_moves_who_need_not() {
    let at_once = Policy {
        change_grace: Duration::ZERO,
        ..Policy::HARDENED
    };
    for kernel in [at_once, Policy::KERNEL] {
        for kernels in [&[][..], &[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2]] {
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let (mut sim, ids) = with_kernels(kernels, kernel);
                assert_eq!(masters(&sim), [ids[0]]);
                let before = sim.trace().len();
                for index in order {
                    reconfigure(&mut sim, ids[index], &other_key);
                    sim.run_for(seconds(25));
                }
                let case = format!("kernels {kernels:?}, order {order:?}");
                assert_eq!(masters(&sim), [ids[0]], "{case}");
                sim.run_for(seconds(200));
                assert_eq!(masters(&sim), [ids[0]], "{case}");
                for (index, id) in ids.iter().enumerate() {
                    let moves = transitions(&sim.trace()[before..], *id).len();
                    let deaf = is_deaf(index, kernels, &order);
                    assert!(moves == 0 || deaf, "{case}: {index} moves without need");
                }
            }
        }
    }
}
