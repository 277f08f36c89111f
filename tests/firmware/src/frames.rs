//! Advertisements of a peer, and what is wrong with copies of them.

use carp_embassy::{Engine, Slots};
use carp_fsm::{HostConfig, Instant, LinkState, Policy, TransmitResult};
use carp_proto::{MAX_FRAME_LEN, MacAddr};

/// No frame of CARP is longer.
pub type Frame = heapless::Vec<u8, 160>;

/// The version of IP of a frame that carries an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn of(frame: &[u8]) -> Option<Self> {
        match frame.get(12..14)? {
            [8, 0] => Some(Self::V4),
            [0x86, 0xdd] => Some(Self::V6),
            _ => None,
        }
    }
}

/// A better node, in a time of its own.
pub struct Peer {
    engine: Engine<'static, 2>,
    now: Instant,
}

impl Peer {
    /// At 10.0.0.2 and `fe80::2`.
    pub fn new(slots: &'static mut Slots<1, 2>, config: HostConfig<2>) -> Self {
        let mut engine = Engine::new(slots, Policy::HARDENED, 2, MacAddr([2, 0, 0, 0, 0, 2]));
        engine.set_link(Instant::ZERO, LinkState::Up);
        let link_local = [0xfe80, 0, 0, 0, 0, 0, 0, 2];
        engine.set_addresses(Instant::ZERO, Some([10, 0, 0, 2].into()), Some(link_local.into()));
        let _ = engine.node_mut().insert(Instant::ZERO, config);
        Self {
            engine,
            now: Instant::ZERO,
        }
    }

    /// The next one; no two are the same.
    pub fn advertisement(&mut self, family: Family) -> Frame {
        loop {
            self.now = self.engine.next_deadline().unwrap_or(self.now).max(self.now);
            self.engine.handle_timeout(self.now);
            self.engine.handle_drained(self.now);
            let mut buffer = [0; MAX_FRAME_LEN];
            let mut advertisement = None;
            while let Some((len, ticket)) = self.engine.poll_transmit(self.now, &mut (), &mut buffer) {
                self.engine.sent(self.now, ticket, TransmitResult::Sent);
                let frame = &buffer[..len];
                let is_icmp = family == Family::V6 && frame[20] == 58;
                if Family::of(frame) == Some(family) && !is_icmp {
                    advertisement = Frame::from_slice(frame).ok();
                }
            }
            if let Some(advertisement) = advertisement {
                return advertisement;
            }
        }
    }
}

/// From another network.
pub fn bad_ttl(frame: &Frame) -> Frame {
    let mut frame = frame.clone();
    match Family::of(&frame) {
        Some(Family::V4) => frame[22] = 1,
        _ => frame[21] = 1,
    }
    resummed(frame)
}

/// With a checksum that is wrong.
pub fn bad_checksum(frame: &Frame) -> Frame {
    let mut frame = frame.clone();
    let last = frame.len() - 1;
    frame[last] ^= 0xff;
    frame
}

/// For a virtual host that is not here.
pub fn unknown_vhid(frame: &Frame) -> Frame {
    let mut frame = frame.clone();
    let payload = payload(&frame);
    frame[payload + 1] ^= 0x40;
    resummed(frame)
}

/// Signed with another key.
pub fn bad_digest(frame: &Frame) -> Frame {
    resummed(bad_checksum(frame))
}

/// To the board alone.
pub fn to(frame: &Frame, mac: MacAddr, address: [u8; 4]) -> Frame {
    let mut frame = frame.clone();
    frame[..6].copy_from_slice(&mac.0);
    frame[30..34].copy_from_slice(&address);
    resummed(frame)
}

/// Where the advertisement begins.
fn payload(frame: &[u8]) -> usize {
    if Family::of(frame) == Some(Family::V4) {
        34
    } else {
        54
    }
}

/// With checksums made right.
fn resummed(mut frame: Frame) -> Frame {
    let payload = payload(&frame);
    if payload == 34 {
        frame[24..26].fill(0);
        let sum = carp_proto::checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame[payload + 6..payload + 8].fill(0);
    let sum = carp_proto::checksum(&frame[payload..]);
    frame[payload + 6..payload + 8].copy_from_slice(&sum.to_be_bytes());
    frame
}
