//! The node's memory: the caller's, or (feature `alloc`) memory that grows.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use carp_proto::{AdvBase, AdvSkew, Authenticator, Counter, Interval};

use crate::config::InterfaceInfo;
use crate::event::Event;
use crate::host::Host;
#[cfg(feature = "alloc")]
use crate::host::MAX_PEERS;
use crate::ledger::Ledger;
use crate::node::{KeyPart, Neighbour, NeighbourPart, Parts, Peer, PeerPart, ReplayPart, SplitPart};
use crate::time::Instant;

/// Memory of a [`Node`](crate::Node).
///
/// On a microcontroller, four static arrays:
///
/// ```
/// use carp_fsm::{EventSlot, GroupSlot, HostSlot, InterfaceSlot, Storage};
///
/// let mut hosts = [const { HostSlot::<4>::EMPTY }; 2];
/// let mut interfaces = [InterfaceSlot::EMPTY; 1];
/// let mut groups = [const { GroupSlot::EMPTY }; 1];
/// let mut events = [EventSlot::EMPTY; 16];
/// let storage = Storage::borrowed(&mut hosts, &mut interfaces, &mut groups, &mut events);
/// # let _ = storage;
/// ```
///
/// On a host, [`Storage::growing`].
///
/// What the `with_` methods bring memory for is linked only if they are called: a firmware pays in flash for nothing
/// that it does not use.
pub struct Storage<'s, const ADDRS: usize> {
    pub(crate) hosts: Pool<'s, HostSlot<ADDRS>>,
    pub(crate) interfaces: Pool<'s, InterfaceSlot>,
    pub(crate) groups: Pool<'s, GroupSlot>,
    pub(crate) events: Pool<'s, EventSlot>,
    pub(crate) counters: Pool<'s, CounterSlot>,
    pub(crate) counters_per_host: usize,
    pub(crate) keys: Pool<'s, KeySlot>,
    pub(crate) keys_per_host: usize,
    pub(crate) peers: Pool<'s, PeerSlot>,
    pub(crate) peers_per_host: usize,
    pub(crate) neighbours: Pool<'s, NeighbourSlot>,
    pub(crate) neighbours_limit: usize,
    pub(crate) parts: Parts<ADDRS>,
}

impl<'s, const ADDRS: usize> Storage<'s, ADDRS> {
    /// The caller's memory: one slot per virtual host (65 534 at most), interface, group, and event
    /// that waits to be polled.
    pub fn borrowed(
        hosts: &'s mut [HostSlot<ADDRS>],
        interfaces: &'s mut [InterfaceSlot],
        groups: &'s mut [GroupSlot],
        events: &'s mut [EventSlot],
    ) -> Self {
        Self {
            hosts: Pool::Borrowed(hosts),
            interfaces: Pool::Borrowed(interfaces),
            groups: Pool::Borrowed(groups),
            events: Pool::Borrowed(events),
            counters: Pool::Borrowed(&mut []),
            counters_per_host: 0,
            keys: Pool::Borrowed(&mut []),
            keys_per_host: 0,
            peers: Pool::Borrowed(&mut []),
            peers_per_host: 0,
            neighbours: Pool::Borrowed(&mut []),
            neighbours_limit: 0,
            parts: Parts {
                splits: Some(&SplitPart::LINKED),
                ..Parts::NONE
            },
        }
    }

    /// As [`borrowed`](Self::borrowed), for a node with one interface, of which only the first slot is used: no group
    /// can be split between several, and what looks for that is not linked.
    pub fn on_one_interface(
        hosts: &'s mut [HostSlot<ADDRS>],
        interface: &'s mut [InterfaceSlot],
        groups: &'s mut [GroupSlot],
        events: &'s mut [EventSlot],
    ) -> Self {
        let interface = interface.get_mut(..1).unwrap_or_default();
        let mut storage = Self::borrowed(hosts, interface, groups, events);
        storage.parts.splits = None;
        storage
    }

    /// With room to remember this many counters for each virtual host, heard and sent, 16 bytes each, so
    /// that a recorded advertisement is not believed ([`Policy::ignores_replays`]). The memory needs
    /// `per_host` slots for each of the host slots; those for which it is too short remember nothing.
    ///
    /// 8 counters are enough for what comes back from a loop, 64 also for what an attacker plays again
    /// soon.
    ///
    /// [`Policy::ignores_replays`]: crate::Policy::ignores_replays
    #[must_use]
    pub fn with_replay_memory(mut self, memory: &'s mut [CounterSlot], per_host: usize) -> Self {
        self.counters = Pool::Borrowed(memory);
        self.counters_per_host = per_host;
        self.parts.replays = Some(&ReplayPart::LINKED);
        self
    }

