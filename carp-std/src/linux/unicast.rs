//! Packets to one peer, which may be behind routers.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::Range;

use carp_proto::MAX_FRAME_LEN;
use socket2::{Domain, Protocol, Socket, Type};

use super::filter;

/// Length of an Ethernet header in bytes.
const ETHERNET: usize = 14;
/// Where the source address is in an IPv6 header.
const SOURCE_V6: Range<usize> = 8..24;

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

    /// Sends the IP packet in an Ethernet frame as it is: TTL, TOS and flags are not touched, nor is the source, unless
    /// it is link-local and `to` is not: then it is `routed`. `index` is the interface of a link-local destination; the
    /// others are routed.
    pub(super) fn send(
        &self,
        index: u32,
        routed: Option<Ipv6Addr>,
        frame: &[u8],
        to: IpAddr,
    ) -> io::Result<()> {
        let packet = frame.get(ETHERNET..).ok_or(io::ErrorKind::InvalidInput)?;
        let changed = routed.and_then(|routed| from(routed, packet, to));
        let packet = changed
            .as_ref()
            .map_or(packet, |changed| &changed[..packet.len()]);
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

/// The packet from another address, if it must be. No checksum covers that: NetBSD's would, but NetBSD has no peers.
fn from(routed: Ipv6Addr, packet: &[u8], to: IpAddr) -> Option<[u8; MAX_FRAME_LEN]> {
    let mut changed = [0; MAX_FRAME_LEN];
    changed.get_mut(..packet.len())?.copy_from_slice(packet);
    let source: [u8; 16] = packet.get(SOURCE_V6)?.try_into().ok()?;
    let stays_here = Ipv6Addr::from(source).is_unicast_link_local();
    let leaves = matches!(to, IpAddr::V6(to) if !to.is_unicast_link_local());
    changed[SOURCE_V6].copy_from_slice(&routed.octets());
    (stays_here && leaves).then_some(changed)
}

fn open(domain: Domain) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(carp_proto::IP_PROTOCOL));
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.attach_filter(&filter::NOTHING)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
