use super::{FrameClass, LinkMeta, Malformed, arp, ipv4, ipv6, writer::Writer};
use crate::MacAddr;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV6: u16 = 0x86dd;
/// 802.1Q, and 802.1ad around it.
const TAGS: [u16; 2] = [0x8100, 0x88a8];
/// The outer tag and the inner one.
const MAX_TAGS: usize = 2;

pub(super) fn classify(frame: &[u8]) -> FrameClass<'_> {
    let Some((header, mut rest)) = frame.split_first_chunk::<14>() else {
        return FrameClass::Malformed(Malformed::Truncated);
    };
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
    let mut link = LinkMeta {
        src: MacAddr([s0, s1, s2, s3, s4, s5]),
        dst: MacAddr([d0, d1, d2, d3, d4, d5]),
        vlan: None,
    };
    let mut ether_type = u16::from_be_bytes([t0, t1]);
    for _ in 0..MAX_TAGS {
        if !TAGS.contains(&ether_type) {
            break;
        }
        let Some((&[tag0, tag1, t0, t1], behind)) = rest.split_first_chunk() else {
            return FrameClass::Malformed(Malformed::Truncated);
        };
        link.vlan = Some(u16::from_be_bytes([tag0, tag1]) & 0x0fff);
        ether_type = u16::from_be_bytes([t0, t1]);
        rest = behind;
    }
    match ether_type {
        IPV4 => ipv4::classify(rest, Some(link)),
        IPV6 => ipv6::classify(rest, Some(link)),
        ARP => arp::classify(rest),
        _ => FrameClass::Other,
    }
}

pub(super) fn emit(writer: &mut Writer<'_>, dst: MacAddr, src: MacAddr, ether_type: u16) {
    writer.put(&dst.0);
    writer.put(&src.0);
    writer.put(&ether_type.to_be_bytes());
}
