//! Any payload, for every dialect: whatever is accepted has been through all the checks.

#![no_main]

use std::net::IpAddr;

use carp_proto::{
    AddressSet, Advertisement, Authenticator, Dialect, HmacVariant, Key, MacAddr, Packet, Receiver, RxMeta,
    Suspects, Vhid, checksum, explain, frame::Vrrp, receive,
};
use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    src: IpAddr,
    dst: IpAddr,
    ttl: u8,
    unicast: bool,
    dialect: u8,
    /// Puts a right checksum and digest in, so that what is behind them is reached.
    repair: bool,
    payload: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let key = Key::from_passphrase(b"secret").unwrap();
    let addresses = AddressSet::<2>::try_from_iter(["10.0.0.100".parse().unwrap()]).unwrap();
    let authenticator = |vhid| Authenticator::new(&key, vhid, &addresses, HmacVariant::Plain);
    let dialect = Dialect::ALL[usize::from(input.dialect) % Dialect::ALL.len()];

    let mut payload = input.payload.to_vec();
    if let (true, Ok(packet)) = (input.repair, Packet::new_checked(input.payload)) {
        if let Some(vhid) = Vhid::new(packet.vhid_raw()) {
            payload[16..36].copy_from_slice(authenticator(vhid).sign(packet.counter()).as_bytes());
        }
        payload[6..8].fill(0);
        let sum = checksum(&summed(dialect, &input, &payload));
        payload[6..8].copy_from_slice(&sum.to_be_bytes());
    }

    let meta = RxMeta {
        src: input.src,
        dst: input.dst,
        ttl: input.ttl,
        link: None,
    };
    let mut authenticators = Vec::new();
    authenticators.extend(
        payload
            .get(1)
            .and_then(|vhid| Vhid::new(*vhid))
            .map(authenticator),
    );
    let receiver = Receiver {
        dialect,
        unicast: input.unicast,
        min_ttl: None,
        authenticators: &authenticators,
    };
    let mut lookups = 0;
    let verdict = receive(&meta, &payload, dialect, |_| {
        lookups += 1;
        Some(((), receiver))
    });
    assert!(lookups <= 1);

    let parsed = Packet::new_checked(&payload[..]).and_then(|packet| Advertisement::parse(&packet));
    if let Ok(((), verified)) = verdict {
        let parsed = parsed.expect("what is accepted can be parsed");
        assert_eq!(verified.vhid, parsed.vhid);
        assert_eq!(verified.interval(), parsed.interval());
        assert_eq!(
            payload[16..36],
            *authenticators[0].sign(parsed.counter).as_bytes()
        );
        assert!(input.ttl == 255 || (input.unicast && dialect == Dialect::FreeBsd));
        assert_eq!(checksum(&summed(dialect, &input, &payload)), 0);
    } else if let Ok(parsed) = parsed {
        let mut again = [0; 36];
        parsed.emit(&mut again);
        assert_eq!((&again[8..], &again[4..6]), (&payload[8..36], &payload[4..6]));
        assert!(!parsed.to_string().is_empty());
    }

    if let Some(vrrp) = Vrrp::recognise(&payload) {
        assert!(vrrp.vrid != 0 && payload.len() >= 12);
    }
    if let Ok(packet) = Packet::new_checked(&payload[..]) {
        let suspects = Suspects {
            keys: &[Key::NONE, key.clone()],
            addresses: &addresses,
            other_lists: &[],
            extra: &[input.src],
            link_layer: &[MacAddr::BROADCAST],
        };
        if let Some(finding) = explain(&packet, &suspects) {
            assert!(!finding.to_string().is_empty());
        }
    }
});

/// What the checksum of a payload of at least 36 bytes covers.
fn summed(dialect: Dialect, input: &Input<'_>, payload: &[u8]) -> Vec<u8> {
    let advertisement = &payload[..36];
    match (dialect, input.src, input.dst) {
        (Dialect::NetBsd, IpAddr::V6(src), IpAddr::V6(dst)) => {
            let length_and_protocol = [0, 0, 0, 36, 0, 0, 0, 112];
            [
                &src.octets()[..],
                &dst.octets(),
                &length_and_protocol,
                advertisement,
            ]
            .concat()
        }
        (_, IpAddr::V6(_), IpAddr::V6(_)) => advertisement.to_vec(),
        (Dialect::FreeBsd, ..) => payload.to_vec(),
        _ => advertisement.to_vec(),
    }
}
