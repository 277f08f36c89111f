use core::fmt;

use crate::{
    ADVERTISEMENT_LEN, AdvBase, AdvSkew, Digest, Interval, Packet, ParseError, Vhid, checksum::Sum,
    dialect::CARP_VERSION,
};

/// Version 2, type 1: the first byte of every advertisement.
const VERSION_AND_TYPE: u8 = 0x21;
/// Counter and digest are 28 bytes, 7 words of 32 bits.
const AUTHLEN: u8 = 7;

/// The fields of an advertisement that mean something (`docs/protocol.md` §2).
///
/// Parsing proves nothing about who sent it: elections take a [`Verified`](crate::Verified) one.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Advertisement {
    /// The virtual host.
    pub vhid: Vhid,
    /// Seconds. Not covered by the digest.
    pub advbase: AdvBase,
    /// 1/256 s. Not covered by the digest.
    pub advskew: AdvSkew,
    /// OpenBSD's demotion; 0 elsewhere. Not covered by the digest.
    pub demotion: Demotion,
    /// What makes digests differ.
    pub counter: Counter,
    /// The HMAC-SHA1.
    pub digest: Digest,
}

/// How much worse an OpenBSD node is off than its configuration says, 0..=255; 0 from all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Demotion(u8);

/// The 64-bit number of an advertisement. No implementation demands an order, OpenBSD sends one for ever
/// (`docs/protocol.md` §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Counter(u64);

impl Advertisement {
    /// The interval it announces: the sender's priority.
    pub const fn interval(&self) -> Interval {
        Interval::new(self.advbase, self.advskew)
    }

    /// Whether the sender gives up on purpose: 255/255 (`docs/protocol.md` §9).
    pub fn is_bow_out(&self) -> bool {
        self.interval() == Interval::BOW_OUT
    }

    /// The fields of `packet`. Type, authlen and checksum are not looked at: the type and the authlen are
    /// checked by nobody, and what the checksum covers depends on the dialect.
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Self, ParseError> {
        if packet.version() != CARP_VERSION {
            return Err(ParseError::Version);
        }
        let vhid = Vhid::new(packet.vhid_raw()).ok_or(ParseError::Vhid)?;
        Ok(Self::of(packet, vhid))
    }

    /// The fields of a packet whose version and vhid were looked at.
    pub(crate) fn of<T: AsRef<[u8]>>(packet: &Packet<T>, vhid: Vhid) -> Self {
        Self {
            vhid,
            advbase: packet.advbase(),
            advskew: packet.advskew(),
            demotion: packet.demotion(),
            counter: packet.counter(),
            digest: Digest::new(*packet.digest_bytes()),
        }
    }

    /// Writes the advertisement with the checksum that all dialects but NetBSD in IPv6 use: over the 36
    /// bytes.
    pub fn emit(&self, buffer: &mut [u8; ADVERTISEMENT_LEN]) {
        self.emit_with(Sum::new(), buffer);
    }

    /// Writes the advertisement; the checksum also covers what `pseudo_header` has summed.
    pub(crate) fn emit_with(&self, pseudo_header: Sum, buffer: &mut [u8; ADVERTISEMENT_LEN]) {
        let [c0, c1, c2, c3, c4, c5, c6, c7] = self.counter.0.to_be_bytes();
        #[rustfmt::skip]
        let fields = [
            VERSION_AND_TYPE, self.vhid.get(), self.advskew.get(), AUTHLEN,
            self.demotion.0, self.advbase.get(), 0, 0,
            c0, c1, c2, c3, c4, c5, c6, c7,
        ];
        let (header, digest) = buffer.split_at_mut(fields.len());
        header.copy_from_slice(&fields);
        digest.copy_from_slice(self.digest.as_bytes());
        let [high, low] = pseudo_header.add(buffer).finish().to_be_bytes();
        buffer[6] = high;
        buffer[7] = low;
    }
}

/// One line, as `tcpdump -T carp` prints it, with the demotion behind if there is one.
impl fmt::Display for Advertisement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CARPv2-advertise {ADVERTISEMENT_LEN}: vhid={} advbase={} advskew={} authlen={AUTHLEN} counter={}",
            self.vhid, self.advbase, self.advskew, self.counter.0
        )?;
        match self.demotion.0 {
            0 => Ok(()),
            demotion => write!(f, " demote={demotion}"),
        }
    }
}

impl Demotion {
    /// 0..=255, the lower the better.
    pub const fn new(demotion: u8) -> Self {
        Self(demotion)
    }

    /// 0..=255, the lower the better.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Counter {
    /// Any 64-bit number. Never send 0: an OpenBSD BACKUP that has not yet sent takes it for its own.
    pub const fn new(counter: u64) -> Self {
        Self(counter)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}
