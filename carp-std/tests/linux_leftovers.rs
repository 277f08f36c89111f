//! What killed processes left: what goes, and what is not theirs.
#![cfg(target_os = "linux")]

mod netns;

use carp_proto::Vhid;
use carp_std::linux::LinuxLink;
use carp_std::{Link, Prefix, VirtualHost};
use netns::link::{plain_host, vip, vmac_host};
use netns::{Namespace, available, pair};

#[test]
fn all_of_it_goes_from_the_interfaces_that_are_added_and_nothing_else() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    for line in [
        "link add eth1 type bridge",
        "link add m0 link eth0 type macvlan mode bridge",
        // Not tagged, and tagged but not for a virtual host.
        "link add carp9-eth0 link eth0 type macvlan mode bridge",
        "link add other link eth0 group 112 type macvlan mode bridge",
    ] {
        a.ip(line);
    }
    for name in ["eth1", "m0"] {
        a.ip(&format!("link set {name} up"));
    }
    let plain = [vip("10.0.0.11", Prefix::Interface)];
    let others = [vip("10.0.1.1", Prefix::Host)];
    let own = |link: &mut LinuxLink, name: &str, vhid| {
        let iface = link.add_interface(name).unwrap();
        link.set_owner(&plain_host(iface, &plain), true).unwrap();
        let vmac = VirtualHost {
            vhid: Vhid::new(vhid).unwrap(),
            ..vmac_host(iface, &others)
        };
        link.set_owner(&vmac, true).unwrap();
    };
    a.enter(|| {
        let mut killed = LinuxLink::new().unwrap();
        for (name, vhid) in [("eth0", 8), ("eth1", 8), ("m0", 10)] {
            own(&mut killed, name, vhid);
        }
        drop(killed);
        let before = names(&a);
        for name in ["carp8-eth0", "carp8-eth1", "carp10-m0"] {
            assert!(before.iter().any(|there| there == name), "{before:?}");
        }

        let mut link = LinuxLink::new().unwrap();
        link.add_interface("eth0").unwrap();
        link.remove_leftovers().unwrap();
        assert_eq!(on(&a, "eth0"), ["10.0.0.2/24"]);
        let rest: Vec<_> = before.into_iter().filter(|name| name != "carp8-eth0").collect();
        assert_eq!(names(&a), rest);
        assert_eq!(on(&a, "eth1"), ["10.0.0.11/32"]);
        assert_eq!(on(&a, "m0"), ["10.0.0.11/32"]);

        // Once for each interface; and what this one has is not left.
        own(&mut LinuxLink::new().unwrap(), "eth0", 8);
        own(&mut link, "eth1", 8);
        link.remove_leftovers().unwrap();
        assert_eq!(on(&a, "eth0"), ["10.0.0.2/24", "10.0.0.11/24"]);
        assert_eq!(on(&a, "eth1"), ["10.0.0.11/32"]);
        assert_eq!(on(&a, "carp8-eth1"), ["10.0.1.1/32"]);
    });
}

/// The IPv4 addresses of an interface.
fn on(namespace: &Namespace, interface: &str) -> Vec<String> {
    let shown = namespace.ip(&format!("-o -4 address show dev {interface}"));
    let addresses = shown.lines().map(|line| line.split_whitespace().nth(3).unwrap());
    addresses.map(str::to_owned).collect()
}

/// All interfaces.
fn names(namespace: &Namespace) -> Vec<String> {
    let shown = namespace.ip("-o link show");
    let names = shown
        .lines()
        .map(|line| line.split([':', '@']).nth(1).unwrap().trim());
    names.map(str::to_owned).collect()
}
