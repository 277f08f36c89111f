//! The interface of VMAC mode: what is made and removed, what others do to it, and what is left when it is over.
#![cfg(target_os = "linux")]

mod netns;

use std::thread;
use std::time::Duration as StdDuration;

use carp_fsm::{Duration, IfaceId, State};
use carp_std::linux::{Clock, LinuxLink};
use carp_std::{Link, OwnershipError, Prefix, VirtualAddress, VirtualHost};
use netns::client::until;
use netns::link::{DUAL_VIPS, is_up, plain_host, vip, vmac_addresses, vmac_host};
use netns::node::{Node, Setup};
use netns::{Namespace, available, pair, with_ipv6};

#[test]
fn what_a_killed_process_left_is_used_again_and_removed_in_the_end() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    let vips = [vip("10.0.0.1", Prefix::Interface)];
    a.enter(|| {
        let mut dead = LinuxLink::new().unwrap();
        let iface = dead.add_interface("eth0").unwrap();
        dead.set_owner(&vmac_host(iface, &vips), true).unwrap();
        drop(dead);
        assert_eq!(vmac_addresses(&a), ["10.0.0.1/24"], "an owner that falls dead");

        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        link.set_owner(&vmac_host(iface, &vips), false).unwrap();
        assert_eq!(vmac_addresses(&a), [""; 0]);
        until("down", || !is_up(&a));
        link.set_owner(&vmac_host(iface, &vips), true).unwrap();
        assert_eq!(vmac_addresses(&a), ["10.0.0.1/24"]);
        assert!(is_up(&a));
        link.set_owner(&vmac_host(iface, &vips), false).unwrap();
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
    let vips = [vip("10.0.0.1", Prefix::Interface)];
    a.enter(|| {
        let own = |host: fn(IfaceId, &[VirtualAddress]) -> VirtualHost<'_>, owner| {
            let mut link = LinuxLink::new().unwrap();
            let iface = link.add_interface("eth0").unwrap();
            link.set_owner(&host(iface, &vips), owner).unwrap();
        };
        own(plain_host, true);
        own(vmac_host, false);
        assert_eq!(below(&a), ["10.0.0.2/24"]);
        own(plain_host, true);
        own(vmac_host, true);
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
        let (old, new) = (
            [vip("10.0.0.1", Prefix::Interface)],
            [vip("10.0.0.9", Prefix::Interface)],
        );
        link.set_owner(&vmac_host(iface, &old), true).unwrap();
        link.set_owner(&vmac_host(iface, &new), true).unwrap();
        link.drop_addresses(&vmac_host(iface, &old)).unwrap();
        assert_eq!(vmac_addresses(&a), ["10.0.0.9/24"]);
        thread::sleep(StdDuration::from_millis(400)); // an interface that is let go goes later
        assert!(is_up(&a));
        link.set_owner(&vmac_host(iface, &new), false).unwrap();
        until("down", || !is_up(&a));
    });
}

#[test]
fn an_interface_with_our_name_that_is_not_ours_is_left_alone() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.ip("link add carp7-eth0 link eth0 type macvlan mode bridge");
    let vips = [vip("10.0.0.1", Prefix::Interface)];
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        link.set_owner(&vmac_host(iface, &vips), false).unwrap();
        let error = link.set_owner(&vmac_host(iface, &vips), true).unwrap_err();
        assert!(matches!(error, OwnershipError::NameTaken { .. }), "{error}");
        assert!(error.to_string().contains("'ip link del carp7-eth0'"), "{error}");
        link.release(&vmac_host(iface, &vips));
        drop(link);
        assert!(exists(&a));
        a.ip("link del carp7-eth0");

        // The port of a bridge carries no macvlan.
        a.ip("link add br0 type bridge");
        a.ip("link set eth0 master br0");
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        let error = link.set_owner(&vmac_host(iface, &vips), true).unwrap_err();
        assert!(error.to_string().contains("port of a bridge"), "{error}");
    });
}

#[test]
fn what_was_left_half_removed_is_ours() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    // A process that removes many moves them to a group of its own first, and may be killed then.
    let group = 112 << 24 | 0x1267;
    a.ip(&format!(
        "link add carp7-eth0 link eth0 address 00:00:5e:00:01:07 group {group} type macvlan mode bridge"
    ));
    let vips = [vip("10.0.0.1", Prefix::Interface)];
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        link.set_owner(&vmac_host(iface, &vips), true).unwrap();
        let ours = a.ip("-o link show group 112");
        assert!(
            ours.contains(" carp7-eth0@"),
            "another one that removes must not take it along: {ours}"
        );
        link.set_owner(&vmac_host(iface, &vips), false).unwrap();
        drop(link);
        assert!(!exists(&a));
    });
}

#[test]
fn what_was_to_be_removed_later_is_removed_in_the_end() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    let vips = [vip("10.0.0.1", Prefix::Interface)];
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        link.set_owner(&vmac_host(iface, &vips), false).unwrap();
        link.release(&vmac_host(iface, &vips));
        assert!(exists(&a), "later");
        drop(link);
        assert!(!exists(&a));
    });
}

#[test]
fn a_foreign_virtual_address_below_is_reported() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    a.ip("address add 10.0.0.1/24 dev eth0");
    let vips = [vip("10.0.0.1", Prefix::Interface)];
    a.enter(|| {
        let mut link = LinuxLink::new().unwrap();
        let iface = link.add_interface("eth0").unwrap();
        for owner in [false, true] {
            let error = link.set_owner(&vmac_host(iface, &vips), owner).unwrap_err();
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
    node.end();
    assert!(!exists(&a));
}

#[test]
fn switched_on_at_a_backup_it_is_switched_off_again() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let master = Node::start(&b, Setup::vmac(20));
    while master.next().1 != State::Master {}
    let backup = Node::start(&a, Setup::vmac(80));
    assert_eq!(backup.next().1, State::Backup);
    until("made", || exists(&a));
    a.ip("link set carp7-eth0 up");
    until("down", || !is_up(&a));
    assert_eq!(backup.events.try_recv().ok(), None, "no transition");
    backup.end();
    master.end();
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
        let [ipv4, _, ipv6] = DUAL_VIPS.map(|address| vip(address, Prefix::Interface));
        let mut set = |addresses: &[VirtualAddress], owner| {
            link.set_owner(&vmac_host(iface, addresses), owner).unwrap();
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

fn exists(namespace: &Namespace) -> bool {
    namespace.ip("-o link show").contains(" carp7-eth0@")
}

fn has_virtual_mac(namespace: &Namespace) -> bool {
    let links = namespace.ip("-o link show");
    let mut ours = links.lines().filter(|line| line.contains(" carp7-eth0@"));
    ours.any(|line| line.contains("link/ether 00:00:5e:00:01:07"))
}

/// The IPv4 addresses of `eth0`.
fn below(namespace: &Namespace) -> Vec<String> {
    let shown = namespace.ip("-o -4 address show dev eth0");
    shown
        .lines()
        .map(|line| line.split_whitespace().nth(3).unwrap().to_owned())
        .collect()
}
