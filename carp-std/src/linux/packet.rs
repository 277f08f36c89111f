//! One packet socket per interface: whole Ethernet frames in and out.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use carp_proto::{MULTICAST_V4, MULTICAST_V6};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::{filter, sys};

/// Longest frame that is received, in bytes. The filter cuts longer ones:
/// nothing of protocol 112 comes near it.
pub(super) const MAX_RECEIVED: usize = 2048;

/// Receive buffer in bytes, as the kernel counts them before it doubles the
/// value. A queued advertisement costs at least 768 bytes of it, so that no more
/// than 683 frames can wait.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// No more frames than this can wait in a socket at any moment.
pub(super) const MAX_QUEUED: usize = 2 * RECEIVE_BUFFER / 768 + 1;

/// A packet socket bound to one interface.
#[derive(Debug)]
pub(super) struct PacketSocket {
    socket: Socket,
    /// Never read. They join the two groups, so that the network card lets
    /// 01:00:5e:00:00:12 and 33:33:00:00:00:12 through, and switches which
    /// snoop IGMP and MLD forward advertisements to us.
    _groups: (Socket, Option<Socket>),
}

impl PacketSocket {
    pub(super) fn open(ifindex: u32) -> io::Result<Self> {
        // With protocol 0 no frame arrives before `bind`, that is: before the filter is there.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.attach_filter(&filter::CARP_AND_VRRP)?;
        sys::lock_filter(socket.as_fd())?;
        sys::ignore_outgoing(socket.as_fd())?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        sys::bind_to_interface(socket.as_fd(), ifindex)?;
        Ok(Self {
            socket,
            _groups: (join_v4(ifindex)?, join_v6(ifindex).ok()),
        })
    }

    /// The next waiting frame's length, or `None` if there is none.
    pub(super) fn recv(&self, frame: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match (&self.socket).read(frame) {
                Ok(len) => return Ok(Some(len)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // The interface went down since the last call. The kernel says so once, and the
                // socket works again when the interface comes up.
                Err(e) if e.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Sends one frame, whose source address is taken as it is.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        (&self.socket).write(frame).map(drop)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn join_v4(ifindex: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.join_multicast_v4_n(&MULTICAST_V4, &InterfaceIndexOrAddress::Index(ifindex))?;
    Ok(socket)
}

/// Fails where IPv6 is switched off; nothing is lost then.
fn join_v6(ifindex: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    socket.join_multicast_v6(&MULTICAST_V6, ifindex)?;
    Ok(socket)
}
