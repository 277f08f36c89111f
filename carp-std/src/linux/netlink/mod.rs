//! rtnetlink: asking for interfaces and addresses, putting addresses on and
//! taking them off, and hearing that something has changed.

mod macvlan;
mod message;

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressMessage, AddressProtocol,
};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkHeader, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

pub(super) use self::macvlan::{InetDevConf, LINK_TAG, is_our_group};
pub(super) use self::message::is;
use self::message::{address_message, messages, parse_address, parse_interface, result};

/// The tag (`IFA_PROTO`, Linux 5.18) of the addresses that we put on an
/// interface: the IP protocol number of CARP.
pub(super) const ADDRESS_TAG: u8 = 112;

/// How long the kernel is given at first to put IPv6 addresses into service; half of it whenever that was not enough, so
/// that nothing waits for long in vain.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// Large enough for any datagram of a dump.
const BUFFER_LEN: usize = 64 * 1024;

// Message types of <linux/rtnetlink.h>.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;

/// Where the kind of a route stands in its message (`struct rtmsg`).
const RTM_TYPE: usize = 7;

/// An interface as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    /// `None` where there is no Ethernet.
    pub(super) mac: Option<[u8; 6]>,
    /// Administratively up.
    pub(super) up: bool,
    /// Administratively up, with carrier, and not held back by anything above
    /// the carrier (802.1X, a bond without members).
    pub(super) running: bool,
    /// The index of the interface that it stands on, if it does (of a macvlan, for example).
    pub(super) below: Option<u32>,
    /// The number of its group (`ip link show group`).
    pub(super) group: u32,
    pub(super) is_macvlan: bool,
    pub(super) ipv4: Ipv4Settings,
}

/// What is set under `net.ipv4.conf` for an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ipv4Settings {
    pub(super) forwarding: bool,
    pub(super) arp_announce: u32,
    pub(super) arp_ignore: u32,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    pub(super) prefix_len: u8,
    /// Who put it there (`IFA_PROTO`), 0 if nobody has said.
    pub(super) tag: u8,
    /// Valid on this machine only, as 127.0.0.1 is.
    pub(super) host_scope: bool,
    /// Goes away by itself, as the addresses do that hide who somebody is (RFC 8981).
    pub(super) temporary: bool,
}

