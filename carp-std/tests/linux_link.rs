//! `LinuxLink` on real interfaces: what wakes it, what it sends and receives, and what it says of its interfaces.
#![cfg(target_os = "linux")]

mod netns;

use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::Duration;

use carp_fsm::{IfaceId, InterfaceInfo, LinkState, TransmitResult};
use carp_std::linux::LinuxLink;
use carp_std::{Link, LinkError, OwnershipError, Prefix};
use netns::link::{changes, open_eth0, plain_host, recv, settle, vip, wakes};
use netns::{Namespace, addresses, available, more_cables, pair};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

const VIRTUAL_MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 7];
const GROUP_MAC: [u8; 6] = [1, 0, 0x5e, 0, 0, 0x12];

#[test]
fn only_protocol_112_wakes() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let (mut link, iface) = a.enter(open_eth0);
    let (mut peer, peer_iface) = b.enter(open_eth0);
    assert!(!wakes(&link, 200), "an idle interface");

    // A flood of traffic to this very machine, and of broadcasts.
    let listener = a.enter(|| UdpSocket::bind("0.0.0.0:9").unwrap());
    let before = frames_received(&a);
    b.enter(|| {
        let socket = UdpSocket::bind("10.0.0.3:0").unwrap();
        socket.set_broadcast(true).unwrap();
        for to in ["10.0.0.2:9", "10.0.0.255:9"].repeat(10_000) {
            socket.send_to(&[0; 64], to).unwrap();
        }
    });
    assert!(frames_received(&a) - before > 15_000, "the flood did not arrive");
    assert!(!wakes(&link, 200), "woken by UDP");
    drop(listener);

    let mut not_for_us = vec![
        ("TCP", frame(GROUP_MAC, None, 0x0800, 6)),
        ("the next header of IPv6", frame(GROUP_MAC, None, 0x86dd, 58)),
        ("ARP", frame([0xff; 6], None, 0x0806, 112)),
        ("another host's", frame([2, 0, 0, 0, 0, 0x99], None, 0x0800, 112)),
        ("another VLAN's", frame(GROUP_MAC, Some(7), 0x0800, 112)),
    ];
    // Cut off before its protocol.
    not_for_us.push(("a short one", frame(GROUP_MAC, None, 0x0800, 112)[..20].to_vec()));
    for (what, bytes) in not_for_us {
        assert_eq!(peer.send_frame(peer_iface, &bytes), TransmitResult::Sent);
        assert!(!wakes(&link, 50), "woken by {what}");
    }

    for (what, bytes) in [
        ("IPv4", frame(GROUP_MAC, None, 0x0800, 112)),
        ("IPv6", frame([0x33, 0x33, 0, 0, 0, 0x12], None, 0x86dd, 112)),
        ("unicast", frame(mac_of(&a), None, 0x0800, 112)),
    ] {
        assert_eq!(peer.send_frame(peer_iface, &bytes), TransmitResult::Sent);
        assert!(wakes(&link, 1000), "not woken by {what}");
        assert_eq!(recv(&mut link), Some((iface, bytes)));
        assert_eq!(recv(&mut link), None);
        assert!(!wakes(&link, 50), "still awake after {what}");
    }

    // A priority tag is not a VLAN; the tag does not show.
    peer.send_frame(peer_iface, &frame(GROUP_MAC, Some(0), 0x0800, 112));
    assert!(wakes(&link, 1000));
    assert_eq!(
        recv(&mut link),
        Some((iface, frame(GROUP_MAC, None, 0x0800, 112)))
    );
}

