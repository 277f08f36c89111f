use core::{fmt, net::IpAddr, net::Ipv4Addr, net::Ipv6Addr};

use heapless::Vec;

/// The addresses of one virtual host, in the order in which they are hashed (`docs/protocol.md` §5).
///
/// IPv4 before IPv6, ascending, each once, the scope of link-local addresses cleared. Two nodes hash the same
/// list whatever order they were configured in. Room for `N` addresses of 17 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddressSet<const N: usize>(Vec<IpAddr, N, u8>);

/// Why an address cannot join an [`AddressSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AddressError {
    /// The set holds as many addresses as it has room for.
    Full,
    /// Unspecified, broadcast or multicast: nobody can own it, and the BSDs leave it out of the hash
    /// (FreeBSD `carp_hmac_prepare`).
    Unusable(IpAddr),
}

impl<const N: usize> AddressSet<N> {
    /// The empty set.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The set of `addresses`, in any order; one given twice counts once.
    pub fn try_from_iter(addresses: impl IntoIterator<Item = IpAddr>) -> Result<Self, AddressError> {
        let mut set = Self::new();
        for address in addresses {
            set.insert(address)?;
        }
        Ok(set)
    }

    /// Adds an address; `false` if it was there.
    pub fn insert(&mut self, address: IpAddr) -> Result<bool, AddressError> {
        let address = hashed_form(address)?;
        if self.0.contains(&address) {
            return Ok(false);
        }
        if self.0.is_full() {
            return Err(AddressError::Full);
        }
        // Everything behind its place moves up by one.
        let mut carried = address;
        for slot in &mut self.0 {
            if is_before(&carried, slot) {
                core::mem::swap(&mut carried, slot);
            }
        }
        self.0.push(carried).map_err(|_| AddressError::Full)?;
        Ok(true)
    }

    /// Takes an address out; `false` if it was not there.
    pub fn remove(&mut self, address: &IpAddr) -> bool {
        let Ok(address) = hashed_form(*address) else {
            return false;
        };
        let before = self.len();
        self.0.retain(|kept| *kept != address);
        self.len() != before
    }

    /// Whether the address is in the set.
    pub fn contains(&self, address: &IpAddr) -> bool {
        hashed_form(*address).is_ok_and(|address| self.0.contains(&address))
    }

    /// How many addresses, 0..=`N`.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses, in hash order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = IpAddr> + Clone + '_ {
        self.0.iter().copied()
    }

    /// The IPv4 addresses, in hash order.
    pub fn ipv4(&self) -> impl Iterator<Item = Ipv4Addr> + Clone + '_ {
        self.0.iter().filter_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
    }

    /// The IPv6 addresses, in hash order.
    pub fn ipv6(&self) -> impl Iterator<Item = Ipv6Addr> + Clone + '_ {
        self.0.iter().filter_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(*address),
        })
    }

    /// Whether an IPv4 address is in the set: then advertisements go out in IPv4.
    pub fn has_ipv4(&self) -> bool {
        self.0.first().is_some_and(IpAddr::is_ipv4)
    }

    /// Whether an IPv6 address is in the set: then advertisements go out in IPv6.
    pub fn has_ipv6(&self) -> bool {
        self.0.last().is_some_and(IpAddr::is_ipv6)
    }

    pub(crate) fn as_slice(&self) -> &[IpAddr] {
        &self.0
    }
}

/// In the order of the hash, which is that of `IpAddr`, too; but that compares 16 bits at a time, each swapped.
fn is_before(address: &IpAddr, other: &IpAddr) -> bool {
    match (address, other) {
        (IpAddr::V4(address), IpAddr::V4(other)) => address.octets() < other.octets(),
        (IpAddr::V6(address), IpAddr::V6(other)) => address.octets() < other.octets(),
        _ => address.is_ipv4() && other.is_ipv6(),
    }
}

pub(crate) const fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// The address as it is hashed. Kernels of the KAME family keep the interface of a link-local address in its
/// bytes 2 and 3; it never reaches the hash.
pub(crate) fn hashed_form(address: IpAddr) -> Result<IpAddr, AddressError> {
    let unusable = match address {
        IpAddr::V4(v4) => v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast(),
    };
    if unusable {
        return Err(AddressError::Unusable(address));
    }
    Ok(match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let mut octets = v6.octets();
            octets[2] = 0;
            octets[3] = 0;
            IpAddr::V6(octets.into())
        }
        other => other,
    })
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no room for another address in this virtual host"),
            Self::Unusable(address) => {
                write!(
                    f,
                    "{address} cannot be a virtual address: it is unspecified, broadcast or multicast"
                )
            }
        }
    }
}

impl core::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn set<const N: usize>(addresses: &[&str]) -> Result<AddressSet<N>, AddressError> {
        AddressSet::try_from_iter(addresses.iter().map(|address| address.parse().unwrap()))
    }

    #[test]
    fn order_is_unsigned_and_ipv4_comes_first() {
        let set = set::<8>(&[
            "2001:db8::2",
            "200.1.1.1",
            "9.255.0.1",
            "10.0.0.1",
            "127.255.0.9",
            "2001:db8::1",
            "10.0.0.1",
        ]);
        let order: Vec<_> = set
            .unwrap()
            .iter()
            .map(|address| std::format!("{address}"))
            .collect();
        assert_eq!(
            order,
            [
                "9.255.0.1",
                "10.0.0.1",
                "127.255.0.9",
                "200.1.1.1",
                "2001:db8::1",
                "2001:db8::2"
            ]
        );
    }

    #[test]
    fn what_nobody_can_own_is_refused() {
        for address in [
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.18",
            "::",
            "ff02::12",
            "ffff::",
        ] {
            let parsed = address.parse().unwrap();
            assert_eq!(set::<2>(&[address]), Err(AddressError::Unusable(parsed)));
        }
    }

    #[test]
    fn the_scope_of_a_link_local_address_is_cleared() {
        let set = set::<2>(&["fe80:7::1", "fe80::1"]).unwrap();
        assert_eq!(set.len(), 1);
        assert!(set.contains(&"fe80:9::1".parse().unwrap()));
    }

    #[test]
    fn a_full_set_says_so_and_room_comes_back() {
        let mut set = set::<2>(&["10.0.0.2", "10.0.0.1"]).unwrap();
        let third = "10.0.0.3".parse().unwrap();
        assert_eq!(set.insert(third), Err(AddressError::Full));
        assert_eq!(
            set.insert("10.0.0.1".parse().unwrap()),
            Ok(false),
            "a known address needs no room"
        );
        assert!(set.remove(&"10.0.0.2".parse().unwrap()));
        assert!(!set.remove(&"10.0.0.2".parse().unwrap()));
        assert_eq!(set.insert(third), Ok(true));
        assert!(set.has_ipv4() && !set.has_ipv6());
    }
}
