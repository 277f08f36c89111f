#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
#![doc = include_str!("../README.md")]

mod address;
mod advertisement;
mod auth;
mod checksum;
mod dialect;
mod explain;
pub mod frame;
mod hmac;
mod interval;
mod key;
mod mac;
mod packet;
mod receive;
mod vhid;

pub use address::{AddressError, AddressSet};
pub use advertisement::{Advertisement, Counter, Demotion};
pub use auth::{AuthError, Authenticator, Digest, HmacVariant, Verified};
pub use checksum::checksum;
pub use dialect::{
    AnnouncementSource, Byte4, ChecksumCover, CounterRule, Dialect, IdRule, MasterDownRule, Rules, SkewRule,
    TieRule, UnknownDialect,
};
pub use explain::{Difference, Finding, MAX_ATTEMPTS, Suspects, explain};
pub use frame::{Envelope, FrameClass, LinkMeta, MAX_FRAME_LEN, Malformed, RxMeta};
pub use interval::{AdvBase, AdvSkew, Interval};
pub use key::{Key, KeyError};
pub use mac::MacAddr;
pub use packet::{ADVERTISEMENT_LEN, Packet, ParseError};
pub use receive::{Check, DestinationRule, Receiver, Rejection, receive};
pub use vhid::{Vhid, ZeroVhid};

/// The IP protocol number of CARP, which VRRP shares (`docs/protocol.md` §1).
pub const IP_PROTOCOL: u8 = 112;

/// The IPv4 group that advertisements go to, 224.0.0.18, shared with VRRP (`docs/protocol.md` §1).
pub const MULTICAST_V4: core::net::Ipv4Addr = core::net::Ipv4Addr::new(224, 0, 0, 18);

/// The IPv6 group that advertisements go to, `ff02::12`, shared with VRRP (`docs/protocol.md` §1).
pub const MULTICAST_V6: core::net::Ipv6Addr = core::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
