use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{MAX_FRAME_LEN, arp, ethernet, ndp};
use crate::MacAddr;

/// An answer to a question for the MAC address of a node: an ARP reply, or a solicited neighbour advertisement.
///
/// Nothing in it is authenticated. Believe only what was asked for, and only the first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Answer {
    /// Who was asked for.
    pub address: IpAddr,
    /// Where it is.
    pub mac: MacAddr,
}

impl Answer {
    /// Whether an Ethernet frame without 802.1Q tags is one that was sent to `own`. A neighbour advertisement must be
    /// valid (RFC 4861 §7.1.2), and name a MAC address.
    pub fn recognise(frame: &[u8], own: MacAddr) -> Option<Self> {
        let (&[d0, d1, d2, d3, d4, d5, _, _, _, _, _, _, t0, t1], rest) = frame.split_first_chunk()?;
        if MacAddr([d0, d1, d2, d3, d4, d5]) != own {
            return None;
        }
        let answer = match u16::from_be_bytes([t0, t1]) {
            ethernet::ARP => arp::answer(rest),
            ethernet::IPV6 => ndp::answer(rest),
            _ => None,
        };
        answer.filter(|answer| !answer.mac.is_group())
    }
}

/// Writes an ARP request, a broadcast, and returns its length, 42 bytes: `addr` at `hw` asks where `target` is.
pub fn emit_arp_request(
    hw: MacAddr,
    addr: Ipv4Addr,
    target: Ipv4Addr,
    buffer: &mut [u8; MAX_FRAME_LEN],
) -> usize {
    let nobody = MacAddr([0; 6]);
    arp::emit(
        MacAddr::BROADCAST,
        hw,
        arp::REQUEST,
        (hw, addr),
        (nobody, target),
        buffer,
    )
}

/// Writes a neighbour solicitation to the solicited-node group of `target` and returns its length, 86 bytes:
/// `addr` at `hw` asks where `target` is (source link-layer address option).
pub fn emit_neighbor_solicitation(
    hw: MacAddr,
    addr: Ipv6Addr,
    target: Ipv6Addr,
    buffer: &mut [u8; MAX_FRAME_LEN],
) -> usize {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        u16::from_be_bytes([0xff, a]),
        u16::from_be_bytes([b, c]),
    );
    let group_mac = MacAddr([0x33, 0x33, 0xff, a, b, c]);
    ndp::emit(
        ndp::NEIGHBOR_SOLICITATION,
        0,
        (hw, addr),
        (group_mac, group),
        target,
        hw,
        buffer,
    )
}
