//! Why a digest did not verify. Not for the hot path: it costs up to [`MAX_ATTEMPTS`] digests.

use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use crate::{
    AddressSet, Authenticator, HmacVariant, Key, MacAddr, Packet, Vhid,
    address::{hashed_form, is_link_local},
};

/// The most digests that one call of [`explain`] computes, each of about five compressions and more for long
/// lists.
pub const MAX_ATTEMPTS: usize = 1024;

/// What the sender may have been configured with.
#[derive(Clone, Copy, Debug)]
pub struct Suspects<'a, const N: usize> {
    /// Our key first, then others it could be using: an old one, or that of another virtual host.
    pub keys: &'a [Key],
    /// Our addresses.
    pub addresses: &'a AddressSet<N>,
    /// Other lists it could be hashing, as a whole.
    pub other_lists: &'a [AddressSet<N>],
    /// Addresses that it could be hashing on top of ours: those of the interface, say. The link-local address
    /// that OpenBSD and NetBSD give a carp interface by themselves is tried without being named.
    pub extra: &'a [IpAddr],
    /// MAC addresses that an OpenBSD peer could be hashing.
    pub link_layer: &'a [MacAddr],
}

/// What would have verified.
///
/// `Display` says it in words, as in `other password (number 2); address list differs: theirs lacks
/// 10.0.0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Finding {
    /// The index in [`Suspects::keys`]; 0 is our own.
    pub key: usize,
    /// What about the addresses.
    pub difference: Difference,
    /// The form of the digest.
    pub variant: HmacVariant,
}

/// How the sender's address list differs from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Difference {
    /// Not at all.
    Same,
    /// Theirs lacks this one of ours.
    Lacks(IpAddr),
    /// Theirs has this one on top.
    Extra(IpAddr),
    /// Theirs has the second in place of the first.
    Replaced(IpAddr, IpAddr),
    /// Theirs is this address alone, of three or more that we have: UCarp.
    Single(IpAddr),
    /// Theirs is empty.
    Empty,
    /// Theirs is the list with this index in [`Suspects::other_lists`].
    Other(usize),
}

/// Which of the suspected configurations gives the digest of `packet`, the likeliest first; `None` if none of
/// the first [`MAX_ATTEMPTS`] does.
///
/// Every key is tried with our list in every form of digest, then with a single address, with a list that
/// differs by one address, with none, and with the other lists. The vhid is the packet's own.
pub fn explain<T: AsRef<[u8]>, const N: usize>(
    packet: &Packet<T>,
    suspects: &Suspects<'_, N>,
) -> Option<Finding> {
    let vhid = Vhid::new(packet.vhid_raw())?;
    // Nothing would ever use up the attempts.
    if suspects.keys.is_empty() {
        return None;
    }
    let ours = suspects.addresses.as_slice();
    let others = suspects.other_lists.iter().flat_map(AddressSet::as_slice);
    let has_link_local = ours.iter().chain(others).any(is_link_local);
    let mut attempts_left = MAX_ATTEMPTS;
    let mut attempt = |difference, variant| {
        suspects.keys.iter().enumerate().find_map(|(index, key)| {
            // Finding that there is nothing to be found ends all the searches.
            let Some(left) = attempts_left.checked_sub(1) else {
                return Some(None);
            };
            attempts_left = left;
            let finding = Finding {
                key: index,
                difference,
                variant,
            };
            verifies(packet, vhid, key, suspects, &finding).then_some(Some(finding))
        })
    };
    let mut in_each_form = |difference| {
        let without = || has_link_local.then_some(HmacVariant::WithoutLinkLocal);
        attempt(difference, HmacVariant::Plain).or_else(|| attempt(difference, without()?))
    };

    // Of two addresses, one alone is the list that lacks the other.
    let singles = ours.iter().filter(|address| address.is_ipv4() && ours.len() > 2);
    let automatic = automatic_link_local(vhid);
    let extra = || {
        let extra = suspects.extra.iter().chain([&automatic]);
        extra
            .filter_map(|extra| hashed_form(*extra).ok())
            .filter(|extra| !ours.contains(extra))
    };
    None.or_else(|| in_each_form(Difference::Same))
        .or_else(|| {
            singles
                .copied()
                .find_map(|address| in_each_form(Difference::Single(address)))
        })
        .or_else(|| {
            ours.iter()
                .find_map(|address| in_each_form(Difference::Lacks(*address)))
        })
        .or_else(|| extra().find_map(|address| in_each_form(Difference::Extra(address))))
        .or_else(|| in_each_form(Difference::Empty))
        .or_else(|| (0..suspects.other_lists.len()).find_map(|index| in_each_form(Difference::Other(index))))
        .or_else(|| {
            let replaced = |without| extra().map(move |with| Difference::Replaced(without, with));
            let replaceable = if extra().next().is_some() { ours } else { &[] };
            replaceable
                .iter()
                .find_map(|without| replaced(*without).find_map(&mut in_each_form))
        })
        .or_else(|| {
            suspects.link_layer.iter().find_map(|mac| {
                attempt(Difference::Same, HmacVariant::LinkLayer(*mac))
                    .or_else(|| attempt(Difference::Same, HmacVariant::LinkLayerAllAddresses(*mac)))
            })
        })
        .flatten()
}

