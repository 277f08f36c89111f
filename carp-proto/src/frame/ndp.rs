use core::net::Ipv6Addr;

use super::{Answer, FrameClass, LinkMeta, MAX_FRAME_LEN, Malformed, ethernet, ipv6, writer::Writer};
use crate::{MacAddr, checksum::Sum};

/// RFC 4861 §4.3, §4.4, §4.6.1.
pub(super) const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
/// Options are counted in units of 8 bytes.
const LINK_LAYER_OPTION_LEN: u8 = 1;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// Type, code, checksum, flags, target, and one option with a MAC address.
const MESSAGE_LEN: u16 = 4 + 4 + 16 + 8;
const HOP_LIMIT: u8 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A solicitation is answered only if it is valid (RFC 4861 §7.1.1); anything else of ICMPv6 is not ours to
/// judge.
pub(super) fn classify(
    src: &Ipv6Addr,
    dst: &Ipv6Addr,
    hop_limit: u8,
    link: Option<LinkMeta>,
    message: &[u8],
) -> FrameClass<'static> {
    let Some((&[kind, code, ..], behind)) = message.split_first_chunk::<8>() else {
        return FrameClass::Other;
    };
    if kind != NEIGHBOR_SOLICITATION || code != 0 || hop_limit != HOP_LIMIT {
        return FrameClass::Other;
    }
    let Some((target, options)) = behind.split_first_chunk::<16>() else {
        return FrameClass::Malformed(Malformed::Truncated);
    };
    let Ok(len) = u16::try_from(message.len()) else {
        return FrameClass::Other;
    };
    if Sum::new()
        .add_ipv6_pseudo_header(src, dst, len, ipv6::ICMPV6)
        .add(message)
        .finish()
        != 0
    {
        return FrameClass::Other;
    }
    let target = Ipv6Addr::from(*target);
    if target.is_multicast() {
        return FrameClass::Other;
    }
    let Ok(option) = link_layer_address(SOURCE_LINK_LAYER_ADDRESS, options) else {
        return FrameClass::Other;
    };
    // Duplicate address detection asks the group, and nobody may learn from it.
    if src.is_unspecified() && (option.is_some() || !is_solicited_node_group(dst)) {
        return FrameClass::Other;
    }
    let sender_mac = option.or(link.map(|link| link.src));
    FrameClass::NeighborSolicitation {
        target,
        sender: *src,
        sender_mac,
    }
}

/// Writes an unsolicited neighbour advertisement to all nodes and returns its length, 86 bytes: `addr` is at
/// `hw` (override flag, target link-layer address option; `docs/protocol.md` §7).
///
/// `router` if this machine forwards IPv6: hosts drop a default router whose advertisement lacks the flag.
pub fn emit_unsolicited_na(
    eth_src: MacAddr,
    hw: MacAddr,
    addr: Ipv6Addr,
    router: bool,
    buffer: &mut [u8; MAX_FRAME_LEN],
) -> usize {
    let flags = if router { OVERRIDE | ROUTER } else { OVERRIDE };
    let to = (MacAddr::ALL_NODES_V6, ALL_NODES);
    emit(
        NEIGHBOR_ADVERTISEMENT,
        flags,
        (eth_src, addr),
        to,
        addr,
        hw,
        buffer,
    )
}

/// Writes the answer to a neighbour solicitation and returns its length, 86 bytes: `addr` is at `hw`.
///
/// `to` and `to_mac` are the sender of the [`NeighborSolicitation`](FrameClass::NeighborSolicitation). If
/// `to` is `::`, duplicate address detection, the answer goes to all nodes and is not marked as solicited
/// (RFC 4861 §7.2.4).
pub fn emit_neighbor_advertisement(
    eth_src: MacAddr,
    hw: MacAddr,
    addr: Ipv6Addr,
    to_mac: MacAddr,
    to: Ipv6Addr,
    router: bool,
    buffer: &mut [u8; MAX_FRAME_LEN],
) -> usize {
    if to.is_unspecified() {
        return emit_unsolicited_na(eth_src, hw, addr, router, buffer);
    }
    let flags = SOLICITED | OVERRIDE | if router { ROUTER } else { 0 };
    let to = (to_mac, to);
    emit(
        NEIGHBOR_ADVERTISEMENT,
        flags,
        (eth_src, addr),
        to,
        addr,
        hw,
        buffer,
    )
}

