//! Whole frames, in and out: Ethernet, 802.1Q tags, IPv4, IPv6, ARP and neighbour discovery.
//!
//! Nothing here resolves addresses, reads a clock or keeps state. Incoming bytes are borrowed, outgoing
//! frames are written into the caller's buffer.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

mod arp;
mod ethernet;
mod ipv4;
mod ipv6;
mod ndp;
mod resolve;
mod vrrp;
mod writer;

pub use arp::{emit_arp_reply, emit_gratuitous_arp};
pub use ndp::{emit_neighbor_advertisement, emit_unsolicited_na};
pub use resolve::{Answer, emit_arp_request, emit_neighbor_solicitation};
pub use vrrp::Vrrp;

use crate::{
    ADVERTISEMENT_LEN, Advertisement, ChecksumCover, Dialect, IP_PROTOCOL, MULTICAST_V4, MULTICAST_V6,
    MacAddr, Vhid, checksum::Sum, packet::ADVERTISEMENT_LEN_U16,
};
use writer::Writer;

/// Room for every frame that is emitted: Ethernet with one 802.1Q tag, IPv6, an advertisement, and a trailer
/// of up to 64 bytes behind it, which is reserved.
pub const MAX_FRAME_LEN: usize = 14 + 4 + 40 + ADVERTISEMENT_LEN + 64;

/// What came with the payload of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RxMeta {
    /// The source address.
    pub src: IpAddr,
    /// The destination address.
    pub dst: IpAddr,
    /// The TTL or hop limit.
    pub ttl: u8,
    /// The Ethernet header; `None` if the packet came without one, from a raw IP socket say.
    pub link: Option<LinkMeta>,
}

/// An Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkMeta {
    /// The source address.
    pub src: MacAddr,
    /// The destination address.
    pub dst: MacAddr,
    /// The VLAN of the inner 802.1Q tag, 0..=4095.
    pub vlan: Option<u16>,
}

/// What a frame is to CARP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameClass<'a> {
    /// An IP packet of protocol 112: CARP, or VRRP ([`Vrrp::recognise`]), or neither.
    Carp {
        /// Where it came from.
        meta: RxMeta,
        /// What [`receive`](crate::receive()) takes, without Ethernet padding.
        payload: &'a [u8],
    },
    /// Somebody asks for, or announces, an IPv4 address.
    ArpRequest {
        /// The address asked for. If it is the sender's own, the request is an announcement.
        target: Ipv4Addr,
        /// Who asks; 0.0.0.0 in a probe for duplicates.
        sender: Ipv4Addr,
        /// Where an answer goes.
        sender_mac: MacAddr,
    },
    /// Somebody asks for an IPv6 address.
    NeighborSolicitation {
        /// The address asked for.
        target: Ipv6Addr,
        /// Who asks; `::` in duplicate address detection.
        sender: Ipv6Addr,
        /// Where an answer goes: the source link-layer address option, else the Ethernet source; `None`
        /// without either.
        sender_mac: Option<MacAddr>,
    },
    /// Nothing that concerns CARP.
    Other,
    /// A header that cannot be believed.
    Malformed(Malformed),
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Malformed {
    /// Ends within a header.
    Truncated,
    /// A header length that is too small, or an IP version that is not the EtherType's.
    Header,
    /// The IPv4 header checksum is wrong.
    HeaderChecksum,
    /// The IP header promises more bytes than there are.
    TotalLength,
    /// A piece of a packet of protocol 112. Advertisements are never fragmented.
    Fragment,
    /// More than 8 IPv6 extension headers, or one that no advertisement has.
    ExtensionHeaders,
}

/// The headers of an advertisement to be sent. The TTL is always 255 and IPv4 packets are never to be
/// fragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Envelope {
    /// The Ethernet source.
    pub src_mac: MacAddr,
    /// The Ethernet destination.
    pub dst_mac: MacAddr,
    /// The IP source.
    pub src: IpAddr,
    /// The IP destination, of the same family.
    pub dst: IpAddr,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The IPv4 identification; not used in IPv6.
    pub id: u16,
}

/// What a whole Ethernet frame is to CARP. Up to two 802.1Q or 802.1ad tags are read over; padding is cut
/// off.
pub fn classify(frame: &[u8]) -> FrameClass<'_> {
    ethernet::classify(frame)
}

