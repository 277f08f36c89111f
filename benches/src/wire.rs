//! What is measured of `carp-proto`: the same operations on the host and on emulated microcontrollers, which
//! include this file.

use core::{cell::Cell, hint::black_box, net::IpAddr, net::Ipv4Addr};

use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, Envelope,
    FrameClass, HmacVariant, Key, MAX_FRAME_LEN, Packet, Receiver, Rejection, Vhid,
    frame::{classify, emit_advertisement},
    receive,
};

/// An operation.
pub struct Operation {
    /// What it is called in tables.
    pub name: &'static str,
    /// Does it once.
    pub run: fn(&Fixture),
}

/// Two raw SHA-1 compressions: nothing that computes an HMAC can take less.
pub const FLOOR: usize = 0;
/// The index of the verification.
pub const VERIFY: usize = 2;

/// All operations. The first is the floor.
pub const OPERATIONS: [Operation; 15] = [
    Operation {
        name: "two raw compressions",
        run: two_compressions,
    },
    Operation {
        name: "sign",
        run: sign,
    },
    Operation {
        name: "verify",
        run: verify,
    },
    Operation {
        name: "receive, bytes to verdict",
        run: |it| accept(it, &it.frame),
    },
    Operation {
        name: "receive, bad digest",
        run: |it| reject(it, &it.bad_digest, Rejection::BadAuth),
    },
    Operation {
        name: "reject by TTL",
        run: |it| reject(it, &it.bad_ttl, Rejection::BadTtl),
    },
    Operation {
        name: "reject by length",
        run: |it| reject(it, &it.short, Rejection::BadLen),
    },
    Operation {
        name: "reject by checksum",
        run: |it| reject(it, &it.bad_sum, Rejection::BadSum),
    },
    Operation {
        name: "reject by vhid",
        run: |it| reject(it, &it.bad_vhid, Rejection::BadVhid),
    },
    Operation {
        name: "reject by version",
        run: |it| reject(it, &it.bad_version, Rejection::BadVer),
    },
    Operation {
        name: "parse",
        run: parse,
    },
    Operation {
        name: "emit 36 bytes",
        run: emit,
    },
    Operation {
        name: "checksum of 36 bytes",
        run: checksum,
    },
    Operation {
        name: "sign and emit a frame",
        run: sign_and_emit_frame,
    },
    Operation {
        name: "verify without midstates",
        run: verify_without_midstates,
    },
];

/// A virtual host with one address, and frames for it.
pub struct Fixture {
    key: Key,
    vhid: Vhid,
    addresses: AddressSet<1>,
    authenticator: Authenticator,
    advertisement: Advertisement,
    frame: [u8; FRAME_LEN],
    bad_digest: [u8; FRAME_LEN],
    bad_ttl: [u8; FRAME_LEN],
    short: [u8; FRAME_LEN],
    bad_sum: [u8; FRAME_LEN],
    bad_vhid: [u8; FRAME_LEN],
    bad_version: [u8; FRAME_LEN],
    state: Cell<[u32; 5]>,
}

const FRAME_LEN: usize = 70;
const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 168, 88, 100);
const IP: usize = 14;
const CARP: usize = 34;

impl Fixture {
    /// The virtual host, and the frames.
    ///
    /// # Panics
    ///
    /// Never: all that is in them is constant.
    pub fn new() -> Self {
        let vhid = const { Vhid::new(1).unwrap() };
        let key = Key::from_passphrase(b"pass123").unwrap_or(Key::NONE);
        let addresses =
            AddressSet::try_from_iter([IpAddr::V4(Ipv4Addr::new(192, 168, 88, 44))]).unwrap_or_default();
        let authenticator = Authenticator::new(&key, vhid, &addresses, HmacVariant::Plain);
        let counter = Counter::new(0xd8eb_03f6_4aa4_9bd2);
        let advertisement = Advertisement {
            vhid,
            advbase: AdvBase::new(1),
            advskew: AdvSkew::new(0),
            demotion: Demotion::new(0),
            counter,
            digest: authenticator.sign(counter),
        };
        let mut buffer = [0; MAX_FRAME_LEN];
        let envelope = Envelope::multicast_v4(vhid, SOURCE, Dialect::FreeBsd);
        emit_advertisement(&advertisement, &envelope, Dialect::FreeBsd, &mut buffer);
        let frame = *buffer.first_chunk().unwrap_or(&[0; FRAME_LEN]);
        let with = |changes: &[(usize, u8)]| {
            let mut frame = frame;
            for (at, value) in changes {
                frame[*at] = *value;
            }
            set_checksum(&mut frame, CARP, CARP + 6, FRAME_LEN);
            set_checksum(&mut frame, IP, IP + 10, CARP);
            frame
        };
        let mut bad_sum = frame;
        bad_sum[CARP + 6] ^= 1;
        Self {
            bad_digest: with(&[(FRAME_LEN - 1, 0)]),
            bad_ttl: with(&[(IP + 8, 254)]),
            short: with(&[(IP + 3, 55)]),
            bad_vhid: with(&[(CARP + 1, 2)]),
            bad_version: with(&[(CARP, 0x31)]),
            bad_sum,
            state: Cell::new([0; 5]),
            key,
            vhid,
            addresses,
            authenticator,
            advertisement,
            frame,
        }
    }
}

