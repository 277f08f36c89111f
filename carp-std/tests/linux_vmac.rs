//! VMAC mode on real interfaces: who answers for the virtual addresses, with which MAC address, and what is
//! left when it is over.
#![cfg(target_os = "linux")]

mod netns;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration as StdDuration;

use carp_fsm::{Duration, IfaceId, LinkMode, State};
use carp_proto::Vhid;
use carp_std::linux::{Clock, LinuxLink};
use carp_std::{Link, OwnershipError, Prefix, VirtualAddress, VirtualHost};
use netns::client::{known_mac, listen, mac_of, reaches, until};
use netns::node::{Node, Setup};
use netns::{Capture, Namespace, available, pair, segment, with_ipv6};

const VIRTUAL_MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 7];
/// `Setup` with both families, the second address link-local.
const DUAL: Setup = Setup {
    addresses: &["10.0.0.1", "fe80::1:7", "2001:db8::1:7"],
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
        link.set_owner(&host(iface, &DUAL_VIPS.map(vip)), true).unwrap();
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
        let vips = DUAL_VIPS.map(vip);
        for _ in 0..2 {
            link.set_owner(&host(iface, &vips), true).unwrap();
            thread::sleep(StdDuration::from_millis(1_200)); // it joins its groups
            let capture = Capture::start(&b);
            link.set_owner(&host(iface, &vips), false).unwrap();
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
fn what_a_killed_process_left_is_used_again_and_removed_in_the_end() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    let vips = [vip("10.0.0.1")];
    a.enter(|| {
        let mut dead = LinuxLink::new().unwrap();
        let iface = dead.add_interface("eth0").unwrap();
        dead.set_owner(&host(iface, &vips), true).unwrap();
        drop(dead);
        assert_eq!(vmac_addresses(&a), ["10.0.0.1/24"], "an owner that falls dead");

        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        link.set_owner(&host(iface, &vips), false).unwrap();
        assert_eq!(vmac_addresses(&a), [""; 0]);
        until("down", || !is_up(&a));
        link.set_owner(&host(iface, &vips), true).unwrap();
        assert_eq!(vmac_addresses(&a), ["10.0.0.1/24"]);
        assert!(is_up(&a));
        link.set_owner(&host(iface, &vips), false).unwrap();
        drop(link);
        assert!(!exists(&a), "the last one removes it");
    });
}

#[test]
fn the_other_mode_finds_a_clean_house() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    let vips = [vip("10.0.0.1")];
    a.enter(|| {
        let own = |host: fn(IfaceId, &[VirtualAddress]) -> VirtualHost<'_>, owner| {
            let mut link = LinuxLink::new().unwrap();
            let iface = link.add_interface("eth0").unwrap();
            link.set_owner(&host(iface, &vips), owner).unwrap();
        };
        own(plain_host, true);
        own(host, false);
        assert_eq!(below(&a), ["10.0.0.2/24"]);
        own(plain_host, true);
        own(host, true);
        assert_eq!(below(&a), ["10.0.0.2/24"]);
        assert_eq!(vmac_addresses(&a), ["10.0.0.1/24"]);
        own(plain_host, false);
        assert!(!exists(&a));
        assert_eq!(below(&a), ["10.0.0.2/24"]);
    });
}

#[test]
fn an_address_that_is_configured_no_longer_goes_alone() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        let (old, new) = ([vip("10.0.0.1")], [vip("10.0.0.9")]);
        link.set_owner(&host(iface, &old), true).unwrap();
        link.set_owner(&host(iface, &new), true).unwrap();
        link.drop_addresses(&host(iface, &old)).unwrap();
        assert_eq!(vmac_addresses(&a), ["10.0.0.9/24"]);
        thread::sleep(StdDuration::from_millis(100)); // an interface that is let go goes later
        assert!(is_up(&a));
    });
}

#[test]
fn an_interface_with_our_name_that_is_not_ours_is_left_alone() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.ip("link add carp7-eth0 link eth0 type macvlan mode bridge");
    let vips = [vip("10.0.0.1")];
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        link.set_owner(&host(iface, &vips), false).unwrap();
        let error = link.set_owner(&host(iface, &vips), true).unwrap_err();
        assert!(matches!(error, OwnershipError::NameTaken { .. }), "{error}");
        assert!(error.to_string().contains("'ip link del carp7-eth0'"), "{error}");
        link.release(&host(iface, &vips));
        drop(link);
        assert!(exists(&a));
        a.ip("link del carp7-eth0");

        // The port of a bridge carries no macvlan.
        a.ip("link add br0 type bridge");
        a.ip("link set eth0 master br0");
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        let error = link.set_owner(&host(iface, &vips), true).unwrap_err();
        assert!(error.to_string().contains("port of a bridge"), "{error}");
    });
}

#[test]
fn a_foreign_virtual_address_below_is_reported() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.ip("address add 10.0.0.1/24 dev eth0");
    let vips = [vip("10.0.0.1")];
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        for owner in [false, true] {
            let error = link.set_owner(&host(iface, &vips), owner).unwrap_err();
            assert!(
                error.to_string().contains("10.0.0.1/24 is on eth0 already"),
                "{error}"
            );
        }
        assert_eq!(vmac_addresses(&a), [""; 0]);
    });
}

