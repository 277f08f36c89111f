//! Whole nodes on real interfaces: election, take-over and leaving, measured.
//!
//! advbase 0 (which the OpenBSD dialect has) makes them quick: a master of advskew 20 speaks every
//! 78 ms, and a backup of advskew 80 waits 3 * 80/256 s = 938 ms.
#![cfg(target_os = "linux")]

mod netns;

use std::sync::atomic::Ordering;
use std::sync::mpsc;

use carp_fsm::{Duration, EventKind, LinkMode, State};
use carp_proto::{AddressSet, Vhid};
use carp_std::linux::{Clock, LinuxLink};
use carp_std::{Host, Link, Prefix, VirtualAddress, VirtualHost};
use netns::node::{Node, SLACK, Setup, readable};
use netns::{addresses, available, pair};

const INTERVAL_20: Duration = Duration::from_micros(20 * 1_000_000 / 256);
const MASTER_DOWN_80: Duration = Duration::from_micros(3 * 80 * 1_000_000 / 256);

#[test]
fn the_better_node_is_master_and_hands_over_at_once_when_it_stops() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let slow = Node::start(&b, Setup::plain(80));
    let fast = Node::start(&a, Setup::plain(20));
    assert_eq!(fast.next().1, State::Backup);
    assert_eq!(fast.next().1, State::Master);
    assert_eq!(slow.next().1, State::Backup);
    assert_eq!(addresses(&a), ["10.0.0.2/24", "10.0.0.1/24"]);
    assert_eq!(addresses(&b), ["10.0.0.3/24"]);
    assert_eq!(
        slow.events.try_recv(),
        Err(mpsc::TryRecvError::Empty),
        "the slow one was never more"
    );

    let stopped = Clock.now();
    fast.stopper.stop();
    let (took_over, state) = slow.next();
    assert_eq!(state, State::Master);
    assert!(
        took_over - stopped < SLACK,
        "took over after {} s",
        took_over - stopped
    );
    assert_eq!(fast.next().1, State::Init);
    fast.thread.join().unwrap();
    assert_eq!(addresses(&a), ["10.0.0.2/24"]);
    assert_eq!(addresses(&b), ["10.0.0.3/24", "10.0.0.1/24"]);

    slow.stopper.stop();
    slow.thread.join().unwrap();
    assert_eq!(addresses(&b), ["10.0.0.3/24"]);
}

#[test]
fn a_dead_master_is_replaced_on_time_and_its_heir_tidies_up() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let slow = Node::start(&b, Setup::plain(80));
    let fast = Node::start(&a, Setup::plain(20));
    while fast.next().1 != State::Master {}
    assert_eq!(slow.next().1, State::Backup);

    let died = Clock.now();
    fast.crash.store(true, Ordering::Relaxed);
    fast.stopper.stop(); // wakes it; it falls dead instead of stopping
    let (took_over, state) = slow.next();
    assert_eq!(state, State::Master);
    let silence = took_over - died;
    // The last advertisement left at most one interval before it died.
    assert!(
        took_over + INTERVAL_20 >= died + MASTER_DOWN_80,
        "too early, after {silence} s"
    );
    assert!(
        took_over < died + MASTER_DOWN_80 + SLACK,
        "too late, after {silence} s"
    );
    fast.thread.join().unwrap();
    assert_eq!(
        addresses(&a),
        ["10.0.0.2/24", "10.0.0.1/24"],
        "the dead do not tidy up"
    );

    let heir = Node::start(&a, Setup::plain(120));
    assert_eq!(heir.next().1, State::Backup);
    assert_eq!(addresses(&a), ["10.0.0.2/24"]);
    assert_eq!(addresses(&b), ["10.0.0.3/24", "10.0.0.1/24"]);
    heir.end();
    slow.end();
}

#[test]
fn a_master_without_a_cable_gives_its_addresses_back() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let node = Node::start(&a, Setup::plain(20));
    while node.next().1 != State::Master {}
    b.ip("link set eth0 down");
    assert_eq!(node.next().1, State::Init);
    assert_eq!(addresses(&a), ["10.0.0.2/24"]);
    b.ip("link set eth0 up");
    assert_eq!(node.next().1, State::Backup);
    assert_eq!(node.next().1, State::Master);
    assert_eq!(addresses(&a), ["10.0.0.2/24", "10.0.0.1/24"]);

    // Taken away and put back, it is the same interface.
    a.ip("link del eth0");
    assert_eq!(node.next().1, State::Init);
    netns::connect(&a, &b, 11);
    assert_eq!(node.next().1, State::Backup);
    assert_eq!(node.next().1, State::Master);
    assert_eq!(addresses(&a), ["10.0.0.2/24", "10.0.0.1/24"]);
    node.end();
}

