//! Why a digest did not verify. Not for the hot path: it costs up to [`MAX_ATTEMPTS`] digests.

use core::{fmt, net::IpAddr};

use crate::{AddressSet, Authenticator, HmacVariant, Key, MacAddr, Packet, Vhid, address::is_link_local};

/// The most digests that one call of [`explain`] computes, each of about five compressions and more for long lists.
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
    /// Addresses that it could be hashing on top of ours: those of the interface, say.
    pub extra: &'a [IpAddr],
    /// MAC addresses that an OpenBSD peer could be hashing.
    pub link_layer: &'a [MacAddr],
}

/// What would have verified.
///
/// `Display` says it in words, as in `other password (number 2); address list differs: theirs lacks 10.0.0.5`.
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

/// Which of the suspected configurations gives the digest of `packet`, the likeliest first; `None` if none of the first
/// [`MAX_ATTEMPTS`] does.
///
/// Every key is tried with our list in every form of digest, then with a list that differs by one address, with a
/// single address, with none, and with the other lists. The vhid is the packet's own.
pub fn explain<T: AsRef<[u8]>, const N: usize>(
    packet: &Packet<T>,
    suspects: &Suspects<'_, N>,
) -> Option<Finding> {
    let vhid = Vhid::new(packet.vhid_raw())?;
    candidates(suspects).take(MAX_ATTEMPTS).find(|finding| {
        let Some(key) = suspects.keys.get(finding.key) else {
            return false;
        };
        authenticator(key, vhid, suspects, finding).verify(packet).is_ok()
    })
}

/// All that [`explain`] tries, in order: what is likelier, and costs fewer attempts for each key, comes first.
fn candidates<const N: usize>(suspects: &Suspects<'_, N>) -> impl Iterator<Item = Finding> {
    let ours = suspects.addresses.as_slice();
    let has_link_local = ours.iter().any(is_link_local);
    let forms = move || {
        let link_local_forms = has_link_local.then_some(HmacVariant::WithoutLinkLocal);
        core::iter::once(HmacVariant::Plain).chain(link_local_forms)
    };
    let keys = move || 0..suspects.keys.len();
    let each = move |difference: Difference| {
        keys().flat_map(move |key| {
            forms().map(move |variant| Finding {
                key,
                difference,
                variant,
            })
        })
    };

    let same = each(Difference::Same);
    let link_layer = suspects.link_layer.iter().flat_map(move |mac| {
        let variants = [
            HmacVariant::LinkLayer(*mac),
            HmacVariant::LinkLayerAllAddresses(*mac),
        ];
        keys().flat_map(move |key| {
            variants.into_iter().map(move |variant| Finding {
                key,
                difference: Difference::Same,
                variant,
            })
        })
    });
    let lacks = ours.iter().map(|address| Difference::Lacks(*address));
    let extra = suspects.extra.iter().filter(|extra| !ours.contains(extra));
    let more = extra.clone().map(|address| Difference::Extra(*address));
    let single = ours
        .iter()
        .filter(|address| address.is_ipv4())
        .map(|address| Difference::Single(*address));
    let other = (0..suspects.other_lists.len()).map(Difference::Other);
    let replaced = ours.iter().flat_map(move |without| {
        extra
            .clone()
            .map(move |with| Difference::Replaced(*without, *with))
    });
    let lists = single
        .chain(lacks)
        .chain(more)
        .chain([Difference::Empty])
        .chain(other)
        .chain(replaced);
    same.chain(link_layer).chain(lists.flat_map(each))
}

fn authenticator<const N: usize>(
    key: &Key,
    vhid: Vhid,
    suspects: &Suspects<'_, N>,
    finding: &Finding,
) -> Authenticator {
    let ours = suspects.addresses.as_slice();
    let other = match finding.difference {
        Difference::Other(index) => suspects.other_lists.get(index).map_or(ours, AddressSet::as_slice),
        _ => ours,
    };
    let (without, with) = match finding.difference {
        Difference::Lacks(without) => (Some(without), None),
        Difference::Extra(with) => (None, Some(with)),
        Difference::Replaced(without, with) => (Some(without), Some(with)),
        _ => (None, None),
    };
    let kept = move |address: &&IpAddr| match finding.difference {
        Difference::Empty => false,
        Difference::Single(single) => **address == single,
        _ => Some(**address) != without,
    };
    let below = other
        .iter()
        .filter(kept)
        .filter(move |address| with.is_none_or(|with| **address < with));
    let above = other
        .iter()
        .filter(kept)
        .filter(move |address| with.is_some_and(|with| **address > with));
    Authenticator::of_addresses(
        key,
        vhid,
        below.chain(with.as_ref()).chain(above),
        finding.variant,
    )
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
    use std::{format, string::String};

    use super::*;
    use crate::{AdvBase, AdvSkew, Advertisement, Counter, Demotion};

    fn addresses(list: &[&str]) -> AddressSet<4> {
        AddressSet::try_from_iter(list.iter().map(|address| address.parse().unwrap())).unwrap()
    }

    /// What is found about a packet signed with `passphrase` over `list` by a node with the key `ours` and the
    /// addresses 10.0.0.1, 10.0.0.5 and `fe80::1`.
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
}
