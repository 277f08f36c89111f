extern crate std;
use std::vec::Vec;

use hex_literal::hex;

use super::*;
use crate::{AdvBase, AdvSkew, Counter, Demotion, Digest, Packet};

const FRAME: [u8; 70] = hex!(
    "01005e00001200005e0001010800"
    "45e0003800004000ff708156c0a85864e0000012"
    "210100070001cf0cd8eb03f64aa49bd2db894a44db44e04954f8bae9401eb4059db6c977"
);
const NIC: MacAddr = MacAddr(hex!("0200deadbe01"));

fn vhid() -> Vhid {
    Vhid::new(1).unwrap()
}

fn advertisement() -> Advertisement {
    Advertisement::parse(&Packet::new_checked(&FRAME[34..]).unwrap()).unwrap()
}

fn carp(frame: &[u8]) -> (RxMeta, &[u8]) {
    match classify(frame) {
        FrameClass::Carp { meta, payload } => (meta, payload),
        other => panic!("{other:?}"),
    }
}

/// `FRAME` with other bytes between the Ethernet header and the advertisement.
fn with_ip_header(ether_type: u16, header: &[u8], padding: usize) -> Vec<u8> {
    let mut frame = FRAME[..12].to_vec();
    frame.extend(ether_type.to_be_bytes());
    frame.extend(header);
    frame.extend(&FRAME[34..]);
    frame.resize(frame.len() + padding, 0xee);
    frame
}

#[test]
fn a_frame_captured_from_freebsd_reads_and_writes() {
    let (meta, payload) = carp(&FRAME);
    assert_eq!(payload, &FRAME[34..]);
    let link = LinkMeta {
        src: vhid().mac(),
        dst: MacAddr::CARP_MULTICAST_V4,
        vlan: None,
    };
    let src = "192.168.88.100".parse().unwrap();
    assert_eq!(
        meta,
        RxMeta {
            src,
            dst: MULTICAST_V4.into(),
            ttl: 255,
            link: Some(link)
        }
    );

    let mut buffer = [0; MAX_FRAME_LEN];
    let envelope = Envelope::multicast_v4(vhid(), "192.168.88.100".parse().unwrap(), Dialect::FreeBsd);
    let len = emit_advertisement(&advertisement(), &envelope, Dialect::FreeBsd, &mut buffer).unwrap();
    assert_eq!(buffer[..len], FRAME);

    let FrameClass::Carp {
        meta: RxMeta { link: None, .. },
        payload,
    } = classify_ip(&FRAME[14..])
    else {
        panic!("not recognised without its Ethernet header");
    };
    assert_eq!(payload, &FRAME[34..]);
}

#[test]
fn padding_tags_and_options_are_read_over() {
    let mut padded = FRAME.to_vec();
    padded.extend([0x55; 20]);
    assert_eq!(carp(&padded).1, &FRAME[34..]);

    let mut tagged = FRAME[..12].to_vec();
    tagged.extend(hex!("88a80005 8100e064"));
    tagged.extend(&FRAME[12..]);
    let (meta, payload) = carp(&tagged);
    assert_eq!((meta.link.unwrap().vlan, payload), (Some(100), &FRAME[34..]));

    let router_alert = hex!("4610003c00004000ff70fc280a000002e000001294040000");
    assert_eq!(carp(&with_ip_header(0x0800, &router_alert, 5)).1, &FRAME[34..]);
}

#[test]
fn ipv6_extension_headers_are_read_over() {
    let addresses = hex!("fe800000000000000000000000000001 ff020000000000000000000000000012");
    let mut header = hex!("60000000 0044 00 ff").to_vec();
    header.extend(addresses);
    header.extend(hex!("2c00050200000100")); // hop-by-hop: router alert
    header.extend(hex!("3c00000000000001")); // an atomic fragment
    header.extend(hex!("7001000000000000 0000000000000000")); // destination options of 16 bytes
    let frame = with_ip_header(0x86dd, &header, 7);
    let (meta, payload) = carp(&frame);
    assert_eq!((meta.dst, payload), (MULTICAST_V6.into(), &FRAME[34..]));

    header[51] = 8; // the fragment's offset
    let fragment = with_ip_header(0x86dd, &header, 0);
    assert_eq!(
        classify(&fragment),
        FrameClass::Other,
        "a piece whose own header says destination options"
    );
    header[48] = IP_PROTOCOL;
    let fragment = with_ip_header(0x86dd, &header, 0);
    assert_eq!(classify(&fragment), FrameClass::Malformed(Malformed::Fragment));
}

