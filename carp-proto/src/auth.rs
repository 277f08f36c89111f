use core::{fmt, net::IpAddr, ops::Deref};

use subtle::ConstantTimeEq;

use crate::{
    AddressSet, Advertisement, Counter, Key, MacAddr, Packet, Vhid, address::is_link_local,
    dialect::CARP_VERSION, hmac::Prefix, hmac::PrefixedHmac,
};

/// The first two bytes that are hashed: version 2, type 1, a byte each, whatever the packet says.
const HASHED_VERSION_AND_TYPE: [u8; 2] = [CARP_VERSION, 1];

/// Signs and verifies the advertisements of one virtual host (`docs/protocol.md` §5).
///
/// The key and the list of addresses are hashed once, here: a digest then costs two SHA-1 compressions as
/// long as the tail of what is hashed before the counter fits one block with it, and three otherwise. A list
/// of up to 11 IPv4 addresses, or of 2 IPv6 and 3 IPv4 addresses, fits; `docs/protocol.md` §5 has the rule.
///
/// A receiver holds as many as it accepts forms of the digest: OpenBSD two, and old and new ones while keys
/// or addresses change. 112 bytes, wiped on drop.
#[derive(Clone)]
pub struct Authenticator {
    hmac: PrefixedHmac,
    vhid: Vhid,
}

const _: () = assert!(size_of::<Authenticator>() <= 128);

/// What goes into the digest besides key, vhid and counter (`docs/protocol.md` §5).
///
/// UCarp's form is [`Plain`](Self::Plain) over exactly one IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum HmacVariant {
    /// All addresses: FreeBSD and NetBSD, and accepted by OpenBSD.
    Plain,
    /// All addresses but the IPv6 link-local ones: what OpenBSD sends.
    WithoutLinkLocal,
    /// What OpenBSD sends from a carp interface with a MAC address of its own choice, which is hashed before
    /// the vhid.
    LinkLayer(MacAddr),
    /// [`LinkLayer`](Self::LinkLayer) with the link-local addresses: accepted by OpenBSD.
    LinkLayerAllAddresses(MacAddr),
}

/// Something whose digest was right: only [`Authenticator::verify`] makes one.
///
/// ```compile_fail,E0423
/// # fn forge(advertisement: carp_proto::Advertisement) -> carp_proto::Verified<carp_proto::Advertisement> {
/// carp_proto::Verified(advertisement)
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Verified<T>(T);

/// The 20 bytes of an HMAC-SHA1. Cannot be compared: that is for [`Authenticator::verify`], in constant time.
#[derive(Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Digest([u8; 20]);

/// Why a packet did not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AuthError {
    /// The version is not 2.
    Version,
    /// The packet is for another virtual host than this authenticator.
    Vhid,
    /// The digest is wrong: another key, or another list of addresses. [`explain`](crate::explain()) can tell
    /// which.
    Digest,
}

impl Authenticator {
    /// Hashes the key, and all that is hashed before the counter.
    pub fn new<const N: usize>(
        key: &Key,
        vhid: Vhid,
        addresses: &AddressSet<N>,
        variant: HmacVariant,
    ) -> Self {
        Self::of_addresses(key, vhid, &mut addresses.as_slice().iter(), variant)
    }

    /// As [`new`](Self::new); the addresses come in hash order.
    pub(crate) fn of_addresses(
        key: &Key,
        vhid: Vhid,
        addresses: &mut dyn Iterator<Item = &IpAddr>,
        variant: HmacVariant,
    ) -> Self {
        let (link_layer, link_local) = match variant {
            HmacVariant::Plain => (None, true),
            HmacVariant::WithoutLinkLocal => (None, false),
            HmacVariant::LinkLayer(mac) => (Some(mac), false),
            HmacVariant::LinkLayerAllAddresses(mac) => (Some(mac), true),
        };
        let mut prefix = Prefix::new(key.as_bytes());
        prefix.push(&HASHED_VERSION_AND_TYPE);
        if let Some(mac) = link_layer {
            prefix.push(&mac.0);
        }
        prefix.push(&[vhid.get()]);
        for address in addresses.filter(|address| link_local || !is_link_local(address)) {
            match address {
                IpAddr::V4(address) => prefix.push(&address.octets()),
                IpAddr::V6(address) => prefix.push(&address.octets()),
            }
        }
        Self {
            hmac: prefix.finish(),
            vhid,
        }
    }

    /// The virtual host it signs and verifies for.
    pub const fn vhid(&self) -> Vhid {
        self.vhid
    }

    /// The digest of an advertisement with this counter. No other field of it is covered (`docs/protocol.md`
    /// §5).
    pub fn sign(&self, counter: Counter) -> Digest {
        let mut digest = [0; 20];
        for (to, word) in digest
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(self.hmac.digest(counter.get()))
        {
            *to = word.to_be_bytes();
        }
        Digest(digest)
    }

