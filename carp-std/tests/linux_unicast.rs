//! Unicast over a router: packets leave as they are, find their way, and are received.
#![cfg(target_os = "linux")]

mod netns;

use std::net::IpAddr;
use std::thread;
use std::time::Duration as StdDuration;

use carp_fsm::{IfaceId, Peer, State, TransmitResult};
use carp_proto::frame::{Envelope, FrameClass, MAX_FRAME_LEN, classify, emit_advertisement};
use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, Key, MacAddr,
    Vhid,
};
use carp_std::linux::{Clock, LinuxLink};
use carp_std::{Link, Prefix};
use netns::client::until;
use netns::node::{Node, SLACK, Setup};
use netns::{Capture, Namespace, available};

#[test]
fn a_peer_behind_a_router_is_reached_and_not_told_that_nobody_listens() {
    if !available() {
        return;
    }
    let (a, _router, b) = routed();
    let open = || {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        (link, iface)
    };
    let (mut from, iface) = a.enter(open);
    let (mut to, _) = b.enter(open);
    let capture = Capture::start(&a);
    for (source, peer) in [("10.1.0.2", "10.2.0.2"), ("2001:db8:1::2", "2001:db8:2::2")] {
        let (source, peer) = (source.parse().unwrap(), peer.parse().unwrap());
        let sent = advertisement(source, peer);
        assert_eq!(from.send_unicast(iface, &sent, peer), TransmitResult::Sent);
        let mut received = None;
        until("received", || {
            received = received.take().or_else(|| recv(&mut to));
            received.is_some()
        });
        let received = received.unwrap();
        let FrameClass::Carp { meta, payload } = classify(&received) else {
            panic!("{received:x?}");
        };
        assert_eq!((meta.src, meta.dst, meta.ttl), (source, peer, 254));
        let FrameClass::Carp { payload: as_sent, .. } = classify(&sent) else {
            panic!("{sent:x?}");
        };
        assert_eq!(payload, as_sent);
        assert_eq!(received[15], sent[15], "TOS");
        assert_eq!(received[20] & 0x40, sent[20] & 0x40, "DF");
    }
    thread::sleep(StdDuration::from_millis(200));
    for frame in capture.stop() {
        let is_error = match frame[12..14] {
            [0x08, 0x00] => frame[23] == 1,
            [0x86, 0xdd] => frame[20] == 58 && frame[54] < 128,
            _ => false,
        };
        assert!(!is_error, "an ICMP error: {frame:x?}");
    }

    let nowhere = "192.0.2.1".parse().unwrap();
    a.ip("route del default via 10.1.0.1");
    let lost = advertisement("10.1.0.2".parse().unwrap(), nowhere);
    assert_eq!(from.send_unicast(iface, &lost, nowhere), TransmitResult::Error);
    assert_eq!(
        from.send_unicast(IfaceId(9), &lost, nowhere),
        TransmitResult::Error
    );
}

#[test]
fn an_election_over_a_router() {
    elect(["10.1.0.2", "10.2.0.2"], &["192.0.2.1"]);
}

#[test]
fn an_election_over_a_router_by_ipv6() {
    elect(["2001:db8:1::2", "2001:db8:2::2"], &["2001:db8::1"]);
}

/// Two machines behind a router elect, and one follows when the other stops. The virtual address belongs to no network
/// of either; whoever is master would tell a routing daemon.
fn elect(own: [&'static str; 2], addresses: &'static [&'static str]) {
    if !available() {
        return;
    }
    let (a, _router, b) = routed();
    let node = |namespace: &Namespace, skew, peer: &'static str| {
        Node::start_with(namespace, move || {
            let setup = Setup {
                addresses,
                prefix: Prefix::Host,
                ..Setup::plain(skew)
            };
            let mut host = setup.host();
            let id = host.node().hosts().next().unwrap();
            let peer = Peer {
                address: peer.parse().unwrap(),
                min_ttl: 254,
            };
            host.node_mut()
                .set_peers(Clock.now(), id, false, &[peer])
                .unwrap();
            host
        })
    };
    let has_address = |machine: &Namespace| machine.ip("-o address show").contains(addresses[0]);
    let fast = node(&a, 20, own[1]);
    while fast.next().1 != State::Master {}
    let slow = node(&b, 80, own[0]);
    assert_eq!(slow.next().1, State::Backup);
    thread::sleep(StdDuration::from_millis(1_500)); // half as long again as it would wait for one that is silent
    assert_eq!(slow.events.try_recv().ok(), None, "hears the master");

    let stopped = Clock.now();
    fast.stopper.stop();
    let (took_over, state) = slow.next();
    assert_eq!(state, State::Master);
    assert!(took_over - stopped < SLACK, "after {} s", took_over - stopped);
    fast.thread.join().unwrap();
    assert_eq!([&a, &b].map(has_address), [false, true]);
    slow.end();
}

/// Two machines, 10.1.0.2 and 10.2.0.2 (`2001:db8:1::2` and `2001:db8:2::2`), and the router between them.
fn routed() -> (Namespace, Namespace, Namespace) {
    let (a, router, b) = (Namespace::new(), Namespace::new(), Namespace::new());
    for (machine, n) in [(&a, 1), (&b, 2)] {
        router.cable(&format!("port{n}"), machine);
        for (namespace, interface, address) in
            [(machine, "eth0".to_owned(), 2), (&router, format!("port{n}"), 1)]
        {
            namespace.enter(|| {
                // While it looks for duplicates of its link-local address, a router answers nobody.
                for file in ["accept_dad", "disable_ipv6"] {
                    std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/{file}"), "0").unwrap();
                }
            });
            namespace.ip(&format!("address add 10.{n}.0.{address}/24 dev {interface}"));
            namespace.ip(&format!(
                "address add 2001:db8:{n}::{address}/64 dev {interface} nodad"
            ));
            namespace.ip(&format!("link set {interface} up"));
        }
        machine.ip(&format!("route add default via 10.{n}.0.1"));
        machine.ip(&format!("route add default via 2001:db8:{n}::1"));
    }
    router.enter(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    });
    // Until the kernel has seen the carrier, it answers nobody who asks for a neighbour.
    until("both networks are up", || {
        router.ip("-o link show").matches(" state UP ").count() == 2
    });
    (a, router, b)
}

/// A frame as the node makes it: the destination MAC address is missing.
fn advertisement(from: IpAddr, to: IpAddr) -> Vec<u8> {
    let vhid = Vhid::new(7).unwrap();
    let key = Key::from_passphrase(b"secret").unwrap();
    let authenticator = Authenticator::new(
        &key,
        vhid,
        &AddressSet::<1>::new(),
        carp_proto::HmacVariant::Plain,
    );
    let counter = Counter::new(1);
    let advertisement = Advertisement {
        vhid,
        advbase: AdvBase::new(1),
        advskew: AdvSkew::new(0),
        demotion: Demotion::new(0),
        counter,
        digest: authenticator.sign(counter),
    };
    let none = MacAddr([0; 6]);
    let envelope = Envelope::unicast(none, none, from, to, Dialect::FreeBsd);
    let mut buffer = [0; MAX_FRAME_LEN];
    let len = emit_advertisement(&advertisement, &envelope, Dialect::FreeBsd, &mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn recv(link: &mut LinuxLink) -> Option<Vec<u8>> {
    let mut frame = [0; 2048];
    link.recv(&mut frame).map(|(_, len)| frame[..len].to_vec())
}
