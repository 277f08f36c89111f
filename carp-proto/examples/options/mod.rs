//! The options and the hexadecimal digits that `decode` and `encode` have in common.

use std::{env, fmt::Write as _, net::IpAddr, process};

use carp_proto::{AddressError, AddressSet, Dialect, Key, KeyError, MacAddr, Vhid};

/// More than anybody configures.
pub(crate) type Addresses = AddressSet<64>;

/// What a packet lies in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Ethernet,
    Ip,
}

/// The options of both.
pub(crate) struct Options {
    pub(crate) link: Link,
    pub(crate) dialect: Dialect,
    pub(crate) key: Key,
    pub(crate) vhid: Option<Vhid>,
    pub(crate) addresses: Addresses,
    pub(crate) unicast: bool,
}

/// Says what is wrong and ends.
pub(crate) fn fail(message: &str) -> ! {
    eprintln!("{message}");
    process::exit(64);
}

/// Reads the command line. An option that is none of the common ones goes to `other`, with a function that
/// gives its value; `false` means that it is unknown.
pub(crate) fn parse(usage: &str, mut other: impl FnMut(&str, &mut dyn FnMut() -> String) -> bool) -> Options {
    let mut options = Options {
        link: Link::Ethernet,
        dialect: Dialect::default(),
        key: Key::NONE,
        vhid: None,
        addresses: Addresses::new(),
        unicast: false,
    };
    let mut arguments = env::args().skip(1);
    while let Some(option) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .unwrap_or_else(|| fail(&format!("{option} needs a value\n{usage}")))
        };
        match option.as_str() {
            "--link" => {
                options.link = match value().as_str() {
                    "ethernet" => Link::Ethernet,
                    "ip" => Link::Ip,
                    link => fail(&format!("--link {link}: use ethernet or ip")),
                }
            }
            "--dialect" => options.dialect = number(&option, &value()),
            "--password" => {
                options.key = match Key::from_passphrase(value().as_bytes()) {
                    Ok(key) => key,
                    Err(KeyError::Empty) => Key::NONE,
                    Err(error) => fail(&format!("--password: {error}")),
                };
            }
            "--key-hex" => options.key = Key::from_bytes(bytes(&option, &value())),
            "--vhid" => {
                let vhid: u8 = number(&option, &value());
                options.vhid = Some(Vhid::new(vhid).unwrap_or_else(|| fail("--vhid 0: use 1 to 255")));
            }
            "--address" => {
                let text = value();
                match options.addresses.insert(address(&text)) {
                    Ok(_) => {}
                    // As the kernels do.
                    Err(error @ AddressError::Unusable(_)) => {
                        eprintln!("--address {text} is left out: {error}");
                    }
                    Err(error) => fail(&format!("--address {text}: {error}")),
                }
            }
            "--unicast" => options.unicast = true,
            "--help" | "-h" => {
                println!("{usage}");
                process::exit(0);
            }
            _ => {
                if !other(&option, &mut value) {
                    fail(&format!("unknown option {option}\n{usage}"));
                }
            }
        }
    }
    options
}

/// Of `A/P`, `A%ZONE/P` or `A`: the zone and the prefix length are not hashed, but must be right.
fn address(text: &str) -> IpAddr {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let (address, zone) = match address.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (address, None),
    };
    let parsed: IpAddr = address
        .parse()
        .unwrap_or_else(|error| fail(&format!("--address {text}: {error}")));
    if zone.is_some_and(|zone| zone.is_empty() || parsed.is_ipv4()) {
        fail(&format!(
            "--address {text}: % is for IPv6, and the name of an interface follows it"
        ));
    }
    let longest = if parsed.is_ipv4() { 32 } else { 128 };
    if prefix.is_some_and(|prefix| prefix.parse().map_or(true, |prefix: u8| prefix > longest)) {
        fail(&format!(
            "--address {text}: behind the / must be a number up to {longest}"
        ));
    }
    parsed
}

/// The MAC address that a carp interface has by choice and therefore hashes: OpenBSD only (`docs/protocol.md`
/// §5).
pub(crate) fn custom_mac(dialect: Dialect, vhid: Vhid, mac: Option<MacAddr>) -> Option<MacAddr> {
    mac.filter(|mac| dialect == Dialect::OpenBsd && *mac != vhid.mac())
}

/// The value of an option that is a number, an address, a dialect.
pub(crate) fn number<T: std::str::FromStr<Err: std::fmt::Display>>(option: &str, text: &str) -> T {
    text.parse()
        .unwrap_or_else(|error| fail(&format!("{option} {text}: {error}")))
}

/// The value of an option that is `N` bytes in hexadecimal digits.
pub(crate) fn bytes<const N: usize>(option: &str, text: &str) -> [u8; N] {
    match from_hex(text).map(<[u8; N]>::try_from) {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(bytes)) => fail(&format!(
            "{option} {text}: {N} bytes are needed, these are {}",
            bytes.len()
        )),
        Err(error) => fail(&format!("{option} {text}: {error}")),
    }
}

/// Bytes of hexadecimal digits; blanks and colons between bytes do not matter.
pub(crate) fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text
        .chars()
        .filter(|character| !character.is_whitespace() && *character != ':')
        .collect();
    if !digits.len().is_multiple_of(2) {
        return Err(format!("an odd number of hexadecimal digits ({})", digits.len()));
    }
    let digit = |character: char| {
        character
            .to_digit(16)
            .ok_or_else(|| format!("{character:?} is no hexadecimal digit"))
    };
    digits
        .chunks(2)
        .map(|pair| Ok(u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).unwrap_or_default()))
        .collect()
}

/// The digits of `bytes`.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
