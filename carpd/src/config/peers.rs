//! To whom a virtual host advertises: `peers`, `multicast` and `peer_hops` of a `[[vhid]]` table.

use std::net::IpAddr;

use carp_fsm::Peer;
use toml::Spanned;
use toml::de::DeValue;

use super::address::Vip;
use super::nodes::Nodes;
use super::report::Report;
use super::table::{Table, type_of};
use super::vhid::Context;

/// As many as a node has room for.
pub const MAX_PEERS: usize = 6;

const EXAMPLE: &str = "192.0.2.3";

/// To whom a virtual host advertises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    /// To everybody on the segment.
    pub multicast: bool,
    /// To these by unicast.
    pub peers: Vec<Peer>,
}

impl Destinations {
    /// Reads the keys. `vips` are the virtual addresses.
    pub(super) fn read(
        table: &Table<'_>,
        vips: &[Spanned<Vip>],
        context: &Context<'_>,
        report: &mut Report,
    ) -> Self {
        let hops = ", the routers between the nodes at most; 255: any number";
        let hops = table.number("peer_hops", 0..=u8::MAX, hops, report);
        let min_ttl = u8::MAX - hops.as_ref().map_or(0, |hops| *hops.get_ref());
        let addresses = match context.nodes {
            Some(nodes) => of_nodes(table, nodes, report),
            None => listed(table, context, report),
        };
        refuse_unusable(&addresses, vips, report);
        let multicast = table.boolean("multicast", report);
        let peers = table.items.get("peers");
        if let (None, Some(hops)) = (peers, hops) {
            report.mistake(
                &hops.span(),
                "peer_hops is for peers, and there are none; write peers, or leave it out",
            );
        }
        let multicast = multicast.unwrap_or(peers.is_none());
        let span = table.items.get("multicast").or(peers).map(Spanned::span);
        // Without an address, the election is held over IPv4.
        let is_spoken = |ipv4: bool| {
            let mut families = vips.iter().map(|vip| vip.get_ref().ip.is_ipv4());
            families.any(|family| family == ipv4) || (vips.is_empty() && ipv4)
        };
        let reached = addresses.iter().any(|peer| is_spoken(peer.get_ref().is_ipv4()));
        let is_wrong = addresses.is_empty() && peers.is_some() && !table.is_empty_list("peers");
        if let Some(span) = span.filter(|_| !multicast && !reached && !is_wrong) {
            report.mistake(
                &span,
                "nobody would hear it: there is no multicast, and no peer of the family of the addresses; write the \
                 other nodes' own addresses into peers, or multicast = true",
            );
        }
        let peer = |address: Spanned<IpAddr>| Peer {
            address: address.into_inner(),
            min_ttl,
        };
        Self {
            multicast,
            peers: addresses.into_iter().map(peer).collect(),
        }
    }
}

/// A list, for this node alone.
fn listed(table: &Table<'_>, context: &Context<'_>, report: &mut Report) -> Vec<Spanned<IpAddr>> {
    let list = table.strings("peers", EXAMPLE, report);
    let texts = list.map(Spanned::into_inner).unwrap_or_default();
    let own = context.machine.interfaces.iter().flatten();
    let own: Vec<_> = own
        .flat_map(|interface| &interface.addresses)
        .map(|(ip, _)| *ip)
        .collect();
    let peers: Vec<_> = texts.iter().filter_map(|text| address(text, report)).collect();
    for peer in peers.iter().filter(|peer| own.contains(peer.get_ref())) {
        let ip = peer.get_ref();
        report.warning(
            &peer.span(),
            format!("{ip} is an address of this machine, which is no peer of itself; leave it out"),
        );
    }
    peers
}

/// One table for all nodes, each of which leaves itself out.
fn of_nodes(table: &Table<'_>, nodes: &Nodes, report: &mut Report) -> Vec<Spanned<IpAddr>> {
    let Some(value) = table.items.get("peers") else {
        return Vec::new();
    };
    let names: Vec<_> = nodes.names().collect();
    let example: Vec<_> = names.iter().map(|name| format!("{name} = \"...\"")).collect();
    let example = example.join(", ");
    let DeValue::Table(items) = value.get_ref() else {
        let what = type_of(value);
        report.mistake(
            &value.span(),
            format!("peers is {what}, but there are [nodes]; write each node's own address: peers = {{ {example} }}"),
        );
        return Vec::new();
    };
    let mut peers = Vec::new();
    for (key, value) in items {
        let name: &str = key.get_ref();
        if !names.contains(&name) {
            let (name, names) = (name.escape_debug(), names.join(", "));
            report.mistake(
                &key.span(),
                format!("there is no node {name}; write one of {names}"),
            );
        }
        let found = of_node(name, value, report);
        if nodes.this() != Some(name) {
            peers.extend(found);
        }
    }
    for name in names.iter().filter(|name| !items.contains_key(**name)) {
        report.mistake(
            &value.span(),
            format!("there is no address of {name}; write one: peers = {{ {example} }}"),
        );
    }
    peers
}

/// One address of a node, or one of each family.
fn of_node(name: &str, value: &Spanned<DeValue<'_>>, report: &mut Report) -> Vec<Spanned<IpAddr>> {
    let name = name.escape_debug();
    let mut addresses = Vec::new();
    let values = match value.get_ref() {
        DeValue::Array(array) => array.iter().collect(),
        _ => vec![value],
    };
    for value in values {
        if let DeValue::String(text) = value.get_ref() {
            addresses.extend(address(&Spanned::new(value.span(), text.as_ref()), report));
        } else {
            let what = type_of(value);
            report.mistake(
                &value.span(),
                format!("{name} is {what}; write its address: {name} = \"{EXAMPLE}\""),
            );
        }
    }
    addresses
}

fn address(text: &Spanned<&str>, report: &mut Report) -> Option<Spanned<IpAddr>> {
    let address = text.get_ref().parse().ok();
    if address.is_none() {
        let quoted = text.get_ref().escape_debug();
        let advice = format!("write one like \"{EXAMPLE}\", without a prefix length");
        report.mistake(&text.span(), format!("\"{quoted}\" is no IP address; {advice}"));
    }
    Some(Spanned::new(text.span(), address?))
}

fn refuse_unusable(peers: &[Spanned<IpAddr>], vips: &[Spanned<Vip>], report: &mut Report) {
    for (place, peer) in peers.iter().enumerate() {
        let ip = *peer.get_ref();
        let why = if peers[..place].iter().any(|other| *other.get_ref() == ip) {
            "is a peer already; write it once"
        } else if vips.iter().any(|vip| vip.get_ref().ip == ip) {
            "is a virtual address, which is wherever the master is; write the node's own address"
        } else if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
            "is the address of no other node; write the node's own address"
        } else {
            continue;
        };
        report.mistake(&peer.span(), format!("{ip} {why}"));
    }
    if let Some(first) = peers.get(MAX_PEERS) {
        report.mistake(
            &first.span(),
            format!("more than {MAX_PEERS} peers; write {MAX_PEERS} at most, or multicast = true instead"),
        );
    }
}
