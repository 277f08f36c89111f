//! Many nodes on one simulated network, in virtual time, deterministic by seed.
//!
//! It drives the shipping [`Node`] as an adapter does, with real frames: what is sent is classified,
//! verified and decided exactly as on a wire. Use it to see what *your* configuration does when a
//! cable is cut:
//!
//! ```
//! use carp_fsm::sim::{NodePlan, Sim, virtual_host};
//! use carp_fsm::{Duration, HostConfig, State};
//! use carp_proto::Vhid;
//!
//! let vhid = Vhid::new(7).unwrap();
//! let mut sim = Sim::new(1);
//! let a = sim.add(NodePlan::new("a", [10, 0, 0, 1]).host(virtual_host(vhid, 0)))?;
//! let b = sim.add(NodePlan::new("b", [10, 0, 0, 2]).host(virtual_host(vhid, 100)))?;
//! sim.run_for(Duration::from_secs(5));
//! assert_eq!(sim.states(vhid), [State::Master, State::Backup]);
//!
//! sim.crash(a);
//! sim.run_for(Duration::from_secs(5));
//! assert_eq!(sim.states(vhid), [State::Init, State::Master]);
//! for entry in sim.trace() {
//!     println!("{entry}");
//! }
//! # Ok::<(), carp_fsm::ConfigError>(())
//! ```
//!
//! which prints, among other lines,
//!
//! ```text
//!     0.000000  a  INIT -> BACKUP (initialization complete)
//!     0.000000  b  INIT -> BACKUP (initialization complete)
//!     3.000000  a  BACKUP -> MASTER (master timed out)
//!     3.000000  a  owns the addresses
//!     3.000000  a  announces
//!     3.000000  a  advertises
//!     3.000092  b  hears 1/0 from 10.0.0.1
//!     5.000000  a  crash
//!     8.390742  b  BACKUP -> MASTER (master timed out)
//! ```
//!
//! # How to test a configuration
//!
//! 1. Build each machine as a [`NodePlan`], from [`HostConfig`](crate::HostConfig)s as your program makes them
//!    ([`virtual_host`] is a short cut). Virtual hosts with different
//!    `iface` are on different segments; all nodes with an interface of the same number are on the same one.
//! 2. Say with [`set_network`](Sim::set_network) how bad the network is, and with [`NodePlan::clock`] how bad the
//!    clocks are.
//! 3. Let time pass, do things, let time pass again:
//!
//! | to a node | |
//! |---|---|
//! | [`crash`](Sim::crash), [`restart`](Sim::restart) | power off, power on |
//! | [`pause`](Sim::pause), [`resume`](Sim::resume) | it does not run for a while, and wakes late |
//! | [`set_link`](Sim::set_link), [`set_link_on`](Sim::set_link_on) | a cable is pulled or plugged, and the node notices |
//! | [`cut`](Sim::cut), [`heal`](Sim::heal) | one direction between two nodes goes dead, and nobody notices |
//! | [`set_sending`](Sim::set_sending) | every transmission fails |
//! | [`refuse_addresses`](Sim::refuse_addresses) | the operating system does not take the addresses |
//! | [`inject`](Sim::inject) | somebody plays it a frame that was [recorded](Sim::record), as it was or forged |
//! | [`command`](Sim::command) | any command of the operator: `hand_over`, `demote`, `shutdown`, .. |
//!
//! 4. Ask [`states`](Sim::states) and [`owners`](Sim::owners), any [`node`](Sim::node), or the [`trace`](Sim::trace).
//!
//! A whole test: two firewalls with a virtual host on each of two segments, on a network that loses one frame of a
//! hundred. When one cable is pulled, both virtual hosts move; when it is plugged in, both come back.
//!
//! ```
//! use carp_fsm::sim::{Network, NodePlan, Sim, virtual_host};
//! use carp_fsm::{Duration, HostConfig, IfaceId, LinkState};
//! use carp_proto::Vhid;
//!
//! const WAN: IfaceId = IfaceId(0);
//! const LAN: IfaceId = IfaceId(1);
//! let (outside, inside) = (Vhid::new(1).unwrap(), Vhid::new(2).unwrap());
//! let firewall = |name, last, advskew| {
//!     let host = |iface, vhid| HostConfig {
//!         iface,
//!         preempt: true,
//!         ..virtual_host(vhid, advskew)
//!     };
//!     let plan = NodePlan::new(name, [10, 0, 0, last]);
//!     plan.host(host(WAN, outside)).host(host(LAN, inside))
//! };
//! for seed in 0..10 {
//!     let mut sim = Sim::new(seed);
//!     sim.set_network(Network {
//!         loss_per_mille: 10,
//!         ..Network::default()
//!     });
//!     let a = sim.add(firewall("a", 1, 0))?;
//!     let b = sim.add(firewall("b", 2, 100))?;
//!     sim.run_for(Duration::from_secs(10));
//!     for (link, owner) in [(LinkState::Down, b), (LinkState::Up, a)] {
//!         sim.set_link_on(a, WAN, link);
//!         sim.run_for(Duration::from_secs(20));
//!         let owners = (sim.owners(outside), sim.owners(inside));
//!         if owners != (vec![owner], vec![owner]) {
//!             sim.trace().iter().for_each(|entry| println!("{entry}"));
//!             panic!("seed {seed}: {owners:?} own the addresses, not {owner}");
//!         }
//!     }
//! }
//! # Ok::<(), carp_fsm::ConfigError>(())
//! ```
//!
//! The same seed and the same calls give the same run, to the microsecond. Try many seeds: each is another order of
//! events. `cargo run --release -p carp-tests --bin sim -- 1000000` of this project is a million such runs.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;

