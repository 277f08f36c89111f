//! Prints the frame of one advertisement in hexadecimal.

mod options;

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    net::IpAddr,
};

use carp_proto::{
    AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, Envelope, HmacVariant,
    MAX_FRAME_LEN, MacAddr, frame::emit_advertisement,
};
use options::{Link, bytes, fail, number, to_hex};

const USAGE: &str = "\
usage: encode --vhid N --address A/P --source A [OPTION]...
Prints the frame of one advertisement. advbase, advskew and demotion are sent as given.
  --link ethernet|ip   with an Ethernet header or without (ethernet)
  --dialect NAME       freebsd, openbsd, netbsd or ucarp (freebsd)
  --password TEXT      the password; without it and --key-hex, none is configured
  --key-hex HEX        all 20 bytes of the key
  --vhid N             the virtual host
  --address A/P        an address of the virtual host; once for each
  --advbase N          seconds (1)
  --advskew N          1/256 s (0)
  --demotion N         byte 4 (0)
  --counter-hex HEX    the counter, 8 bytes (random)
  --source A           the IP source; its family is that of the advertisement
  --source-mac MAC     the Ethernet source (the virtual MAC); what is not the virtual MAC is hashed by openbsd
  --unicast            to a unicast peer, with
  --destination A        its address
  --destination-mac MAC  its MAC address, but for --link ip
  --source-mac MAC       that of the interface, which freebsd sends unicast from; but for --link ip";

fn main() {
    let (mut advbase, mut advskew, mut demotion) = (1, 0, 0);
    let (mut counter, mut source, mut source_mac) = (None, None, None);
    let (mut destination, mut destination_mac) = (None, None);
    let options = options::parse(USAGE, |option, value| {
        match option {
            "--advbase" => advbase = number(option, &value()),
            "--advskew" => advskew = number(option, &value()),
            "--demotion" => demotion = number(option, &value()),
            "--counter-hex" => counter = Some(u64::from_be_bytes(bytes(option, &value()))),
            "--source" => source = Some(number(option, &value())),
            "--source-mac" => source_mac = Some(MacAddr(bytes(option, &value()))),
            "--destination" => destination = Some(number(option, &value())),
            "--destination-mac" => destination_mac = Some(MacAddr(bytes(option, &value()))),
            _ => return false,
        }
        true
    });
    let vhid = options.vhid.unwrap_or_else(|| fail("--vhid is missing"));
    let source = source.unwrap_or_else(|| fail("--source is missing: an address of the interface"));

    let counter = Counter::new(counter.unwrap_or_else(random));
    let sent = match options::custom_mac(options.dialect, vhid, source_mac) {
        Some(mac) => HmacVariant::LinkLayer(mac),
        None => options.dialect.rules().hmac_sent,
    };
    let digest = Authenticator::new(&options.key, vhid, &options.addresses, sent).sign(counter);
    let advertisement = Advertisement {
        vhid,
        advbase: AdvBase::new(advbase),
        advskew: AdvSkew::new(advskew),
        demotion: Demotion::new(demotion),
        counter,
        digest,
    };

    let mut envelope = match (source, options.unicast) {
        (IpAddr::V4(source), false) => Envelope::multicast_v4(vhid, source, options.dialect),
        (IpAddr::V6(source), false) => Envelope::multicast_v6(vhid, source, options.dialect),
        (source, true) => {
            let destination =
                destination.unwrap_or_else(|| fail("--unicast needs --destination: the peer's address"));
            let ethernet = options.link == Link::Ethernet;
            if ethernet && destination_mac.is_none() {
                fail("--unicast needs --destination-mac: the peer's, or --link ip");
            }
            if ethernet && source_mac.is_none() && options.dialect == Dialect::FreeBsd {
                fail(
                    "--unicast needs --source-mac: that of the interface, which freebsd sends from, or --link ip",
                );
            }
            // Without an Ethernet header nobody sees the addresses in it.
            let destination_mac = destination_mac.unwrap_or(MacAddr::BROADCAST);
            let virtual_mac = options.dialect.source_mac(vhid);
            Envelope::unicast(virtual_mac, destination_mac, source, destination, options.dialect)
        }
    };
    envelope.src_mac = source_mac.unwrap_or(envelope.src_mac);
    let mut frame = [0; MAX_FRAME_LEN];
    let Some(len) = emit_advertisement(&advertisement, &envelope, options.dialect, &mut frame) else {
        fail("--source and --destination are of different families");
    };
    let start = match options.link {
        Link::Ethernet => 0,
        Link::Ip => 14,
    };
    println!("{}", to_hex(&frame[start..len]));
}

/// Not 0, which OpenBSD takes for its own.
fn random() -> u64 {
    RandomState::new().build_hasher().finish().max(1)
}
