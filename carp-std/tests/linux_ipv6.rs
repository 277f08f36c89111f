//! IPv6 on real interfaces: alone and beside IPv4, in both modes.
#![cfg(target_os = "linux")]

mod netns;

use carp_fsm::{LinkMode, State};
use carp_proto::MULTICAST_V6;
use carp_std::Prefix;
use netns::client::{known_mac, listen, mac_of, reaches, until};
use netns::node::{Node, Setup};
use netns::{Capture, Namespace, available, pair, segment, with_ipv6};

const GLOBAL: &str = "2001:db8::1:7";
const LINK_LOCAL: &str = "fe80::1:7";
const VIRTUAL_MAC: &str = "00:00:5e:00:01:07";

#[test]
fn ipv6_alone_is_enough() {
    if !available() {
        return;
    }
    for mode in [LinkMode::Plain, LinkMode::Vmac] {
        let (a, b, client, _switch) = segment();
        for (n, machine) in [(2, &a), (3, &b), (100, &client)] {
            with_ipv6(machine, n);
            machine.ip("-4 address flush dev eth0");
        }
        listen(&a);
        listen(&b);
        let setup = |skew| Setup {
            skew,
            mode,
            addresses: &[LINK_LOCAL, GLOBAL],
            prefix: Prefix::Interface,
        };
        let capture = Capture::start(&client);
        let fast = Node::start(&a, setup(20));
        while fast.next().1 != State::Master {}
        let slow = Node::start(&b, setup(80));
        assert_eq!(slow.next().1, State::Backup);
        assert_eq!(
            addresses(&a, mode),
            [format!("{GLOBAL}/64"), format!("{LINK_LOCAL}/64")]
        );
        assert_eq!(addresses(&b, mode), [""; 0]);
        let of = |machine: &Namespace| match mode {
            LinkMode::Plain => own_mac(machine),
            LinkMode::Vmac => VIRTUAL_MAC.to_owned(),
        };
        for address in [LINK_LOCAL, GLOBAL] {
            assert_eq!(mac_of(&client, address), Some(of(&a)));
        }
        assert!(reaches(&client, GLOBAL));

        // Who knew the old master is told of the new one.
        fast.stopper.stop();
        while slow.next().1 != State::Master {}
        fast.thread.join().unwrap();
        until("told", || {
            [LINK_LOCAL, GLOBAL]
                .iter()
                .all(|vip| known_mac(&client, vip) == Some(of(&b)))
        });
        assert!(reaches(&client, GLOBAL));
        assert_eq!(addresses(&a, mode), [""; 0]);
        slow.end();

        let frames = capture.stop();
        assert!(
            frames.iter().any(|frame| is_advertisement(frame)),
            "to ff02::12, hop limit 255"
        );
        assert!(
            frames.iter().any(|frame| is_announcement(frame)),
            "unsolicited, override"
        );
        let is_ipv4 = |frame: &Vec<u8>| frame[12..14] == [0x08, 0x00] && frame[23] == 112;
        assert!(!frames.iter().any(is_ipv4), "advertised over IPv4");
    }
}

#[test]
fn both_families_move_together() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    with_ipv6(&a, 2);
    with_ipv6(&b, 3);
    let setup = |skew| Setup {
        addresses: &["10.0.0.1", GLOBAL],
        ..Setup::plain(skew)
    };
    let fast = Node::start(&a, setup(20));
    while fast.next().1 != State::Master {}
    let slow = Node::start(&b, setup(80));
    assert_eq!(slow.next().1, State::Backup);
    let capture = Capture::start(&b);
    until("both are advertised", || a.ip("-s link show eth0").contains("TX"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    let frames = capture.stop();
    let is_ipv4 = |frame: &Vec<u8>| frame[12..14] == [0x08, 0x00] && frame[23] == 112;
    assert!(frames.iter().any(is_ipv4) && frames.iter().any(|frame| is_advertisement(frame)));

    fast.stopper.stop();
    assert_eq!(slow.next().1, State::Master);
    fast.thread.join().unwrap();
    assert_eq!(netns::addresses(&b), ["10.0.0.3/24", "10.0.0.1/24"]);
    assert_eq!(addresses(&b, LinkMode::Plain), [format!("{GLOBAL}/64")]);
    slow.end();
}

#[test]
fn a_link_local_address_can_be_virtual_on_every_interface() {
    if !available() {
        return;
    }
    for mode in [LinkMode::Plain, LinkMode::Vmac] {
        let (a, _b) = pair();
        with_ipv6(&a, 2);
        a.ip("link add eth1 type veth peer name peer1");
        a.ip("link set peer1 up");
        a.ip("link set eth1 up");
        a.enter(|| std::fs::write("/proc/sys/net/ipv6/conf/eth1/disable_ipv6", "0").unwrap());
        a.ip("address add fe80::22/64 dev eth1 nodad");
        let setup = move |interface| {
            Setup {
                skew: 20,
                mode,
                addresses: &["fe80::1"],
                prefix: Prefix::Interface,
            }
            .on(interface)
        };
        let nodes = ["eth0", "eth1"].map(|interface| Node::start_with(&a, move || setup(interface)));
        for node in &nodes {
            while node.next().1 != State::Master {}
        }
        let shown = a.ip("-o -6 address show");
        assert_eq!(shown.matches("fe80::1/64").count(), 2, "{shown}");
        for node in nodes {
            node.end();
        }
        assert!(!a.ip("-o -6 address show").contains("fe80::1/64"));
    }
}

/// The virtual addresses of a machine, usable ones, sorted.
fn addresses(machine: &Namespace, mode: LinkMode) -> Vec<String> {
    let interface = match mode {
        LinkMode::Plain => " eth0 ",
        LinkMode::Vmac => " carp7-eth0 ",
    };
    let shown = machine.ip("-o -6 address show");
    let lines = shown
        .lines()
        .filter(|line| line.contains(interface) && !line.contains("tentative"));
    let mut addresses: Vec<_> = lines.filter_map(|line| line.split_whitespace().nth(3)).collect();
    addresses.retain(|address| address.contains("::1:7/"));
    addresses.sort_unstable();
    addresses.into_iter().map(str::to_owned).collect()
}

fn own_mac(machine: &Namespace) -> String {
    let shown = machine.ip("-o link show eth0");
    let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
    words.nth(1).unwrap().to_owned()
}

/// An IPv6 packet of this protocol with hop limit 255.
fn is_ipv6(frame: &[u8], next_header: u8) -> bool {
    frame.len() >= 78 && frame[12..14] == [0x86, 0xdd] && frame[20] == next_header && frame[21] == 255
}

fn is_advertisement(frame: &[u8]) -> bool {
    is_ipv6(frame, 112) && frame[38..54] == MULTICAST_V6.octets()
}

/// A neighbour advertisement that nobody asked for, and that replaces what neighbours know.
fn is_announcement(frame: &[u8]) -> bool {
    const OVERRIDE: u8 = 0x20;
    const SOLICITED: u8 = 0x40;
    is_ipv6(frame, 58) && frame[54] == 136 && frame[58] & (OVERRIDE | SOLICITED) == OVERRIDE
}
