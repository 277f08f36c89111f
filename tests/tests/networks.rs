//! Elections on networks of every kind: how many nodes, which addresses, which interfaces, who else is there.
//!
//! Root and iproute2 are needed, for some tests UCarp or keepalived. Without them the tests say that they are left out;
//! with `CI=true` they fail.
#![cfg(target_os = "linux")]

mod live;

use std::net::IpAddr;
use std::time::Duration;

use carp_std::linux::Clock;
use carpd::lab::topology::{PREFIX_LEN, PREFIX_LEN_V6, Topology};
use carpd::lab::{Lab, Plan, Setup, Software, VIP, VIP_V6};
use live::{
    A, B, crash_to, eventually, lab, lab_in, masters_during, owners, reboot, settle, state, status,
    succession_to,
};

const C: usize = 2;
/// `3 * advbase + advskew / 256` for advskew 100 and 200, in milliseconds.
const MASTER_DOWN: [u64; 2] = [3390, 3781];
/// What a busy machine may add.
const SLACK: u64 = 500;

fn carpd<const N: usize>() -> [Setup; N] {
    std::array::from_fn(|node| Setup::new(Software::Carpd, [0, 100, 200, 220, 240][node]))
}

fn start<const N: usize>(lab: &mut Lab<N>) {
    for node in 0..N {
        lab.start(node).unwrap();
    }
    settle(lab, A);
}

/// Crash and return of the best node, then a clean stop.
fn whole_life<const N: usize>(lab: &mut Lab<N>) {
    start(lab);
    dies(lab, A, B, MASTER_DOWN[0]);
    settle(lab, B);
    reboot(lab, A);
    settle(lab, A);

    let stopped = Clock.now();
    lab.nodes[A].terminate();
    let handed_over = succession_to(lab, A, B, stopped);
    assert!((handed_over.first - stopped).as_micros() < 1000 * SLACK);
    lab.nodes[A].wait_for_end().unwrap();
    settle(lab, B);
}

/// Waits until a node is the only master that the client hears, which others may be, too.
fn settle_among_owners<const N: usize>(lab: &mut Lab<N>, master: usize) {
    lab.client.settle(&lab.nodes[master], live::PATIENCE).unwrap();
}

/// Kills a node, and measures the time from its last advertisement to the first one of its heir.
fn dies<const N: usize>(lab: &mut Lab<N>, node: usize, heir: usize, millis: u64) {
    let succession = crash_to(lab, node, heir);
    let detection = (succession.first - succession.last).as_micros() / 1000;
    assert!(
        (millis - 20..millis + SLACK).contains(&detection),
        "{detection} ms, not {millis}"
    );
}

/// Puts a new interface between `eth0` and its addresses, on the station of every node.
fn behind<const N: usize>(lab: &Lab<N>, interface: &str, commands: &[&str]) {
    for node in &lab.nodes {
        let station = lab.topology.station(node.station());
        station.ip("address flush dev eth0").unwrap();
        for command in commands {
            station.ip(command).unwrap();
        }
        station
            .ip(&format!(
                "address add {}/{PREFIX_LEN} dev {interface}",
                node.address()
            ))
            .unwrap();
    }
}

#[test]
fn of_three_nodes_one_is_master_whoever_dies() {
    let Some(mut lab) = lab(carpd::<3>()) else { return };
    start(&mut lab);
    assert_eq!(lab.nodes.each_ref().map(state), ["MASTER", "BACKUP", "BACKUP"]);
    dies(&mut lab, A, B, MASTER_DOWN[0]);
    settle(&mut lab, B);
    dies(&mut lab, B, C, MASTER_DOWN[1]);
    settle(&mut lab, C);
    reboot(&mut lab, B);
    settle(&mut lab, B);
    reboot(&mut lab, A);
    settle(&mut lab, A);
    assert_eq!(lab.nodes.each_ref().map(state), ["MASTER", "BACKUP", "BACKUP"]);
}

#[test]
fn of_five_nodes_the_next_best_takes_over_and_the_best_takes_it_back() {
    let Some(mut lab) = lab(carpd::<5>()) else { return };
    start(&mut lab);
    dies(&mut lab, A, B, MASTER_DOWN[0]);
    settle(&mut lab, B);
    reboot(&mut lab, A);
    settle(&mut lab, A);

    // Every backup takes over from a master that says goodbye; the best of them stays.
    lab.nodes[A].terminate();
    lab.nodes[A].wait_for_end().unwrap();
    settle(&mut lab, B);
}

#[test]
fn clients_follow_when_two_masters_meet_again() {
    let Some(mut lab) = lab(carpd::<2>()) else { return };
    start(&mut lab);
    // At once, and when both have announced for the last time.
    for pause in [0, 3] {
        lab.topology.block(1).unwrap();
        settle_among_owners(&mut lab, B);
        lab.client.pause(Duration::from_secs(pause)).unwrap();
        let healed = Clock.now();
        lab.topology.unblock(1).unwrap();
        settle(&mut lab, A);
        let lost = lab.client.record().lost_pings(healed);
        assert!(
            lost.outage.as_micros() < 1000 * SLACK,
            "after {pause} s: {lost:?}"
        );
    }
}

#[test]
fn with_nothing_but_ipv6() {
    let setups = carpd::<2>().map(|setup| Setup {
        addresses: vec![format!("{VIP_V6}/{PREFIX_LEN_V6}")],
        ..setup
    });
    let plan = Plan {
        ipv6: true,
        target: VIP_V6.into(),
        ..Plan::default()
    };
    let Some(mut lab) = lab_in(plan, setups) else {
        return;
    };
    for station in 1..=3 {
        lab.topology
            .station(station)
            .ip("-4 address flush dev eth0")
            .unwrap();
    }
    whole_life(&mut lab);
    let source = IpAddr::from(Topology::link_local(2));
    assert_eq!(masters_during(&mut lab, Duration::from_secs(3)), [source]);
}

