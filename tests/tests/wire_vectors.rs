//! Packets of other implementations, in both directions: what we emit is what they emitted, and we accept and
//! reject what they did, for the same reason. `tests/vectors/wire/README.md` says where the packets come
//! from.

use std::{fs, net::IpAddr};

use carp_proto::{
    AddressError, AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect,
    Envelope, FrameClass, HmacVariant, Key, KeyError, MAX_FRAME_LEN, MacAddr, Malformed, Packet, Receiver,
    Rejection, RxMeta, Vhid,
    frame::{self, Vrrp},
    receive,
};
use carp_tests::pcap;
use serde_json::Value;

type Addresses = AddressSet<8>;

fn json(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(carp_tests::vectors("wire").join(name)).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["vectors"].as_array().unwrap().clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key} in {value}"))
}

fn byte(value: &Value, key: &str) -> u8 {
    value[key]
        .as_u64()
        .and_then(|number| number.try_into().ok())
        .unwrap_or_else(|| panic!("no byte {key} in {value}"))
}

fn strings<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    value[key]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| item.as_str().unwrap())
}

fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// Of `10.0.0.1/24` or `fe80::1%em0`, the address; what cannot be hashed is left out, as the kernels leave it
/// out.
fn addresses<'a>(list: impl Iterator<Item = &'a str>) -> Addresses {
    let mut set = Addresses::new();
    for item in list {
        let address: IpAddr = item.split(['/', '%']).next().unwrap().parse().unwrap();
        match set.insert(address) {
            Ok(_) | Err(AddressError::Unusable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    set
}

fn verdict(
    dialect: Dialect,
    unicast: bool,
    vhid: Vhid,
    authenticators: &[Authenticator],
    meta: &RxMeta,
    payload: &[u8],
) -> Result<Advertisement, Rejection> {
    let receiver = Receiver {
        dialect,
        unicast,
        min_ttl: None,
        authenticators,
    };
    receive(meta, payload, dialect, |wanted| {
        (wanted == vhid).then_some(((), receiver))
    })
    .map(|((), verified)| verified.into_inner())
}

fn name_of(result: &Result<Advertisement, Rejection>) -> &'static str {
    result
        .as_ref()
        .map_or_else(|rejection| rejection.counter(), |_| "accepted")
}

fn carp<'a>(name: &str, class: FrameClass<'a>) -> (RxMeta, &'a [u8]) {
    match class {
        FrameClass::Carp { meta, payload } => (meta, payload),
        other => panic!("{name}: {other:?}"),
    }
}

/// One vector of `packets.json` or `kernel-advertisements.json`.
struct Sent {
    name: String,
    dialect: Dialect,
    key: Key,
    addresses: Addresses,
    link_layer: Option<MacAddr>,
    advertisement: Advertisement,
    /// IPv4 identification.
    id: u16,
    unicast: bool,
    frame: Vec<u8>,
}

impl Sent {
    fn variant(&self) -> HmacVariant {
        self.link_layer
            .map_or(self.dialect.rules().hmac_sent, HmacVariant::LinkLayer)
    }

    fn authenticator(&self) -> Authenticator {
        Authenticator::new(
            &self.key,
            self.advertisement.vhid,
            &self.addresses,
            self.variant(),
        )
    }

    /// Addresses and TOS must be the dialect's own; what is configuration or chance comes from the vector.
    fn emit(&self) -> Vec<u8> {
        let (meta, _) = carp(&self.name, frame::classify(&self.frame));
        let link = meta.link.unwrap();
        let vhid = self.advertisement.vhid;
        let mut envelope = match meta.src {
            _ if self.unicast => Envelope::unicast(link.src, link.dst, meta.src, meta.dst, self.dialect),
            IpAddr::V4(src) => Envelope::multicast_v4(vhid, src, self.dialect),
            IpAddr::V6(src) => Envelope::multicast_v6(vhid, src, self.dialect),
        };
        envelope.id = self.id;
        envelope.src_mac = self.link_layer.unwrap_or(envelope.src_mac);
        if self.name == "v4_single_ucarp_nomcast" {
            envelope.dst_mac = MacAddr::BROADCAST;
        }
        let mut buffer = [0; MAX_FRAME_LEN];
        let len =
            frame::emit_advertisement(&self.advertisement, &envelope, self.dialect, &mut buffer).unwrap();
        buffer[..len].to_vec()
    }

    /// As a node of `dialect` with the same configuration would receive it.
    fn received_by(&self, dialect: Dialect) -> Result<Advertisement, Rejection> {
        let rules = dialect.rules();
        let vhid = self.advertisement.vhid;
        let list = if rules.single_ipv4 && self.addresses.len() != 1 {
            addresses(["192.0.2.200"].into_iter()) // it cannot be configured with theirs
        } else {
            self.addresses.clone()
        };
        let mut accepted = rules.hmac_accepted.to_vec();
        if let (Some(mac), Dialect::OpenBsd) = (self.link_layer, dialect) {
            accepted = vec![
                HmacVariant::LinkLayer(mac),
                HmacVariant::LinkLayerAllAddresses(mac),
            ];
        }
        let authenticators: Vec<_> = accepted
            .into_iter()
            .map(|variant| Authenticator::new(&self.key, vhid, &list, variant))
            .collect();
        let (meta, payload) = carp(&self.name, frame::classify(&self.frame));
        verdict(dialect, self.unicast, vhid, &authenticators, &meta, payload)
    }
}

fn key(vector: &Value) -> Key {
    Key::from_bytes(hex(text(vector, "key_hex")).try_into().unwrap())
}

fn good_packets() -> Vec<Sent> {
    let mut all = Vec::new();
    for vector in json("packets.json") {
        let name = text(&vector, "name").to_owned();
        // DragonFly hashes IPv6 addresses in the order of its interface, which no dialect here does.
        if vector["negative"].as_bool() == Some(true) || name == "v6_dragonfly_order" {
            continue;
        }
        let dialect = match text(&vector, "variant") {
            "openbsd_nov6ll" => Dialect::OpenBsd,
            other => other.parse().unwrap(),
        };
        let link_layer = vector["lladdr_hashed"].as_str().map(|mac| {
            let bytes: Vec<u8> = mac
                .split(':')
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect();
            MacAddr(bytes.try_into().unwrap())
        });
        let counter = u64::from_str_radix(text(&vector, "counter").trim_start_matches("0x"), 16).unwrap();
        let packet = hex(text(&vector, "ip_packet_hex"));
        let key = key(&vector);
        let vhid = Vhid::new(byte(&vector, "vhid")).unwrap();
        let addresses =
            addresses(strings(&vector, "v4_config_order").chain(strings(&vector, "v6_config_order")));
        let variant = link_layer.map_or(dialect.rules().hmac_sent, HmacVariant::LinkLayer);
        let digest = Authenticator::new(&key, vhid, &addresses, variant).sign(Counter::new(counter));
        assert_eq!(digest.as_bytes()[..], hex(text(&vector, "hmac_hex")), "{name}");

        check_passphrase(&vector, &name, &key);
        all.push(Sent {
            unicast: name == "freebsd_unicast_peer",
            id: if packet[0] >> 4 == 4 {
                u16::from_be_bytes([packet[4], packet[5]])
            } else {
                0
            },
            advertisement: Advertisement {
                vhid,
                advbase: AdvBase::new(byte(&vector, "advbase")),
                advskew: AdvSkew::new(byte(&vector, "advskew")),
                demotion: Demotion::new(byte(&vector, "demote")),
                counter: Counter::new(counter),
                digest,
            },
            frame: hex(text(&vector, "ether_frame_hex")),
            name,
            dialect,
            key,
            addresses,
            link_layer,
        });
    }
    all
}

/// That the pass phrase makes the key, but for what we take as raw bytes only.
fn check_passphrase(vector: &Value, name: &str, key: &Key) {
    let passphrase = text(vector, "password");
    let ours = Key::from_passphrase(passphrase.as_bytes());
    match name {
        // The BSDs would drop six bytes without a word; we want to be told.
        "v4_password_truncated" => assert_eq!(ours, Err(KeyError::TooLong(25))),
        // What an older ifconfig left behind the new pass phrase.
        "v4_password_residue" => assert_ne!(ours.as_ref(), Ok(key)),
        "v4_empty_password" => assert_eq!((ours, key), (Err(KeyError::Empty), &Key::NONE)),
        // All 20 bytes, which no pass phrase has.
        "v4_password_20_bytes_raw" => assert_eq!(ours, Err(KeyError::Empty)),
        _ => assert_eq!(ours.as_ref(), Ok(key), "{name}"),
    }
}

fn kernel_advertisements() -> Vec<Sent> {
    let sent = |vector: &Value| {
        let (inputs, outputs) = (&vector["inputs"], &vector["outputs"]);
        let dialect: Dialect = text(vector, "impl").parse().unwrap();
        let name = format!("{dialect} {} vhid {}", text(vector, "note"), inputs["vhid"]);
        let packet = hex(text(outputs, "ip_packet_hex"));
        let key = key(inputs);
        let vhid = Vhid::new(byte(inputs, "vhid")).unwrap();
        let addresses = addresses(strings(inputs, "vips"));
        let counter = Counter::new(u64::from_str_radix(text(inputs, "counter_hex"), 16).unwrap());
        let digest = Authenticator::new(&key, vhid, &addresses, dialect.rules().hmac_sent).sign(counter);
        assert_eq!(digest.as_bytes()[..], hex(text(outputs, "hmac_hex")), "{name}");
        let advskew = dialect.effective_skew(AdvSkew::new(byte(inputs, "advskew")), 0);
        Sent {
            unicast: false,
            id: if text(outputs, "af") == "inet" {
                u16::from_be_bytes([packet[4], packet[5]])
            } else {
                0
            },
            advertisement: Advertisement {
                vhid,
                advbase: AdvBase::new(byte(inputs, "advbase")),
                advskew,
                demotion: Demotion::new(0),
                counter,
                digest,
            },
            frame: hex(text(outputs, "ethernet_frame_hex")),
            name,
            dialect,
            key,
            addresses,
            link_layer: None,
        }
    };
    json("kernel-advertisements.json").iter().map(sent).collect()
}

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
