//! `carpd lab-probe`: the client. It pings, listens to advertisements, and writes what it sees, one JSON line for
//! each observation.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, BufWriter, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use carp_fsm::Instant;
use carp_proto::{FrameClass, Packet, checksum, frame};
use carp_std::Link;
use carp_std::linux::{Clock, LinuxLink};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::measure::{Advertisement, Observation, PING_INTERVAL, PING_PATIENCE, Ping};

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
/// An echo without data.
const ECHO_LEN: usize = 8;

/// Pings `target` and listens on `interface` until standard output is closed.
pub(crate) fn run(target: Ipv4Addr, interface: &str) -> io::Result<Infallible> {
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
        listen(&mut link, &mut write)?;
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

/// Reports the advertisements that have arrived.
fn listen(link: &mut LinuxLink, write: &mut impl FnMut(Observation) -> io::Result<()>) -> io::Result<()> {
    while link.poll_change().is_some() {} // else the link's descriptor stays readable
    let mut buffer = [0; 256];
    while let Some((_, len)) = link.recv(&mut buffer) {
        let at = Clock.now();
        if let FrameClass::Carp { meta, payload } = frame::classify(&buffer[..len])
            && let IpAddr::V4(source) = meta.src
            && let Ok(packet) = Packet::new_checked(payload)
        {
            write(Observation::Advertisement(Advertisement {
                at,
                source,
                vhid: packet.vhid_raw(),
                advbase: packet.advbase().get(),
                advskew: packet.advskew().get(),
            }))?;
        }
    }
    Ok(())
}

struct Pinger {
    socket: Socket,
    target: Ipv4Addr,
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
    fn new(target: Ipv4Addr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
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
        echo[0] = ECHO_REQUEST;
        echo[4..6].copy_from_slice(&self.id.to_be_bytes());
        echo[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        let sum = checksum(&echo).to_be_bytes();
        echo[2..4].copy_from_slice(&sum);
        // One that could not be sent is not answered.
        let _ = self
            .socket
            .send_to(&echo, &SocketAddrV4::new(self.target, 0).into());
        self.waiting.push_back(Waiting {
            sequence: self.sequence,
            at: now,
            answered: false,
        });
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut packet = [0; 128];
        loop {
            let len = match (&self.socket).read(&mut packet) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let now = Clock.now();
            if let Some(sequence) = self.reply(&packet[..len])
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

    /// The sequence number of an IP packet that answers one of our echoes.
    fn reply(&self, packet: &[u8]) -> Option<u16> {
        let header_len = usize::from(packet.first()? & 0x0f) * 4;
        let source = packet.get(12..16)?;
        let &[kind, _, _, _, id0, id1, sequence0, sequence1] =
            packet.get(header_len..)?.first_chunk::<ECHO_LEN>()?;
        let ours =
            source == self.target.octets() && kind == ECHO_REPLY && u16::from_be_bytes([id0, id1]) == self.id;
        ours.then_some(u16::from_be_bytes([sequence0, sequence1]))
    }
}