use carp_proto::Vhid;

use crate::config::ConfigError;
use crate::event::EventKind;
use crate::id::{HostId, IfaceId};
use crate::node::Node;
use crate::random::SplitMix64;
use crate::state::State;
use crate::time::{Duration, Instant};

mod faults;
mod member;
mod network;
mod plan;
mod running;
pub mod script;
mod trace;

pub use faults::Fault;
use member::{Delivery, Member};
pub use network::{Network, Recorded};
pub use plan::{NodePlan, virtual_host};
pub use trace::{TraceEntry, TraceKind};

/// Addresses a simulated virtual host can have.
pub const ADDRS: usize = 8;

/// The first segment; enough for most simulations.
pub const SEGMENT: IfaceId = IfaceId(0);

/// A simulated node, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// As in `node 0`.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// The simulation.
pub struct Sim {
    now: Instant,
    network: Network,
    members: Vec<Member>,
    deliveries: BinaryHeap<Reverse<Delivery>>,
    /// When the last frame from one node arrives at another.
    last_arrival: BTreeMap<(NodeId, NodeId), Instant>,
    /// Pairs (from, to) between which nothing passes.
    cut: BTreeSet<(NodeId, NodeId)>,
    sequence: u64,
    random: SplitMix64,
    /// The last frames that were sent, as many as somebody wants to have.
    recorded: VecDeque<Recorded>,
    recorded_at_most: usize,
    trace: Vec<TraceEntry>,
}

