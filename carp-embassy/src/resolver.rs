//! Unicast peers, and where they are. Linked only into a firmware that gives memory for them ([`PeerSlots`]).

use core::net::IpAddr;

use carp_fsm::{Duration, Instant, InterfaceInfo, PeerSlot, Storage};
use carp_proto::frame::{Answer, emit_arp_request, emit_neighbor_solicitation};
use carp_proto::{MAX_FRAME_LEN, MacAddr};
use heapless::Vec;

use crate::slots::filled;

/// Whoever was silent for so long is asked again, and spoken to where it was meanwhile: a board that takes the place of
/// another has to hear the MASTER before it takes over itself. A little less than a second: each advertisement asks,
/// though a question leaves later than its advertisement was due.
const PACE: Duration = Duration::from_millis(900);
/// An advertisement waits so long for an answer, and for the first questions only: then it is lost. Those for
/// other peers wait behind it.
const PATIENCE: Duration = Duration::from_millis(20);
/// One question when a peer is configured, when nobody may hear yet, and one with the first advertisement.
const FIRST_QUESTIONS: u8 = 2;

/// What virtual MAC addresses begin with.
const VIRTUAL: [u8; 5] = [0x00, 0x00, 0x5e, 0x00, 0x01];

/// The memory for up to `PEERS` unicast peers (6 at most) of each of `HOSTS` virtual hosts, and for their MAC
/// addresses: about 80 bytes for each, and 90 more. Place it in a static, and give it to
/// [`Slots::with_peers`](crate::Slots::with_peers).
pub struct PeerSlots<const HOSTS: usize, const PEERS: usize> {
    peers: Vec<[PeerSlot; PEERS], HOSTS>,
    table: Table<HOSTS, PEERS>,
}

impl<const HOSTS: usize, const PEERS: usize> PeerSlots<HOSTS, PEERS> {
    /// Nobody in it yet.
    pub const EMPTY: Self = Self {
        peers: Vec::new(),
        table: Table {
            gateways: Vec::new(),
            entries: Vec::new(),
        },
    };

    pub(crate) fn join<'s, const ADDRS: usize>(
        &'s mut self,
        storage: Storage<'s, ADDRS>,
    ) -> Memory<'s, ADDRS> {
        let peers = filled(&mut self.peers, || [PeerSlot::EMPTY; PEERS]);
        filled(&mut self.table.entries, || [Entry::EMPTY; PEERS]);
        self.table.gateways.clear();
        Memory {
            storage: storage.with_peers(peers.as_flattened_mut(), PEERS),
            resolver: Some(&mut self.table),
        }
    }
}

/// What [`Carp::new`](crate::Carp::new) and [`Engine::new`](crate::Engine::new) live in: `&mut`
/// [`Slots`](crate::Slots), or those [with peers](crate::Slots::with_peers).
pub struct Memory<'s, const ADDRS: usize> {
    pub(crate) storage: Storage<'s, ADDRS>,
    pub(crate) resolver: Option<&'s mut (dyn Resolve + Send)>,
}

/// Peers outside of a network are reached over a router in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// An address in the network, our own for example.
    pub network: IpAddr,
    /// The bits of it that all in the network share: 0..=32, or 0..=128.
    pub prefix_len: u8,
    /// The router, of the same family.
    pub router: IpAddr,
}

/// What the engine has of a table, whatever its size. A trait object, so that who has none does not link it.
pub(crate) trait Resolve {
    /// Where a frame for this peer goes. An error: whether to wait a moment for the answer.
    fn resolve(&mut self, now: Instant, peer: IpAddr) -> Result<MacAddr, Unresolved>;

    /// Writes the next question and returns its length. The same again until it has left.
    fn question(
        &mut self,
        now: Instant,
        interface: &InterfaceInfo,
        frame: &mut [u8; MAX_FRAME_LEN],
    ) -> Option<usize>;

    /// The question has left.
    fn asked(&mut self, now: Instant);

    /// A frame that is nothing else to CARP: an answer, perhaps.
    fn handle_frame(&mut self, now: Instant, frame: &[u8], own: MacAddr);

