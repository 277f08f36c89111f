//! Packets of other implementations, in both directions: what we emit is what they emitted, and we accept and
//! reject what they did, for the same reason. `tests/vectors/wire/README.md` says where the packets come
//! from.

mod recorded;

use std::net::IpAddr;

use carp_proto::{
    Advertisement, Authenticator, Dialect, Envelope, FrameClass, HmacVariant, Key, MAX_FRAME_LEN, Malformed,
    Packet, Rejection, Vhid,
    frame::{self, Vrrp},
};
use carp_tests::pcap;
use serde_json::Value;

use recorded::{
    addresses, byte, carp, good_packets, hex, json, kernel_advertisements, name_of, strings, text, verdict,
};

#[test]
fn frames_are_emitted_byte_for_byte() {
    let all: Vec<_> = good_packets()
        .into_iter()
        .chain(kernel_advertisements())
        .collect();
    assert_eq!(all.len(), 23 + 53);
    for sent in &all {
        assert_eq!(sent.emit(), sent.frame, "{}", sent.name);
        let (_, payload) = carp(&sent.name, frame::classify(&sent.frame));
        let packet = Packet::new_checked(payload).unwrap();
        assert!(sent.authenticator().verify(&packet).is_ok(), "{}", sent.name);
        assert!(sent.received_by(sent.dialect).is_ok(), "{}", sent.name);
    }
    carp_tests::tell_agreement("frames", all.iter().map(|sent| sent.dialect));
}

#[test]
fn every_dialect_accepts_what_it_accepts_for_real() {
    let named = |list: &Value, key: &str, dialect: Dialect| {
        strings(list, key).any(|entry| {
            entry
                .split(['(', ' ', '/'])
                .any(|word| word == dialect.rules().name)
        })
    };
    let vectors = json("packets.json");
    let mut stated = 0;
    for sent in good_packets() {
        let vector = vectors
            .iter()
            .find(|vector| text(vector, "name") == sent.name)
            .unwrap();
        for dialect in Dialect::ALL {
            let accepts = match (sent.name.as_str(), dialect) {
                // "only if no link-local in their vhid": there is one.
                ("v6_unsorted_with_ll_openbsd", Dialect::FreeBsd | Dialect::NetBsd) => false,
                // It rejects the configuration, not the packet.
                ("v4_empty_password", Dialect::Ucarp) => continue,
                _ if named(vector, "accepted_by", dialect) => true,
                _ if named(vector, "rejected_by", dialect) => false,
                // They have several addresses or IPv6, and it neither.
                (
                    "v6_single_global_netbsd"
                    | "v6_unsorted_with_ll_freebsd"
                    | "v6_unsorted_with_ll_openbsd"
                    | "dual_v4_advert"
                    | "dual_v6_advert",
                    Dialect::Ucarp,
                )
                // Its checksum covers the pseudo-header, that of the sender does not.
                | ("v6_unsorted_with_ll_freebsd" | "dual_v6_advert", Dialect::NetBsd) => false,
                // They are about how a key is made, or where a frame is sent, and name no receiver.
                (
                    "v4_password_truncated"
                    | "v4_password_20_bytes_raw"
                    | "v4_password_residue"
                    | "freebsd_unicast_peer",
                    _,
                ) => continue,
                (name, dialect) => panic!("{name}: nothing says whether {dialect} accepts it"),
            };
            stated += 1;
            assert_eq!(
                sent.received_by(dialect).is_ok(),
                accepts,
                "{} by {dialect}",
                sent.name
            );
        }
    }
    assert_eq!(stated, 68 + 7);
}

#[test]
fn odd_packets_bump_the_counter_they_bump_for_real() {
    let vhid = Vhid::new(1).unwrap();
    let key = Key::from_passphrase(b"mekmitasdigoat").unwrap();
    let list = addresses(["192.168.1.10"].into_iter());
    let authenticators = [Authenticator::new(&key, vhid, &list, HmacVariant::Plain)];
    let mut odd = 0;
    for vector in json("packets.json")
        .iter()
        .filter(|vector| vector["negative"].as_bool() == Some(true))
    {
        odd += 1;
        let name = text(vector, "name");
        let packet = hex(text(vector, "ip_packet_hex"));
        let (meta, payload) = carp(name, frame::classify_ip(&packet));
        for dialect in Dialect::ALL {
            let expected = match (name, dialect) {
                ("neg_ttl254", _) => "badttl",
                ("neg_checksum", _) | ("odd_trailing", Dialect::FreeBsd) => "badsum",
                ("neg_hmac" | "neg_counter", _) => "badauth",
                ("neg_vhid_unknown", _) => "badvhid",
                ("neg_short" | "neg_vrrpv2", _) => "badlen",
                ("neg_version3", _) => "badver",
                ("odd_type2" | "odd_authlen0" | "odd_trailing", _) => "accepted",
                _ => panic!("{name} has no expectation"),
            };
            let result = verdict(dialect, false, vhid, &authenticators, &meta, payload);
            assert_eq!(name_of(&result), expected, "{name} by {dialect}");
        }
    }
    assert_eq!(odd, 11);
}