#[test]
fn extension_headers_are_not_followed_for_ever() {
    let mut packet = hex!("60000000 ffff 3c ff").to_vec();
    packet.resize(40, 0);
    for _ in 0..8 {
        packet.extend(hex!("3c00000000000000"));
    }
    packet.extend(hex!("7000000000000000"));
    packet[4..6].copy_from_slice(&72u16.to_be_bytes());
    assert_eq!(
        classify_ip(&packet),
        FrameClass::Malformed(Malformed::ExtensionHeaders)
    );
    packet[6] = 0x70;
    assert!(matches!(classify_ip(&packet), FrameClass::Carp { .. }));
}

#[test]
fn headers_that_cannot_be_believed() {
    let mut frame = FRAME;
    frame[14] = 0x44;
    assert_eq!(classify(&frame), FrameClass::Malformed(Malformed::Header));
    let mut frame = FRAME;
    frame[16..18].copy_from_slice(&57u16.to_be_bytes());
    assert_eq!(classify(&frame), FrameClass::Malformed(Malformed::TotalLength));
    let mut frame = FRAME;
    frame[15] ^= 1;
    assert_eq!(classify(&frame), FrameClass::Malformed(Malformed::HeaderChecksum));
    for len in 0..14 {
        assert_eq!(
            classify(&FRAME[..len]),
            FrameClass::Malformed(Malformed::Truncated)
        );
    }
    let mut tcp = FRAME;
    tcp[23] = 6;
    tcp[15] ^= 1;
    assert_eq!(
        classify(&tcp),
        FrameClass::Other,
        "other protocols are none of our business, broken or not"
    );
    assert_eq!(classify_ip(&[]), FrameClass::Malformed(Malformed::Truncated));
    assert_eq!(classify_ip(&[0x50; 40]), FrameClass::Malformed(Malformed::Header));
}

#[test]
fn netbsd_sums_the_ipv6_pseudo_header() {
    let mut buffer = [0; MAX_FRAME_LEN];
    let advertisement = Advertisement {
        vhid: Vhid::new(42).unwrap(),
        advbase: AdvBase::new(1),
        advskew: AdvSkew::new(0),
        demotion: Demotion::new(0),
        counter: Counter::new(0x0102_0304_0506_0708),
        digest: Digest::new(hex!("22278f32f5c05d77099ddb07c825ecde4b8f09d6")),
    };
    for (dialect, expected) in [
        (
            Dialect::NetBsd,
            hex!("212a00070001dced010203040506070822278f32f5c05d77099ddb07c825ecde4b8f09d6"),
        ),
        (
            Dialect::OpenBsd,
            hex!("212a00070001db18010203040506070822278f32f5c05d77099ddb07c825ecde4b8f09d6"),
        ),
    ] {
        let envelope = Envelope::multicast_v6(advertisement.vhid, "fe80::1".parse().unwrap(), dialect);
        let len = emit_advertisement(&advertisement, &envelope, dialect, &mut buffer).unwrap();
        assert_eq!(buffer[54..len], expected);
        assert_eq!(carp(&buffer[..len]).1, expected);
    }
}

#[test]
fn families_do_not_mix() {
    let mut buffer = [0; MAX_FRAME_LEN];
    let mut envelope = Envelope::multicast_v4(vhid(), Ipv4Addr::LOCALHOST, Dialect::FreeBsd);
    envelope.dst = MULTICAST_V6.into();
    assert_eq!(
        emit_advertisement(&advertisement(), &envelope, Dialect::FreeBsd, &mut buffer),
        None
    );
}

#[test]
fn gratuitous_arp_as_the_kernels_send_it() {
    let mut buffer = [0; MAX_FRAME_LEN];
    let vip = "10.0.0.100".parse().unwrap();
    let len = emit_gratuitous_arp(NIC, vhid().mac(), vip, &mut buffer);
    let freebsd =
        hex!("ffffffffffff0200deadbe010806000108000604000100005e0001010a0000640000000000000a000064");
    assert_eq!(buffer[..len], freebsd);
    let announced = FrameClass::ArpRequest {
        target: vip,
        sender: vip,
        sender_mac: vhid().mac(),
    };
    assert_eq!(classify(&buffer[..len]), announced);
}

