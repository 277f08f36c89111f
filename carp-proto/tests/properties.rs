//! What holds for all inputs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, Digest, Envelope,
    FrameClass, HmacVariant, Key, LinkMeta, MAX_FRAME_LEN, MacAddr, Packet, Receiver, Rejection, RxMeta,
    Suspects, Vhid, explain,
    frame::{self, Vrrp},
    receive,
};
use proptest::{collection::vec, prelude::*, sample::select};

const ADDRESSES: usize = 6;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 512 },
        // Miri has no files.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn usable_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(IpAddr::V4),
        any::<Ipv6Addr>().prop_map(IpAddr::V6)
    ]
    .prop_filter("one that somebody can own", |address| {
        AddressSet::<1>::try_from_iter([*address]).is_ok()
    })
}

fn vhid() -> impl Strategy<Value = Vhid> {
    (1..=255u8).prop_map(|vhid| Vhid::new(vhid).unwrap())
}

fn advertisement() -> impl Strategy<Value = Advertisement> {
    (vhid(), any::<[u8; 3]>(), any::<u64>(), any::<[u8; 20]>()).prop_map(|(vhid, fields, counter, digest)| {
        Advertisement {
            vhid,
            advbase: AdvBase::new(fields[0]),
            advskew: AdvSkew::new(fields[1]),
            demotion: Demotion::new(fields[2]),
            counter: Counter::new(counter),
            digest: Digest::new(digest),
        }
    })
}

fn variant() -> impl Strategy<Value = HmacVariant> {
    prop_oneof![
        Just(HmacVariant::Plain),
        Just(HmacVariant::WithoutLinkLocal),
        any::<[u8; 6]>().prop_map(|mac| HmacVariant::LinkLayer(MacAddr(mac))),
        any::<[u8; 6]>().prop_map(|mac| HmacVariant::LinkLayerAllAddresses(MacAddr(mac))),
    ]
}

fn fields(advertisement: &Advertisement) -> (Vhid, AdvBase, AdvSkew, Demotion, Counter, [u8; 20]) {
    let Advertisement {
        vhid,
        advbase,
        advskew,
        demotion,
        counter,
        digest,
    } = advertisement;
    (*vhid, *advbase, *advskew, *demotion, *counter, *digest.as_bytes())
}

