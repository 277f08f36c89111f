use core::fmt;

use crate::{AdvBase, AdvSkew, Counter, Demotion};

/// The length of an advertisement in bytes (`docs/protocol.md` §2). A payload may be longer, never shorter.
pub const ADVERTISEMENT_LEN: usize = 36;
/// The same, as IP headers have it.
pub(crate) const ADVERTISEMENT_LEN_U16: u16 = 36;
const _: () = assert!(ADVERTISEMENT_LEN_U16 as usize == ADVERTISEMENT_LEN);

/// A view of the payload of an IP packet as an advertisement (`docs/protocol.md` §2).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------+-------+---------------+---------------+---------------+
/// |version| type  |     vhid      |    advskew    |    authlen    |
/// +-------+-------+---------------+---------------+---------------+
/// |   demotion    |    advbase    |           checksum            |
/// +---------------+---------------+-------------------------------+
/// |                            counter                            |
/// |                                                               |
/// +---------------------------------------------------------------+
/// |                         HMAC-SHA1 digest                      |
/// |                           (20 bytes)                          |
/// +---------------------------------------------------------------+
/// ```
///
/// Only the length has been looked at: every field is as it came. What they mean is judged by
/// [`receive`](crate::receive()).
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

/// Why bytes are no advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ParseError {
    /// Fewer than [`ADVERTISEMENT_LEN`] bytes.
    Truncated,
    /// The version nibble is not 2.
    Version,
    /// The vhid is 0.
    Vhid,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// The view, if there are at least [`ADVERTISEMENT_LEN`] bytes: then no getter can fail.
    pub fn new_checked(buffer: T) -> Result<Self, ParseError> {
        if buffer.as_ref().len() < ADVERTISEMENT_LEN {
            return Err(ParseError::Truncated);
        }
        Ok(Self { buffer })
    }

    /// The version: 2 for CARP.
    pub fn version(&self) -> u8 {
        self.bytes()[0] >> 4
    }

    /// The packet type: 1 for an advertisement. No implementation checks it (`docs/protocol.md` §3).
    pub fn kind(&self) -> u8 {
        self.bytes()[0] & 0x0f
    }

    /// The vhid as it came, 0..=255.
    pub fn vhid_raw(&self) -> u8 {
        self.bytes()[1]
    }

    /// The advskew, in 1/256 s.
    pub fn advskew(&self) -> AdvSkew {
        AdvSkew::new(self.bytes()[2])
    }

    /// The 32-bit words of counter and digest: 7. No implementation checks it (`docs/protocol.md` §3).
    pub fn authlen(&self) -> u8 {
        self.bytes()[3]
    }

    /// Byte 4, which only OpenBSD gives a meaning.
    pub fn demotion(&self) -> Demotion {
        Demotion::new(self.bytes()[4])
    }

    /// The advbase, in seconds.
    pub fn advbase(&self) -> AdvBase {
        AdvBase::new(self.bytes()[5])
    }

    /// The checksum field.
    pub fn checksum(&self) -> u16 {
        let [_, _, _, _, _, _, high, low, ..] = *self.bytes();
        u16::from_be_bytes([high, low])
    }

    /// The counter.
    pub fn counter(&self) -> Counter {
        Counter::new(match self.bytes().as_chunks().0 {
            [_, counter, ..] => u64::from_be_bytes(*counter),
            _ => 0,
        })
    }

    /// The digest as it came. Comparing it is the work of
    /// [`Authenticator::verify`](crate::Authenticator::verify).
    pub fn digest_bytes(&self) -> &[u8; 20] {
        self.bytes().last_chunk().unwrap_or(&[0; 20])
    }

    pub(crate) fn bytes(&self) -> &[u8; ADVERTISEMENT_LEN] {
        // A buffer that gives fewer bytes than it did in `new_checked` reads as zeros, which nothing accepts.
        self.buffer
            .as_ref()
            .first_chunk()
            .unwrap_or(&[0; ADVERTISEMENT_LEN])
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "shorter than the 36 bytes of an advertisement",
            Self::Version => "the version is not 2",
            Self::Vhid => "the vhid is 0",
        })
    }
}

impl core::error::Error for ParseError {}