impl Sim {
    /// An empty network. The same seed and calls give the same run.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            network: Network::default(),
            members: Vec::new(),
            deliveries: BinaryHeap::new(),
            last_arrival: BTreeMap::new(),
            cut: BTreeSet::new(),
            sequence: 0,
            random: SplitMix64::new(seed),
            recorded: VecDeque::new(),
            recorded_at_most: 0,
            trace: Vec::new(),
        }
    }

    /// How frames that are sent from now on travel.
    pub fn set_network(&mut self, network: Network) {
        self.network = network;
    }

    /// Adds a node and starts it now, unless its plan is one that [`Node::insert`] refuses.
    pub fn add(&mut self, plan: NodePlan) -> Result<NodeId, ConfigError> {
        let id = NodeId(self.members.len());
        self.members.push(Member::new(plan));
        let started = self.start(id);
        if started.is_err() {
            self.members.pop();
        }
        started.map(|()| id)
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What the clock of a node shows: all times that the node speaks of are of this kind.
    pub fn local_time(&self, id: NodeId) -> Instant {
        let member = self.members.get(id.0);
        member.map_or(self.now, |member| member.plan.clock.shows(self.now))
    }

    /// Everything that happened, oldest first.
    pub fn trace(&self) -> &[TraceEntry] {
        &self.trace
    }

    /// Takes the trace, so that a long run does not fill the memory: it starts anew.
    pub fn take_trace(&mut self) -> Vec<TraceEntry> {
        core::mem::take(&mut self.trace)
    }

    /// Name of a node.
    pub fn name(&self, id: NodeId) -> &str {
        self.members.get(id.0).map_or("?", |member| &member.plan.name)
    }

    /// A running node; `None` if it crashed.
    pub fn node(&self, id: NodeId) -> Option<&Node<'static, ADDRS>> {
        self.members.get(id.0)?.running.as_ref()
    }

    /// The virtual host with this vhid on a node, that of the first segment if there are several.
    pub fn host(&self, id: NodeId, vhid: Vhid) -> Option<HostId> {
        let node = self.node(id)?;
        let mut links = self.members.get(id.0)?.links.iter();
        links.find_map(|(segment, _)| node.find(*segment, vhid))
    }

    /// State of the virtual host with this vhid on every node, in order; a crashed node counts as INIT.
    pub fn states(&self, vhid: Vhid) -> Vec<State> {
        let state = |id| self.node(id)?.state(self.host(id, vhid)?);
        (0..self.members.len())
            .map(|index| state(NodeId(index)).unwrap_or(State::Init))
            .collect()
    }

    /// The nodes that have this virtual host's addresses now.
    pub fn owners(&self, vhid: Vhid) -> Vec<NodeId> {
        let owns = |id: &NodeId| {
            self.host(*id, vhid)
                .is_some_and(|host| self.node(*id).is_some_and(|n| n.is_owner(host)))
        };
        (0..self.members.len()).map(NodeId).filter(owns).collect()
    }

    /// Gives a command to a node, with the time that its clock shows, then carries out what follows. Does nothing if
    /// it crashed or is paused.
    pub fn command(&mut self, id: NodeId, command: impl FnOnce(&mut Node<'static, ADDRS>, Instant)) {
        let now = self.local_time(id);
        if let Some(node) = self.running(id) {
            command(node, now);
        }
        self.drain(id);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
    }

    /// Lets time pass until something happens, and lets it happen; false if nothing does until `end`, which is then
    /// the time.
    pub fn step(&mut self, end: Instant) -> bool {
        let Some(at) = self.next_instant().filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(at);
        self.deliver_due();
        self.wake_due();
        true
    }

    /// A node that hears and acts.
    fn running(&mut self, id: NodeId) -> Option<&mut Node<'static, ADDRS>> {
        let member = self.members.get_mut(id.0).filter(|member| !member.paused)?;
        member.running.as_mut()
    }

    fn has_several(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| node.hosts().nth(1).is_some())
    }

    fn vhid_if_several(&self, id: NodeId, host: HostId) -> Option<Vhid> {
        let several = self.has_several(id);
        self.node(id)
            .filter(|_| several)?
            .config(host)
            .map(|config| config.vhid)
    }

    fn note(&mut self, node: NodeId, kind: TraceKind) {
        let vhid = kind.host().and_then(|host| self.vhid_if_several(node, host));
        self.note_about(node, vhid, kind);
    }

    fn note_about(&mut self, node: NodeId, vhid: Option<Vhid>, kind: TraceKind) {
        let entry = TraceEntry {
            at: self.now,
            node,
            name: self.name(node).to_owned(),
            vhid,
            kind,
        };
        self.trace.push(entry);
    }
}

/// Transitions of one node, oldest first, as (when, to).
pub fn transitions(trace: &[TraceEntry], node: NodeId) -> Vec<(Instant, State)> {
    let of_node = trace.iter().filter(|entry| entry.node == node);
    of_node
        .filter_map(|entry| match entry.kind {
            TraceKind::Event(EventKind::Transition { to, .. }) => Some((entry.at, to)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
