//! `LinuxLink` on real interfaces: virtual addresses in plain mode.
#![cfg(target_os = "linux")]

mod netns;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use carp_fsm::Duration;
use carp_std::linux::{Clock, LinuxLink};
use carp_std::{Link, OwnershipError, Prefix, VirtualHost};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use netns::link::{changes, open_eth0, plain_host, vip};
use netns::{addresses, available, pair};

#[test]
fn addresses_go_on_tagged_with_the_configured_prefix_and_come_off() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.enter(|| {
        let (mut link, iface) = open_eth0();
        let vips = [
            vip("10.0.0.11", Prefix::Host),
            vip("192.0.2.1", Prefix::Interface),
            vip("198.51.100.1", Prefix::Length(28)),
            vip("10.0.0.1", Prefix::Interface),
        ];
        let host = plain_host(iface, &vips);
        let on = ["10.0.0.11/32", "192.0.2.1/32", "198.51.100.1/28", "10.0.0.1/24"];
        for _ in 0..2 {
            link.set_owner(&host, true).unwrap();
            assert_eq!(addresses(&a), [&["10.0.0.2/24"], &on[..]].concat());
            assert_eq!(tags(), [0, 112, 112, 112, 112]);
        }
        // Another process, or this one after a crash, knows them by their tag.
        let (mut heir, iface) = open_eth0();
        assert_eq!(changes(&mut heir).len(), 0);
        for _ in 0..2 {
            heir.set_owner(&VirtualHost { iface, ..host }, false).unwrap();
            assert_eq!(addresses(&a), ["10.0.0.2/24"]);
        }
        link.set_owner(&host, false).unwrap();

        // A changed prefix replaces the old one.
        link.set_owner(
            &VirtualHost {
                addresses: &[vip("10.0.0.1", Prefix::Host)],
                ..host
            },
            true,
        )
        .unwrap();
        link.set_owner(
            &VirtualHost {
                addresses: &vips[3..],
                ..host
            },
            true,
        )
        .unwrap();
        assert_eq!(addresses(&a), ["10.0.0.2/24", "10.0.0.1/24"]);
    });
}

#[test]
fn foreign_addresses_are_never_touched() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.ip("address add 10.0.0.1/24 dev eth0");
    a.enter(|| {
        let (mut link, iface) = open_eth0();
        // Tagged as ours, but another virtual host's.
        link.set_owner(&plain_host(iface, &[vip("10.0.0.9", Prefix::Host)]), true).unwrap();
        let before = addresses(&a);
        let vips = [vip("10.0.0.11", Prefix::Interface), vip("10.0.0.1", Prefix::Interface)];
        for owner in [true, false, true] {
            let error = link.set_owner(&plain_host(iface, &vips), owner).unwrap_err();
            assert!(
                matches!(&error, OwnershipError::Foreign { address, prefix_len: 24, .. } if *address == vips[1].address),
                "{error}"
            );
            assert!(error.to_string().contains("ip address del 10.0.0.1/24 dev eth0"), "{error}");
            assert_eq!(addresses(&a), before, "nothing was added, nothing was removed");
        }
    });
}

#[test]
fn all_addresses_go_on_or_none() {
    if !available() {
        return;
    }
    let (a, _b) = pair(); // where IPv6 is switched off
    a.enter(|| {
        let (mut link, iface) = open_eth0();
        let vips = [
            vip("10.0.0.1", Prefix::Interface),
            vip("2001:db8::1", Prefix::Host),
        ];
        let error = link.set_owner(&plain_host(iface, &vips), true).unwrap_err();
        assert!(matches!(error, OwnershipError::Ipv6Disabled { .. }), "{error}");
        assert_eq!(addresses(&a), ["10.0.0.2/24"]);
    });
}