    /// With room to remember this many authenticators of each virtual host, 128 bytes each, so that key or
    /// addresses change while others still have the old ones ([`Policy::change_grace`]). One is enough for one
    /// change at a time (two in the OpenBSD dialect with a link-local virtual address). The memory needs
    /// `per_host` slots for each of the host slots; those for which it is too short change at once.
    ///
    /// [`Policy::change_grace`]: crate::Policy::change_grace
    #[must_use]
    pub fn with_spare_keys(mut self, memory: &'s mut [KeySlot], per_host: usize) -> Self {
        self.keys = Pool::Borrowed(memory);
        self.keys_per_host = per_host;
        self.parts.keys = Some(&KeyPart::LINKED);
        self
    }

    /// With room for this many unicast peers of each virtual host, 6 at most, 20 bytes each
    /// ([`Node::set_peers`](crate::Node::set_peers)). Needs `per_host` slots for each of the host slots.
    #[must_use]
    pub fn with_peers(mut self, memory: &'s mut [PeerSlot], per_host: usize) -> Self {
        self.peers = Pool::Borrowed(memory);
        self.peers_per_host = per_host;
        self.parts.peers = Some(&PeerPart::LINKED);
        self
    }

    /// With room for this many others that are told of when they speak here what is not understood or should
    /// not be here ([`EventKind::Neighbour`](crate::EventKind::Neighbour)), 80 bytes each.
    #[must_use]
    pub fn with_neighbours(mut self, memory: &'s mut [NeighbourSlot]) -> Self {
        self.neighbours_limit = memory.len();
        self.neighbours = Pool::Borrowed(memory);
        self.parts.neighbours = Some(&NeighbourPart::LINKED);
        self
    }
}

#[cfg(feature = "alloc")]
impl<const ADDRS: usize> Storage<'static, ADDRS> {
    /// Memory that grows with every virtual host inserted, with a replay memory of 64 counters for each;
    /// room for 4096 events that wait.
    pub fn growing() -> Self {
        Self::growing_with(4096, 64)
    }

    /// Memory that grows with every virtual host inserted; room for so many events that wait, and so many
    /// counters that each host remembers.
    pub fn growing_with(events_that_wait: usize, counters_per_host: usize) -> Self {
        let mut events = Vec::new();
        events.resize_with(events_that_wait, || EventSlot::EMPTY);
        Self {
            hosts: Pool::Growing(Vec::new()),
            interfaces: Pool::Growing(Vec::new()),
            groups: Pool::Growing(Vec::new()),
            events: Pool::Growing(events),
            counters: Pool::Growing(Vec::new()),
            counters_per_host,
            // Grows when something changes for the first time.
            keys: Pool::Growing(Vec::new()),
            keys_per_host: 3,
            peers: Pool::Growing(Vec::new()),
            peers_per_host: MAX_PEERS,
            neighbours: Pool::Growing(Vec::new()),
            neighbours_limit: 64,
            parts: Parts::ALL,
        }
    }
}

/// Memory of one virtual host with up to `ADDRS` addresses.
///
/// Besides its host, a slot lends one cell to each index over all hosts (deadlines, lookup order,
/// ready queue), so that the caller hands over a single slice.
#[derive(Clone, Debug)]
pub struct HostSlot<const ADDRS: usize> {
    pub(crate) host: Option<Host<ADDRS>>,
    pub(crate) generation: u16,
    pub(crate) deadline: Option<Instant>,
    pub(crate) ready_next: Link,
    pub(crate) ready: bool,
    /// Cell of the tournament: who won a match.
    pub(crate) winner: u16,
    /// Cell of the lookup array.
    pub(crate) sorted: u16,
}

impl<const ADDRS: usize> HostSlot<ADDRS> {
    /// No virtual host yet.
    pub const EMPTY: Self = Self::empty();

    const fn empty() -> Self {
        Self {
            host: None,
            generation: 0,
            deadline: None,
            ready_next: Link::NONE,
            ready: false,
            winner: 0,
            sorted: 0,
        }
    }
}

/// [`EMPTY`](HostSlot::EMPTY), written where it is wanted and not copied from flash.
impl<const ADDRS: usize> Default for HostSlot<ADDRS> {
    fn default() -> Self {
        Self::empty()
    }
}

/// The number of a slot or cell, or none, in 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link(u16);

impl Link {
    pub(crate) const NONE: Self = Self(u16::MAX);

    pub(crate) const fn to(number: u16) -> Self {
        Self(number)
    }

    pub(crate) fn get(self) -> Option<u16> {
        (self != Self::NONE).then_some(self.0)
    }
}

/// Memory of one interface.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceSlot {
    pub(crate) info: Option<InterfaceInfo>,
    pub(crate) down_since: Option<Instant>,
}

impl InterfaceSlot {
    /// No interface yet.
    pub const EMPTY: Self = Self::empty();

    const fn empty() -> Self {
        Self {
            info: None,
            down_since: None,
        }
    }
}

/// [`EMPTY`](InterfaceSlot::EMPTY), written where it is wanted and not copied from flash.
impl Default for InterfaceSlot {
    fn default() -> Self {
        Self::empty()
    }
}

