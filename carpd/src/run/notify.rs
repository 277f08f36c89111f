//! What systemd is told (`sd_notify`): that carpd is ready, that it stops, and that it still does its work.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use carp_fsm::{Duration, Instant};

/// The socket of the service manager, if there is one.
pub(super) struct Notify {
    socket: Option<UnixDatagram>,
    /// Twice in the time after which the service manager takes carpd for dead.
    period: Option<Duration>,
    /// When it has to be told again.
    due: Instant,
}

impl Notify {
    /// Finds the socket by `NOTIFY_SOCKET`, and the watchdog by `WATCHDOG_USEC`.
    ///
    /// # Errors
    ///
    /// The socket is named, but cannot be used. systemd would stop a carpd that it never hears from.
    pub(super) fn from_environment(now: Instant) -> io::Result<Self> {
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let period = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && for_us);
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Ok(Self {
                socket: None,
                period: None,
                due: now,
            });
        };
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?; // it must not hold up the election
        Ok(Self {
            socket: Some(socket),
            period: period.map(|micros| Duration::from_micros(micros / 2)),
            due: now,
        })
    }

    /// The control socket answers, and the election goes on.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is being changed; [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// Addresses are being handed over.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// The loop has come round. To be called in each round, and at the latest when this says.
    pub(super) fn alive(&mut self, now: Instant) -> Option<Instant> {
        let period = self.period?;
        if now >= self.due {
            self.tell("WATCHDOG=1");
            self.due = now + period;
        }
        Some(self.due)
    }

    /// Nobody can be told if this fails, and the election goes on without systemd, too.
    fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(what.as_bytes());
        }
    }
}