#[test]
fn frames_leave_as_they_are_and_do_not_come_back() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let (mut link, iface) = a.enter(open_eth0);
    let (mut peer, peer_iface) = b.enter(open_eth0);
    let sent = frame(GROUP_MAC, None, 0x0800, 112);
    assert_eq!(link.send_frame(iface, &sent), TransmitResult::Sent);
    assert!(wakes(&peer, 1000));
    let (from, received) = recv(&mut peer).unwrap();
    assert_eq!(from, peer_iface);
    assert_eq!(received[6..12], VIRTUAL_MAC);
    assert_eq!(received, sent);
    assert!(!wakes(&link, 50), "our own frame came back");

    assert_eq!(
        link.send_frame(IfaceId(9), &sent),
        TransmitResult::Error,
        "an unknown interface"
    );
    a.ip("link set eth0 down");
    assert_eq!(
        link.send_frame(iface, &sent),
        TransmitResult::Error,
        "an interface that is down"
    );
}

#[test]
fn the_groups_are_joined_for_the_card_and_for_switches() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.ip("link set eth0 down"); // joining does not wait for the cable
    let link = a.enter(open_eth0);
    let groups = a.ip("maddress show dev eth0");
    for group in [
        "link  01:00:5e:00:00:12",
        "link  33:33:00:00:00:12",
        "inet  224.0.0.18",
    ] {
        assert!(groups.contains(group), "{group} is missing:\n{groups}");
    }
    drop(link);
    let groups = a.ip("maddress show dev eth0");
    assert!(
        !groups.contains("00:12") && !groups.contains("224.0.0.18"),
        "still joined:\n{groups}"
    );
}

#[test]
fn a_queue_never_holds_more_than_its_limit() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let (mut link, _) = a.enter(open_eth0);
    let (mut peer, peer_iface) = b.enter(open_eth0);
    let bytes = frame(GROUP_MAC, None, 0x0800, 112);
    for _ in 0..2 * link.queue_limit() {
        peer.send_frame(peer_iface, &bytes);
    }
    let mut received = 0;
    while recv(&mut link).is_some() {
        received += 1;
    }
    assert!(
        (100..=link.queue_limit()).contains(&received),
        "{received} frames waited"
    );
}

#[test]
fn a_flood_on_one_interface_does_not_deafen_another() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    more_cables(&a, &b, 1);
    let (mut link, flooded) = a.enter(open_eth0);
    let quiet = a.enter(|| link.add_interface("v0").unwrap());
    let (mut peer, flood) = b.enter(open_eth0);
    let other = b.enter(|| peer.add_interface("v0").unwrap());
    let bytes = frame(GROUP_MAC, None, 0x0800, 112);

    // What came after the last look is no reason to say that there is nothing.
    peer.send_frame(flood, &bytes);
    assert!(wakes(&link, 1000));
    assert_eq!(recv(&mut link).unwrap().0, flooded);
    peer.send_frame(other, &bytes);
    assert!(wakes(&link, 1000));
    assert_eq!(recv(&mut link).unwrap().0, quiet);
    assert_eq!(recv(&mut link), None);

    for _ in 0..200 {
        peer.send_frame(flood, &bytes);
    }
    let mut next = |peer: &mut LinuxLink| {
        peer.send_frame(flood, &bytes);
        recv(&mut link).expect("a queue that is never empty").0
    };
    for _ in 0..100 {
        assert_eq!(next(&mut peer), flooded);
    }
    peer.send_frame(other, &bytes);
    let before = (0..1000).take_while(|_| next(&mut peer) == flooded).count();
    assert!(before < 100, "{before} came before it");
}

/// More than a look finds.
const MANY: usize = 70;

#[test]
fn all_of_many_interfaces_are_read() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    more_cables(&a, &b, MANY);
    let open = || {
        let mut link = LinuxLink::new().unwrap();
        let all = (0..MANY).map(|i| link.add_interface(&format!("v{i}")).unwrap());
        let all: Vec<_> = all.collect();
        changes(&mut link);
        (link, all)
    };
    let (mut link, all) = a.enter(open);
    let (mut peer, ports) = b.enter(open);
    for port in ports {
        let sent = peer.send_frame(port, &frame(GROUP_MAC, None, 0x0800, 112));
        assert_eq!(sent, TransmitResult::Sent);
    }
    thread::sleep(Duration::from_millis(100)); // all have arrived
    let mut heard: Vec<_> = std::iter::from_fn(|| recv(&mut link))
        .map(|(iface, _)| iface)
        .collect();
    heard.sort_unstable();
    assert_eq!(heard, all);
}