    /// A peer's own advertisement has come from this MAC address, and over no router.
    fn handle_peer(&mut self, now: Instant, peer: IpAddr, mac: MacAddr);

    /// Somebody who says to be at this MAC address asks for an address, or announces its own.
    fn handle_asker(&mut self, now: Instant, address: IpAddr, mac: MacAddr);

    fn set_gateways(&mut self, gateways: [Option<Gateway>; 2]);
}

/// Nobody knows where a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// The answer is on its way.
    Wait,
    /// There is none.
    Silent,
}

/// Next hops. There are as many entries as there can be peers, so one that is still wanted is never pushed out for
/// long.
struct Table<const HOSTS: usize, const PEERS: usize> {
    /// One for each family.
    gateways: Vec<Gateway, 2>,
    entries: Vec<[Entry; PEERS], HOSTS>,
}

/// A next hop that is wanted, and what is known of it.
#[derive(Clone, Copy)]
struct Entry {
    hop: Option<IpAddr>,
    mac: Option<MacAddr>,
    /// Of the last frame for it.
    wanted: Instant,
    /// When that was last heard.
    confirmed: Instant,
    question: Question,
    /// Questions since then.
    unanswered: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    None,
    /// To be sent.
    Due,
    /// Sent then, and open. An answer closes it.
    Open(Instant),
}

impl Entry {
    const EMPTY: Self = Self {
        hop: None,
        mac: None,
        wanted: Instant::ZERO,
        confirmed: Instant::ZERO,
        question: Question::None,
        unanswered: 0,
    };

    /// Asks, unless that was done a moment ago.
    fn ask(&mut self, now: Instant) {
        match self.question {
            Question::Open(at) if now < at + PACE => {}
            _ => self.question = Question::Due,
        }
    }

    /// Asks everybody, as it was seen elsewhere. Not believed yet: who has a recording of the peer can say so, too.
    fn doubt(&mut self, now: Instant) {
        self.unanswered = self.unanswered.max(1);
        self.ask(now);
    }

    fn asked(&mut self, now: Instant) {
        self.question = Question::Open(now);
        self.unanswered = self.unanswered.saturating_add(1);
    }

    fn learn(&mut self, now: Instant, mac: MacAddr) {
        (self.mac, self.confirmed) = (Some(mac), now);
        (self.question, self.unanswered) = (Question::None, 0);
    }

    /// May the answer be on its way?
    fn is_patient(&self, now: Instant) -> bool {
        match self.question {
            Question::None => false,
            Question::Due => self.unanswered < FIRST_QUESTIONS,
            Question::Open(at) => self.unanswered <= FIRST_QUESTIONS && now < at + PATIENCE,
        }
    }
}

impl Gateway {
    fn is_near(&self, address: IpAddr) -> bool {
        let (network, address, len) = match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                // In the upper bits, so that one shift does for both.
                let wide = |address: core::net::Ipv4Addr| u128::from(address.to_bits()) << 96;
                (wide(network), wide(address), self.prefix_len.min(32))
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                if address.is_unicast_link_local() {
                    return true;
                }
                (network.to_bits(), address.to_bits(), self.prefix_len.min(128))
            }
            _ => return true,
        };
        let differs = network ^ address;
        differs.leading_zeros() >= len.into()
    }
}

impl<const HOSTS: usize, const PEERS: usize> Table<HOSTS, PEERS> {
    fn hop(&self, peer: IpAddr) -> IpAddr {
        let beyond = |gateway: &&Gateway| !gateway.is_near(peer);
        let gateway = self.gateways.iter().find(beyond);
        gateway.map_or(peer, |gateway| gateway.router)
    }

    fn find(&mut self, hop: IpAddr) -> Option<&mut Entry> {
        let mut entries = self.entries.as_flattened_mut().iter_mut();
        entries.find(|entry| entry.hop == Some(hop))
    }