/// Whether the packet would have verified with this key and what the finding says of addresses and form.
fn verifies<T: AsRef<[u8]>, const N: usize>(
    packet: &Packet<T>,
    vhid: Vhid,
    key: &Key,
    suspects: &Suspects<'_, N>,
    finding: &Finding,
) -> bool {
    let mut list = suspects.addresses.as_slice();
    let (mut without, mut with) = (None, None);
    match finding.difference {
        Difference::Same => {}
        Difference::Lacks(address) => without = Some(address),
        Difference::Extra(address) => with = Some(address),
        Difference::Replaced(theirs_lacks, theirs_has) => {
            (without, with) = (Some(theirs_lacks), Some(theirs_has));
        }
        Difference::Single(address) => (list, with) = (&[], Some(address)),
        Difference::Empty => list = &[],
        Difference::Other(index) => list = suspects.other_lists.get(index).map_or(&[], AddressSet::as_slice),
    }
    // In hash order, with the one on top in its place.
    let kept = || list.iter().filter(|address| Some(**address) != without);
    let below = kept().filter(|address| with.is_none_or(|with| **address < with));
    let above = kept().filter(|address| with.is_some_and(|with| **address > with));
    let mut addresses = below.chain(with.as_ref()).chain(above);
    Authenticator::of_addresses(key, vhid, &mut addresses, finding.variant)
        .verify(packet)
        .is_ok()
}