/// The frame of `advertisement`, in the family of the source.
fn frame_of(advertisement: &Advertisement, src: IpAddr, dialect: Dialect) -> Vec<u8> {
    let envelope = match src {
        IpAddr::V4(src) => Envelope::multicast_v4(advertisement.vhid, src, dialect),
        IpAddr::V6(src) => Envelope::multicast_v6(advertisement.vhid, src, dialect),
    };
    let mut buffer = [0; MAX_FRAME_LEN];
    let len = frame::emit_advertisement(advertisement, &envelope, dialect, &mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn verdict(
    dialect: Dialect,
    authenticator: &Authenticator,
    frame: &[u8],
) -> Result<Advertisement, Option<Rejection>> {
    let FrameClass::Carp { meta, payload } = frame::classify(frame) else {
        return Err(None);
    };
    let receiver = Receiver {
        dialect,
        unicast: false,
        min_ttl: None,
        authenticators: std::slice::from_ref(authenticator),
    };
    receive(&meta, payload, dialect, |vhid| {
        (vhid == authenticator.vhid()).then_some(((), receiver))
    })
    .map(|((), verified)| verified.into_inner())
    .map_err(Some)
}

/// Everything that takes bytes from the wire.
fn take_apart(bytes: &[u8], meta: &RxMeta) {
    let vhid = Vhid::new(1).unwrap();
    let addresses = AddressSet::<2>::try_from_iter([IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap();
    let authenticators = [Authenticator::new(
        &Key::NONE,
        vhid,
        &addresses,
        HmacVariant::Plain,
    )];
    for dialect in Dialect::ALL {
        let receiver = Receiver {
            dialect,
            unicast: bytes.len().is_multiple_of(2),
            min_ttl: None,
            authenticators: &authenticators,
        };
        let _ = receive(meta, bytes, dialect, |_| Some(((), receiver)));
    }
    let _ = Vrrp::recognise(bytes);
    if let Ok(packet) = Packet::new_checked(bytes) {
        let _ = Advertisement::parse(&packet).map(|advertisement| advertisement.to_string());
        let _ = (packet.kind(), packet.authlen(), packet.checksum());
        let suspects = Suspects {
            keys: &[Key::NONE],
            addresses: &addresses,
            other_lists: &[],
            extra: &[],
            link_layer: &[MacAddr::BROADCAST],
        };
        let _ = explain(&packet, &suspects);
    }
    for class in [frame::classify(bytes), frame::classify_ip(bytes)] {
        if let FrameClass::Carp { payload, .. } = class {
            assert!(bytes.as_ptr_range().start <= payload.as_ptr() && payload.len() <= bytes.len());
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn parsing_what_was_emitted_gives_it_back(
        advertisement in advertisement(), src in usable_address(), dialect in select(&Dialect::ALL[..]), padding in 0..30usize,
    ) {
        let mut frame = frame_of(&advertisement, src, dialect);
        frame.resize(frame.len() + padding, 0xa5);
        let FrameClass::Carp { meta, payload } = frame::classify(&frame) else {
            return Err(TestCaseError::fail("not recognised"));
        };
        prop_assert_eq!((meta.src, meta.ttl, payload.len()), (src, 255, 36));
        let parsed = Advertisement::parse(&Packet::new_checked(payload).unwrap()).unwrap();
        prop_assert_eq!(fields(&parsed), fields(&advertisement));
    }

    #[test]
    fn a_signed_frame_is_accepted_and_no_covered_bit_may_change(
        mut advertisement in advertisement(), src in usable_address(), dialect in select(&Dialect::ALL[..]),
        addresses in vec(usable_address(), 0..=ADDRESSES), key in any::<[u8; 20]>(), bit in 0..36 * 8usize,
    ) {
        prop_assume!(dialect != Dialect::Ucarp || src.is_ipv4());
        let addresses = AddressSet::<ADDRESSES>::try_from_iter(addresses).unwrap();
        let authenticator = Authenticator::new(&Key::from_bytes(key), advertisement.vhid, &addresses, HmacVariant::Plain);
        advertisement.digest = authenticator.sign(advertisement.counter);
        let mut frame = frame_of(&advertisement, src, dialect);
        let accepted = verdict(dialect, &authenticator, &frame).unwrap();
        prop_assert_eq!(fields(&accepted), fields(&advertisement));

        // One bit alone never passes the checksum.
        let start = frame.len() - 36;
        frame[start + bit / 8] ^= 1 << (bit % 8);
        let broken = verdict(dialect, &authenticator, &frame).map(|_| ());
        // UCarp looks at version and vhid before it sums.
        let first_byte = bit / 8 < 2 && dialect == Dialect::Ucarp;
        prop_assert!(broken == Err(Some(Rejection::BadSum)) || (first_byte && broken.is_err()), "{:?}", broken);

        // With the checksum made right again only what the digest covers is protected.
        let packet: [u8; 36] = frame[start..].try_into().unwrap();
        let covered = matches!(bit / 8, 1 | 8..) || (bit / 8 == 0 && bit % 8 >= 4);
        prop_assert_eq!(authenticator.verify(&Packet::new_checked(packet).unwrap()).is_err(), covered);
    }

    #[test]
    fn the_order_of_configured_addresses_does_not_matter(
        (addresses, shuffled) in vec(usable_address(), 0..=ADDRESSES).prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        key in any::<[u8; 20]>(), vhid in vhid(), variant in variant(), counter in any::<u64>(),
    ) {
        let digest = |list: Vec<IpAddr>| {
            let set = AddressSet::<ADDRESSES>::try_from_iter(list).unwrap();
            *Authenticator::new(&Key::from_bytes(key), vhid, &set, variant).sign(Counter::new(counter)).as_bytes()
        };
        let twice = addresses.iter().chain(&shuffled).copied().collect::<Vec<_>>();
        let set = AddressSet::<ADDRESSES>::try_from_iter(twice).unwrap();
        prop_assert!(set.iter().is_sorted());
        prop_assert_eq!(digest(addresses), digest(shuffled));
    }

    #[test]
    fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..200), src in any::<IpAddr>(), dst in any::<IpAddr>(), ttl: u8) {
        take_apart(&bytes, &RxMeta { src, dst, ttl, link: None });
    }

    #[test]
    fn no_damaged_frame_does_harm(
        advertisement in advertisement(), src in usable_address(), dialect in select(&Dialect::ALL[..]),
        changes in vec((0..90usize, any::<u8>()), 0..4), len in 0..=90usize,
    ) {
        let mut frame = frame_of(&advertisement, src, dialect);
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame.truncate(len);
        let link = LinkMeta { src: MacAddr::BROADCAST, dst: MacAddr::BROADCAST, vlan: None };
        take_apart(&frame, &RxMeta { src, dst: src, ttl: 255, link: Some(link) });
        take_apart(frame.get(14..).unwrap_or(&[]), &RxMeta { src, dst: src, ttl: 255, link: None });
    }
}