#[test]
fn the_descriptor_fits_into_a_foreign_loop() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.enter(|| {
        let mut host = Setup::plain(80).host();
        host.process(Clock.now()).unwrap();
        let deadline = host.deadline().unwrap();
        while readable(&host, 0) {
            host.process(Clock.now()).unwrap(); // our own removal of an address is a change, too
        }
        assert!(readable(&host, 2_000), "not woken for the deadline");
        let late = Clock.now() - deadline;
        assert!(Clock.now() >= deadline, "woken too early");
        assert!(late < SLACK, "woken {late} s late");
        host.process(Clock.now()).unwrap();
        let id = host.node().hosts().next().unwrap();
        assert_eq!(host.node().state(id), Some(State::Master));

        // It never spins: what is woken for is dealt with.
        let mut wakes = 0;
        let end = Clock.now() + Duration::from_secs(1);
        while Clock.now() < end {
            if readable(&host, 200) {
                wakes += 1;
                host.process(Clock.now()).unwrap();
            }
        }
        assert!(wakes < 20, "{wakes} wake-ups in a second of 3 advertisements");
    });
}

#[test]
fn an_address_of_somebody_else_keeps_a_node_out() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.ip("address add 10.0.0.1/24 dev eth0");
    a.enter(|| {
        let mut host = Setup::plain(20).host();
        let id = host.node().hosts().next().unwrap();
        let end = Clock.now() + Duration::from_secs(2);
        while host.ownership_error(id).is_none() || host.node().is_owner(id) {
            assert!(Clock.now() < end);
            host.process(Clock.now()).unwrap();
        }
        let error = host.ownership_error(id).unwrap().to_string();
        assert!(error.starts_with("10.0.0.1/24 is on eth0 already"), "{error}");
    });
    assert_eq!(addresses(&a), ["10.0.0.2/24", "10.0.0.1/24"]);
}

#[test]
fn an_address_that_somebody_takes_off_a_master_comes_back() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let node = Node::start(&a, Setup::plain(20));
    while node.next().1 != State::Master {}
    let with_vip = ["10.0.0.2/24", "10.0.0.1/24"];
    let mut removed = Clock.now();
    for time in 0..3 {
        // What a client has learnt is wrong, and only an announcement puts it right.
        b.ip("neigh replace 10.0.0.1 lladdr 02:00:00:00:00:99 dev eth0 nud reachable");
        a.ip("address del 10.0.0.1/24 dev eth0");
        let before = removed;
        removed = Clock.now();
        while addresses(&a) != with_vip {
            assert!(Clock.now() < removed + Duration::from_secs(5));
        }
        let (after, again) = (Clock.now() - removed, Clock.now() - before);
        eprintln!("put back after {after} s, {again} s after it was taken off before");
        if time > 0 {
            assert!(again > Duration::from_millis(500), "not limited");
        }
        let end = Clock.now() + Duration::from_secs(5);
        while b.ip("neigh show 10.0.0.1").contains("02:00:00:00:00:99") {
            assert!(Clock.now() < end, "not announced");
        }
    }
    // Everything at once, as a network manager does that starts anew.
    a.ip("address flush dev eth0");
    a.ip("address add 10.0.0.2/24 dev eth0");
    let end = Clock.now() + Duration::from_secs(5);
    while addresses(&a).len() < 2 {
        assert!(Clock.now() < end);
    }
    assert_eq!(
        node.events.try_recv(),
        Err(mpsc::TryRecvError::Empty),
        "no transition"
    );
    node.end();
    assert_eq!(addresses(&a), ["10.0.0.2/24"]);
}

