use core::net::{IpAddr, Ipv6Addr};

use super::{FrameClass, LinkMeta, Malformed, RxMeta, ndp, writer::Writer};
use crate::IP_PROTOCOL;

const HOP_LIMIT: u8 = 255;
/// A packet with more extension headers than this is nobody's advertisement.
const MAX_EXTENSION_HEADERS: usize = 8;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
pub(super) const ICMPV6: u8 = 58;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;
/// More fragments, and the offset: both zero in a packet that is whole.
const FRAGMENT_MASK: u16 = 0xfff9;

pub(super) fn classify(packet: &[u8], link: Option<LinkMeta>) -> FrameClass<'_> {
    let Some((header, rest)) = packet.split_first_chunk::<40>() else {
        return FrameClass::Malformed(Malformed::Truncated);
    };
    let [first, _, _, _, l0, l1, next_header, hop_limit, addresses @ ..] = *header;
    if first >> 4 != 6 {
        return FrameClass::Malformed(Malformed::Header);
    }
    let (src, dst) = match addresses.as_chunks::<16>().0 {
        [src, dst] => (Ipv6Addr::from(*src), Ipv6Addr::from(*dst)),
        _ => return FrameClass::Malformed(Malformed::Truncated),
    };
    let Some(payload) = rest.get(..usize::from(u16::from_be_bytes([l0, l1]))) else {
        // Most of a router's traffic has neither extension headers nor a length to doubt: say so only if it
        // matters.
        return match next_header {
            IP_PROTOCOL | ICMPV6 => FrameClass::Malformed(Malformed::TotalLength),
            _ => FrameClass::Other,
        };
    };
    let meta = RxMeta {
        src: IpAddr::V6(src),
        dst: IpAddr::V6(dst),
        ttl: hop_limit,
        link,
    };
    match skip_extension_headers(next_header, payload) {
        Ok((IP_PROTOCOL, payload)) => FrameClass::Carp { meta, payload },
        Ok((ICMPV6, payload)) => ndp::classify(&src, &dst, hop_limit, link, payload),
        Ok(_) => FrameClass::Other,
        Err(malformed) => FrameClass::Malformed(malformed),
    }
}

/// The first header that is no extension, and what it heads.
fn skip_extension_headers(mut next_header: u8, mut payload: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    for _ in 0..=MAX_EXTENSION_HEADERS {
        // All of them start with the next header and, but for the fragment header, their length.
        let len = match next_header {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                payload.get(1).map(|len| usize::from(*len).wrapping_add(1) << 3)
            }
            AUTHENTICATION => payload.get(1).map(|len| usize::from(*len).wrapping_add(2) << 2),
            FRAGMENT => Some(8),
            _ => return Ok((next_header, payload)),
        };
        let (header, rest) = len
            .and_then(|len| payload.split_at_checked(len))
            .ok_or(Malformed::Truncated)?;
        if let (FRAGMENT, &[inner, _, offset0, offset1, ..]) = (next_header, header)
            && u16::from_be_bytes([offset0, offset1]) & FRAGMENT_MASK != 0
        {
            // A piece of somebody else's packet is none of our business.
            return if inner == IP_PROTOCOL {
                Err(Malformed::Fragment)
            } else {
                Ok((NO_NEXT_HEADER, &[]))
            };
        }
        next_header = *header.first().ok_or(Malformed::Truncated)?;
        payload = rest;
    }
    Err(Malformed::ExtensionHeaders)
}

pub(super) fn emit(
    writer: &mut Writer<'_>,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    traffic_class: u8,
    payload_len: u16,
    next_header: u8,
) {
    let version_class_flow = (0x6000_0000_u32 | u32::from(traffic_class) << 20).to_be_bytes();
    writer.put(&version_class_flow);
    writer.put(&payload_len.to_be_bytes());
    writer.put(&[next_header, HOP_LIMIT]);
    writer.put(&src.octets());
    writer.put(&dst.octets());
}
