//! Nodes that are told and heard by unicast (`docs/protocol.md §11`).

use core::fmt;
use core::net::IpAddr;

use super::Node;
use crate::config::HostConfig;
use crate::host::{MAX_PEERS, Unicast};
use crate::id::{HostId, NoSuchHost};
use crate::machine::Input;
use crate::storage::{PeerSlot, Pool};
use crate::time::Instant;

/// Another node of a virtual host, reached by unicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Where it is sent to, and what it sends from.
    pub address: IpAddr,
    /// The lowest TTL or hop limit with which it is heard; it sends 255. 255: it must be on the same segment,
    /// as OpenBSD demands; 255 - n: behind n routers at most; 0: anywhere, as FreeBSD has it.
    pub min_ttl: u8,
}

/// Virtual hosts cannot have these peers. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeersError {
    /// The virtual host does not exist (any longer).
    NoSuchHost(NoSuchHost),
    /// More than 6, or than there is [storage](crate::Storage::with_peers) for.
    NoRoom,
    /// Nobody can be reached at this address: unspecified, multicast, one of the virtual addresses, or given
    /// twice.
    Unusable(IpAddr),
    /// No multicast, and no peer of a family in which the virtual host has addresses: nobody would hear it.
    Nobody,
}

/// The peers of all virtual hosts, the same number of slots for each.
pub(super) struct Peers<'s> {
    slots: Pool<'s, PeerSlot>,
    per_host: usize,
}

/// # Commands of the operator
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// To whom a virtual host advertises: to these peers, each in its family, and with `multicast` also to the
    /// groups of CARP. All nodes must have each other as peers. [`insert`](Self::insert) starts with multicast
    /// and no peers; change it before the actions are drained if that must not be seen.
    ///
    /// A peer is heard at the TTL that it is given, everybody else at 255 only. A MASTER tells new peers at
    /// once.
    pub fn set_peers(
        &mut self,
        now: Instant,
        id: HostId,
        multicast: bool,
        peers: &[Peer],
    ) -> Result<(), PeersError> {
        let now = self.clamp(now);
        let unknown = PeersError::NoSuchHost(NoSuchHost(id));
        let slot = self.hosts.resolve(id).ok_or(unknown)?;
        let host = self.hosts.get_mut(slot).ok_or(unknown)?;
        for (index, peer) in peers.iter().enumerate() {
            let address = peer.address;
            let twice = peers.iter().take(index).any(|other| other.address == address);
            let nobody = address.is_unspecified() || address.is_multicast();
            if twice || nobody || host.config.addresses.contains(&address) {
                return Err(PeersError::Unusable(address));
            }
        }
        let unicast = Unicast::new(multicast, peers);
        if !unicast.reaches_somebody(&host.config.addresses) {
            return Err(PeersError::Nobody);
        }
        if peers.len() > MAX_PEERS || !self.peers.set(slot, peers) {
            return Err(PeersError::NoRoom);
        }
        host.unicast = unicast;
        host.keep_destinations();
        self.step(now, slot, Input::Reconfigured, None);
        Ok(())
    }

    /// The peers of a virtual host.
    pub fn peers(&self, host: HostId) -> impl Iterator<Item = &Peer> {
        let slot = self.hosts.resolve(host);
        slot.into_iter().flat_map(|slot| self.peers.of(slot))
    }
}

impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// Can a virtual host with the peers that it has be changed to this?
    pub(super) fn suits_peers(&self, slot: u16, config: &HostConfig<ADDRS>) -> Result<(), PeersError> {
        let (Some(part), Some(host)) = (self.parts.peers, self.hosts.get(slot)) else {
            return Ok(());
        };
        let mut peers = (0..MAX_PEERS).filter_map(|index| (part.address)(&self.peers, slot, index));
        if let Some(address) = peers.find(|address| config.addresses.contains(address)) {
            return Err(PeersError::Unusable(address));
        }
        if !host.unicast.reaches_somebody(&config.addresses) {
            return Err(PeersError::Nobody);
        }
        Ok(())
    }
}

impl<'s> Peers<'s> {
    pub(super) fn new(slots: Pool<'s, PeerSlot>, per_host: usize) -> Self {
        Self { slots, per_host }
    }

    /// False: there is no room.
    pub(super) fn set(&mut self, host: u16, peers: &[Peer]) -> bool {
        let start = usize::from(host).saturating_mul(self.per_host);
        let end = start.saturating_add(self.per_host);
        let last = start.saturating_add(peers.len()).checked_sub(1);
        let room = peers.len() <= self.per_host;
        if !room || last.is_some_and(|last| !self.slots.ensure(last, || PeerSlot::EMPTY)) {
            return false;
        }
        let end = end.min(self.slots.len());
        let mut rest = peers.iter();
        for slot in self.slots.get_mut(start..end).unwrap_or_default() {
            slot.peer = rest.next().copied();
        }
        true
    }

    pub(super) fn address(&self, host: u16, index: usize) -> Option<IpAddr> {
        Some(self.of(host).nth(index)?.address)
    }

    /// The lowest TTL with which this sender is heard. Whoever is no peer may be anybody: it must be on the segment.
    pub(super) fn min_ttl(&self, host: u16, sender: IpAddr) -> u8 {
        let known = self.of(host).find(|peer| peer.address == sender);
        known.map_or(u8::MAX, |peer| peer.min_ttl)
    }

    fn of(&self, host: u16) -> impl Iterator<Item = &Peer> {
        let start = usize::from(host).saturating_mul(self.per_host);
        let slots = self.slots.iter().skip(start).take(self.per_host);
        slots.map_while(|slot| slot.peer.as_ref())
    }

    #[cfg(feature = "sim")]
    pub(super) fn fork(&self) -> Option<Peers<'static>> {
        Some(Peers {
            slots: self.slots.fork()?,
            per_host: self.per_host,
        })
    }
}

impl fmt::Display for PeersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchHost(error) => error.fmt(f),
            Self::NoRoom => write!(f, "too many peers: at most {MAX_PEERS}, and as many as there is storage for"),
            Self::Unusable(address) => write!(
                f,
                "{address} cannot be a peer: it is no node's own address, or it is given twice"
            ),
            Self::Nobody => f.write_str(
                "without multicast, a virtual host needs a peer of the family of its addresses; add one or leave multicast on",
            ),
        }
    }
}

impl core::error::Error for PeersError {}