/// The socket for questions and orders. The kernel answers while it carries
/// out the request, so that no call waits for anything but its locks.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
    /// How long to wait for [`is_in_service`](Self::is_in_service) the next time.
    pub(super) patience: Duration,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Lets a dump of addresses be limited to one interface (Linux 4.20).
        socket.set_netlink_get_strict_chk(true)?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(BUFFER_LEN),
            patience: PATIENCE,
        })
    }

    /// The interface with this name, or `None` if there is none.
    pub(super) fn interface(&mut self, name: &str) -> io::Result<Option<Interface>> {
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::IfName(name.to_owned()));
        request
            .attributes
            .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let mut found = None;
        let answer = self.request(
            RouteNetlinkMessage::GetLink(request),
            NLM_F_ACK,
            |kind, payload| {
                if kind == RTM_NEWLINK {
                    found = parse_interface(payload);
                }
            },
        );
        match answer {
            Err(e) if is(&e, libc::ENODEV) => Ok(None),
            answer => answer.map(|()| found),
        }
    }

    /// All interfaces.
    pub(super) fn interfaces(&mut self) -> io::Result<Vec<Interface>> {
        loop {
            let mut interfaces = Vec::new();
            let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
            let answer = self.request(request, NLM_F_DUMP, |kind, payload| {
                if kind == RTM_NEWLINK {
                    interfaces.extend(parse_interface(payload));
                }
            });
            match answer {
                // They changed while they were listed.
                Err(e) if is(&e, libc::EINTR) => {}
                answer => return answer.map(|()| interfaces),
            }
        }
    }

    /// The addresses of an interface, in the kernel's order. Empty if there is
    /// no such interface.
    pub(super) fn addresses(&mut self, ifindex: u32) -> io::Result<Vec<Address>> {
        loop {
            match self.addresses_once(ifindex) {
                // They changed while they were listed.
                Err(e) if is(&e, libc::EINTR) => {}
                answer => return answer,
            }
        }
    }

    fn addresses_once(&mut self, ifindex: u32) -> io::Result<Vec<Address>> {
        let mut request = AddressMessage::default();
        request.header.index = ifindex;
        let mut addresses = Vec::new();
        let answer = self.request(
            RouteNetlinkMessage::GetAddress(request),
            NLM_F_DUMP,
            |kind, payload| {
                if kind == RTM_NEWADDR {
                    addresses.extend(parse_address(payload));
                }
            },
        );
        match answer {
            Err(e) if is(&e, libc::ENODEV) => Ok(Vec::new()),
            answer => answer.map(|()| addresses),
        }
    }

    /// Puts an address on an interface, tagged as ours. Fails with `EEXIST` if
    /// it is there, whoever put it there. `route`: the network of the address is reached through this
    /// interface.
    pub(super) fn add_address(
        &mut self,
        ifindex: u32,
        address: IpAddr,
        prefix_len: u8,
        route: bool,
    ) -> io::Result<()> {
        let mut message = address_message(ifindex, address, prefix_len);
        message
            .attributes
            .push(AddressAttribute::Protocol(AddressProtocol::Other(ADDRESS_TAG)));
        let mut address_flags = AddressFlags::empty();
        if address.is_ipv6() {
            // The election has already settled who holds it; waiting for duplicate address
            // detection would only make the address unusable for a second.
            address_flags |= AddressFlags::Nodad;
        }
        if !route {
            address_flags |= AddressFlags::Noprefixroute;
        }
        message.attributes.push(AddressAttribute::Flags(address_flags));
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.request(RouteNetlinkMessage::NewAddress(message), flags, |_, _| ())
    }

    /// Whether the kernel answers for an IPv6 address of this interface: it acknowledges an address, and puts it into
    /// service (solicited-node group, then the local route) when it comes round to it.
    pub(super) fn is_in_service(&mut self, ifindex: u32, address: Ipv6Addr) -> io::Result<bool> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet6;
        message.header.destination_prefix_length = 128;
        message.attributes = vec![
            RouteAttribute::Destination(RouteAddress::Inet6(address)),
            RouteAttribute::Oif(ifindex),
        ];
        let mut kind = None;
        let answer = self.request(RouteNetlinkMessage::GetRoute(message), NLM_F_ACK, |_, payload| {
            kind = payload.get(RTM_TYPE).copied();
        });
        match answer {
            Err(e) if is(&e, libc::ENETUNREACH) || is(&e, libc::EHOSTUNREACH) => Ok(false),
            answer => answer.map(|()| kind == Some(libc::RTN_LOCAL)),
        }
    }

    /// Takes an address off. It is no error if the address or the interface is
    /// not there.
    pub(super) fn remove_address(&mut self, ifindex: u32, address: IpAddr, prefix_len: u8) -> io::Result<()> {
        let message = address_message(ifindex, address, prefix_len);
        match self.request(RouteNetlinkMessage::DelAddress(message), NLM_F_ACK, |_, _| ()) {
            Err(e) if is(&e, libc::ENODEV) || is(&e, libc::EADDRNOTAVAIL) => Ok(()),
            answer => answer,
        }
    }

    /// Sends a request and hands every message of the answer to `each` with its
    /// type, up to the acknowledgement or the end of the dump. Fails with
    /// `EINTR` if a dump is inconsistent.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let mut interrupted = false;
        loop {
            receive(&self.socket, &mut self.buffer)?;
            for message in messages(&self.buffer) {
                // Else it is the rest of an answer that was given up half way.
                if message.sequence_number() != self.sequence {
                    continue;
                }
                interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message.message_type() {
                    NLMSG_DONE if interrupted => return Err(io::Error::from_raw_os_error(libc::EINTR)),
                    NLMSG_ERROR | NLMSG_DONE => return result(message.payload()),
                    kind => each(kind, message.payload()),
                }
            }
        }
    }
}

/// The socket that says when something has changed. It does not say what is
/// true now: messages can be lost, and be older than the last answer to a
/// question. So each change makes us ask again.
#[derive(Debug)]
pub(super) struct Monitor {
    socket: Socket,
    buffer: Vec<u8>,
}

/// Which interfaces have changed since the last call, by index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// All that were named in a message, sorted.
    pub(super) changed: Vec<u32>,
    /// Those which went away; the index may belong to another one by now.
    pub(super) removed: Vec<u32>,
    /// Messages were lost: anything may have changed.
    pub(super) overrun: bool,
}

impl Monitor {
    pub(super) fn open() -> io::Result<Self> {
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, groups.cast_unsigned()))?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(BUFFER_LEN),
        })
    }

    /// Reads everything that waits.
    pub(super) fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        loop {
            match receive(&self.socket, &mut self.buffer) {
                Ok(()) => messages(&self.buffer).for_each(|message| changes.note(&message)),
                // The socket's buffer was full. The kernel says so once per overrun.
                Err(e) if is(&e, libc::ENOBUFS) => changes.overrun = true,
                Err(_) => {
                    changes.changed.sort_unstable();
                    changes.changed.dedup();
                    return changes;
                }
            }
        }
    }
}

impl Changes {
    fn note(&mut self, message: &NetlinkBuffer<&[u8]>) {
        match message.message_type() {
            kind @ (RTM_NEWLINK | RTM_DELLINK) => {
                let Ok(header) = LinkHeader::parse(message.payload()) else {
                    return;
                };
                self.changed.push(header.index);
                // A port that leaves its bridge is "deleted" too, with the family of bridges.
                if kind == RTM_DELLINK && header.interface_family == AddressFamily::Unspec {
                    self.removed.push(header.index);
                }
            }
            RTM_NEWADDR | RTM_DELADDR => {
                let Ok(header) = AddressHeader::parse(message.payload()) else {
                    return;
                };
                self.changed.push(header.index);
            }
            _ => {}
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn receive(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    loop {
        match socket.recv(buffer, 0) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(drop),
        }
    }
}
