//! The few system calls that no safe crate offers: binding a packet socket and
//! setting its options, and ignoring signals. All `unsafe` of this crate is in this file.
#![expect(unsafe_code, reason = "each block is argued")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "libc's constants are wider than the fields they are for; lengths are a few bytes; the kernel's \
              interface indexes are positive ints"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_ushort};

/// Binds a packet socket to one interface and starts the flow of frames of
/// every Ethernet type. The filter must be attached before.
pub(super) fn bind_to_interface(socket: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as c_ushort,
        sll_protocol: (libc::ETH_P_ALL as c_ushort).to_be(),
        sll_ifindex: ifindex as c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer is to a live, fully initialised `sockaddr_ll` and the length is the size
    // of that type. The kernel reads it during the call and keeps no pointer. The descriptor is
    // open for as long as it is borrowed.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    })
}

/// Keeps the frames which this machine sends out of a packet socket.
pub(super) fn ignore_outgoing(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)
}

/// Makes the socket's filter permanent: nobody can take it off or replace it.
pub(super) fn lock_filter(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_LOCK_FILTER, 1)
}

/// Ignores the signals by which somebody ends a service, for the life of the process.
///
/// SIGABRT is one of them: a watchdog sends it to every process of a service that hangs (systemd does), and
/// whoever tidies up after the one that hangs must outlive it. `abort`, called by this process itself, still
/// ends it.
pub(super) fn ignore_ending_signals() -> io::Result<()> {
    for signal in [
        libc::SIGABRT,
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
    ] {
        // SAFETY: `SIG_IGN` is no function of ours, so that no code of this process runs in a signal
        // handler; the signals are valid and can be ignored.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Puts the calling thread under `SCHED_FIFO`. What it starts does not inherit that.
pub(super) fn set_fifo_priority(priority: u8) -> io::Result<()> {
    // The kernel's `sched_param`. That of musl has more fields, and its function of that name does nothing.
    let parameters = c_int::from(priority);
    // SAFETY: the pointer is to a live `c_int`, as large as the only field that the kernel's type has. The
    // kernel reads it during the call and keeps no pointer. 0 is the calling thread.
    check(unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    } as c_int)
}

fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer is to a live `c_int` and the length is its size. The kernel reads it during
    // the call and keeps no pointer. The descriptor is open for as long as it is borrowed.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    })
}

fn check(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