/// What an IP packet without an Ethernet header is to CARP.
pub fn classify_ip(packet: &[u8]) -> FrameClass<'_> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => ipv4::classify(packet, None),
        Some(6) => ipv6::classify(packet, None),
        Some(_) => FrameClass::Malformed(Malformed::Header),
        None => FrameClass::Malformed(Malformed::Truncated),
    }
}

impl Envelope {
    /// To the group 224.0.0.18. The identification is 0; dialects with
    /// [`IdRule::Random`](crate::IdRule::Random) set their own.
    pub const fn multicast_v4(vhid: Vhid, src: Ipv4Addr, dialect: Dialect) -> Self {
        Self {
            src_mac: dialect.source_mac(vhid),
            dst_mac: MacAddr::CARP_MULTICAST_V4,
            src: IpAddr::V4(src),
            dst: IpAddr::V4(MULTICAST_V4),
            tos: dialect.rules().tos,
            id: 0,
        }
    }

    /// To the group `ff02::12`.
    pub const fn multicast_v6(vhid: Vhid, src: Ipv6Addr, dialect: Dialect) -> Self {
        Self {
            src_mac: dialect.source_mac(vhid),
            dst_mac: MacAddr::CARP_MULTICAST_V6,
            src: IpAddr::V6(src),
            dst: IpAddr::V6(MULTICAST_V6),
            tos: dialect.rules().traffic_class,
            id: 0,
        }
    }

    /// To one peer, in either family. FreeBSD sends unicast from the address of the interface, not the
    /// virtual one.
    pub const fn unicast(
        src_mac: MacAddr,
        dst_mac: MacAddr,
        src: IpAddr,
        dst: IpAddr,
        dialect: Dialect,
    ) -> Self {
        let tos = match dst {
            IpAddr::V4(_) => dialect.rules().tos,
            IpAddr::V6(_) => dialect.rules().traffic_class,
        };
        Self {
            src_mac,
            dst_mac,
            src,
            dst,
            tos,
            id: 0,
        }
    }
}

/// Writes a whole frame and returns its length, 70 or 90 bytes; `None` if source and destination are of
/// different families.
///
/// The checksum is that of the dialect: NetBSD's covers the IPv6 pseudo-header (`docs/protocol.md` §3).
pub fn emit_advertisement(
    advertisement: &Advertisement,
    envelope: &Envelope,
    dialect: Dialect,
    buffer: &mut [u8; MAX_FRAME_LEN],
) -> Option<usize> {
    let mut body = [0; ADVERTISEMENT_LEN];
    let mut writer = Writer::new(buffer);
    match (envelope.src, envelope.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            advertisement.emit(&mut body);
            ethernet::emit(&mut writer, envelope.dst_mac, envelope.src_mac, ethernet::IPV4);
            ipv4::emit(&mut writer, src, dst, envelope.tos, envelope.id);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let pseudo_header = match dialect.rules().checksum_ipv6 {
                ChecksumCover::PseudoHeader => {
                    Sum::new().add_ipv6_pseudo_header(&src, &dst, ADVERTISEMENT_LEN_U16, IP_PROTOCOL)
                }
                ChecksumCover::Advertisement | ChecksumCover::Payload => Sum::new(),
            };
            advertisement.emit_with(pseudo_header, &mut body);
            ethernet::emit(&mut writer, envelope.dst_mac, envelope.src_mac, ethernet::IPV6);
            ipv6::emit(
                &mut writer,
                src,
                dst,
                envelope.tos,
                ADVERTISEMENT_LEN_U16,
                IP_PROTOCOL,
            );
        }
        _ => return None,
    }
    writer.put(&body);
    Some(writer.len())
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the frame ends within a header",
            Self::Header => "the IP header contradicts itself",
            Self::HeaderChecksum => "the IPv4 header checksum is wrong",
            Self::TotalLength => "the IP header promises more bytes than there are",
            Self::Fragment => "a fragment of a packet of protocol 112",
            Self::ExtensionHeaders => "too many IPv6 extension headers, or one that no advertisement has",
        })
    }
}

impl core::error::Error for Malformed {}

#[cfg(test)]
mod tests;