impl Default for Fixture {
    fn default() -> Self {
        Self::new()
    }
}

fn set_checksum(frame: &mut [u8; FRAME_LEN], start: usize, field: usize, end: usize) {
    frame[field..field + 2].fill(0);
    let sum = carp_proto::checksum(&frame[start..end]);
    frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Each needs the result of the one before, as in an HMAC; otherwise a processor would do several at once.
fn two_compressions(it: &Fixture) {
    let block: &[u8; 64] = black_box(&[0x5a; 64]);
    let mut state = it.state.get();
    for _ in 0..2 {
        sha1::block_api::compress(&mut state, core::slice::from_ref(block));
    }
    it.state.set(state);
}

fn sign(it: &Fixture) {
    black_box(it.authenticator.sign(black_box(it.advertisement.counter)));
}

fn verify(it: &Fixture) {
    let packet = Packet::new_checked(black_box(&it.frame[CARP..]));
    assert!(packet.is_ok_and(|packet| it.authenticator.verify(&packet).is_ok()));
}

fn verify_without_midstates(it: &Fixture) {
    let authenticator = Authenticator::new(&it.key, it.vhid, &it.addresses, HmacVariant::Plain);
    let packet = Packet::new_checked(black_box(&it.frame[CARP..]));
    assert!(packet.is_ok_and(|packet| authenticator.verify(&packet).is_ok()));
}

fn verdict(it: &Fixture, frame: &[u8]) -> Result<(), Rejection> {
    let FrameClass::Carp { meta, payload } = classify(black_box(frame)) else {
        return Err(Rejection::HdrOps);
    };
    let receiver = Receiver {
        dialect: Dialect::FreeBsd,
        unicast: false,
        min_ttl: None,
        authenticators: core::slice::from_ref(&it.authenticator),
    };
    let (host, advertisement) = receive(&meta, payload, Dialect::FreeBsd, |vhid| {
        (vhid == it.vhid).then_some(((), receiver))
    })?;
    black_box(advertisement);
    Ok(host)
}

fn accept(it: &Fixture, frame: &[u8]) {
    assert!(verdict(it, frame).is_ok());
}

fn reject(it: &Fixture, frame: &[u8], reason: Rejection) {
    assert!(verdict(it, frame) == Err(reason));
}

fn parse(it: &Fixture) {
    let packet = Packet::new_checked(black_box(&it.frame[CARP..]));
    assert!(packet.is_ok_and(|packet| black_box(Advertisement::parse(&packet)).is_ok()));
}

fn checksum(it: &Fixture) {
    assert!(carp_proto::checksum(black_box(&it.frame[CARP..])) == 0);
}

fn emit(it: &Fixture) {
    let mut bytes = [0; 36];
    black_box(&it.advertisement).emit(&mut bytes);
    black_box(&bytes);
}

fn sign_and_emit_frame(it: &Fixture) {
    let mut advertisement = it.advertisement;
    advertisement.digest = it.authenticator.sign(black_box(advertisement.counter));
    let mut buffer = [0; MAX_FRAME_LEN];
    let envelope = Envelope::multicast_v4(it.vhid, black_box(SOURCE), Dialect::FreeBsd);
    black_box(emit_advertisement(
        &advertisement,
        &envelope,
        Dialect::FreeBsd,
        &mut buffer,
    ));
    black_box(&buffer);
}
