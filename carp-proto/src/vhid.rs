use core::{fmt, num::NonZeroU8};

use crate::MacAddr;

/// A virtual host identifier, 1..=255: what makes the nodes of one group find each other.
///
/// Zero is never a virtual host (`docs/protocol.md` §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Vhid(NonZeroU8);

impl Vhid {
    /// `None` for 0.
    pub const fn new(vhid: u8) -> Option<Self> {
        match NonZeroU8::new(vhid) {
            Some(vhid) => Some(Self(vhid)),
            None => None,
        }
    }

    /// The number, 1..=255.
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// The virtual MAC address 00:00:5e:00:01:VHID, for IPv4 and IPv6 alike (`docs/protocol.md` §1).
    ///
    /// VRRP for IPv4 uses the same addresses: a VRRP router with an equal VRID on the same segment collides.
    pub const fn mac(self) -> MacAddr {
        MacAddr([0x00, 0x00, 0x5e, 0x00, 0x01, self.get()])
    }
}

impl TryFrom<u8> for Vhid {
    type Error = ZeroVhid;

    fn try_from(vhid: u8) -> Result<Self, ZeroVhid> {
        Self::new(vhid).ok_or(ZeroVhid)
    }
}

impl From<Vhid> for u8 {
    fn from(vhid: Vhid) -> u8 {
        vhid.get()
    }
}

impl fmt::Display for Vhid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A vhid of 0 was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ZeroVhid;

impl fmt::Display for ZeroVhid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("vhid is 0; use 1 to 255")
    }
}

impl core::error::Error for ZeroVhid {}