#[test]
fn what_somebody_else_does_to_it_is_put_right() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    let node = Node::start(&a, Setup::vmac(20));
    while node.next().1 != State::Master {}
    for harm in [
        "address del 10.0.0.1/24 dev carp7-eth0",
        "link set carp7-eth0 down",
        "link del carp7-eth0",
        "link set carp7-eth0 address 02:00:00:00:00:01",
    ] {
        a.ip(harm);
        until(harm, || {
            exists(&a) && is_up(&a) && vmac_addresses(&a) == ["10.0.0.1/24"] && has_virtual_mac(&a)
        });
    }
    assert_eq!(node.events.try_recv().ok(), None, "no transition");
    // Switched on at a backup, it is switched off again.
    node.end();
    assert!(!exists(&a));
}

#[test]
fn addresses_change_while_it_stays() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    with_ipv6(&a, 2);
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        let [ipv4, _, ipv6] = DUAL_VIPS.map(vip);
        let mut set = |addresses: &[VirtualAddress], owner| {
            link.set_owner(&host(iface, addresses), owner).unwrap();
            vmac_addresses(&a)
        };
        assert_eq!(set(&[ipv4], true), ["10.0.0.1/24"]);
        assert_eq!(set(&[ipv4, ipv6], true), ["10.0.0.1/24", "2001:db8::1:7/64"]);
        assert_eq!(set(&[ipv4], false), ["2001:db8::1:7/64"]);
        thread::sleep(StdDuration::from_millis(400));
        assert!(is_up(&a), "the other address is still needed");
        assert_eq!(
            set(&[ipv4], true),
            ["10.0.0.1/24"],
            "without IPv6 addresses there is no IPv6"
        );
    });
}

#[test]
fn it_goes_with_the_cable_the_interface_and_the_name() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let node = Node::start(&a, Setup::vmac(20));
    while node.next().1 != State::Master {}
    b.ip("link set eth0 down");
    assert_eq!(node.next().1, State::Init);
    until("down", || !is_up(&a));
    assert_eq!(vmac_addresses(&a), [""; 0]);
    b.ip("link set eth0 up");
    while node.next().1 != State::Master {}
    assert_eq!(vmac_addresses(&a), ["10.0.0.1/24"]);

    a.ip("link del eth0");
    assert_eq!(node.next().1, State::Init);
    netns::connect(&a, &b, 11);
    while node.next().1 != State::Master {}
    assert_eq!(vmac_addresses(&a), ["10.0.0.1/24"]);

    // Under its new name it is not ours any more, and has nothing of ours.
    a.ip("link set eth0 down");
    a.ip("link set eth0 name lan0");
    until("removed", || !exists(&a));
    node.end();
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

#[test]
fn a_virtual_host_that_is_removed_takes_its_interface_along() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.enter(|| {
        let mut host = Setup::vmac(20).host();
        let id = host.node().hosts().next().unwrap();
        let end = Clock.now() + Duration::from_secs(5);
        while host.node().state(id) != Some(State::Master) {
            netns::node::readable(&host, 100);
            host.process(Clock.now()).unwrap();
            assert!(Clock.now() < end);
        }
        assert!(is_up(&a));
        host.node_mut().remove(Clock.now(), id).unwrap();
        until("removed", || {
            netns::node::readable(&host, 10);
            host.process(Clock.now()).unwrap();
            !exists(&a)
        });
    });
}

const DUAL_VIPS: [&str; 3] = ["10.0.0.1", "fe80::1:7", "2001:db8::1:7"];

fn vip(address: &str) -> VirtualAddress {
    VirtualAddress {
        address: address.parse().unwrap(),
        prefix: Prefix::Interface,
    }
}

fn host(iface: IfaceId, addresses: &[VirtualAddress]) -> VirtualHost<'_> {
    VirtualHost {
        iface,
        vhid: Vhid::new(7).unwrap(),
        mode: LinkMode::Vmac,
        addresses,
    }
}

fn plain_host(iface: IfaceId, addresses: &[VirtualAddress]) -> VirtualHost<'_> {
    VirtualHost {
        mode: LinkMode::Plain,
        ..host(iface, addresses)
    }
}

fn exists(namespace: &Namespace) -> bool {
    namespace.ip("-o link show").contains(" carp7-eth0@")
}

fn is_up(namespace: &Namespace) -> bool {
    namespace.ip("-o link show up").contains(" carp7-eth0@")
}

fn has_virtual_mac(namespace: &Namespace) -> bool {
    let links = namespace.ip("-o link show");
    let mut ours = links.lines().filter(|line| line.contains(" carp7-eth0@"));
    ours.any(|line| line.contains("link/ether 00:00:5e:00:01:07"))
}

/// What is on the interface of vhid 7, in the order in which it was put there.
fn vmac_addresses(namespace: &Namespace) -> Vec<String> {
    let shown = namespace.ip("-o address show");
    let lines = shown.lines().filter(|line| line.contains(" carp7-eth0 "));
    let mut addresses: Vec<_> = lines
        .filter(|line| !line.contains("tentative"))
        .map(|line| line.split_whitespace().nth(3).unwrap().to_owned())
        .collect();
    addresses.sort_by_key(|address| (address.contains(':'), address.starts_with("2001")));
    addresses
}

/// The IPv4 addresses of `eth0`.
fn below(namespace: &Namespace) -> Vec<String> {
    let shown = namespace.ip("-o -4 address show dev eth0");
    shown
        .lines()
        .map(|line| line.split_whitespace().nth(3).unwrap().to_owned())
        .collect()
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
