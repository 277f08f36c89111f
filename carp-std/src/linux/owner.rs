//! Putting virtual addresses on an interface and taking them off, starting
//! from what is there.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::thread;
use std::time::Duration;

use super::Clock;
use super::netlink::{ADDRESS_TAG, Address, InetDevConf, Netlink, PATIENCE};
use crate::{OwnershipError, Prefix, VirtualAddress};

/// How often the kernel is asked whether it answers for an IPv6 address.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// Puts all of `wanted` on the interface, or none.
pub(super) fn put_on(
    netlink: &mut Netlink,
    device: Device<'_>,
    wanted: &[VirtualAddress],
) -> Result<(), OwnershipError> {
    let present = device.addresses(netlink, device.index)?;
    let below = device
        .below
        .map(|below| device.addresses(netlink, below))
        .transpose()?;
    let networks = below.as_deref().unwrap_or(&present);
    for vip in wanted {
        if let Some(foreign) = find(&present, vip).find(|there| !device.is_ours(there, vip, networks)) {
            return Err(device.foreign(foreign));
        }
    }
    let result = wanted
        .iter()
        .try_for_each(|vip| put_one_on(netlink, device, vip, &present, networks));
    if result.is_err() {
        // The first error is the one to report.
        let _ = take_off(netlink, device, wanted);
        return result;
    }
    let added = |vip: &VirtualAddress| match vip.address {
        IpAddr::V6(address) if find(&present, vip).next().is_none() => Some(address),
        _ => None,
    };
    let added: Vec<_> = wanted.iter().filter_map(added).collect();
    if !added.is_empty() {
        wait_for_service(netlink, device, &added);
    }
    Ok(())
}

/// Whoever is told that we are master takes the addresses off. IPv6 addresses that the kernel has not put into
/// service by then would be nowhere: nothing is told before. It takes microseconds, but many milliseconds where
/// many network interfaces come and go.
///
/// Where it cannot be told, or takes too long, we go on: a master that is late is better than none.
fn wait_for_service(netlink: &mut Netlink, device: Device<'_>, added: &[Ipv6Addr]) {
    let end = Clock.now() + netlink.patience.into();
    let in_time = added.iter().all(|&address| {
        loop {
            match netlink.is_in_service(device.index, address) {
                Ok(false) if Clock.now() < end => thread::sleep(LOOK_EVERY),
                Ok(false) => return false,
                Ok(true) | Err(_) => return true,
            }
        }
    });
    netlink.patience = if in_time { PATIENCE } else { netlink.patience / 2 };
}

/// Takes those of `unwanted` off which are ours. Goes on after an error and
/// returns the first one; that an address is foreign only if nothing worse
/// happened.
pub(super) fn take_off(
    netlink: &mut Netlink,
    device: Device<'_>,
    unwanted: &[VirtualAddress],
) -> Result<(), OwnershipError> {
    let present = device.addresses(netlink, device.index)?;
    let mut result = Ok(());
    // Backwards: the first address of a network is its primary one, and each time it goes the kernel
    // makes another one primary.
    for vip in unwanted.iter().rev() {
        for there in find(&present, vip) {
            let one = if device.is_ours(there, vip, &present) {
                netlink
                    .remove_address(device.index, there.ip, there.prefix_len)
                    .map_err(|e| device.refused(vip.address, e))
            } else {
                Err(device.foreign(there))
            };
            result = match (result, one) {
                (Ok(()) | Err(OwnershipError::Foreign { .. }), Err(error)) => Err(error),
                (first, _) => first,
            };
        }
    }
    result
}

fn put_one_on(
    netlink: &mut Netlink,
    device: Device<'_>,
    vip: &VirtualAddress,
    present: &[Address],
    networks: &[Address],
) -> Result<(), OwnershipError> {
    let prefix_len = device.prefix_len(vip, networks);
    let mut there = false;
    for old in find(present, vip) {
        if old.prefix_len == prefix_len {
            there = true;
        } else {
            // The configured prefix has changed since it was put on.
            netlink
                .remove_address(device.index, old.ip, old.prefix_len)
                .map_err(|e| device.refused(vip.address, e))?;
        }
    }
    if there {
        return Ok(());
    }
    if vip.address.is_ipv4() && prefix_len < 32 {
        keep_secondaries(netlink, device.index);
    }
    let route = device.needs_route(vip, networks);
    match netlink.add_address(device.index, vip.address, prefix_len, route) {
        // Somebody has put it there since we looked.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(device.foreign(&Address {
            ip: vip.address,
            prefix_len,
            tag: 0,
            host_scope: false,
            temporary: false,
        })),
        result => result.map_err(|e| device.refused(vip.address, e)),
    }
}

