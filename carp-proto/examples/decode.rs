//! Reads frames or IP packets in hexadecimal, one a line, and says what each is and whether it would be
//! accepted.

mod options;

use std::{
    io::{self, BufRead},
    process::ExitCode,
};

use carp_proto::{
    Authenticator, FrameClass, Packet, Receiver, Rejection, RxMeta, Suspects, Vhid, explain,
    frame::{Vrrp, classify, classify_ip},
    receive,
};
use options::{Link, Options, from_hex, to_hex};

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
  --unicast            the virtual host has a unicast peer";

fn main() -> ExitCode {
    let options = options::parse(USAGE, |_, _| false);
    let mut status = ExitCode::SUCCESS;
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let line = line.unwrap_or_else(|error| options::fail(&format!("standard input: {error}")));
        let digits = line.trim();
        if digits.is_empty() || digits.starts_with('#') {
            continue;
        }
        match from_hex(digits) {
            Ok(bytes) => println!("{}", describe(&options, &bytes)),
            Err(error) => {
                eprintln!("line {}: {error}", number + 1);
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}

fn describe(options: &Options, bytes: &[u8]) -> String {
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
                verdict(options, &meta, payload)
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

fn verdict(options: &Options, meta: &RxMeta, payload: &[u8]) -> &'static str {
    let rules = options.dialect.rules();
    let heard = payload.get(1).copied();
    // Without --vhid, whatever virtual host the packet is for.
    let vhid = options
        .vhid
        .or(heard.and_then(Vhid::new))
        .unwrap_or(const { Vhid::new(1).unwrap() });
    let authenticators: Vec<_> = rules
        .hmac_accepted
        .iter()
        .map(|variant| Authenticator::new(&options.key, vhid, &options.addresses, *variant))
        .collect();
    let receiver = Receiver {
        dialect: options.dialect,
        unicast: options.unicast,
        authenticators: &authenticators,
    };
    match receive(meta, payload, options.dialect, |wanted| {
        (wanted == vhid).then_some(((), receiver))
    }) {
        Ok(_) => "accepted",
        Err(Rejection::BadVhid) if heard == Some(0) && options.addresses.contains(&meta.src) => {
            rules.vhid_zero_from_own_address.counter()
        }
        Err(Rejection::BadAuth) => {
            hint(options, meta, payload);
            Rejection::BadAuth.counter()
        }
        Err(rejection) => rejection.counter(),
    }
}

/// Says on standard error what would have verified, if that is known.
fn hint(options: &Options, meta: &RxMeta, payload: &[u8]) {
    let suspects = Suspects {
        keys: std::slice::from_ref(&options.key),
        addresses: &options.addresses,
        other_lists: &[],
        extra: &[meta.src],
        link_layer: &[],
    };
    if let Some(finding) = Packet::new_checked(payload)
        .ok()
        .and_then(|packet| explain(&packet, &suspects))
    {
        eprintln!("badauth: {finding}");
    }
}
