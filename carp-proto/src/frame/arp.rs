use core::net::Ipv4Addr;

use super::{Answer, FrameClass, MAX_FRAME_LEN, Malformed, ethernet, writer::Writer};
use crate::MacAddr;

/// Ethernet, IPv4, addresses of 6 and 4 bytes.
const ETHERNET_IPV4: [u8; 6] = [0x00, 0x01, 0x08, 0x00, 6, 4];
pub(super) const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];

pub(super) fn classify(packet: &[u8]) -> FrameClass<'_> {
    let Some((kind, rest)) = packet.split_first_chunk::<6>() else {
        return FrameClass::Malformed(Malformed::Truncated);
    };
    let Some((operation, addresses)) = rest.split_first_chunk::<2>() else {
        return FrameClass::Malformed(Malformed::Truncated);
    };
    if *kind != ETHERNET_IPV4 || *operation != REQUEST {
        return FrameClass::Other;
    }
    let Some(addresses) = addresses.first_chunk::<20>() else {
        return FrameClass::Malformed(Malformed::Truncated);
    };
    #[rustfmt::skip]
    let [
        h0, h1, h2, h3, h4, h5, s0, s1, s2, s3,
        _, _, _, _, _, _, t0, t1, t2, t3,
    ] = *addresses;
    FrameClass::ArpRequest {
        target: Ipv4Addr::new(t0, t1, t2, t3),
        sender: Ipv4Addr::new(s0, s1, s2, s3),
        sender_mac: MacAddr([h0, h1, h2, h3, h4, h5]),
    }
}

/// Writes a gratuitous ARP and returns its length, 42 bytes: a broadcast request from `addr` for `addr`,
/// whose sender hardware address is `hw`, as the BSDs announce an address (`docs/protocol.md` §7).
///
/// `eth_src` is the Ethernet source: see [`Rules::announcement_source`](crate::Rules::announcement_source).
pub fn emit_gratuitous_arp(
    eth_src: MacAddr,
    hw: MacAddr,
    addr: Ipv4Addr,
    buffer: &mut [u8; MAX_FRAME_LEN],
) -> usize {
    let nobody = MacAddr([0; 6]);
    emit(
        MacAddr::BROADCAST,
        eth_src,
        REQUEST,
        (hw, addr),
        (nobody, addr),
        buffer,
    )
}

/// Writes the answer to an ARP request and returns its length, 42 bytes: `addr` is at `hw`.
///
/// `to` and `to_mac` are the sender of the [`ArpRequest`](FrameClass::ArpRequest).
pub fn emit_arp_reply(
    eth_src: MacAddr,
    hw: MacAddr,
    addr: Ipv4Addr,
    to_mac: MacAddr,
    to: Ipv4Addr,
    buffer: &mut [u8; MAX_FRAME_LEN],
) -> usize {
    emit(to_mac, eth_src, REPLY, (hw, addr), (to_mac, to), buffer)
}

/// A reply, whomever it is for.
pub(super) fn answer(packet: &[u8]) -> Option<Answer> {
    let (kind, rest) = packet.split_first_chunk::<6>()?;
    let (operation, addresses) = rest.split_first_chunk::<2>()?;
    let &[h0, h1, h2, h3, h4, h5, s0, s1, s2, s3] = addresses.first_chunk()?;
    (*kind == ETHERNET_IPV4 && *operation == REPLY).then_some(Answer {
        address: Ipv4Addr::new(s0, s1, s2, s3).into(),
        mac: MacAddr([h0, h1, h2, h3, h4, h5]),
    })
}

pub(super) fn emit(
    eth_dst: MacAddr,
    eth_src: MacAddr,
    operation: [u8; 2],
    sender: (MacAddr, Ipv4Addr),
    target: (MacAddr, Ipv4Addr),
    buffer: &mut [u8; MAX_FRAME_LEN],
) -> usize {
    let mut writer = Writer::new(buffer);
    ethernet::emit(&mut writer, eth_dst, eth_src, ethernet::ARP);
    writer.put(&ETHERNET_IPV4);
    writer.put(&operation);
    for (mac, addr) in [sender, target] {
        writer.put(&mac.0);
        writer.put(&addr.octets());
    }
    writer.len()
}
