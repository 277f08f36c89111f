//! Netlink messages: taking datagrams apart, and reading what the kernel says.

use std::ffi::CStr;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{Emitable, NetlinkBuffer, NlasIterator, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkLayerType};

use super::{Address, Interface, Ipv4Settings};

// Attributes of <linux/if_link.h>, without the flags in the upper two bits.
const NLA_TYPE_MASK: u16 = 0x3fff;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_AF_SPEC: u16 = 26;
const AF_INET: u16 = 2;
const IFLA_INET_CONF: u16 = 1;
const IFLA_GROUP: u16 = 27;

/// The messages of one datagram.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(datagram).ok()?;
        let aligned = (message.length() as usize).next_multiple_of(4);
        datagram = datagram.get(aligned..).unwrap_or_default();
        Some(message)
    })
}

/// What an `NLMSG_ERROR` (0: done as asked) or an `NLMSG_DONE` says.
pub(super) fn result(payload: &[u8]) -> io::Result<()> {
    let code = payload.first_chunk().map_or(0, |&code| i32::from_ne_bytes(code));
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code.wrapping_neg()))
    }
}

pub(in crate::linux) fn is(error: &io::Error, errno: i32) -> bool {
    error.raw_os_error() == Some(errno)
}

/// Reads the facts we need, and so does not stumble over attributes that are newer than this program.
pub(super) fn parse_interface(payload: &[u8]) -> Option<Interface> {
    let header = LinkHeader::parse(payload).ok()?;
    let mut name = None;
    let mut mac = None;
    let mut interface = Interface {
        index: header.index,
        up: header.flags.contains(LinkFlags::Up),
        running: header
            .flags
            .contains(LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running),
        ..Interface::default()
    };
    for attribute in NlasIterator::new(payload.get(header.buffer_len()..)?) {
        let attribute = attribute.ok()?;
        let value = attribute.value();
        match attribute.kind() & NLA_TYPE_MASK {
            IFLA_IFNAME => name = text(value),
            IFLA_ADDRESS => mac = value.try_into().ok(),
            IFLA_LINK => interface.below = number(value),
            IFLA_GROUP => interface.group = number(value).unwrap_or_default(),
            IFLA_LINKINFO => {
                interface.is_macvlan = nested(value, IFLA_INFO_KIND, text).as_deref() == Some("macvlan");
            }
            IFLA_AF_SPEC => {
                let read = |ipv4: &[u8]| nested(ipv4, IFLA_INET_CONF, parse_settings);
                interface.ipv4 = nested(value, AF_INET, read).unwrap_or_default();
            }
            _ => {}
        }
    }
    interface.name = name?;
    interface.mac = mac.filter(|_| header.link_layer_type == LinkLayerType::Ether);
    Some(interface)
}

/// An array of 32-bit numbers, in the order of `IPV4_DEVCONF_*`, of which the first is 1.
fn parse_settings(values: &[u8]) -> Option<Ipv4Settings> {
    let setting = |index: usize| values.get(4 * (index - 1)..).and_then(number);
    Some(Ipv4Settings {
        forwarding: setting(1)? != 0,
        arp_announce: setting(18)?,
        arp_ignore: setting(19)?,
    })
}

/// What `read` makes of the first attribute of this kind among nested ones.
fn nested<R>(attributes: &[u8], kind: u16, read: impl FnOnce(&[u8]) -> Option<R>) -> Option<R> {
    let mut attributes = NlasIterator::new(attributes).map_while(Result::ok);
    let found = attributes.find(|attribute| attribute.kind() & NLA_TYPE_MASK == kind)?;
    read(found.value())
}

fn text(value: &[u8]) -> Option<String> {
    let text = CStr::from_bytes_until_nul(value).ok()?;
    text.to_str().ok().map(str::to_owned)
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|&bytes| u32::from_ne_bytes(bytes))
}

pub(super) fn parse_address(payload: &[u8]) -> Option<Address> {
    let message = AddressMessage::parse(payload).ok()?;
    let mut local = None;
    let mut peer = None;
    let mut tag = 0;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Protocol(protocol) => tag = u8::from(*protocol),
            _ => {}
        }
    }
    Some(Address {
        // IPv6 says IFA_ADDRESS only. Where both are there, IFA_ADDRESS is the far end of a
        // point-to-point address.
        ip: local.or(peer)?,
        prefix_len: message.header.prefix_len,
        tag,
        host_scope: message.header.scope == AddressScope::Host,
        // The same bit in IPv4 says that an address is not the first of its network.
        temporary: message.header.family == AddressFamily::Inet6
            && message.header.flags.contains(AddressHeaderFlags::Secondary),
    })
}

pub(super) fn address_message(ifindex: u32, address: IpAddr, prefix_len: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    message.header.prefix_len = prefix_len;
    message.header.index = ifindex;
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
    ];
    message
}
