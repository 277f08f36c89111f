//! Virtual addresses as the file writes them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A virtual address and the prefix with which it is put on the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vip {
    /// The address.
    pub ip: IpAddr,
    /// Prefix length in bits. `None`: that of the interface's own network which contains the address, or a
    /// single host (/32, /128) if there is none.
    pub prefix: Option<u8>,
}

impl Vip {
    /// Reads `"A"` or `"A/P"`.
    ///
    /// # Errors
    ///
    /// A line for the operator: what is wrong; what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let quoted = text.escape_debug();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(ip) = address.parse::<IpAddr>() else {
            let zone = if address.contains('%') {
                " (the interface has a key of its own)"
            } else {
                ""
            };
            return Err(format!(
                "\"{quoted}\" is no IP address; write one like \"192.0.2.10/24\" or \"2001:db8::10/64\"{zone}"
            ));
        };
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix.map(str::parse::<u8>) {
            None => None,
            Some(Ok(prefix)) if (1..=bits).contains(&prefix) => Some(prefix),
            Some(_) => {
                return Err(format!(
                    "\"{quoted}\" has a wrong prefix length; write {ip}/P with P from 1 to {bits}"
                ));
            }
        };
        let vip = Self { ip, prefix };
        match vip.unusable_because() {
            Some(why) => Err(format!("{vip} is {why}; write the address of one host")),
            None => Ok(vip),
        }
    }

    /// Whether the address means something only together with an interface (`fe80::/10`, `169.254.0.0/16`).
    pub fn is_link_local(&self) -> bool {
        match self.ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        }
    }

    fn unusable_because(&self) -> Option<&'static str> {
        match self.ip {
            IpAddr::V4(ip) => self.unusable_v4(ip),
            IpAddr::V6(ip) => self.unusable_v6(ip),
        }
    }

    fn unusable_v4(&self, ip: Ipv4Addr) -> Option<&'static str> {
        if ip.is_unspecified() {
            return Some("the unspecified address");
        }
        if ip.is_loopback() {
            return Some("a loopback address, which no other machine can reach");
        }
        if ip.is_multicast() {
            return Some("a multicast address");
        }
        if ip.is_broadcast() {
            return Some("the broadcast address");
        }
        // In /31 and /32 every address is a host's.
        let prefix = self.prefix.filter(|p| *p <= 30)?;
        let host_bits = ip.to_bits() << prefix >> prefix;
        if host_bits == 0 {
            Some("a network, not a host")
        } else if host_bits == u32::MAX << prefix >> prefix {
            Some("the broadcast address of its network")
        } else {
            None
        }
    }

    fn unusable_v6(&self, ip: Ipv6Addr) -> Option<&'static str> {
        if ip.is_unspecified() {
            return Some("the unspecified address");
        }
        if ip.is_loopback() {
            return Some("the loopback address, which no other machine can reach");
        }
        if ip.is_multicast() {
            return Some("a multicast address");
        }
        if ip.to_ipv4_mapped().is_some() {
            return Some("an IPv4 address in IPv6 clothes");
        }
        let prefix = self.prefix.filter(|p| *p <= 126)?;
        (ip.to_bits() << prefix == 0).then_some("a network, not a host")
    }
}

/// As in the file: `192.0.2.10/24`, or `192.0.2.10` without a prefix.
impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            Some(prefix) => write!(f, "{}/{prefix}", self.ip),
            None => write!(f, "{}", self.ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_they_were_written() {
        for text in [
            "192.0.2.10/24",
            "192.0.2.10",
            "10.0.0.0/31",
            "10.0.0.0/32",
            "2001:db8::10/64",
            "fe80::1",
        ] {
            assert_eq!(Vip::parse(text).map(|vip| vip.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "/",
            "192.0.2.300",
            "192.0.2.10/33",
            "192.0.2.10/",
            "192.0.2.10/0",
            "192.0.2.10/-1",
            "192.0.2.10/24/24",
            "2001:db8::1/129",
            "eth0",
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.18",
            "255.255.255.255",
            "192.0.2.0/24",
            "192.0.2.255/24",
            "::",
            "::1",
            "ff02::12",
            "2001:db8::/64",
            "::ffff:192.0.2.1",
            "fe80::1%eth0",
        ] {
            assert!(Vip::parse(text).is_err(), "{text}");
        }
    }
}
