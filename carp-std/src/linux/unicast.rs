//! Packets to one peer, which may be behind routers.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};

use super::filter;

/// Length of an Ethernet header in bytes.
const ETHERNET: usize = 14;

/// Raw IP sockets of protocol 112: the kernel finds the way, and asks for MAC addresses.
///
/// They receive nothing (packet sockets do that). That they are there keeps the kernel from telling a peer
/// that nobody listens: it answers unicast of a protocol without sockets with an ICMP error.
#[derive(Debug)]
pub(super) struct Unicast {
    ipv4: Socket,
    /// Not where there is no IPv6.
    ipv6: Option<Socket>,
}

impl Unicast {
    pub(super) fn open() -> io::Result<Self> {
        let ipv4 = open(Domain::IPV4)?;
        ipv4.set_header_included_v4(true)?;
        ipv4.set_multicast_all_v4(false)?;
        let ipv6 = || -> io::Result<Socket> {
            let socket = open(Domain::IPV6)?;
            socket.set_header_included_v6(true)?;
            socket.set_multicast_all_v6(false)?;
            Ok(socket)
        };
        Ok(Self {
            ipv4,
            ipv6: ipv6().ok(),
        })
    }

    /// Sends the IP packet in an Ethernet frame as it is: source address, TTL, TOS and flags are not
    /// touched. `index` is the interface of a link-local destination; the others are routed.
    pub(super) fn send(&self, index: u32, frame: &[u8], to: IpAddr) -> io::Result<()> {
        let packet = frame.get(ETHERNET..).ok_or(io::ErrorKind::InvalidInput)?;
        let (socket, to) = match to {
            IpAddr::V4(_) => (Some(&self.ipv4), SocketAddr::new(to, 0)),
            IpAddr::V6(to) => {
                let scope = if to.is_unicast_link_local() { index } else { 0 };
                (self.ipv6.as_ref(), SocketAddrV6::new(to, 0, 0, scope).into())
            }
        };
        let socket = socket.ok_or(io::ErrorKind::Unsupported)?;
        socket.send_to(packet, &to.into()).map(drop)
    }
}

fn open(domain: Domain) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(carp_proto::IP_PROTOCOL));
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.attach_filter(&filter::NOTHING)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
