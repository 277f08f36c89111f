//! Packets to be rejected: the advertisement of a better master with something wrong in it.

use std::net::Ipv4Addr;

use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, Envelope,
    HmacVariant, Key, MAX_FRAME_LEN, Vhid, checksum, frame,
};
use carpd::lab::topology::Topology;
use carpd::lab::{VHID, VIP};

use crate::pcap;

/// Where the IPv4 header begins, and where the advertisement does.
pub const IP: usize = 14;
/// See [`IP`].
pub const CARP: usize = 34;
/// The password of the lab.
pub const PASSWORD: &str = "carpd lab";

/// The kinds that every implementation rejects, by the names of [`flood`].
pub const COMMON: [&str; 4] = ["checksum", "TTL 254", "digest", "another vhid"];

/// Ten kinds.
pub fn flood() -> Vec<(&'static str, Vec<u8>)> {
    let mut mis_summed = sound();
    mis_summed[CARP + 6] ^= 1;
    vec![
        ("checksum", mis_summed),
        ("TTL 254", changed(|frame| frame[IP + 8] = 254)),
        ("digest", changed(|frame| frame[CARP + 35] ^= 1)),
        ("another vhid", changed(|frame| frame[CARP + 1] = VHID + 1)),
        ("counter", changed(|frame| frame[CARP + 8] ^= 1)),
        ("version 3", changed(|frame| frame[CARP] = 0x31)),
        ("vhid 0", changed(|frame| frame[CARP + 1] = 0)),
        ("one byte short", cut(35)),
        ("no payload", cut(0)),
        ("VRRPv2", captured("wire/keepalived-vrrpv2-vrid7.pcap")),
    ]
}

/// An advertisement of VRRPv3 for the same VRID, with a wrong checksum.
pub fn mis_summed_vrrp() -> Vec<u8> {
    let mut frame = captured("wire/keepalived-vrrpv3-vrid7.pcap");
    frame[CARP + 6] ^= 1;
    frame
}

/// A UDP packet to everybody on the network.
pub fn other_traffic(source: Ipv4Addr) -> Vec<u8> {
    let mut frame = changed(|frame| {
        frame[..6].fill(0xff);
        frame[IP + 9] = 17;
        frame[IP + 12..IP + 16].copy_from_slice(&source.octets());
        frame[IP + 16..IP + 20].copy_from_slice(&[192, 0, 2, 255]);
    });
    // To port 9, and without a checksum.
    let len = u16::try_from(frame.len() - CARP)
        .unwrap_or_default()
        .to_be_bytes();
    frame[CARP..CARP + 8].copy_from_slice(&[0, 9, 0, 9, len[0], len[1], 0, 0]);
    frame
}

/// The advertisement of a better master: every node obeys it.
///
/// # Panics
///
/// Never: what it consists of is constant.
pub fn sound() -> Vec<u8> {
    let vhid = Vhid::new(VHID).unwrap();
    let key = Key::from_passphrase(PASSWORD.as_bytes()).unwrap();
    let addresses = AddressSet::<1>::try_from_iter([VIP.into()]).unwrap();
    let counter = Counter::new(0x0123_4567_89ab_cdef);
    let advertisement = Advertisement {
        vhid,
        advbase: AdvBase::new(1),
        advskew: AdvSkew::new(0),
        demotion: Demotion::new(0),
        counter,
        digest: Authenticator::new(&key, vhid, &addresses, HmacVariant::Plain).sign(counter),
    };
    let envelope = Envelope::multicast_v4(vhid, Topology::address(0, 3), Dialect::FreeBsd);
    let mut buffer = [0; MAX_FRAME_LEN];
    let len = frame::emit_advertisement(&advertisement, &envelope, Dialect::FreeBsd, &mut buffer).unwrap();
    buffer[..len].to_vec()
}

/// The sound one, changed; then both checksums are made right again.
pub fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = sound();
    change(&mut frame);
    for (from, to, at) in [(IP, CARP, IP + 10), (CARP, frame.len(), CARP + 6)] {
        if at + 2 <= to {
            frame[at..at + 2].fill(0);
            let sum = checksum(&frame[from..to]).to_be_bytes();
            frame[at..at + 2].copy_from_slice(&sum);
        }
    }
    frame
}

/// The sound one with less of its payload, and an IP header that says so.
pub fn cut(payload: u8) -> Vec<u8> {
    changed(|frame| {
        frame.truncate(CARP + usize::from(payload));
        frame[IP + 3] = 20 + payload;
    })
}

/// The first packet of protocol 112 in a capture.
///
/// # Panics
///
/// If there is none.
pub fn captured(name: &str) -> Vec<u8> {
    pcap(name)
        .into_iter()
        .find(|frame| frame[IP + 9] == carp_proto::IP_PROTOCOL)
        .unwrap()
}