    /// Compares the digest, in a time that does not depend on where it differs.
    ///
    /// The checksum is not looked at: what it covers depends on the dialect; see
    /// [`receive`](crate::receive()).
    pub fn verify<T: AsRef<[u8]>>(&self, packet: &Packet<T>) -> Result<Verified<Advertisement>, AuthError> {
        if packet.version() != CARP_VERSION {
            return Err(AuthError::Version);
        }
        if packet.vhid_raw() != self.vhid.get() {
            return Err(AuthError::Vhid);
        }
        let expected = self.hmac.digest(packet.counter().get());
        let difference = expected
            .iter()
            .zip(packet.digest_bytes().as_chunks().0)
            .fold(0, |difference, (word, bytes)| {
                difference | (word ^ u32::from_be_bytes(*bytes))
            });
        if bool::from(difference.ct_ne(&0)) {
            return Err(AuthError::Digest);
        }
        Ok(Verified(Advertisement::of(packet, self.vhid)))
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authenticator(vhid {}, ..)", self.vhid)
    }
}

impl<T> Verified<T> {
    /// What was verified.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Digest {
    /// The digest as sent. Made by hand, it is a claim like any other bytes from the wire.
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The digest as sent.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(")?;
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "the version is not 2",
            Self::Vhid => "the packet is for another virtual host",
            Self::Digest => {
                "the digest is wrong: the sender has another password or another list of addresses"
            }
        })
    }
}

impl core::error::Error for AuthError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;

    use hex_literal::hex;

    use super::*;

    const PACKET: [u8; 36] = hex!("210100070001cf0cd8eb03f64aa49bd2db894a44db44e04954f8bae9401eb4059db6c977");

    fn authenticator(passphrase: &[u8], vhid: u8, addresses: &[&str], variant: HmacVariant) -> Authenticator {
        let addresses: Result<AddressSet<16>, _> =
            AddressSet::try_from_iter(addresses.iter().map(|address| address.parse().unwrap()));
        let key = Key::from_passphrase(passphrase).unwrap();
        Authenticator::new(&key, Vhid::new(vhid).unwrap(), &addresses.unwrap(), variant)
    }

    fn md(authenticator: &Authenticator, counter: u64) -> [u8; 20] {
        authenticator.sign(Counter::new(counter)).0
    }

    #[test]
    fn a_packet_captured_from_freebsd_verifies_and_signs() {
        let authenticator = authenticator(b"pass123", 1, &["192.168.88.44"], HmacVariant::Plain);
        let packet = Packet::new_checked(PACKET).unwrap();
        let advertisement = authenticator.verify(&packet).unwrap();
        assert_eq!(advertisement.interval().micros(), 1_000_000);
        assert_eq!(md(&authenticator, 0xd8eb_03f6_4aa4_9bd2), PACKET[16..]);

        let mut again = [0; 36];
        advertisement.emit(&mut again);
        assert_eq!(again, PACKET);
        assert_eq!(
            format!("{}", *advertisement),
            "CARPv2-advertise 36: vhid=1 advbase=1 advskew=0 authlen=7 counter=15630591288068578258"
        );
    }

    #[test]
    fn every_bit_that_is_covered_counts_and_no_other() {
        let authenticator = authenticator(b"pass123", 1, &["192.168.88.44"], HmacVariant::Plain);
        // Miri takes minutes for all of them.
        for bit in (0..PACKET.len() * 8).step_by(if cfg!(miri) { 7 } else { 1 }) {
            let mut bytes = PACKET;
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            let verified = authenticator.verify(&Packet::new_checked(bytes).unwrap());
            let covered = match bit / 8 {
                0 => bit < 4,
                1 | 8.. => true,
                _ => false,
            };
            assert_eq!(verified.is_err(), covered, "bit {bit}");
        }
    }

    #[test]
    fn variants() {
        let addresses = ["fe80::200:5eff:fe00:12a", "2001:db8:2::1", "2001:db8:1::ffff"];
        let all = authenticator(b"s3cret", 42, &addresses, HmacVariant::Plain);
        assert_eq!(
            md(&all, 0x0102_0304_0506_0708),
            hex!("fa621b601aea9a4c3f534aac93a8e083ba351227")
        );
        let without = authenticator(b"s3cret", 42, &addresses, HmacVariant::WithoutLinkLocal);
        assert_eq!(
            md(&without, 0x0102_0304_0506_0708),
            hex!("9033577512a6213e18d8c0e12b4f8356f7b744f3")
        );

        let mac = MacAddr(hex!("02aabbccddee"));
        let custom = authenticator(b"s3cret", 42, &["10.0.0.1"], HmacVariant::LinkLayer(mac));
        assert_eq!(
            md(&custom, 0x0102_0304_0506_0708),
            hex!("4aa78d6d5cc94cfe52cb263328db420c05ce4ebd")
        );
        let with_link_local = authenticator(
            b"s3cret",
            42,
            &["10.0.0.1", "fe80::1"],
            HmacVariant::LinkLayer(mac),
        );
        assert_eq!(md(&with_link_local, 1), md(&custom, 1));
        let all = authenticator(
            b"s3cret",
            42,
            &["10.0.0.1", "fe80::1"],
            HmacVariant::LinkLayerAllAddresses(mac),
        );
        assert_ne!(md(&all, 1), md(&custom, 1));
    }

    #[test]
    fn nothing_is_printed_that_signs() {
        let authenticator = authenticator(b"pass123", 1, &["192.168.88.44"], HmacVariant::Plain);
        assert_eq!(format!("{authenticator:?}"), "Authenticator(vhid 1, ..)");
        assert_eq!(
            format!("{:?}", Digest::new([0xab; 20])),
            format!("Digest({})", "ab".repeat(20))
        );
    }
}
