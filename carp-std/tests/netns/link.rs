//! What tests of a `LinuxLink` by itself share.

use std::net::IpAddr;

use carp_fsm::{IfaceId, InterfaceInfo, LinkMode};
use carp_proto::Vhid;
use carp_std::linux::LinuxLink;
use carp_std::{Link, Prefix, VirtualAddress, VirtualHost};

use super::Namespace;
use super::node::readable;

/// Virtual addresses of both families, the second one link-local.
pub(crate) const DUAL_VIPS: [&str; 3] = ["10.0.0.1", "fe80::1:7", "2001:db8::1:7"];

/// A link on `eth0`, its first state already read.
pub(crate) fn open_eth0() -> (LinuxLink, IfaceId) {
    let mut link = LinuxLink::new().unwrap();
    let iface = link.add_interface("eth0").unwrap();
    changes(&mut link);
    (link, iface)
}

pub(crate) fn vip(address: &str, prefix: Prefix) -> VirtualAddress {
    VirtualAddress {
        address: address.parse::<IpAddr>().unwrap(),
        prefix,
    }
}

pub(crate) fn plain_host(iface: IfaceId, addresses: &[VirtualAddress]) -> VirtualHost<'_> {
    VirtualHost {
        iface,
        vhid: Vhid::new(7).unwrap(),
        mode: LinkMode::Plain,
        addresses,
    }
}

pub(crate) fn vmac_host(iface: IfaceId, addresses: &[VirtualAddress]) -> VirtualHost<'_> {
    VirtualHost {
        mode: LinkMode::Vmac,
        ..plain_host(iface, addresses)
    }
}

pub(crate) fn recv(link: &mut LinuxLink) -> Option<(IfaceId, Vec<u8>)> {
    let mut frame = [0; 2048];
    link.recv(&mut frame)
        .map(|(iface, len)| (iface, frame[..len].to_vec()))
}

/// Whether the link's descriptor gets readable within so many milliseconds.
pub(crate) fn wakes(link: &LinuxLink, millis: i64) -> bool {
    readable(link, millis)
}

pub(crate) fn changes(link: &mut LinuxLink) -> Vec<InterfaceInfo> {
    std::iter::from_fn(|| link.poll_change())
        .map(|(_, info)| info)
        .collect()
}

/// Reads changes until none come for a while. It looks as a host does: only when it is woken, and then
/// it reads all.
pub(crate) fn settle(link: &mut LinuxLink) -> Vec<InterfaceInfo> {
    let mut seen = Vec::new();
    while wakes(link, 200) {
        seen.extend(changes(link));
        assert_eq!(recv(link), None); // picks up the error of an interface that went down
    }
    seen
}

pub(crate) fn is_up(namespace: &Namespace) -> bool {
    namespace.ip("-o link show up").contains(" carp7-eth0@")
}

/// What is on the interface of vhid 7, in the order in which it was put there.
pub(crate) fn vmac_addresses(namespace: &Namespace) -> Vec<String> {
    let shown = namespace.ip("-o address show");
    let lines = shown.lines().filter(|line| line.contains(" carp7-eth0 "));
    let mut addresses: Vec<_> = lines
        .filter(|line| !line.contains("tentative"))
        .map(|line| line.split_whitespace().nth(3).unwrap().to_owned())
        .collect();
    addresses.sort_by_key(|address| (address.contains(':'), address.starts_with("2001")));
    addresses
}
