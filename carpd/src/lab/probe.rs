//! `carpd lab-probe`: the client. It pings, listens to advertisements, and writes what it sees, one JSON line for
//! each observation.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};

use carp_fsm::Instant;
use carp_proto::{FrameClass, Packet, checksum, frame};
use carp_std::Link;
use carp_std::linux::{Clock, LinuxLink};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use super::measure::{Advertisement, Observation, PING_INTERVAL, PING_PATIENCE, Ping};

/// Types of ICMP messages, and of ICMPv6.
const ECHO_REPLY: [u8; 2] = [0, 129];
const ECHO_REQUEST: [u8; 2] = [8, 128];
/// An echo without data.
const ECHO_LEN: usize = 8;

/// Pings `target` and listens on `interface` until standard output is closed.
pub(crate) fn run(target: IpAddr, interface: &str) -> io::Result<Infallible> {
    let mut link = LinuxLink::new().map_err(io::Error::other)?;
    link.add_interface(interface).map_err(io::Error::other)?;
    let mut pinger = Pinger::new(target)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut write = |observation: Observation| -> io::Result<()> {
        serde_json::to_writer(&mut out, &observation)?;
        out.write_all(b"\n")?;
        out.flush()
    };
    loop {
        listen(&mut link, target, &mut write)?;
        pinger.work(&mut write)?;
        let wait = pinger.next - Clock.now();
        let wait = Timespec::try_from(std::time::Duration::from(wait)).map_err(io::Error::other)?;
        let mut sources = [
            PollFd::new(&link, PollFlags::IN),
            PollFd::new(&pinger.socket, PollFlags::IN),
        ];
        match poll(&mut sources, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reports the advertisements of the target's family that have arrived, those of VRRP included.
fn listen(
    link: &mut LinuxLink,
    target: IpAddr,
    write: &mut impl FnMut(Observation) -> io::Result<()>,
) -> io::Result<()> {
    while link.poll_change().is_some() {} // else the link's descriptor stays readable
    let mut buffer = [0; 256];
    while let Some((_, len)) = link.recv(&mut buffer) {
        let at = Clock.now();
        let FrameClass::Carp { meta, payload } = frame::classify(&buffer[..len]) else {
            continue;
        };
        if meta.src.is_ipv4() != target.is_ipv4() {
            continue;
        }
        let advertisement = |vhid, advbase, advskew| Advertisement {
            at,
            source: meta.src,
            vhid,
            advbase,
            advskew,
        };
        if let Some(vrrp) = frame::Vrrp::recognise(payload) {
            write(Observation::Advertisement(advertisement(
                vrrp.vrid,
                0,
                !vrrp.priority,
            )))?;
        } else if let Ok(packet) = Packet::new_checked(payload) {
            let (advbase, advskew) = (packet.advbase().get(), packet.advskew().get());
            write(Observation::Advertisement(advertisement(
                packet.vhid_raw(),
                advbase,
                advskew,
            )))?;
        }
    }
    Ok(())
}

struct Pinger {
    socket: Socket,
    target: IpAddr,
    /// Tells our echoes from those of other processes.
    id: u16,
    sequence: u16,
    /// When the next one is due.
    next: Instant,
    /// Sent and not reported, oldest first.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    sequence: u16,
    at: Instant,
    answered: bool,
}

impl Pinger {
    fn new(target: IpAddr) -> io::Result<Self> {
        let (domain, protocol) = match target {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        let [low, high, ..] = std::process::id().to_le_bytes();
        Ok(Self {
            socket,
            target,
            id: u16::from_le_bytes([low, high]),
            sequence: 0,
            next: Clock.now(),
            waiting: VecDeque::new(),
        })
    }

    /// Reads answers, reports, and sends what is due.
    fn work(&mut self, write: &mut impl FnMut(Observation) -> io::Result<()>) -> io::Result<()> {
        self.receive()?;
        let now = Clock.now();
        while let Some(oldest) = self.waiting.front()
            && (oldest.answered || now - oldest.at > PING_PATIENCE)
        {
            let ping = Ping {
                at: oldest.at,
                answered: oldest.answered,
            };
            self.waiting.pop_front();
            write(Observation::Ping(ping))?;
        }
        // After a pause several are due: a ping stands for 10 ms, whatever keeps us from sending it in time.
        while self.next <= now {
            self.send(now);
            self.next = self.next + PING_INTERVAL;
        }
        Ok(())
    }

    fn send(&mut self, now: Instant) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut echo = [0; ECHO_LEN];
        echo[0] = ECHO_REQUEST[usize::from(self.target.is_ipv6())];
        echo[4..6].copy_from_slice(&self.id.to_be_bytes());
        echo[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        // For ICMPv6 the kernel does it, which knows the source address.
        let sum = checksum(&echo).to_be_bytes();
        echo[2..4].copy_from_slice(&sum);
        // One that could not be sent is not answered.
        let _ = self
            .socket
            .send_to(&echo, &SocketAddr::new(self.target, 0).into());
        self.waiting.push_back(Waiting {
            sequence: self.sequence,
            at: now,
            answered: false,
        });
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut packet = [0; 128];
        loop {
            let (len, source) = match recvfrom(&self.socket, &mut packet, RecvFlags::empty()) {
                Ok((len, _, source)) => (len, source),
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let now = Clock.now();
            let source = source.and_then(|source| SocketAddr::try_from(source).ok());
            if source.is_some_and(|source| source.ip() == self.target)
                && let Some(sequence) = self.reply(&packet[..len])
                && let Some(waiting) = self
                    .waiting
                    .iter_mut()
                    .find(|waiting| waiting.sequence == sequence)
                && now - waiting.at <= PING_PATIENCE
            {
                waiting.answered = true;
            }
        }
    }

    /// The sequence number of what answers one of our echoes. A raw socket gets the IP header with it, but for IPv6.
    fn reply(&self, packet: &[u8]) -> Option<u16> {
        let v6 = self.target.is_ipv6();
        let header_len = if v6 {
            0
        } else {
            usize::from(packet.first()? & 0x0f) * 4
        };
        let &[kind, _, _, _, id0, id1, sequence0, sequence1] =
            packet.get(header_len..)?.first_chunk::<ECHO_LEN>()?;
        let ours = kind == ECHO_REPLY[usize::from(v6)] && u16::from_be_bytes([id0, id1]) == self.id;
        ours.then_some(u16::from_be_bytes([sequence0, sequence1]))
    }
}
