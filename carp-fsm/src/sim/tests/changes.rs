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

/// As a kernel does, which knows no old key: whoever hears it answers with the new one at once.
#[test]
fn a_peer_that_changes_at_once_is_understood_and_understands() {
    for at_once in [0, 1] {
        let mut sim = Sim::new(1);
        let ids = [0, 1].map(|index| {
            let mut policy = Policy::HARDENED;
            if index == at_once {
                policy.change_grace = Duration::ZERO;
            }
            let number = u8::try_from(index).unwrap();
            let host = virtual_host(vhid(), number * 100);
            sim.add(
                NodePlan::new("node", [10, 0, 0, number + 1])
                    .policy(policy)
                    .host(host),
            )
            .unwrap()
        });
        sim.run_for(seconds(10));
        let (ours, kernel) = (ids[1 - at_once], ids[at_once]);
        reconfigure(&mut sim, ours, &other_key);
        sim.run_for(seconds(10));
        assert_eq!(masters(&sim), [ids[0]]);
        reconfigure(&mut sim, kernel, &other_key);
        sim.run_for(seconds(4));
        assert_eq!(masters(&sim), [ids[0]], "the kernel is number {at_once}");
        sim.run_for(seconds(200));
        assert_eq!(masters(&sim), [ids[0]]);
    }
}