#[test]
fn with_addresses_of_both_families() {
    let setups = carpd::<2>().map(|setup| Setup {
        addresses: vec![format!("{VIP}/{PREFIX_LEN}"), format!("{VIP_V6}/{PREFIX_LEN_V6}")],
        ..setup
    });
    let plan = Plan {
        ipv6: true,
        ..Plan::default()
    };
    let Some(mut lab) = lab_in(plan, setups) else {
        return;
    };
    let mut v6 = lab.another_client("eth0", VIP_V6.into()).unwrap();
    start(&mut lab);
    v6.settle(&lab.nodes[A], live::PATIENCE).unwrap();
    dies(&mut lab, A, B, MASTER_DOWN[0]);
    settle(&mut lab, B);
    v6.settle(&lab.nodes[B], live::PATIENCE).unwrap();
    reboot(&mut lab, A);
    settle(&mut lab, A);
    v6.settle(&lab.nodes[A], live::PATIENCE).unwrap();
}

#[test]
fn with_virtual_mac_addresses() {
    let setups = carpd::<2>().map(|setup| Setup {
        addresses: vec![format!("{VIP}/{PREFIX_LEN}"), format!("{VIP_V6}/{PREFIX_LEN_V6}")],
        more: "mode = \"vmac\"".to_owned(),
        ..setup
    });
    let plan = Plan {
        ipv6: true,
        ..Plan::default()
    };
    let Some(mut lab) = lab_in(plan, setups) else {
        return;
    };
    whole_life(&mut lab);

    // Two masters hear each other, though they have the same MAC address.
    lab.start(A).unwrap();
    settle(&mut lab, A);
    lab.topology.block(1).unwrap();
    settle_among_owners(&mut lab, B);
    lab.topology.unblock(1).unwrap();
    settle(&mut lab, A);
    let neighbours = lab.topology.station(3).ip("neigh show").unwrap();
    for vip in [VIP.to_string(), VIP_V6.to_string()] {
        let line = neighbours.lines().find(|line| line.starts_with(&vip));
        assert!(
            line.is_none_or(|line| line.contains("00:00:5e:00:01:07")),
            "{neighbours}"
        );
    }
}

#[test]
fn on_a_bridge() {
    let setups = carpd::<2>().map(|setup| Setup {
        interface: "lan".to_owned(),
        ..setup
    });
    let Some(mut lab) = lab(setups) else { return };
    behind(
        &lab,
        "lan",
        &[
            "link add lan type bridge stp_state 0 mcast_snooping 1",
            "link set eth0 master lan",
            "link set lan up",
        ],
    );
    whole_life(&mut lab);
}

#[test]
fn on_a_macvlan() {
    let setups = carpd::<2>().map(|setup| Setup {
        interface: "lan".to_owned(),
        ..setup
    });
    let Some(mut lab) = lab(setups) else { return };
    behind(
        &lab,
        "lan",
        &[
            "link add lan link eth0 type macvlan mode bridge",
            "link set lan up",
        ],
    );
    whole_life(&mut lab);
}

#[test]
fn ucarp_between_two_of_ours_has_its_turn() {
    let mut setups = carpd::<3>();
    setups[B].software = Software::Ucarp;
    let Some(mut lab) = lab(setups) else { return };
    start(&mut lab);
    assert_eq!(state(&lab.nodes[C]), "BACKUP");
    // It looks at its timer every 1.4 s only, and so the third one can be first. UCarp preempts that one.
    lab.topology.block(1).unwrap();
    lab.nodes[A].kill();
    settle(&mut lab, B);
    assert_eq!(state(&lab.nodes[C]), "BACKUP");
    assert_eq!(
        status(&lab.nodes[C])["virtual_hosts"][0]["last_peer"]["advskew"],
        100
    );
    dies(&mut lab, B, C, MASTER_DOWN[1]);
    settle(&mut lab, C);
    reboot(&mut lab, A);
    settle(&mut lab, A);
}

#[test]
fn keepalived_with_the_same_number_is_ignored() {
    let keepalived = Setup {
        addresses: vec!["192.0.2.20/24".to_owned()],
        ..Setup::new(Software::Keepalived, 0)
    };
    // Whatever it cannot read starts keepalived's timer again: packets more frequent than its own would silence it.
    let [a, b] = [50, 100].map(|advskew| Setup::new(Software::Carpd, advskew));
    let Some(mut lab) = lab([a, b, keepalived]) else {
        return;
    };
    lab.start(C).unwrap();
    eventually(&mut lab, "keepalived is master", |lab| owners(lab)[C]);
    lab.start(A).unwrap();
    lab.start(B).unwrap();
    // It may not answer a moment after its start.
    eventually(&mut lab, "A is master", |lab| {
        lab.nodes[A].log().contains("BACKUP -> MASTER")
    });
    let both = [A, C].map(|node| IpAddr::from(lab.nodes[node].address()));
    assert_eq!(masters_during(&mut lab, Duration::from_secs(4)), both);
    assert_eq!(state(&lab.nodes[B]), "BACKUP");
    assert_eq!(owners(&lab), [true, false, true]);
    for node in [A, B] {
        let (status, log) = (status(&lab.nodes[node]), lab.nodes[node].log());
        assert!(live::counter(&status, "badlen") >= 3, "{status}");
        let reports = log.matches("eth0: 192.0.2.3 speaks VRRPv3 (our vhid 7)");
        assert_eq!(reports.count(), 1, "{log}");
    }
    dies(&mut lab, A, B, MASTER_DOWN[0]);
}