/// `fe80::200:5eff:fe00:1XX`, made of the virtual MAC address.
const fn automatic_link_local(vhid: Vhid) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        0x0200,
        0x5eff,
        0xfe00,
        u16::from_be_bytes([0x01, vhid.get()]),
    ))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if self.key != 0 {
            write!(f, "other password (number {})", self.key.saturating_add(1))?;
            separator = "; ";
        }
        match self.variant {
            HmacVariant::Plain => {}
            HmacVariant::WithoutLinkLocal => {
                write!(f, "{separator}OpenBSD without link-locals")?;
                separator = "; ";
            }
            HmacVariant::LinkLayer(mac) | HmacVariant::LinkLayerAllAddresses(mac) => {
                write!(f, "{separator}OpenBSD with the link-layer address {mac}")?;
                separator = "; ";
            }
        }
        match self.difference {
            Difference::Same if separator.is_empty() => f.write_str("same password and address list"),
            Difference::Same => Ok(()),
            Difference::Lacks(address) => {
                write!(f, "{separator}address list differs: theirs lacks {address}")
            }
            Difference::Extra(address) => {
                write!(f, "{separator}address list differs: theirs has {address} as well")
            }
            Difference::Replaced(without, with) => {
                write!(
                    f,
                    "{separator}address list differs: theirs has {with} in place of {without}"
                )
            }
            Difference::Single(address) => write!(
                f,
                "{separator}UCarp single-address peer: theirs is {address} alone"
            ),
            Difference::Empty => write!(f, "{separator}address list differs: theirs is empty"),
            Difference::Other(index) => {
                write!(
                    f,
                    "{separator}address list differs: theirs is list number {}",
                    index.saturating_add(1)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{format, string::String, vec::Vec};

    use super::*;
    use crate::{AdvBase, AdvSkew, Advertisement, Counter, Demotion};

    fn addresses(list: &[&str]) -> AddressSet<4> {
        AddressSet::try_from_iter(list.iter().map(|address| address.parse().unwrap())).unwrap()
    }

    /// What is found about a packet signed with `passphrase` over `list` by a node with the key `ours` and
    /// the addresses 10.0.0.1, 10.0.0.5 and `fe80::1`.
    fn found(passphrase: &str, list: &[&str], variant: HmacVariant) -> Option<String> {
        let vhid = Vhid::new(7).unwrap();
        let key = Key::from_passphrase(passphrase.as_bytes()).unwrap();
        let counter = Counter::new(9);
        let digest = Authenticator::new(&key, vhid, &addresses(list), variant).sign(counter);
        let (advbase, advskew, demotion) = (AdvBase::new(1), AdvSkew::new(0), Demotion::new(0));
        let mut bytes = [0; 36];
        Advertisement {
            vhid,
            advbase,
            advskew,
            demotion,
            counter,
            digest,
        }
        .emit(&mut bytes);

        let suspects = Suspects {
            keys: &[
                Key::from_passphrase(b"ours").unwrap(),
                Key::from_passphrase(b"old").unwrap(),
            ],
            addresses: &addresses(&["10.0.0.1", "10.0.0.5", "fe80::1"]),
            other_lists: &[addresses(&["172.16.0.1", "172.16.0.2"])],
            extra: &["10.0.0.3".parse().unwrap(), "10.0.0.5".parse().unwrap()],
            link_layer: &[MacAddr([2, 0, 0, 0, 0, 1])],
        };
        explain(&Packet::new_checked(bytes).unwrap(), &suspects).map(|finding| format!("{finding}"))
    }

    #[test]
    fn the_cause_is_named() {
        const OURS: &[&str] = &["10.0.0.1", "10.0.0.5", "fe80::1"];
        for (passphrase, list, variant, expected) in [
            ("ours", OURS, HmacVariant::Plain, "same password and address list"),
            ("old", OURS, HmacVariant::Plain, "other password (number 2)"),
            (
                "ours",
                OURS,
                HmacVariant::WithoutLinkLocal,
                "OpenBSD without link-locals",
            ),
            (
                "ours",
                &OURS[1..],
                HmacVariant::Plain,
                "address list differs: theirs lacks 10.0.0.1",
            ),
            (
                "ours",
                &["10.0.0.1"],
                HmacVariant::Plain,
                "UCarp single-address peer: theirs is 10.0.0.1 alone",
            ),
            (
                "ours",
                &["10.0.0.3", "10.0.0.1", "10.0.0.5", "fe80::1"],
                HmacVariant::Plain,
                "address list differs: theirs has 10.0.0.3 as well",
            ),
            (
                "ours",
                &["10.0.0.1", "10.0.0.5", "fe80::1", "fe80::200:5eff:fe00:107"],
                HmacVariant::Plain,
                "address list differs: theirs has fe80::200:5eff:fe00:107 as well",
            ),
            (
                "ours",
                &["10.0.0.1", "10.0.0.3", "fe80::1"],
                HmacVariant::Plain,
                "address list differs: theirs has 10.0.0.3 in place of 10.0.0.5",
            ),
            (
                "ours",
                OURS,
                HmacVariant::LinkLayer(MacAddr([2, 0, 0, 0, 0, 1])),
                "OpenBSD with the link-layer address 02:00:00:00:00:01",
            ),
            (
                "ours",
                &["fe80::1"],
                HmacVariant::WithoutLinkLocal,
                "address list differs: theirs is empty",
            ),
            (
                "old",
                &["172.16.0.1", "172.16.0.2"],
                HmacVariant::Plain,
                "other password (number 2); address list differs: theirs is list number 1",
            ),
        ] {
            assert_eq!(found(passphrase, list, variant).as_deref(), Some(expected));
        }
        assert_eq!(found("unheard of", OURS, HmacVariant::Plain), None);
        assert_eq!(found("ours", &["8.8.8.8"], HmacVariant::Plain), None);
    }

    /// To try them all would be 64 million digests.
    #[test]
    #[cfg_attr(miri, ignore = "a thousand digests of a long list")]
    fn the_attempts_are_bounded() {
        let ipv4 = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        let vhid = Vhid::new(7).unwrap();
        let ours = AddressSet::<64>::try_from_iter((0..64).map(ipv4)).unwrap();
        let key = Key::from_passphrase(b"ours").unwrap();
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let counter = Counter::new(9);
        // The last that is tried.
        let variant = HmacVariant::LinkLayerAllAddresses(mac);
        let mut bytes = [0; 36];
        Advertisement {
            vhid,
            advbase: AdvBase::new(1),
            advskew: AdvSkew::new(0),
            demotion: Demotion::new(0),
            counter,
            digest: Authenticator::new(&key, vhid, &ours, variant).sign(counter),
        }
        .emit(&mut bytes);
        let packet = Packet::new_checked(bytes).unwrap();
        let found = |keys: &[Key], extra: &[IpAddr]| {
            let suspects = Suspects {
                keys,
                addresses: &ours,
                other_lists: &[],
                extra,
                link_layer: &[mac],
            };
            explain(&packet, &suspects).is_some()
        };

        let extra: Vec<_> = (64..1_000_064).map(ipv4).collect();
        let keys = [key];
        assert!(found(&keys, &extra[..8]));
        assert!(!found(&keys, &extra));
        assert!(!found(&[], &extra));
        // Addresses that we have are no suspects, and cost nothing.
        let known: Vec<_> = ours.iter().cycle().take(10_000).collect();
        assert!(found(&keys, &known));
    }
}
