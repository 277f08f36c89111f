use core::net::{IpAddr, Ipv4Addr};

use super::{FrameClass, LinkMeta, Malformed, RxMeta, writer::Writer};
use crate::{ADVERTISEMENT_LEN, IP_PROTOCOL, checksum::checksum};

const HEADER_LEN: usize = 20;
/// Version 4, a header of five words.
const VERSION_AND_HEADER_LEN: u8 = 0x45;
const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments, and the offset: both zero in a packet that is whole.
const FRAGMENT_MASK: u16 = 0x3fff;
const TTL: u8 = 255;
const TOTAL_LEN: u16 = 56;
const _: () = assert!(TOTAL_LEN as usize == HEADER_LEN + ADVERTISEMENT_LEN);

pub(super) fn classify(packet: &[u8], link: Option<LinkMeta>) -> FrameClass<'_> {
    let Some(header) = packet.first_chunk::<HEADER_LEN>() else {
        return FrameClass::Malformed(Malformed::Truncated);
    };
    #[rustfmt::skip]
    let [
        first, _, l0, l1, _, _, f0, f1, ttl, protocol, _, _,
        s0, s1, s2, s3,
        d0, d1, d2, d3,
    ] = *header;
    // Before everything else: most of a router's traffic ends here.
    if protocol != IP_PROTOCOL {
        return FrameClass::Other;
    }
    let header_len = usize::from(first & 0x0f) << 2;
    let total_len = usize::from(u16::from_be_bytes([l0, l1]));
    if first >> 4 != 4 || header_len < HEADER_LEN || total_len < header_len {
        return FrameClass::Malformed(Malformed::Header);
    }
    let Some((header, payload)) = packet
        .get(..total_len)
        .and_then(|packet| packet.split_at_checked(header_len))
    else {
        return FrameClass::Malformed(Malformed::TotalLength);
    };
    if checksum(header) != 0 {
        return FrameClass::Malformed(Malformed::HeaderChecksum);
    }
    if u16::from_be_bytes([f0, f1]) & FRAGMENT_MASK != 0 {
        return FrameClass::Malformed(Malformed::Fragment);
    }
    let meta = RxMeta {
        src: IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
        dst: IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3)),
        ttl,
        link,
    };
    FrameClass::Carp { meta, payload }
}

/// The header of an advertisement.
pub(super) fn emit(writer: &mut Writer<'_>, src: Ipv4Addr, dst: Ipv4Addr, tos: u8, id: u16) {
    let [l0, l1] = TOTAL_LEN.to_be_bytes();
    let [i0, i1] = id.to_be_bytes();
    let [f0, f1] = DONT_FRAGMENT.to_be_bytes();
    let [s0, s1, s2, s3] = src.octets();
    let [d0, d1, d2, d3] = dst.octets();
    #[rustfmt::skip]
    let mut header = [
        VERSION_AND_HEADER_LEN, tos, l0, l1, i0, i1, f0, f1, TTL, IP_PROTOCOL, 0, 0,
        s0, s1, s2, s3,
        d0, d1, d2, d3,
    ];
    [header[10], header[11]] = checksum(&header).to_be_bytes();
    writer.put(&header);
}