#[test]
fn kernels_and_we_reject_for_the_same_reason() {
    let vectors = json("kernel-accept-reject.json");
    assert_eq!(vectors.len(), 52);
    let dialects = vectors.iter().map(|vector| text(vector, "impl").parse().unwrap());
    let dialects: Vec<Dialect> = dialects.collect();
    for vector in &vectors {
        let inputs = &vector["inputs"];
        let dialect: Dialect = text(vector, "impl").parse().unwrap();
        let name = format!("{} by {dialect}", text(vector, "name"));
        let expected = text(&vector["outputs"], "result");
        let packet = hex(text(inputs, "ip_packet_hex"));
        let class = frame::classify_ip(&packet);
        if expected == "ip:tooshort" {
            // The kernel's IP drops it before CARP sees it.
            assert_eq!(class, FrameClass::Malformed(Malformed::TotalLength), "{name}");
            continue;
        }

        let vhid = Vhid::new(byte(inputs, "vhid")).unwrap();
        let mut list = addresses(strings(inputs, "vips"));
        if dialect == Dialect::OpenBsd {
            // It gives every carp interface the link-local address of its virtual MAC.
            list.insert(
                format!("fe80::200:5eff:fe00:1{:02x}", vhid.get())
                    .parse()
                    .unwrap(),
            )
            .unwrap();
        }
        let key = Key::from_passphrase(text(inputs, "pass").as_bytes()).unwrap();
        let accepted = dialect.rules().hmac_accepted.iter();
        let authenticators: Vec<_> = accepted
            .map(|variant| Authenticator::new(&key, vhid, &list, *variant))
            .collect();
        let (meta, payload) = carp(&name, class);
        let mut result = verdict(dialect, false, vhid, &authenticators, &meta, payload);

        // What only the caller of `receive` can know: its own addresses, and the counter it sent last (none:
        // 0).
        if payload.get(1) == Some(&0) && list.contains(&meta.src) && result.is_err() {
            result = Err(dialect.rules().vhid_zero_from_own_address);
        }
        if result
            .as_ref()
            .is_ok_and(|heard| dialect.rules().own_counter_is_loop && heard.counter.get() == 0)
        {
            result = Err(Rejection::BadAuth);
        }
        assert_eq!(name_of(&result), expected, "{name}");
    }
    carp_tests::tell_agreement("verdicts of kernels", dialects);
}

#[test]
fn captures_of_ucarp() {
    for (file, vip, password, verdicts) in [
        ("ucarp-vhid7-secret.pcap", "10.99.0.50", "secret", ("accepted", 9)),
        (
            "ucarp-vhid1-1char-skew200-base2.pcap",
            "10.0.0.1",
            "x",
            ("accepted", 3),
        ),
        // Passwords that were not recorded: all that comes before the digest is right.
        (
            "ucarp-vhid255-19char.pcap",
            "192.168.255.254",
            "unknown",
            ("badauth", 5),
        ),
        (
            "ucarp-vhid42-special-skew128-nomcast.pcap",
            "172.16.0.9",
            "unknown",
            ("badauth", 4),
        ),
        // And to another group, 224.0.0.99: not for us.
        ("ucarp-vhid9-mcast.pcap", "10.99.0.51", "unknown", ("badvhid", 5)),
    ] {
        let list = addresses([vip].into_iter());
        let key = Key::from_passphrase(password.as_bytes()).unwrap();
        let mut advertisements = 0;
        for frame in pcap(&format!("wire/{file}")) {
            let (meta, payload) = match frame::classify(&frame) {
                FrameClass::ArpRequest { target, sender, .. } => {
                    assert_eq!(
                        (IpAddr::V4(target), target),
                        (vip.parse().unwrap(), sender),
                        "{file}"
                    );
                    continue;
                }
                class => carp(file, class),
            };
            advertisements += 1;
            let packet = Packet::new_checked(payload).unwrap();
            let advertisement = Advertisement::parse(&packet).unwrap();
            let vhid = advertisement.vhid;
            let authenticators = [Authenticator::new(&key, vhid, &list, HmacVariant::Plain)];
            let result = verdict(Dialect::Ucarp, false, vhid, &authenticators, &meta, payload);
            assert_eq!(name_of(&result), verdicts.0, "{file}");

            // Whole frames come out as they went in; group, destination and identification are its
            // configuration.
            let IpAddr::V4(src) = meta.src else {
                panic!("{file}: UCarp has no IPv6")
            };
            let envelope = Envelope {
                id: u16::from_be_bytes([frame[18], frame[19]]),
                dst: meta.dst,
                dst_mac: meta.link.unwrap().dst,
                ..Envelope::multicast_v4(vhid, src, Dialect::Ucarp)
            };
            let mut buffer = [0; MAX_FRAME_LEN];
            let len =
                frame::emit_advertisement(&advertisement, &envelope, Dialect::Ucarp, &mut buffer).unwrap();
            assert_eq!(buffer[..len], frame, "{file}");
        }
        assert_eq!(advertisements, verdicts.1, "{file}");
    }
}

#[test]
fn captures_of_keepalived_are_vrrp_and_nothing_to_us() {
    for (file, version, reason) in [
        ("keepalived-vrrpv2-vrid7.pcap", 2, "badlen"),
        ("keepalived-vrrpv3-vrid7.pcap", 3, "badlen"),
    ] {
        let mut recognised = 0;
        for frame in pcap(&format!("wire/{file}")) {
            let FrameClass::Carp { meta, payload } = frame::classify(&frame) else {
                continue; // its ARP
            };
            recognised += 1;
            let vrrp = Vrrp::recognise(payload).unwrap();
            assert_eq!((vrrp.version, vrrp.vrid), (version, 7), "{file}");
            for dialect in Dialect::ALL {
                let result = verdict(dialect, false, Vhid::new(7).unwrap(), &[], &meta, payload);
                assert_eq!(name_of(&result), reason, "{file} by {dialect}");
            }
        }
        assert!(recognised > 0, "{file}");
    }
}
