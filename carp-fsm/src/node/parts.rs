//! What a node can do without: linked only into a firmware that brings the memory for it, or asks for it.
//!
//! The node calls these parts by pointers, and nobody names their functions but the method of
//! [`Storage`](crate::Storage) that takes the memory, or that of the node which is the reason for them. A firmware that
//! does not call that method has none of the part in its flash; to the node it is a part that remembers nothing.

use core::net::IpAddr;

use carp_proto::{Advertisement, Authenticator, Counter, Interval, RxMeta, Verified};

use super::Node;
use super::keys::Keys;
use super::neighbours::{self, Spoke};
use super::peers::Peers;
use super::replay::{Memory, Verdict};
use crate::id::IfaceId;
use crate::state::Transition;
use crate::time::Instant;

/// The parts that are there.
#[derive(Clone, Copy)]
pub(crate) struct Parts<const ADDRS: usize> {
    pub(crate) replays: Option<&'static ReplayPart>,
    pub(crate) keys: Option<&'static KeyPart<ADDRS>>,
    pub(crate) peers: Option<&'static PeerPart>,
    pub(crate) neighbours: Option<&'static NeighbourPart<ADDRS>>,
    pub(crate) splits: Option<&'static SplitPart<ADDRS>>,
    pub(crate) removal: Option<&'static RemovalPart<ADDRS>>,
}

impl<const ADDRS: usize> Parts<ADDRS> {
    pub(crate) const NONE: Self = Self {
        replays: None,
        keys: None,
        peers: None,
        neighbours: None,
        splits: None,
        removal: None,
    };

    #[cfg(feature = "alloc")]
    pub(crate) const ALL: Self = Self {
        replays: Some(&ReplayPart::LINKED),
        keys: Some(&KeyPart::LINKED),
        peers: Some(&PeerPart::LINKED),
        neighbours: Some(&NeighbourPart::LINKED),
        splits: Some(&SplitPart::LINKED),
        // Linked by the call that needs it.
        removal: None,
    };
}

/// Counters that were heard or sent: [`Storage::with_replay_memory`](crate::Storage::with_replay_memory).
pub(crate) struct ReplayPart {
    pub(super) clear: fn(&mut Memory<'_>, u16),
    pub(super) hear: fn(&mut Memory<'_>, Instant, u16, Counter, Interval, bool) -> Verdict,
    pub(super) sent: fn(&mut Memory<'_>, Instant, u16, Counter, Interval),
    pub(super) not_sent: fn(&mut Memory<'_>, u16, u64),
}

impl ReplayPart {
    pub(crate) const LINKED: Self = Self {
        clear: |memory, host| memory.clear(host),
        hear: |memory, now, host, counter, interval, repeat| {
            memory.hear(now, host, counter, interval, repeat)
        },
        sent: |memory, now, host, counter, interval| memory.sent(now, host, counter, interval),
        not_sent: |memory, host, counter| memory.not_sent(host, counter),
    };
}

type Understood = Verified<Advertisement>;

/// Authenticators of before a change: [`Storage::with_spare_keys`](crate::Storage::with_spare_keys).
pub(crate) struct KeyPart<const ADDRS: usize> {
    pub(super) clear: fn(&mut Keys<'_>, u16),
    pub(super) replace: fn(&mut Keys<'_>, Instant, u16, Authenticator, Option<Authenticator>) -> bool,
    pub(super) until: fn(&Keys<'_>, u16) -> Option<Instant>,
    pub(super) end_change: fn(&mut Node<'_, ADDRS>, Instant, u16),
    pub(super) signing: for<'k> fn(&'k Keys<'_>, u16) -> Option<&'k Authenticator>,
    pub(super) verify: fn(&Keys<'_>, Instant, u16, &[u8]) -> Option<Understood>,
}

impl<const ADDRS: usize> KeyPart<ADDRS> {
    pub(crate) const LINKED: Self = Self {
        clear: |keys, host| keys.clear(host),
        replace: |keys, until, host, signed, other| keys.replace(until, host, signed, other),
        until: |keys, host| keys.until(host),
        end_change: |node, now, slot| node.end_change(now, slot),
        signing: |keys, host| keys.signing(host),
        verify: |keys, now, host, payload| keys.verify(now, host, payload),
    };
}

/// Peers that are reached by unicast: [`Storage::with_peers`](crate::Storage::with_peers).
pub(crate) struct PeerPart {
    pub(super) clear: fn(&mut Peers<'_>, u16),
    pub(super) address: fn(&Peers<'_>, u16, usize) -> Option<IpAddr>,
    pub(super) min_ttl: fn(&Peers<'_>, u16, IpAddr) -> u8,
}

impl PeerPart {
    pub(crate) const LINKED: Self = Self {
        clear: |peers, host| _ = peers.set(host, &[]),
        address: |peers, host, index| peers.address(host, index),
        min_ttl: |peers, host, sender| peers.min_ttl(host, sender),
    };
}

/// Others that are told of: [`Storage::with_neighbours`](crate::Storage::with_neighbours).
pub(crate) struct NeighbourPart<const ADDRS: usize> {
    pub(super) note: fn(&mut Node<'_, ADDRS>, Instant, IfaceId, &RxMeta, Spoke, &[u8]),
}

impl<const ADDRS: usize> NeighbourPart<ADDRS> {
    pub(crate) const LINKED: Self = Self {
        note: neighbours::note,
    };
}

/// Groups on several interfaces, which are split or move: not with
/// [`Storage::on_one_interface`](crate::Storage::on_one_interface).
pub(crate) struct SplitPart<const ADDRS: usize> {
    pub(super) look_later: fn(&mut Node<'_, ADDRS>, Instant, u16, Transition),
    pub(super) hurry: fn(&mut Node<'_, ADDRS>, Instant),
    pub(super) look: fn(&mut Node<'_, ADDRS>, Instant),
}

impl<const ADDRS: usize> SplitPart<ADDRS> {
    pub(crate) const LINKED: Self = Self {
        look_later: |node, now, slot, transition| node.look_later(now, slot, transition),
        hurry: |node, now| node.hurry_groups(now),
        look: |node, now| node.look_for_splits(now),
    };
}

/// Virtual hosts that go: [`Node::remove`].
pub(crate) struct RemovalPart<const ADDRS: usize> {
    pub(super) forget_if_removed: fn(&mut Node<'_, ADDRS>, Instant, u16),
}

impl<const ADDRS: usize> RemovalPart<ADDRS> {
    pub(super) const LINKED: Self = Self {
        forget_if_removed: |node, now, slot| node.forget_if_removed(now, slot),
    };
}

impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// A host moved into this slot, or left it: nothing is remembered of the one before.
    pub(super) fn forget(&mut self, slot: u16) {
        if let Some(replays) = self.parts.replays {
            (replays.clear)(&mut self.memory, slot);
        }
        if let Some(keys) = self.parts.keys {
            (keys.clear)(&mut self.keys, slot);
        }
        if let Some(peers) = self.parts.peers {
            (peers.clear)(&mut self.peers, slot);
        }
    }
}
