//! The socket filter: which frames of an interface wake us.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "libc's constants are wider than the fields they are for"
)]

use libc::{
    BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, SKF_AD_OFF,
    SKF_AD_PKTTYPE, SKF_AD_VLAN_TAG, SKF_AD_VLAN_TAG_PRESENT,
};
use socket2::SockFilter;

use super::packet::MAX_RECEIVED;

/// Passes IP protocol 112 that is meant for this machine, over IPv4 and IPv6,
/// and nothing else.
///
/// VRRP has the same protocol number and passes: a VRRP router with our
/// virtual MAC must be reported. The kernel runs this for every frame that the
/// interface receives; a frame that is not ours is gone after four
/// instructions, before it is copied.
///
/// * Frames to somebody else's MAC (seen when the interface is promiscuous, as
///   bridge ports are) and frames sent by this machine do not pass.
/// * A packet socket sees the frames of the VLANs above its interface too, with
///   the tag beside the frame. They belong to the VLAN's own interface and do
///   not pass; a priority tag (VLAN 0) does.
pub(super) const CARP_AND_VRRP: [SockFilter; 15] = [
    /*  0 */ load(BPF_H, ETHER_TYPE),
    /*  1 */ jump(BPF_JEQ, 0x0800, 0, 2), // IPv4, or go to 4
    /*  2 */ load(BPF_B, 14 + 9), // protocol
    /*  3 */ jump(BPF_JEQ, IP_PROTOCOL, 3, 9), // to 7, or drop
    /*  4 */ jump(BPF_JEQ, 0x86dd, 0, 8), // IPv6, or drop
    /*  5 */ load(BPF_B, 14 + 6), // next header
    /*  6 */ jump(BPF_JEQ, IP_PROTOCOL, 0, 6), // or drop
    /*  7 */ load(BPF_W, ancillary(SKF_AD_PKTTYPE)),
    /*  8 */ jump(BPF_JGT, PACKET_MULTICAST, 4, 0), // drop, or go on
    /*  9 */ load(BPF_W, ancillary(SKF_AD_VLAN_TAG_PRESENT)),
    /* 10 */ jump(BPF_JEQ, 0, 3, 0), // untagged: accept
    /* 11 */ load(BPF_W, ancillary(SKF_AD_VLAN_TAG)),
    /* 12 */ jump(BPF_JSET, VLAN_ID_BITS, 0, 1), // drop, or accept
    /* 13 */ accept(0),
    /* 14 */ accept(MAX_RECEIVED as u32),
];

/// Passes nothing: for sockets that only send.
pub(super) const NOTHING: [SockFilter; 1] = [accept(0)];

const ETHER_TYPE: u32 = 12;
const IP_PROTOCOL: u32 = carp_proto::IP_PROTOCOL as u32;
const VLAN_ID_BITS: u32 = 0xfff;
/// Packet types up to this one (host, broadcast, multicast) are for us;
/// "other host" and "outgoing" come after it.
const PACKET_MULTICAST: u32 = libc::PACKET_MULTICAST as u32;

const fn load(size: u32, offset: u32) -> SockFilter {
    SockFilter::new((BPF_LD | size | BPF_ABS) as u16, 0, 0, offset)
}

const fn jump(condition: u32, value: u32, yes: u8, no: u8) -> SockFilter {
    SockFilter::new((BPF_JMP | condition | BPF_K) as u16, yes, no, value)
}

/// Ends the program and passes at most `len` bytes of the frame; 0 drops it.
const fn accept(len: u32) -> SockFilter {
    SockFilter::new((BPF_RET | BPF_K) as u16, 0, 0, len)
}

/// What the kernel knows about the frame beside its bytes has negative offsets.
const fn ancillary(field: i32) -> u32 {
    (SKF_AD_OFF + field) as u32
}
