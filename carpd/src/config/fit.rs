//! Whether the virtual addresses fit the networks of their interfaces.

use std::net::IpAddr;

use toml::Spanned;

use super::Purpose;
use super::address::Vip;
use super::interface::{Interface, same_network};
use super::report::Report;
use super::vhid::{Context, Draft};

/// Reports every virtual address that does not fit its interface. Virtual addresses that the interface has already,
/// because carpd runs, say nothing about its own.
pub(super) fn compare(drafts: &[Draft], context: &Context<'_>, report: &mut Report) {
    let vips: Vec<IpAddr> = drafts
        .iter()
        .flat_map(|draft| &draft.addresses)
        .map(|vip| vip.get_ref().ip)
        .collect();
    let is_own = |ip| !vips.contains(&ip);
    for draft in drafts {
        let mut interfaces = context.machine.interfaces.iter().flatten();
        let here = interfaces.find(|here| Some(&here.name) == draft.interface.as_ref());
        let Some(interface) = here.filter(|interface| interface.is_ethernet) else {
            continue;
        };
        let impossible = |vip: &&Spanned<Vip>| interface.without_ipv6 && vip.get_ref().ip.is_ipv6();
        if let Some(vip) = draft.addresses.iter().find(impossible) {
            let (name, ip) = (&interface.name, vip.get_ref().ip);
            report.warning(
                &vip.span(),
                format!(
                    "IPv6 is switched off on {name}, so that it cannot have {ip}; sysctl \
                     net/ipv6/conf/{name}/disable_ipv6=0, or take the IPv6 addresses out"
                ),
            );
        }
        let mut lonely = Vec::new();
        for vip in draft.addresses.iter().filter(|vip| !impossible(vip)) {
            let ip = vip.get_ref().ip;
            let own = interface.addresses_like(ip, is_own);
            if !own.is_empty() {
                compare_one(
                    vip,
                    interface,
                    &own,
                    draft.allow_off_subnet,
                    context.purpose,
                    report,
                );
            } else if !lonely.contains(&ip.is_ipv4()) {
                lonely.push(ip.is_ipv4()); // once for each family
                let (name, family) = (&interface.name, if ip.is_ipv4() { "IPv4" } else { "IPv6" });
                // Perhaps because carpd runs, perhaps because that is the interface's own.
                let is_there = interface.addresses.iter().any(|(there, _)| *there == ip);
                let but = is_there.then(|| format!(" but {ip}, which is to be virtual"));
                let but = but.unwrap_or_default();
                report.warning(
                    &vip.span(),
                    format!(
                        "{name} has no {family} address of its own there{but}, so that a backup cannot talk to the \
                         network of {ip}; give it one"
                    ),
                );
            }
        }
    }
}

/// Compares one virtual address with the interface's own, of which there is at least one.
fn compare_one(
    vip: &Spanned<Vip>,
    interface: &Interface,
    own: &[(IpAddr, u8)],
    allow_off_subnet: bool,
    purpose: Purpose,
    report: &mut Report,
) {
    let Vip { ip, prefix } = *vip.get_ref();
    let name = &interface.name;
    let near = own.iter().filter(|(own, length)| same_network(*own, ip, *length));
    let Some((neighbour, length)) = near.max_by_key(|(_, length)| *length) else {
        if allow_off_subnet {
            return;
        }
        let networks: Vec<_> = own.iter().map(|(ip, length)| format!("{ip}/{length}")).collect();
        let text = format!(
            "{ip} is in no network of {name} ({}); write one that is, or allow_off_subnet = true",
            networks.join(", ")
        );
        match purpose {
            Purpose::Check => report.mistake(&vip.span(), text),
            Purpose::Run | Purpose::Reload => report.warning(&vip.span(), text),
        }
        return;
    };
    let single = if ip.is_ipv4() { 32 } else { 128 };
    if let Some(prefix) = prefix.filter(|prefix| prefix != length && *prefix != single) {
        report.warning(
            &vip.span(),
            format!("{ip} has /{prefix} here, but {name} has {neighbour}/{length}; write {ip}/{length}"),
        );
    }
}
