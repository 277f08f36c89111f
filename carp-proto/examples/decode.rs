//! Reads frames or IP packets in hexadecimal, one a line, and says what each is and whether it would be
//! accepted.

mod options;

use std::{
    io::{self, BufRead},
    net::Ipv6Addr,
    process::ExitCode,
};

use carp_proto::{
    Authenticator, Dialect, FrameClass, HmacVariant, MacAddr, Packet, Receiver, Rejection, RxMeta, Suspects,
    Vhid, explain,
    frame::{Vrrp, classify, classify_ip},
    receive,
};
use options::{Addresses, Link, Options, bytes, custom_mac, fail, from_hex, to_hex};

const USAGE: &str = "\
usage: decode [OPTION]... < LINES
Each line is a frame in hexadecimal digits; empty lines and those that start with # are left out. Prints for each the
fields, then `accepted` or the counter that the kernel would bump: badttl, badlen, badsum, badvhid, badver, badauth,
badif. What is no CARP ends in `other` or `malformed`.
  --link ethernet|ip   what a line starts with (ethernet)
  --dialect NAME       freebsd, openbsd, netbsd or ucarp (freebsd)
  --password TEXT      the password; without it and --key-hex, none is configured
  --key-hex HEX        all 20 bytes of the key
  --vhid N             the virtual host (any)
  --address A/P        an address of the virtual host; once for each
  --unicast            the virtual host has a unicast peer
  --source-mac MAC     the MAC address of our carp interface, if it is not the virtual one; openbsd hashes it
An openbsd host is a fresh BACKUP: it takes counter 0 for its own, and has the link-local address of its virtual MAC.";

fn main() -> ExitCode {
    let mut source_mac = None;
    let options = options::parse(USAGE, |option, value| {
        let known = option == "--source-mac";
        if known {
            source_mac = Some(MacAddr(bytes(option, &value())));
        }
        known
    });
    let mut status = ExitCode::SUCCESS;
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let line = line.unwrap_or_else(|error| options::fail(&format!("standard input: {error}")));
        let digits = line.trim();
        if digits.is_empty() || digits.starts_with('#') {
            continue;
        }
        match from_hex(digits) {
            Ok(bytes) => println!("{}", describe(&options, source_mac, &bytes)),
            Err(error) => {
                eprintln!("line {}: {error}", number + 1);
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}

fn describe(options: &Options, source_mac: Option<MacAddr>, bytes: &[u8]) -> String {
    let class = match options.link {
        Link::Ethernet => classify(bytes),
        Link::Ip => classify_ip(bytes),
    };
    match class {
        FrameClass::Carp { meta, payload } => {
            let RxMeta { src, dst, ttl, .. } = meta;
            format!(
                "{src} > {dst} ttl={ttl} {} {}",
                fields(payload),
                verdict(options, source_mac, &meta, payload)
            )
        }
        FrameClass::ArpRequest {
            target,
            sender,
            sender_mac,
        } => {
            format!("ARP request for {target} from {sender} at {sender_mac} other")
        }
        FrameClass::NeighborSolicitation { target, sender, .. } => {
            format!("neighbour solicitation for {target} from {sender} other")
        }
        FrameClass::Other => "other".into(),
        FrameClass::Malformed(reason) => format!("{reason}: malformed"),
    }
}

fn fields(payload: &[u8]) -> String {
    if let Some(Vrrp {
        version,
        vrid,
        priority,
    }) = Vrrp::recognise(payload)
    {
        return format!("VRRPv{version} vrid={vrid} priority={priority}");
    }
    let Ok(packet) = Packet::new_checked(payload) else {
        return format!("{} bytes", payload.len());
    };
    format!(
        "version={} type={} vhid={} advbase={} advskew={} authlen={} demotion={} checksum={:04x} counter={:016x} digest={}",
        packet.version(),
        packet.kind(),
        packet.vhid_raw(),
        packet.advbase(),
        packet.advskew(),
        packet.authlen(),
        packet.demotion().get(),
        packet.checksum(),
        packet.counter().get(),
        to_hex(packet.digest_bytes()),
    )
}

fn verdict(options: &Options, source_mac: Option<MacAddr>, meta: &RxMeta, payload: &[u8]) -> &'static str {
    let rules = options.dialect.rules();
    let heard = payload.get(1).copied();
    // Without --vhid, whatever virtual host the packet is for.
    let vhid = options
        .vhid
        .or(heard.and_then(Vhid::new))
        .unwrap_or(const { Vhid::new(1).unwrap() });
    let addresses = hashed(options, vhid);
    let accepted = match custom_mac(options.dialect, vhid, source_mac) {
        Some(mac) => &[
            HmacVariant::LinkLayer(mac),
            HmacVariant::LinkLayerAllAddresses(mac),
        ],
        None => rules.hmac_accepted,
    };
    let authenticators: Vec<_> = accepted
        .iter()
        .map(|variant| Authenticator::new(&options.key, vhid, &addresses, *variant))
        .collect();
    let receiver = Receiver {
        dialect: options.dialect,
        unicast: options.unicast,
        min_ttl: None,
        authenticators: &authenticators,
    };
    match receive(meta, payload, options.dialect, |wanted| {
        (wanted == vhid).then_some(((), receiver))
    }) {
        // It has sent nothing yet.
        Ok(((), advertisement)) if rules.own_counter_is_loop && advertisement.counter.get() == 0 => {
            Rejection::BadAuth.counter()
        }
        Ok(_) => "accepted",
        Err(Rejection::BadVhid) if heard == Some(0) && options.addresses.contains(&meta.src) => {
            rules.vhid_zero_from_own_address.counter()
        }
        Err(Rejection::BadAuth) => {
            hint(options, &addresses, meta, payload);
            Rejection::BadAuth.counter()
        }
        Err(rejection) => rejection.counter(),
    }
}

/// The addresses, and the one that OpenBSD gives its carp interface by itself.
fn hashed(options: &Options, vhid: Vhid) -> Addresses {
    let mut addresses = options.addresses.clone();
    if options.dialect == Dialect::OpenBsd {
        let automatic = Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            0x0200,
            0x5eff,
            0xfe00,
            0x0100 | u16::from(vhid.get()),
        );
        if let Err(error) = addresses.insert(automatic.into()) {
            fail(&format!("--address: {error}"));
        }
    }
    addresses
}

/// Says on standard error what would have verified, if that is known.
fn hint(options: &Options, addresses: &Addresses, meta: &RxMeta, payload: &[u8]) {
    let link_layer = meta.link.map(|link| link.src);
    let suspects = Suspects {
        keys: std::slice::from_ref(&options.key),
        addresses,
        other_lists: &[],
        extra: &[meta.src],
        link_layer: link_layer.as_slice(),
    };
    if let Some(finding) = Packet::new_checked(payload)
        .ok()
        .and_then(|packet| explain(&packet, &suspects))
    {
        eprintln!("badauth: {finding}");
    }
}