/// Of several IPv4 addresses in one network the first is the primary one, and
/// Linux by default deletes the others together with it: the virtual address
/// with the interface's own, or a foreign address with the virtual one. This
/// setting makes it keep them. Where it cannot be changed, the default stays.
fn keep_secondaries(netlink: &mut Netlink, index: u32) {
    let mut settings = InetDevConf::default();
    settings.promote_secondaries = 1;
    let _ = netlink.set_ipv4(index, settings);
}

/// The interface that addresses are put on, and how to tell whose they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device<'a> {
    pub(super) index: u32,
    pub(super) name: &'a str,
    /// The kernel remembers our tag (Linux 5.18).
    pub(super) tags: bool,
    /// Of an interface that we made for a virtual host, and whose addresses are all our affair: the index
    /// of the one that it stands on.
    pub(super) below: Option<u32>,
}

impl Device<'_> {
    fn addresses(self, netlink: &mut Netlink, index: u32) -> Result<Vec<Address>, OwnershipError> {
        netlink
            .addresses(index)
            .map_err(|source| OwnershipError::Unreadable {
                interface: self.name.to_owned(),
                source,
            })
    }

    /// Whether a virtual address that is on the interface was put there by this
    /// program, in this life or an earlier one.
    ///
    /// A kernel that forgets the tag leaves only one sign: that the prefix is
    /// exactly the one we would give it.
    fn is_ours(self, there: &Address, vip: &VirtualAddress, present: &[Address]) -> bool {
        self.below.is_some()
            || there.tag == ADDRESS_TAG
            || (!self.tags && there.tag == 0 && there.prefix_len == prefix_len(vip, present))
    }

    fn prefix_len(self, vip: &VirtualAddress, networks: &[Address]) -> u8 {
        let len = prefix_len(vip, networks);
        // Answers to link-local clients leave by the interface they came in by: it needs the route.
        if self.below.is_some() && is_link_local(vip.address) && len == 128 {
            64
        } else {
            len
        }
    }

    /// Whether the network of the address is to be reached through this interface. If the interface below
    /// has an address in it, it is reached through that one, and a second way would only compete.
    fn needs_route(self, vip: &VirtualAddress, networks: &[Address]) -> bool {
        let leads_there =
            |own: &Address| own.tag != ADDRESS_TAG && same_network(own.ip, vip.address, own.prefix_len);
        self.below.is_none() || is_link_local(vip.address) || !networks.iter().any(leads_there)
    }

    fn foreign(self, there: &Address) -> OwnershipError {
        let Address {
            ip: address,
            prefix_len,
            ..
        } = *there;
        OwnershipError::Foreign {
            interface: self.name.to_owned(),
            address,
            prefix_len,
        }
    }

    fn refused(self, address: IpAddr, source: io::Error) -> OwnershipError {
        let interface = self.name.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM) => OwnershipError::NotPermitted { interface },
            Some(libc::EACCES) if address.is_ipv6() => OwnershipError::Ipv6Disabled { interface },
            Some(libc::ENODEV) => OwnershipError::NoInterface { interface },
            _ => OwnershipError::Refused {
                interface,
                address,
                source,
            },
        }
    }
}

fn find<'p>(present: &'p [Address], vip: &VirtualAddress) -> impl Iterator<Item = &'p Address> {
    let address = vip.address;
    present.iter().filter(move |there| there.ip == address)
}

/// The prefix length for a virtual address, in bits.
fn prefix_len(vip: &VirtualAddress, present: &[Address]) -> u8 {
    let longest = if vip.address.is_ipv4() { 32 } else { 128 };
    match vip.prefix {
        Prefix::Host => longest,
        Prefix::Length(bits) => bits.min(longest),
        Prefix::Interface => present
            .iter()
            .filter(|own| own.tag != ADDRESS_TAG && own.ip != vip.address && own.prefix_len < longest)
            .filter(|own| same_network(own.ip, vip.address, own.prefix_len))
            .map(|own| own.prefix_len)
            .max()
            .unwrap_or(longest),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn same_network(a: IpAddr, b: IpAddr, prefix_len: u8) -> bool {
    let (difference, host_bits) = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (
            u128::from(a.to_bits() ^ b.to_bits()),
            32_u8.saturating_sub(prefix_len),
        ),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128_u8.saturating_sub(prefix_len)),
        _ => return false,
    };
    difference.checked_shr(host_bits.into()).unwrap_or(0) == 0
}