#[test]
fn arp_requests_are_recognised_and_answered() {
    let request =
        hex!("ffffffffffff0200000000aa08060001080006040001 0200000000aa c0a80102 000000000000 c0a8010a");
    let FrameClass::ArpRequest {
        target,
        sender,
        sender_mac,
    } = classify(&request)
    else {
        panic!("not recognised");
    };
    let mut buffer = [0; MAX_FRAME_LEN];
    let len = emit_arp_reply(
        vhid().mac(),
        vhid().mac(),
        target,
        sender_mac,
        sender,
        &mut buffer,
    );
    let reply =
        hex!("0200000000aa00005e00010108060001080006040002 00005e000101 c0a8010a 0200000000aa c0a80102");
    assert_eq!(buffer[..len], reply);
    assert_eq!(classify(&reply), FrameClass::Other);
    assert_eq!(
        classify(&request[..41]),
        FrameClass::Malformed(Malformed::Truncated)
    );
}

/// A solicitation by `2001:db8::2` for `2001:db8::1`, its checksum left out.
const SOLICITATION: [u8; 86] = hex!(
    "3333ff000001 0200000000aa 86dd 60000000 0020 3a ff"
    "20010db8000000000000000000000002 ff0200000000000000000001ff000001"
    "8700 0000 00000000 20010db8000000000000000000000001 0101 0200000000aa"
);

fn solicitation() -> [u8; 86] {
    solicitation_with(&[])
}

/// With other bytes in some places, and a right checksum.
fn solicitation_with(changes: &[(usize, &[u8])]) -> [u8; 86] {
    let mut frame = SOLICITATION;
    for (at, bytes) in changes {
        frame[*at..][..bytes.len()].copy_from_slice(bytes);
    }
    let address = |at| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
    let sum = Sum::new()
        .add_ipv6_pseudo_header(&address(22), &address(38), 32, 58)
        .add(&frame[54..])
        .finish();
    frame[56..58].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn neighbor_solicitations_are_recognised_and_answered() {
    let frame = solicitation();
    let FrameClass::NeighborSolicitation {
        target,
        sender,
        sender_mac,
    } = classify(&frame)
    else {
        panic!("not recognised: {:?}", classify(&frame));
    };
    assert_eq!(sender_mac, Some(MacAddr(hex!("0200000000aa"))));
    assert_eq!(
        (target, sender),
        ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap())
    );

    let mut buffer = [0; MAX_FRAME_LEN];
    let mac = vhid().mac();
    let len = emit_neighbor_advertisement(mac, mac, target, sender_mac.unwrap(), sender, true, &mut buffer);
    assert_eq!(len, 86);
    assert_eq!(buffer[58], 0xe0, "router, solicited, override");
    let sum = Sum::new()
        .add_ipv6_pseudo_header(&target, &sender, 32, 58)
        .add(&buffer[54..len])
        .finish();
    assert_eq!(sum, 0);

    let len = emit_neighbor_advertisement(mac, mac, target, mac, Ipv6Addr::UNSPECIFIED, false, &mut buffer);
    assert_eq!(
        (&buffer[..6], buffer[58]),
        (&MacAddr::ALL_NODES_V6.0[..], 0x20),
        "{len}"
    );
}

#[test]
fn an_arp_reply_answers_what_was_asked() {
    let mut buffer = [0; MAX_FRAME_LEN];
    let (own, peer) = ("192.168.1.10".parse().unwrap(), "192.168.1.2".parse().unwrap());
    let len = emit_arp_request(NIC, own, peer, &mut buffer);
    let request =
        hex!("ffffffffffff0200deadbe01 0806 0001080006040001 0200deadbe01 c0a8010a 000000000000 c0a80102");
    assert_eq!(buffer[..len], request);
    assert_eq!(Answer::recognise(&request, MacAddr::BROADCAST), None);

    let FrameClass::ArpRequest {
        target,
        sender,
        sender_mac,
    } = classify(&request)
    else {
        panic!("not a request");
    };
    let mac = MacAddr(hex!("0200000000aa"));
    let len = emit_arp_reply(mac, mac, target, sender_mac, sender, &mut buffer);
    let answer = Answer {
        address: peer.into(),
        mac,
    };
    assert_eq!(Answer::recognise(&buffer[..len], NIC), Some(answer));
    assert_eq!(Answer::recognise(&buffer[..len], mac), None, "for somebody else");
    assert_eq!(Answer::recognise(&buffer[..31], NIC), None);
    for (at, value) in [(13, 0), (15, 6), (21, 1), (22, 3)] {
        let mut frame = buffer;
        frame[at] = value;
        assert_eq!(Answer::recognise(&frame[..len], NIC), None, "byte {at}");
    }
}

