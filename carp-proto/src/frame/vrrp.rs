use crate::checksum::checksum;

/// An advertisement of VRRP, which shares the protocol number and the IPv4 group with CARP
/// (`docs/protocol.md` §1).
///
/// A VRRP router whose VRID equals a vhid on the same segment uses the same virtual MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Vrrp {
    /// 2 or 3.
    pub version: u8,
    /// The virtual router, 1..=255.
    pub vrid: u8,
    /// The higher, the more wanted; 0 when the master gives up.
    pub priority: u8,
}

/// Version and type of an advertisement, in one byte.
const V2: u8 = 0x21;
const V3: u8 = 0x31;

impl Vrrp {
    /// Whether the payload of a packet of protocol 112 is VRRP, by its own account of its length.
    ///
    /// VRRPv2 starts with the same byte as CARP: there the checksum must be right as well, which for CARP
    /// covers other bytes. The checksum of VRRPv3 covers the addresses of the IP header and is not looked at.
    pub fn recognise(payload: &[u8]) -> Option<Self> {
        let (&[first, vrid, priority, count, ..], _) = payload.split_first_chunk::<8>()?;
        let addresses_v4 = usize::from(count) << 2;
        let addresses_v6 = usize::from(count) << 4;
        let body = payload.len().checked_sub(8)?;
        let version = match first {
            // Behind the addresses are 8 bytes of authentication data.
            V2 if body.checked_sub(8) == Some(addresses_v4) && checksum(payload) == 0 => 2,
            V3 if body == addresses_v4 || body == addresses_v6 => 3,
            _ => return None,
        };
        (vrid != 0 && count != 0).then_some(Self {
            version,
            vrid,
            priority,
        })
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn keepalived_is_recognised() {
        let v2 = hex!("2107960101010115 0a630032 7365637265740000");
        assert_eq!(
            Vrrp::recognise(&v2),
            Some(Vrrp {
                version: 2,
                vrid: 7,
                priority: 150
            })
        );
        let v3 = hex!("310796010064430b 0a630032");
        assert_eq!(
            Vrrp::recognise(&v3),
            Some(Vrrp {
                version: 3,
                vrid: 7,
                priority: 150
            })
        );
    }

    #[test]
    fn carp_is_not_vrrp_even_with_bytes_behind_it() {
        let carp =
            hex!("210100070001cf0cd8eb03f64aa49bd2db894a44db44e04954f8bae9401eb4059db6c977 0102030405060708");
        for len in 0..=carp.len() {
            assert_eq!(Vrrp::recognise(&carp[..len]), None);
        }
    }
}
