//! The network interfaces of this machine, as far as the checks need to know them.

use std::net::IpAddr;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it has a MAC address, which CARP needs.
    pub is_ethernet: bool,
    /// Whether IPv6 is switched off on it.
    pub without_ipv6: bool,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Interface {
    /// Of the addresses that the interface has for itself, those of the same kind as `vip`: of its family, and an
    /// IPv6 address with a wider scope than the link has to do with other such ones only.
    pub(super) fn addresses_like(&self, vip: IpAddr, is_own: impl Fn(IpAddr) -> bool) -> Vec<(IpAddr, u8)> {
        let alike = |ip: IpAddr| match (ip, vip) {
            (IpAddr::V4(_), IpAddr::V4(_)) => true,
            (IpAddr::V6(ip), IpAddr::V6(vip)) => ip.is_unicast_link_local() == vip.is_unicast_link_local(),
            _ => false,
        };
        let addresses = self.addresses.iter().copied();
        addresses.filter(|(ip, _)| alike(*ip) && is_own(*ip)).collect()
    }
}

/// Whether two addresses of one family have the first `prefix` bits in common.
pub(super) fn same_network(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    let differing = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= u32::from(prefix)
}

/// The interfaces here, sorted by name; `None` where they cannot be known.
#[cfg(not(target_os = "linux"))]
pub(super) fn here() -> Option<Vec<Interface>> {
    None
}

/// The interfaces here, sorted by name; `None` where they cannot be known.
#[cfg(target_os = "linux")]
pub(super) fn here() -> Option<Vec<Interface>> {
    use std::collections::BTreeMap;

    use nix::sys::socket::SockaddrStorage;

    /// `ARPHRD_ETHER` of the kernel.
    const ETHERNET: u16 = 1;

    let ip = |address: &SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
    };
    let mut interfaces = BTreeMap::<String, Interface>::new();
    for entry in nix::ifaddrs::getifaddrs().ok()? {
        let name = entry.interface_name;
        let interface = interfaces.entry(name.clone()).or_insert_with(|| Interface {
            is_ethernet: false,
            without_ipv6: without_ipv6(&name),
            name,
            addresses: Vec::new(),
        });
        let Some(address) = entry.address else { continue };
        if let Some(link) = address.as_link_addr() {
            interface.is_ethernet = link.hatype() == ETHERNET && link.halen() == 6;
        } else if let (Some(ip), Some(netmask)) = (ip(&address), entry.netmask.as_ref().and_then(ip)) {
            let ones = match netmask {
                IpAddr::V4(mask) => mask.to_bits().count_ones(),
                IpAddr::V6(mask) => mask.to_bits().count_ones(),
            };
            interface
                .addresses
                .push((ip, u8::try_from(ones).unwrap_or(u8::MAX)));
        }
    }
    Some(interfaces.into_values().collect())
}

/// Where the kernel has no IPv6 at all, it has no such file either.
#[cfg(target_os = "linux")]
fn without_ipv6(name: &str) -> bool {
    let setting = std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"));
    !setting.is_ok_and(|setting| setting.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_compared_by_their_prefix() {
        for (a, b, prefix, same) in [
            ("192.0.2.1", "192.0.2.254", 24, true),
            ("192.0.2.1", "192.0.3.1", 24, false),
            ("192.0.2.1", "192.0.3.1", 23, true),
            ("192.0.2.1", "192.0.2.1", 32, true),
            ("192.0.2.1", "198.51.100.1", 0, true),
            ("2001:db8::1", "2001:db8::ffff", 64, true),
            ("2001:db8::1", "2001:db8:0:1::1", 64, false),
            ("192.0.2.1", "2001:db8::1", 0, false),
        ] {
            let parse = |ip: &str| ip.parse().expect("an address");
            assert_eq!(same_network(parse(a), parse(b), prefix), same, "{a} {b} {prefix}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_loopback_interface_is_no_ethernet() {
        let interfaces = here().expect("interfaces");
        let lo = interfaces
            .iter()
            .find(|interface| interface.name == "lo")
            .expect("lo");
        assert!(!lo.is_ethernet);
    }
}
