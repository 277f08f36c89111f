//! Whatever is sent is understood: fields to frame to fields, and announcements.

#![no_main]

use std::net::IpAddr;

use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, Envelope,
    FrameClass, HmacVariant, Key, MAX_FRAME_LEN, MacAddr, Receiver, Vhid,
    frame::{classify, classify_ip, emit_advertisement, emit_gratuitous_arp, emit_unsolicited_na},
    receive,
};
use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};

#[derive(Arbitrary, Debug)]
struct Input {
    dialect: u8,
    vhid: u8,
    advbase: u8,
    advskew: u8,
    demotion: u8,
    counter: u64,
    key: [u8; 20],
    addresses: Vec<IpAddr>,
    src: IpAddr,
    unicast_to: Option<IpAddr>,
    tos: u8,
    id: u16,
    padding: u8,
}

fuzz_target!(|input: Input| {
    let Some(vhid) = Vhid::new(input.vhid) else {
        return;
    };
    let dialect = Dialect::ALL[usize::from(input.dialect) % Dialect::ALL.len()];
    let mut addresses = AddressSet::<8>::new();
    for address in input.addresses {
        let _ = addresses.insert(address);
    }
    let key = Key::from_bytes(input.key);
    let authenticators = [Authenticator::new(
        &key,
        vhid,
        &addresses,
        dialect.rules().hmac_sent,
    )];
    let counter = Counter::new(input.counter);
    let advertisement = Advertisement {
        vhid,
        advbase: AdvBase::new(input.advbase),
        advskew: AdvSkew::new(input.advskew),
        demotion: Demotion::new(input.demotion),
        counter,
        digest: authenticators[0].sign(counter),
    };

    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    let mut envelope = match (input.unicast_to, input.src) {
        (Some(dst), src) => Envelope::unicast(mac, mac, src, dst, dialect),
        (None, IpAddr::V4(src)) => Envelope::multicast_v4(vhid, src, dialect),
        (None, IpAddr::V6(src)) => Envelope::multicast_v6(vhid, src, dialect),
    };
    (envelope.tos, envelope.id) = (input.tos, input.id);
    let mut buffer = [0; MAX_FRAME_LEN];
    let len = emit_advertisement(&advertisement, &envelope, dialect, &mut buffer);
    assert_eq!(len.is_some(), envelope.src.is_ipv4() == envelope.dst.is_ipv4());
    let Some(len) = len else {
        return;
    };

    let mut frame = buffer[..len].to_vec();
    frame.resize(len + usize::from(input.padding), 0x5a);
    let FrameClass::Carp { meta, payload } = classify(&frame) else {
        panic!("what was sent is not recognised: {:?}", classify(&frame));
    };
    assert_eq!((meta.src, meta.dst, meta.ttl), (envelope.src, envelope.dst, 255));
    assert_eq!(
        meta.link.map(|link| (link.src, link.dst)),
        Some((envelope.src_mac, envelope.dst_mac))
    );
    assert!(matches!(classify_ip(&frame[14..]), FrameClass::Carp { payload: same, .. } if same == payload));

    // Received by a node with the same configuration, in every form of digest that its dialect accepts.
    let accepted: Vec<_> = dialect
        .rules()
        .hmac_accepted
        .iter()
        .map(|variant: &HmacVariant| Authenticator::new(&key, vhid, &addresses, *variant))
        .collect();
    let unicast = match dialect {
        Dialect::OpenBsd => meta.dst.is_ipv4() && !meta.dst.is_multicast(),
        _ => meta.dst != IpAddr::V4(carp_proto::MULTICAST_V4),
    };
    let receiver = Receiver {
        dialect,
        unicast,
        min_ttl: None,
        authenticators: &accepted,
    };
    let ((), heard) = receive(&meta, payload, dialect, |heard| {
        (heard == vhid).then_some(((), receiver))
    })
    .unwrap();
    assert_eq!(
        (heard.vhid, heard.interval(), heard.counter),
        (vhid, advertisement.interval(), counter)
    );
    assert_eq!(heard.demotion, advertisement.demotion);

    let announced = match input.src {
        IpAddr::V4(addr) => {
            let len = emit_gratuitous_arp(mac, vhid.mac(), addr, &mut buffer);
            FrameClass::ArpRequest {
                target: addr,
                sender: addr,
                sender_mac: vhid.mac(),
            } == classify(&buffer[..len])
        }
        IpAddr::V6(addr) => {
            let len = emit_unsolicited_na(mac, vhid.mac(), addr, true, &mut buffer);
            FrameClass::Other == classify(&buffer[..len])
        }
    };
    assert!(announced);
});
