//! Packets that other implementations sent, from `tests/vectors/wire/`, and what went into them.

use std::{fs, net::IpAddr};

use carp_proto::{
    AddressError, AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect,
    Envelope, FrameClass, HmacVariant, Key, KeyError, MAX_FRAME_LEN, MacAddr, Receiver, Rejection, RxMeta,
    Vhid,
    frame::{self},
    receive,
};
use serde_json::Value;

pub(crate) type Addresses = AddressSet<8>;

pub(crate) fn json(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(carp_tests::vectors("wire").join(name)).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["vectors"].as_array().unwrap().clone()
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key} in {value}"))
}

pub(crate) fn byte(value: &Value, key: &str) -> u8 {
    value[key]
        .as_u64()
        .and_then(|number| number.try_into().ok())
        .unwrap_or_else(|| panic!("no byte {key} in {value}"))
}

pub(crate) fn strings<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    value[key]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| item.as_str().unwrap())
}

pub(crate) fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// Of `10.0.0.1/24` or `fe80::1%em0`, the address; what cannot be hashed is left out, as the kernels leave it
/// out.
pub(crate) fn addresses<'a>(list: impl Iterator<Item = &'a str>) -> Addresses {
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

pub(crate) fn verdict(
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

pub(crate) fn name_of(result: &Result<Advertisement, Rejection>) -> &'static str {
    result
        .as_ref()
        .map_or_else(|rejection| rejection.counter(), |_| "accepted")
}

pub(crate) fn carp<'a>(name: &str, class: FrameClass<'a>) -> (RxMeta, &'a [u8]) {
    match class {
        FrameClass::Carp { meta, payload } => (meta, payload),
        other => panic!("{name}: {other:?}"),
    }
}

/// One vector of `packets.json` or `kernel-advertisements.json`.
pub(crate) struct Sent {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    key: Key,
    pub(crate) addresses: Addresses,
    link_layer: Option<MacAddr>,
    pub(crate) advertisement: Advertisement,
    /// IPv4 identification.
    id: u16,
    pub(crate) unicast: bool,
    pub(crate) frame: Vec<u8>,
}

impl Sent {
    fn variant(&self) -> HmacVariant {
        self.link_layer
            .map_or(self.dialect.rules().hmac_sent, HmacVariant::LinkLayer)
    }

    pub(crate) fn authenticator(&self) -> Authenticator {
        Authenticator::new(
            &self.key,
            self.advertisement.vhid,
            &self.addresses,
            self.variant(),
        )
    }

    /// Addresses and TOS must be the dialect's own; what is configuration or chance comes from the vector.
    pub(crate) fn emit(&self) -> Vec<u8> {
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
    pub(crate) fn received_by(&self, dialect: Dialect) -> Result<Advertisement, Rejection> {
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

pub(crate) fn good_packets() -> Vec<Sent> {
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

pub(crate) fn kernel_advertisements() -> Vec<Sent> {
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
