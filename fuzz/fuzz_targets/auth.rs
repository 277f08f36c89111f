//! Digests of any configuration agree with the `hmac` crate over the bytes spelled out, and nothing else
//! verifies.

#![no_main]

use std::{collections::BTreeSet, net::IpAddr};

use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, HmacVariant, Key, MacAddr,
    Packet, Vhid,
};
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use sha1::Sha1;

const ADDRESSES: usize = 32;

#[derive(Arbitrary, Debug)]
struct Input {
    key: [u8; 20],
    vhid: u8,
    addresses: Vec<IpAddr>,
    link_layer: Option<[u8; 6]>,
    link_local: bool,
    counter: u64,
    flip: u16,
}

fuzz_target!(|input: Input| {
    let Some(vhid) = Vhid::new(input.vhid) else {
        return;
    };
    let mut set = AddressSet::<ADDRESSES>::new();
    let mut model = BTreeSet::new();
    for address in input.addresses {
        let inserted = set.insert(address);
        let unusable = match address {
            IpAddr::V4(v4) => v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast(),
            IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast(),
        };
        assert_eq!(
            inserted.is_err(),
            unusable || (model.len() == ADDRESSES && !set.contains(&address))
        );
        if inserted.is_ok() {
            model.insert(match address {
                IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80 => {
                    let mut segments = v6.segments();
                    segments[1] = 0;
                    IpAddr::from(segments)
                }
                other => other,
            });
        }
    }
    assert!(set.iter().eq(model.iter().copied()));

    let variant = match (input.link_layer.map(MacAddr), input.link_local) {
        (None, true) => HmacVariant::Plain,
        (None, false) => HmacVariant::WithoutLinkLocal,
        (Some(mac), true) => HmacVariant::LinkLayerAllAddresses(mac),
        (Some(mac), false) => HmacVariant::LinkLayer(mac),
    };
    let authenticator = Authenticator::new(&Key::from_bytes(input.key), vhid, &set, variant);
    let digest = authenticator.sign(Counter::new(input.counter));

    let mut message = vec![2, 1];
    message.extend(input.link_layer.into_iter().flatten());
    message.push(input.vhid);
    for address in model {
        match address {
            IpAddr::V4(v4) => message.extend(v4.octets()),
            IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80 && !input.link_local => {}
            IpAddr::V6(v6) => message.extend(v6.octets()),
        }
    }
    message.extend(input.counter.to_be_bytes());
    let mut reference = Hmac::<Sha1>::new_from_slice(&input.key).unwrap();
    reference.update(&message);
    assert_eq!(reference.finalize().into_bytes()[..], digest.as_bytes()[..]);

    let mut packet = [0; 36];
    let advertisement = Advertisement {
        vhid,
        advbase: AdvBase::new(1),
        advskew: AdvSkew::new(0),
        demotion: Demotion::new(0),
        counter: Counter::new(input.counter),
        digest,
    };
    advertisement.emit(&mut packet);
    assert!(
        authenticator
            .verify(&Packet::new_checked(packet).unwrap())
            .is_ok()
    );
    let bit = usize::from(input.flip) % (packet.len() * 8);
    packet[bit / 8] ^= 1 << (bit % 8);
    let covered = matches!(bit / 8, 1 | 8..) || (bit / 8 == 0 && bit % 8 >= 4);
    assert_eq!(
        authenticator
            .verify(&Packet::new_checked(packet).unwrap())
            .is_err(),
        covered
    );
});