#[test]
fn an_address_that_somebody_gives_a_backup_is_reported_or_taken_off() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let master = Node::start(&b, Setup::plain(20));
    while master.next().1 != State::Master {}
    a.enter(|| {
        let mut host = Setup::plain(80).host();
        let id = host.node().hosts().next().unwrap();
        let mut until = |what: &str, done: &dyn Fn(&Host<LinuxLink, 4>) -> bool| {
            let end = Clock.now() + Duration::from_secs(5);
            while !done(&host) {
                assert!(Clock.now() < end, "{what}");
                readable(&host, 100);
                host.process(Clock.now()).unwrap();
            }
            assert_eq!(host.node().state(id), Some(State::Backup), "{what}");
        };
        until("started", &|host| host.node().state(id) == Some(State::Backup));
        a.ip("address add 10.0.0.1/24 dev eth0");
        until("reported", &|host| {
            host.ownership_error(id)
                .is_some_and(|error| error.to_string().contains("10.0.0.1/24 is on eth0 already"))
        });
        assert_eq!(addresses(&a), ["10.0.0.2/24", "10.0.0.1/24"], "left alone");
        a.ip("address del 10.0.0.1/24 dev eth0");
        until("in order again", &|host| host.ownership_error(id).is_none());

        // One with our tag, as another process of ours would leave it.
        let mut other = LinuxLink::new().unwrap();
        let iface = other.add_interface("eth0").unwrap();
        let vips = [VirtualAddress {
            address: [10, 0, 0, 1].into(),
            prefix: Prefix::Interface,
        }];
        let theirs = VirtualHost {
            iface,
            vhid: Vhid::new(7).unwrap(),
            mode: LinkMode::Plain,
            addresses: &vips,
        };
        other.set_owner(&theirs, true).unwrap();
        until("taken off", &|_| addresses(&a) == ["10.0.0.2/24"]);
    });
    master.end();
}

#[test]
fn an_address_that_moves_to_another_virtual_host_is_not_taken_from_it() {
    if !available() {
        return;
    }
    for mode in [LinkMode::Plain, LinkMode::Vmac] {
        moves(mode, false);
        moves(mode, true);
    }
}

/// 10.0.0.1 moves from vhid 8, in this mode, to vhid 7 in plain mode; then vhid 8 leaves, or goes on with its other address.
fn moves(mode: LinkMode, leaves: bool) {
    let (a, _b) = pair();
    a.enter(|| {
        let taking = Setup {
            addresses: &["10.0.0.7"],
            ..Setup::plain(20)
        };
        let mut host = taking.host();
        let taker = host.node().hosts().next().unwrap();
        let mut config = host.node().config(taker).unwrap().clone();
        let mut giving = config.clone();
        (giving.vhid, giving.mode) = (Vhid::new(8).unwrap(), mode);
        let (stays, moves) = ([10, 0, 0, 8].into(), [10, 0, 0, 1].into());
        giving.addresses = AddressSet::try_from_iter([stays, moves]).unwrap();
        let prefix = |_| Prefix::Interface;
        let giver = host.insert(Clock.now(), giving.clone(), prefix).unwrap();
        let both = |host: &Host<LinuxLink, 4>| [taker, giver].map(|id| host.node().state(id));
        let run = |host: &mut Host<LinuxLink, 4>| {
            readable(&*host, 50);
            host.process(Clock.now()).unwrap();
        };
        let end = Clock.now() + Duration::from_secs(5);
        while both(&host) != [Some(State::Master); 2] {
            assert!(Clock.now() < end, "{:?}", both(&host));
            run(&mut host);
        }

        let now = Clock.now();
        config.addresses.insert(moves).unwrap();
        host.reconfigure(now, taker, config, prefix).unwrap();
        if leaves {
            host.node_mut().remove(now, giver).unwrap();
        } else {
            giving.addresses.remove(&moves);
            host.reconfigure(now, giver, giving, prefix).unwrap();
        }
        // Who leaves waits for a successor first.
        let end = now + Duration::from_secs(if leaves { 3 } else { 1 });
        while Clock.now() < end {
            assert!(
                a.ip("address show dev eth0").contains(" 10.0.0.1/24 "),
                "{mode:?}"
            );
            run(&mut host);
            while let Some(event) = host.poll_event() {
                assert_ne!(event.kind, EventKind::TakenAway { host: taker }, "{mode:?}");
            }
        }
        let left = (!leaves).then_some(State::Master);
        assert_eq!(both(&host), [Some(State::Master), left]);
        let everywhere = a.ip("address show");
        assert_eq!(everywhere.matches(" 10.0.0.1/24 ").count(), 1, "{everywhere}");
        assert_eq!(everywhere.contains(" 10.0.0.8/24 "), !leaves, "{everywhere}");

        // It goes with its new owner.
        host.stopper().stop();
        while !host.is_stopped() {
            run(&mut host);
        }
        assert_eq!(addresses(&a), ["10.0.0.2/24"]);
    });
}
