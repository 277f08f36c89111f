//! VMAC mode on the wire: who answers for the virtual addresses, and with which MAC address.
#![cfg(target_os = "linux")]

mod netns;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration as StdDuration;

use carp_fsm::{LinkMode, State};
use carp_std::linux::LinuxLink;
use carp_std::{Link, Prefix};
use netns::client::{known_mac, listen, mac_of, reaches, until};
use netns::link::{DUAL_VIPS, is_up, vip, vmac_addresses, vmac_host};
use netns::node::{Node, Setup};
use netns::{Capture, available, pair, segment, with_ipv6};

const VIRTUAL_MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 7];
/// `Setup` with both families, the second address link-local.
const DUAL: Setup = Setup {
    addresses: &DUAL_VIPS,
    ..Setup::vmac(20)
};

#[test]
fn two_masters_hear_each_other() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let slow = Node::start(&a, Setup::vmac(80));
    while slow.next().1 != State::Master {}
    // From now on the slow one has an interface with the address from which the fast one sends.
    let fast = Node::start(&b, Setup::vmac(20));
    while fast.next().1 != State::Master {}
    assert_eq!(slow.next().1, State::Backup, "it was never heard");
    assert_eq!(vmac_addresses(&b), ["10.0.0.1/24"]);
    until("the old master's address is off", || {
        vmac_addresses(&a).is_empty()
    });
    // And the other way round.
    fast.stopper.stop();
    assert_eq!(slow.next().1, State::Master);
    fast.thread.join().unwrap();
    slow.end();
}

#[test]
fn clients_know_the_virtual_mac_only_and_keep_it() {
    for prefix in [Prefix::Interface, Prefix::Host] {
        if !available() {
            return;
        }
        let (a, b, client, _switch) = segment();
        let capture = Capture::start(&client);
        let setup = |skew| Setup {
            prefix,
            ..Setup::vmac(skew)
        };
        let fast = Node::start(&a, setup(20));
        while fast.next().1 != State::Master {}
        let slow = Node::start(&b, setup(80));
        assert_eq!(slow.next().1, State::Backup);
        for machine in [&a, &b] {
            listen(machine);
            // The strictest setting there is.
            machine.enter(|| std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap());
        }
        assert!(reaches(&client, "10.0.0.1"));
        // So that the owner asks for the client, too: who asks says who he is.
        a.ip("neigh flush all");
        assert!(reaches(&client, "10.0.0.1"));
        assert!(reaches(&client, "10.0.0.2") && reaches(&client, "10.0.0.3"));

        // Dead, not stopped: the address is on the old master still, but nobody asks there any more.
        fast.crash.store(true, Ordering::Relaxed);
        fast.stopper.stop();
        while slow.next().1 != State::Master {}
        a.ip("link set carp7-eth0 down");
        assert!(reaches(&client, "10.0.0.1"));
        assert_eq!(
            known_mac(&client, "10.0.0.1").as_deref(),
            Some("00:00:5e:00:01:07")
        );
        slow.end();

        let frames = capture.stop();
        let claims: Vec<_> = frames.iter().filter_map(|frame| claim(frame)).collect();
        assert!(claims.contains(&([10, 0, 0, 1], VIRTUAL_MAC)));
        for (address, mac) in claims {
            assert_eq!(
                address == [10, 0, 0, 1],
                mac == VIRTUAL_MAC,
                "{prefix}: {address:?} is said to be at {mac:x?}"
            );
        }
    }
}

#[test]
fn a_virtual_address_that_is_alone_in_its_network_sends_from_the_virtual_mac() {
    if !available() {
        return;
    }
    let (a, _b, client, _switch) = segment();
    client.ip("address add 192.0.2.100/24 dev eth0");
    let setup = Setup {
        addresses: &["192.0.2.1"],
        prefix: Prefix::Length(24),
        ..Setup::vmac(20)
    };
    let node = Node::start(&a, setup);
    while node.next().1 != State::Master {}
    listen(&a);
    let capture = Capture::start(&client);
    assert!(reaches(&client, "192.0.2.1"));
    let answers: Vec<_> = capture
        .stop()
        .into_iter()
        .filter(|frame| is_tcp_from(frame, [192, 0, 2, 1]))
        .collect();
    assert!(!answers.is_empty());
    assert!(answers.iter().all(|frame| frame[6..12] == VIRTUAL_MAC));
    node.end();
}