/// Memory of one group.
#[derive(Clone, Debug)]
pub struct GroupSlot {
    pub(crate) ledger: Ledger,
    /// Sum of what holds, remembered from the last time it was computed.
    pub(crate) demotion: u16,
    /// A link of it is down, or sending fails: it has a weight in the sum.
    pub(crate) lost: bool,
    /// It was last found split.
    pub(crate) split: bool,
    /// A host of it took over from somebody who was heard, and nobody has looked since.
    pub(crate) moves_here: bool,
    /// When a host of it changed its state, if nobody has looked since.
    pub(crate) changed: Option<Instant>,
}

impl GroupSlot {
    /// No cause holds.
    pub const EMPTY: Self = Self {
        ledger: Ledger::new(),
        demotion: 0,
        lost: false,
        split: false,
        moves_here: false,
        changed: None,
    };
}

/// Memory of one event that waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventSlot {
    pub(crate) event: Option<Event>,
}

impl EventSlot {
    /// No event.
    pub const EMPTY: Self = Self { event: None };
}

/// Memory of one counter of an advertisement.
#[derive(Clone, Copy, Debug)]
pub struct CounterSlot {
    /// 0: nothing is remembered here.
    pub(crate) counter: u64,
    /// When, in 1024 µs; the low 32 bits of it are enough to tell "just now".
    pub(crate) when: u32,
    pub(crate) interval: Interval,
    /// By ourselves.
    pub(crate) sent: bool,
}

impl CounterSlot {
    /// No counter. All zero: an array of them in a static takes no flash.
    pub const EMPTY: Self = Self {
        counter: 0,
        when: 0,
        interval: Interval::new(AdvBase::new(0), AdvSkew::new(0)),
        sent: false,
    };

    pub(crate) fn new(now: Instant, counter: Counter, interval: Interval, sent: bool) -> Self {
        let when = (now.as_micros() >> 10) & u64::from(u32::MAX);
        Self {
            counter: counter.get(),
            when: u32::try_from(when).unwrap_or(0),
            interval,
            sent,
        }
    }
}

const _: () = assert!(size_of::<CounterSlot>() == 16);

/// Memory of one authenticator besides a virtual host's own.
#[derive(Clone, Debug)]
pub struct KeySlot {
    pub(crate) spare: Option<Spare>,
}

#[derive(Clone, Debug)]
pub(crate) struct Spare {
    pub(crate) authenticator: Authenticator,
    /// It was in force when the first of the latest changes came, and signs, too: others may know no other.
    pub(crate) signs: bool,
    /// When the grace of the latest change is over.
    pub(crate) until: Instant,
}

impl KeySlot {
    /// No authenticator.
    pub const EMPTY: Self = Self { spare: None };
}

const _: () = assert!(size_of::<KeySlot>() <= 128);

/// Memory of one unicast peer of a virtual host.
#[derive(Clone, Copy, Debug)]
pub struct PeerSlot {
    pub(crate) peer: Option<Peer>,
}

impl PeerSlot {
    /// No peer.
    pub const EMPTY: Self = Self { peer: None };
}

const _: () = assert!(size_of::<PeerSlot>() <= 20);

/// Memory of one other that spoke here what is not understood or should not be here.
#[derive(Clone, Copy, Debug)]
pub struct NeighbourSlot {
    pub(crate) neighbour: Option<Neighbour>,
    /// When it was last found out what is wrong with it.
    pub(crate) looked: Option<Instant>,
}

impl NeighbourSlot {
    /// Nobody.
    pub const EMPTY: Self = Self {
        neighbour: None,
        looked: None,
    };
}

const _: () = assert!(size_of::<NeighbourSlot>() <= 80);

/// A slice of the caller's, or a vector.
pub(crate) enum Pool<'s, T> {
    Borrowed(&'s mut [T]),
    #[cfg(feature = "alloc")]
    Growing(Vec<T>),
}

impl<T> Pool<'_, T> {
    /// Makes `index` valid, or says that there is no room.
    #[cfg_attr(
        not(feature = "alloc"),
        expect(unused_variables, reason = "only a vector grows")
    )]
    pub(crate) fn ensure(&mut self, index: usize, empty: impl Fn() -> T) -> bool {
        match self {
            Pool::Borrowed(slots) => index < slots.len(),
            #[cfg(feature = "alloc")]
            Pool::Growing(slots) => {
                if index >= slots.len() {
                    slots.resize_with(index.saturating_add(1), empty);
                }
                true
            }
        }
    }
}

#[cfg(feature = "sim")]
impl<T: Clone> Pool<'_, T> {
    /// A copy of memory that grows; the caller's memory cannot be copied.
    pub(crate) fn fork(&self) -> Option<Pool<'static, T>> {
        match self {
            Pool::Borrowed(_) => None,
            Pool::Growing(slots) => Some(Pool::Growing(slots.clone())),
        }
    }
}

impl<T> Deref for Pool<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Pool::Borrowed(slots) => slots,
            #[cfg(feature = "alloc")]
            Pool::Growing(slots) => slots,
        }
    }
}

impl<T> DerefMut for Pool<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Pool::Borrowed(slots) => slots,
            #[cfg(feature = "alloc")]
            Pool::Growing(slots) => slots,
        }
    }
}