#[test]
fn a_foreign_address_in_the_network_of_a_virtual_one_survives_it() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.ip("address flush dev eth0");
    a.enter(|| {
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/promote_secondaries", "0").unwrap();
        let (mut link, iface) = open_eth0();
        let vips = [vip("10.0.0.1", Prefix::Length(24))];
        link.set_owner(&plain_host(iface, &vips), true).unwrap();
        a.ip("address add 10.0.0.2/24 dev eth0"); // secondary to 10.0.0.1
        link.set_owner(&plain_host(iface, &vips), false).unwrap();
    });
    assert_eq!(addresses(&a), ["10.0.0.2/24"]);
}

#[test]
fn ipv6_addresses_work_at_once() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.enter(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0").unwrap();
        a.ip("-6 address add 2001:db8::2/64 dev eth0 nodad");
        a.ip("-6 address add fe80::2/64 dev eth0 nodad");
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        let source = changes(&mut link).last().unwrap().ipv6;
        assert!(
            source.is_some_and(|source| source.is_unicast_link_local()),
            "{source:?}"
        );
        let vips = [
            vip("fe80::1", Prefix::Host),
            vip("2001:db8::1", Prefix::Interface),
        ];
        for _ in 0..2 {
            link.set_owner(&plain_host(iface, &vips), true).unwrap();
            let shown = a.ip("-o -6 address show dev eth0");
            for expected in ["2001:db8::1/64", "fe80::1/128"] {
                let line = shown
                    .lines()
                    .find(|line| line.contains(expected))
                    .expect(expected);
                assert!(!line.contains("tentative"), "{line}");
            }
            assert_eq!(changes(&mut link), [], "a virtual address is no source");
        }
        link.set_owner(&plain_host(iface, &vips), false).unwrap();
        let shown = a.ip("-o -6 address show dev eth0");
        assert!(
            !shown.contains("2001:db8::1/") && !shown.contains("fe80::1/"),
            "{shown}"
        );
        assert!(
            shown.contains("2001:db8::2/64") && shown.contains("fe80::2/64"),
            "{shown}"
        );
    });
}

/// The tags (`IFA_PROTO`) of this namespace's IPv4 addresses, 0 where there is none.
fn tags() -> Vec<u8> {
    let mut socket = Socket::new(NETLINK_ROUTE).unwrap();
    socket.bind_auto().unwrap();
    let mut request = AddressMessage::default();
    request.header.family = AddressFamily::Inet;
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetAddress(request));
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).unwrap();
    let (answer, _) = socket.recv_from_full().unwrap();

    let mut tags = Vec::new();
    let mut rest = &answer[..];
    while !rest.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).unwrap();
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) = &message.payload {
            tags.push(address.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Protocol(tag) => Some(u8::from(*tag)),
                _ => None,
            }));
        }
        rest = &rest[(message.header.length as usize)
            .next_multiple_of(4)
            .min(rest.len())..];
    }
    tags.into_iter().map(Option::unwrap_or_default).collect()
}

#[test]
fn an_ipv6_address_is_answered_for_when_it_is_on_however_busy_the_kernel_is() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Network interfaces that change keep the kernel from putting addresses into service.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                b.ip("link add name v0 type veth peer name v1");
                b.ip("link del v0");
            }
        });
        a.enter(|| {
            std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0").unwrap();
            let (mut link, iface) = open_eth0();
            let vips = [vip("2001:db8::1", Prefix::Length(64))];
            let host = plain_host(iface, &vips);
            let mut waited = 0;
            let end = Clock.now() + Duration::from_secs(2);
            while Clock.now() < end {
                link.set_owner(&host, true).unwrap();
                waited += usize::from(!hears_questions());
                link.set_owner(&host, false).unwrap();
            }
            over.store(true, Ordering::Relaxed);
            assert_eq!(waited, 0);
        });
    });
}

/// Whether the kernel hears neighbours that ask for an address that ends in 1.
fn hears_questions() -> bool {
    let groups = std::fs::read_to_string("/proc/thread-self/net/igmp6").unwrap();
    groups.contains("ff0200000000000000000001ff000001")
}