#[test]
fn cable_address_and_mac_changes_are_reported() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let mut link = a.enter(|| LinuxLink::new().unwrap());
    let iface = a.enter(|| link.add_interface("eth0").unwrap());
    let first = changes(&mut link);
    assert_eq!(first.len(), 1, "the state at the start is the first change");
    let start = first[0];
    assert_eq!(start.link, LinkState::Up);
    assert_eq!(start.ipv4, Some(Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!(start.mac.0, mac_of(&a));

    let mut expect = |what: &str, words: &str, at: &Namespace, expected: InterfaceInfo| {
        at.ip(words);
        assert_eq!(settle(&mut link), [expected], "{what}");
    };
    expect(
        "cable pulled",
        "link set eth0 down",
        &b,
        InterfaceInfo {
            link: LinkState::Down,
            ..start
        },
    );
    expect("cable back", "link set eth0 up", &b, start);
    expect(
        "switched off",
        "link set eth0 down",
        &a,
        InterfaceInfo {
            link: LinkState::Down,
            ..start
        },
    );
    expect("switched on", "link set eth0 up", &a, start);
    expect(
        "no address",
        "address del 10.0.0.2/24 dev eth0",
        &a,
        InterfaceInfo { ipv4: None, ..start },
    );
    let other = Some(Ipv4Addr::new(10, 0, 0, 4));
    expect(
        "address",
        "address add 10.0.0.4/24 dev eth0",
        &a,
        InterfaceInfo { ipv4: other, ..start },
    );
    let mut new_mac = InterfaceInfo { ipv4: other, ..start };
    new_mac.mac.0 = [2, 0, 0, 0, 0, 5];
    expect("MAC", "link set eth0 address 02:00:00:00:00:05", &a, new_mac);

    // A virtual address is no address to send from, even if it is the only one.
    a.ip("address flush dev eth0");
    assert_eq!(settle(&mut link).last().unwrap().ipv4, None);
    let vips = [vip("10.0.0.1", Prefix::Length(24))];
    link.set_owner(&plain_host(iface, &vips), true).unwrap();
    assert_eq!(settle(&mut link), []);
}

#[test]
fn lost_messages_are_made_up_for() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    let (mut link, _) = a.enter(open_eth0);
    // More than the socket's buffer holds, and then the one that counts.
    let add = |i: u32| format!("address add 127.1.{}.{}/32 dev lo\n", i / 250, i % 250);
    let mut batch: String = (0..2000).map(add).collect();
    batch += "address del 10.0.0.2/24 dev eth0\n";
    a.ip_batch(&batch);
    let seen = settle(&mut link);
    assert!(matches!(seen[..], [InterfaceInfo { ipv4: None, .. }]), "{seen:?}");
}

#[test]
fn an_interface_is_known_by_its_name() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let (mut link, iface) = a.enter(open_eth0);
    let vips = [vip("10.0.0.1", Prefix::Interface)];

    a.ip("link del eth0");
    assert_eq!(settle(&mut link).last().unwrap().link, LinkState::Down);
    assert_eq!(
        link.send_frame(iface, &frame(GROUP_MAC, None, 0x0800, 112)),
        TransmitResult::Error
    );
    link.set_owner(&plain_host(iface, &vips), false)
        .expect("nothing to take off");
    let error = link.set_owner(&plain_host(iface, &vips), true).unwrap_err();
    assert!(matches!(error, OwnershipError::NoInterface { .. }), "{error}");

    // The thread that opens it again must be in the namespace, as the one that runs a host is.
    netns::connect(&a, &b, 11);
    a.enter(|| settle(&mut link));
    let (mut peer, peer_iface) = b.enter(open_eth0);
    let sent = frame(GROUP_MAC, None, 0x0800, 112);
    assert_eq!(peer.send_frame(peer_iface, &sent), TransmitResult::Sent);
    assert!(wakes(&link, 1000));
    assert_eq!(recv(&mut link), Some((iface, sent)));

    // Renamed: our addresses must not stay on an interface that is not ours any more.
    link.set_owner(&plain_host(iface, &vips), true).unwrap();
    assert_eq!(addresses(&a), ["10.0.0.2/24", "10.0.0.1/24"]);
    a.ip("link set eth0 down");
    a.ip("link set eth0 name lan0");
    a.enter(|| settle(&mut link));
    assert_eq!(addresses(&a), ["10.0.0.2/24"]);
}