/// `IFA_PROTO` came with Linux 5.18.
pub(super) fn kernel_has_address_tags() -> bool {
    let uname = rustix::system::uname();
    kernel_is_at_least(&uname.release().to_string_lossy(), (5, 18))
}

fn kernel_is_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= wanted,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vip(address: &str, prefix: Prefix) -> VirtualAddress {
        VirtualAddress {
            address: address.parse().unwrap(),
            prefix,
        }
    }

    fn there(address: &str, prefix_len: u8, tag: u8) -> Address {
        Address {
            ip: address.parse().unwrap(),
            prefix_len,
            tag,
            host_scope: false,
            temporary: false,
        }
    }

    #[test]
    fn the_prefix_is_that_of_the_network_the_address_is_in() {
        let present = [
            there("10.0.0.2", 8, 0),
            there("10.1.2.2", 24, 0),
            there("10.1.2.9", 28, ADDRESS_TAG),
            there("192.0.2.2", 25, 0),
            there("2001:db8::2", 64, 0),
            there("fe80::2", 64, 3),
        ];
        for (address, expected) in [
            ("10.1.2.1", 24),
            ("10.9.9.9", 8),
            ("192.0.2.130", 32),
            ("203.0.113.1", 32),
            ("2001:db8::1", 64),
            ("2001:db9::1", 128),
            ("fe80::1", 64),
        ] {
            assert_eq!(
                prefix_len(&vip(address, Prefix::Interface), &present),
                expected,
                "{address}"
            );
        }
        assert_eq!(prefix_len(&vip("10.1.2.1", Prefix::Host), &present), 32);
        assert_eq!(prefix_len(&vip("2001:db8::1", Prefix::Host), &present), 128);
        assert_eq!(prefix_len(&vip("10.1.2.1", Prefix::Length(20)), &present), 20);
        assert_eq!(prefix_len(&vip("10.1.2.1", Prefix::Length(64)), &present), 32);
    }

    #[test]
    fn a_default_route_prefix_covers_everything() {
        assert!(same_network(
            "10.0.0.1".parse().unwrap(),
            "203.0.113.1".parse().unwrap(),
            0
        ));
        assert!(same_network(
            "2001:db8::1".parse().unwrap(),
            "fe80::1".parse().unwrap(),
            0
        ));
        assert!(!same_network(
            "::1".parse().unwrap(),
            "0.0.0.1".parse().unwrap(),
            0
        ));
    }

    #[test]
    fn without_tags_an_address_is_ours_if_it_has_exactly_our_prefix() {
        let present = [there("10.0.0.2", 24, 0)];
        let vip = vip("10.0.0.1", Prefix::Interface);
        let device = |tags| Device {
            index: 1,
            name: "eth0",
            tags,
            below: None,
        };

        assert!(device(true).is_ours(&there("10.0.0.1", 24, ADDRESS_TAG), &vip, &present));
        assert!(device(true).is_ours(&there("10.0.0.1", 32, ADDRESS_TAG), &vip, &present));
        assert!(!device(true).is_ours(&there("10.0.0.1", 24, 0), &vip, &present));

        assert!(device(false).is_ours(&there("10.0.0.1", 24, 0), &vip, &present));
        assert!(!device(false).is_ours(&there("10.0.0.1", 32, 0), &vip, &present));
        assert!(!device(false).is_ours(&there("10.0.0.1", 24, 4), &vip, &present));
    }

    #[test]
    fn kernel_releases_are_compared_by_number() {
        for (release, expected) in [
            ("6.1.0-13-amd64", true),
            ("5.18.0", true),
            ("5.18-rc1", true),
            ("5.4.0-150-generic", false),
            ("4.19", false),
            ("10.0", true),
            ("unknown", false),
        ] {
            assert_eq!(kernel_is_at_least(release, (5, 18)), expected, "{release}");
        }
    }
}