#[test]
fn a_neighbor_advertisement_answers_what_was_asked() {
    let mut buffer = [0; MAX_FRAME_LEN];
    let (own, peer) = ("2001:db8::2".parse().unwrap(), "2001:db8::1".parse().unwrap());
    let asker = MacAddr(hex!("0200000000aa"));
    let len = emit_neighbor_solicitation(asker, own, peer, &mut buffer);
    assert_eq!(buffer[..len], solicitation(), "as a kernel asks");

    let FrameClass::NeighborSolicitation {
        target,
        sender,
        sender_mac,
    } = classify(&buffer[..len])
    else {
        panic!("not a solicitation");
    };
    let mac = NIC;
    let len = emit_neighbor_advertisement(mac, mac, target, sender_mac.unwrap(), sender, false, &mut buffer);
    let answer = Answer {
        address: peer.into(),
        mac,
    };
    assert_eq!(Answer::recognise(&buffer[..len], asker), Some(answer));
    assert_eq!(Answer::recognise(&buffer[..len], mac), None, "for somebody else");
    for short in 0..len {
        assert_eq!(Answer::recognise(&buffer[..short], asker), None);
    }
    // Hop limit, type, code, solicited, target, option.
    for (at, value) in [
        (21, 254),
        (54, 135),
        (55, 1),
        (58, 0x20),
        (77, 9),
        (78, 1),
        (79, 0),
        (80, 3),
    ] {
        let mut frame = buffer;
        frame[at] = value;
        assert_eq!(Answer::recognise(&frame[..len], asker), None, "byte {at}");
    }
    let len = emit_unsolicited_na(mac, mac, peer, false, &mut buffer);
    assert_eq!(
        Answer::recognise(&buffer[..len], MacAddr::ALL_NODES_V6),
        None,
        "unsolicited"
    );
}

#[test]
fn solicitations_from_elsewhere_or_broken_are_not_answered() {
    for (at, value) in [(21, 254), (54, 136), (55, 1), (70, 1), (85, 0)] {
        let mut frame = solicitation();
        frame[at] = value;
        assert_eq!(classify(&frame), FrameClass::Other, "byte {at}");
    }
    for (what, at, value) in [
        ("option of length 0", 79, 0),
        ("option behind the end", 79, 2),
        ("target is a group", 62, 0xff),
    ] {
        assert_eq!(
            classify(&solicitation_with(&[(at, &[value])])),
            FrameClass::Other,
            "{what}"
        );
    }
}

#[test]
fn the_ethernet_source_stands_in_for_the_option() {
    let nonce = solicitation_with(&[(78, &[14])]);
    assert!(matches!(
        classify(&nonce),
        FrameClass::NeighborSolicitation { sender_mac: Some(mac), .. } if mac == MacAddr(hex!("0200000000aa"))
    ));
}

#[test]
fn duplicate_address_detection_asks_the_group_and_names_no_mac() {
    let nobody: (usize, &[u8]) = (22, &[0; 16]);
    let nonce: (usize, &[u8]) = (78, &[14]);
    let all_nodes: (usize, &[u8]) = (38, &hex!("ff020000000000000000000000000001"));
    assert!(matches!(
        classify(&solicitation_with(&[nobody, nonce])),
        FrameClass::NeighborSolicitation {
            sender: Ipv6Addr::UNSPECIFIED,
            ..
        }
    ));
    assert_eq!(classify(&solicitation_with(&[nobody])), FrameClass::Other);
    assert_eq!(
        classify(&solicitation_with(&[nobody, nonce, all_nodes])),
        FrameClass::Other
    );
}