#[test]
fn an_interface_that_was_replaced_is_opened_again() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let (mut link, iface) = a.enter(open_eth0);
    // Quicker than anybody looks, and with the same index.
    a.ip("link del eth0");
    netns::connect(&a, &b, 10);
    let seen = a.enter(|| settle(&mut link));
    assert_eq!(seen.first().unwrap().link, LinkState::Down);
    assert_eq!(seen.last().unwrap().link, LinkState::Up);
    let (mut peer, peer_iface) = b.enter(open_eth0);
    let sent = frame(GROUP_MAC, None, 0x0800, 112);
    assert_eq!(peer.send_frame(peer_iface, &sent), TransmitResult::Sent);
    assert!(wakes(&link, 1000));
    assert_eq!(recv(&mut link), Some((iface, sent)));
}

#[test]
fn a_wrong_name_is_answered_with_the_right_ones() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let error = link.add_interface("eht0").unwrap_err();
        assert!(
            matches!(&error, LinkError::NoSuchInterface { existing, .. } if existing.contains(&"eth0".into()))
        );
        assert!(
            error
                .to_string()
                .starts_with("no interface is called eht0; there are: lo"),
            "{error}"
        );
        let error = link.add_interface("lo").unwrap_err();
        assert!(matches!(error, LinkError::NotEthernet { .. }), "{error}");
        let iface = link.add_interface("eth0").unwrap();
        assert_eq!(link.add_interface("eth0").unwrap(), iface);
        assert_eq!(link.interface_name(iface), Some("eth0"));
    });
}

#[test]
fn missing_capabilities_are_named() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.enter(|| {
        let (mut link, iface) = open_eth0();
        // Of this thread only.
        let mut mine = capabilities(None).unwrap();
        mine.effective -= CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
        set_capabilities(None, mine).unwrap();
        let error = LinuxLink::new().unwrap().add_interface("eth0").unwrap_err();
        assert!(matches!(error, LinkError::NotPermitted), "{error}");
        assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
        let vips = [vip("10.0.0.1", Prefix::Interface)];
        let error = link.set_owner(&plain_host(iface, &vips), true).unwrap_err();
        assert!(matches!(error, OwnershipError::NotPermitted { .. }), "{error}");
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    });
}

/// An Ethernet frame from the virtual MAC with 60 bytes of content that has an IP protocol in it.
fn frame(to: [u8; 6], vlan: Option<u16>, ether_type: u16, protocol: u8) -> Vec<u8> {
    let mut bytes = [to, VIRTUAL_MAC].concat();
    if let Some(vlan) = vlan {
        bytes.extend([0x81, 0x00]);
        bytes.extend(vlan.to_be_bytes());
    }
    bytes.extend(ether_type.to_be_bytes());
    let mut content = [0; 60];
    content[0] = if ether_type == 0x86dd { 0x60 } else { 0x45 };
    content[if ether_type == 0x86dd { 6 } else { 9 }] = protocol;
    bytes.extend(content);
    bytes
}

fn mac_of(namespace: &Namespace) -> [u8; 6] {
    let shown = namespace.ip("-o link show eth0");
    let mac = shown
        .split_whitespace()
        .skip_while(|word| *word != "link/ether")
        .nth(1)
        .unwrap();
    let bytes: Vec<u8> = mac
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

/// How many frames `eth0` has received.
fn frames_received(namespace: &Namespace) -> u64 {
    let table = namespace.enter(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix("eth0:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