#[test]
fn a_backup_is_silent_from_the_first_packet_on() {
    if !available() {
        return;
    }
    let (a, b, client, _switch) = segment();
    for (n, machine) in [(2, &a), (3, &b), (100, &client)] {
        with_ipv6(machine, n);
    }
    // What a killed process left: the addresses, on an interface that is up.
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        link.set_owner(
            &vmac_host(iface, &DUAL_VIPS.map(|address| vip(address, Prefix::Interface))),
            true,
        )
        .unwrap();
    });
    assert_eq!(vmac_addresses(&a).len(), 3);
    let master = Node::start(&b, DUAL);
    while master.next().1 != State::Master {}

    let capture = Capture::start(&a);
    let backup = Node::start(&a, Setup { skew: 80, ..DUAL });
    assert_eq!(backup.next().1, State::Backup);
    assert_eq!(vmac_addresses(&a), [""; 0]);
    until("down", || !is_up(&a));
    for address in ["10.0.0.1", "2001:db8::1:7"] {
        let _ = reaches(&client, address); // nobody listens, but somebody answers ARP and ND
    }
    thread::sleep(StdDuration::from_millis(300));
    let sent = capture.stop();
    for frame in sent.iter().filter(|frame| frame[6..12] == VIRTUAL_MAC) {
        // Received from the master, that is: advertisements and answers. Nothing of it is ours.
        let (_, source) = carp_source(frame).unwrap_or_default();
        assert_ne!(source, "10.0.0.2", "an advertisement of the backup");
    }
    // What the backup sent from the virtual MAC would have led the switch astray.
    for address in ["10.0.0.1", "2001:db8::1:7"] {
        assert_eq!(mac_of(&client, address).as_deref(), Some("00:00:5e:00:01:07"));
    }
    assert_eq!(backup.events.try_recv().ok(), None, "no transition");
    backup.end();
    master.end();
}

#[test]
fn who_leaves_says_nothing_from_the_virtual_mac_any_more() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    for (n, machine) in [(2, &a), (3, &b)] {
        with_ipv6(machine, n);
    }
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        let vips = DUAL_VIPS.map(|address| vip(address, Prefix::Interface));
        for _ in 0..2 {
            link.set_owner(&vmac_host(iface, &vips), true).unwrap();
            thread::sleep(StdDuration::from_millis(1_200)); // it joins its groups
            let capture = Capture::start(&b);
            link.set_owner(&vmac_host(iface, &vips), false).unwrap();
            until("down", || !is_up(&a));
            thread::sleep(StdDuration::from_millis(1_200)); // reports are sent twice
            let frames = capture.stop();
            let said: Vec<_> = frames
                .iter()
                .filter(|frame| frame[6..12] == VIRTUAL_MAC)
                .collect();
            assert!(said.is_empty(), "{said:x?}");
        }
    });
}

#[test]
fn a_bridge_carries_virtual_hosts() {
    if !available() {
        return;
    }
    for mode in [LinkMode::Plain, LinkMode::Vmac] {
        let (a, b, client, _switch) = segment();
        a.ip("address flush dev eth0");
        a.ip("link add br0 type bridge mcast_snooping 0");
        a.ip("link set eth0 master br0");
        a.ip("link set br0 up");
        a.ip("address add 10.0.0.2/24 dev br0");
        let setup = move |skew| Setup {
            mode,
            ..Setup::vmac(skew)
        };
        let fast = Node::start_with(&a, move || setup(20).on("br0"));
        while fast.next().1 != State::Master {}
        let slow = Node::start(&b, setup(80));
        assert_eq!(slow.next().1, State::Backup);
        listen(&a);
        listen(&b);
        assert!(reaches(&client, "10.0.0.1"));
        fast.stopper.stop();
        assert_eq!(slow.next().1, State::Master);
        fast.thread.join().unwrap();
        assert!(reaches(&client, "10.0.0.1"));
        // And hears the other one through its bridge.
        let late = Node::start_with(&a, move || setup(120).on("br0"));
        assert_eq!(late.next().1, State::Backup);
        thread::sleep(StdDuration::from_millis(1_600));
        assert_eq!(late.events.try_recv().ok(), None);
        late.end();
        slow.end();
    }
}

/// Which address a frame says is at which MAC address, if it is ARP.
fn claim(frame: &[u8]) -> Option<([u8; 4], [u8; 6])> {
    let arp = frame.get(14..42).filter(|_| frame[12..14] == [0x08, 0x06])?;
    Some((arp[14..18].try_into().unwrap(), arp[8..14].try_into().unwrap()))
}

fn is_tcp_from(frame: &[u8], address: [u8; 4]) -> bool {
    frame.len() >= 34 && frame[12..14] == [0x08, 0x00] && frame[23] == 6 && frame[26..30] == address
}

/// Vhid and source address of an advertisement over IPv4.
fn carp_source(frame: &[u8]) -> Option<(u8, String)> {
    let source: [u8; 4] = frame.get(26..30)?.try_into().ok()?;
    (frame[12..14] == [0x08, 0x00] && frame[23] == 112).then(|| {
        (
            *frame.get(35).unwrap_or(&0),
            std::net::Ipv4Addr::from(source).to_string(),
        )
    })
}
