//! The options and the hexadecimal digits that `decode` and `encode` have in common.

use std::{env, fmt::Write as _, net::IpAddr, process};

use carp_proto::{AddressSet, Dialect, Key, Vhid};

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
                options.key = Key::from_passphrase(value().as_bytes())
                    .unwrap_or_else(|error| fail(&format!("--password: {error}")));
            }
            "--key-hex" => options.key = Key::from_bytes(bytes(&option, &value())),
            "--vhid" => {
                let vhid: u8 = number(&option, &value());
                options.vhid = Some(Vhid::new(vhid).unwrap_or_else(|| fail("--vhid 0: use 1 to 255")));
            }
            "--address" => {
                let text = value();
                let address: IpAddr = number(&option, text.split('/').next().unwrap_or_default());
                if let Err(error) = options.addresses.insert(address) {
                    fail(&format!("--address {text}: {error}"));
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