    fn due(&mut self) -> Option<&mut Entry> {
        let mut entries = self.entries.as_flattened_mut().iter_mut();
        entries.find(|entry| entry.question == Question::Due)
    }

    /// The entry of a next hop, in the place of the one that was not wanted for the longest time if need be.
    fn entry(&mut self, hop: IpAddr) -> Option<&mut Entry> {
        let rank = |entry: &Entry| (entry.hop != Some(hop), entry.hop.is_some(), entry.wanted);
        let entry = self
            .entries
            .as_flattened_mut()
            .iter_mut()
            .min_by_key(|entry| rank(entry))?;
        if entry.hop != Some(hop) {
            *entry = Entry {
                hop: Some(hop),
                ..Entry::EMPTY
            };
        }
        Some(entry)
    }
}

impl<const HOSTS: usize, const PEERS: usize> Resolve for Table<HOSTS, PEERS> {
    fn resolve(&mut self, now: Instant, peer: IpAddr) -> Result<MacAddr, Unresolved> {
        let hop = self.hop(peer);
        let entry = self.entry(hop).ok_or(Unresolved::Silent)?;
        entry.wanted = now;
        if entry.mac.is_none() || now >= entry.confirmed + PACE {
            entry.ask(now);
        }
        entry.mac.ok_or(if entry.is_patient(now) {
            Unresolved::Wait
        } else {
            Unresolved::Silent
        })
    }

    fn question(
        &mut self,
        now: Instant,
        interface: &InterfaceInfo,
        frame: &mut [u8; MAX_FRAME_LEN],
    ) -> Option<usize> {
        let mac = interface.mac;
        while let Some(entry) = self.due() {
            let len = match (entry.hop, interface.ipv4, interface.ipv6) {
                (Some(IpAddr::V4(hop)), Some(own), _) => emit_arp_request(mac, own, hop, frame),
                (Some(IpAddr::V6(hop)), _, Some(own)) => emit_neighbor_solicitation(mac, own, hop, frame),
                // Nobody to ask as: later.
                _ => {
                    entry.question = Question::Open(now);
                    continue;
                }
            };
            // Only the first time is it asked where it was: nobody else need hear that.
            if let (Some(mac), 0, Some(destination)) = (entry.mac, entry.unanswered, frame.first_chunk_mut())
            {
                *destination = mac.0;
            }
            return Some(len);
        }
        None
    }

    fn asked(&mut self, now: Instant) {
        if let Some(entry) = self.due() {
            entry.asked(now);
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: &[u8], own: MacAddr) {
        if let Some(answer) = Answer::recognise(frame, own)
            && let Some(entry) = self.find(answer.address)
            && let Question::Open(at) = entry.question
            && now < at + PACE
        {
            entry.learn(now, answer.mac);
        }
    }

    fn handle_peer(&mut self, now: Instant, peer: IpAddr, mac: MacAddr) {
        // A virtual MAC address is wherever the MASTER is.
        if mac.is_group() || mac.0.starts_with(&VIRTUAL) || self.hop(peer) != peer {
            return;
        }
        let mut entries = self.entries.as_flattened_mut().iter_mut();
        // Nobody makes room for whom we do not speak to.
        let Some(entry) = entries.find(|entry| entry.hop.is_none_or(|hop| hop == peer)) else {
            return;
        };
        entry.hop = Some(peer);
        match entry.mac {
            None => entry.learn(now, mac),
            Some(known) if known == mac => entry.confirmed = now,
            // The digest does not cover MAC addresses.
            Some(_) => entry.doubt(now),
        }
    }

    fn handle_asker(&mut self, now: Instant, address: IpAddr, mac: MacAddr) {
        if let Some(entry) = self.find(address)
            && entry.mac.is_some_and(|known| known != mac)
        {
            entry.doubt(now);
        }
    }

    fn set_gateways(&mut self, gateways: [Option<Gateway>; 2]) {
        self.gateways.clear();
        // Not collected: that would panic, for all the compiler knows.
        for gateway in gateways.into_iter().flatten() {
            let _ = self.gateways.push(gateway);
        }
    }
}