/// A solicited advertisement, from its IPv6 header on. Like all of neighbour discovery it has no extension headers.
pub(super) fn answer(packet: &[u8]) -> Option<Answer> {
    let (header, rest) = packet.split_first_chunk::<40>()?;
    let &[_, _, _, _, l0, l1, next_header, hop_limit, ref addresses @ ..] = header;
    let [src, dst] = addresses.as_chunks::<16>().0 else {
        return None;
    };
    let len = u16::from_be_bytes([l0, l1]);
    let message = rest.get(..usize::from(len))?;
    let (&[kind, code, _, _, flags, ..], behind) = message.split_first_chunk::<8>()?;
    let (target, options) = behind.split_first_chunk::<16>()?;
    let sum = Sum::new()
        .add_ipv6_pseudo_header(&Ipv6Addr::from(*src), &Ipv6Addr::from(*dst), len, ipv6::ICMPV6)
        .add(message)
        .finish();
    let valid = (next_header, hop_limit) == (ipv6::ICMPV6, HOP_LIMIT)
        && (kind, code) == (NEIGHBOR_ADVERTISEMENT, 0)
        && flags & SOLICITED != 0
        && sum == 0;
    let mac = link_layer_address(TARGET_LINK_LAYER_ADDRESS, options).ok()??;
    valid.then_some(Answer {
        address: Ipv6Addr::from(*target).into(),
        mac,
    })
}

/// A solicitation or an advertisement, with one option: the MAC address `hw`.
pub(super) fn emit(
    kind: u8,
    flags: u8,
    (eth_src, from): (MacAddr, Ipv6Addr),
    (to_mac, to): (MacAddr, Ipv6Addr),
    target: Ipv6Addr,
    hw: MacAddr,
    buffer: &mut [u8; MAX_FRAME_LEN],
) -> usize {
    let kind_and_code = [kind, 0];
    let flags = [flags, 0, 0, 0];
    let option = match kind {
        NEIGHBOR_SOLICITATION => [SOURCE_LINK_LAYER_ADDRESS, LINK_LAYER_OPTION_LEN],
        _ => [TARGET_LINK_LAYER_ADDRESS, LINK_LAYER_OPTION_LEN],
    };
    let checksum = Sum::new()
        .add_ipv6_pseudo_header(&from, &to, MESSAGE_LEN, ipv6::ICMPV6)
        .add(&kind_and_code)
        .add(&flags)
        .add(&target.octets())
        .add(&option)
        .add(&hw.0)
        .finish();

    let mut writer = Writer::new(buffer);
    ethernet::emit(&mut writer, to_mac, eth_src, ethernet::IPV6);
    ipv6::emit(&mut writer, from, to, 0, MESSAGE_LEN, ipv6::ICMPV6);
    writer.put(&kind_and_code);
    writer.put(&checksum.to_be_bytes());
    writer.put(&flags);
    writer.put(&target.octets());
    writer.put(&option);
    writer.put(&hw.0);
    writer.len()
}

/// One of length 0, cut short, or with something else than a MAC address where one belongs.
struct BrokenOption;

/// What the option says, if there is one.
fn link_layer_address(wanted: u8, mut options: &[u8]) -> Result<Option<MacAddr>, BrokenOption> {
    let mut found = None;
    while !options.is_empty() {
        let &[kind, len] = options.first_chunk().ok_or(BrokenOption)?;
        if len == 0 {
            return Err(BrokenOption);
        }
        let (option, rest) = options
            .split_at_checked(usize::from(len) << 3)
            .ok_or(BrokenOption)?;
        if kind == wanted {
            let &[_, _, m0, m1, m2, m3, m4, m5] = option else {
                return Err(BrokenOption);
            };
            found = found.or(Some(MacAddr([m0, m1, m2, m3, m4, m5])));
        }
        options = rest;
    }
    Ok(found)
}

/// `ff02::1:ff00:0/104`.
const fn is_solicited_node_group(address: &Ipv6Addr) -> bool {
    matches!(address.segments(), [0xff02, 0, 0, 0, 0, 1, 0xff00..=0xffff, _])
}
