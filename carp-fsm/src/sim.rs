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

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap};
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use carp_proto::Vhid;
use carp_proto::frame::{FrameClass, MAX_FRAME_LEN, classify};

use crate::action::{Action, TransmitResult};
use crate::config::{ConfigError, InterfaceInfo, LinkState};
use crate::event::EventKind;
use crate::id::{HostId, IfaceId};
use crate::node::Node;
use crate::random::SplitMix64;
use crate::state::State;
use crate::storage::Storage;
use crate::time::{Duration, Instant};

mod plan;
pub mod script;
mod trace;

pub use plan::{Network, NodePlan, virtual_host};
pub use trace::{TraceEntry, TraceKind};

/// Addresses a simulated virtual host can have.
pub const ADDRS: usize = 8;

/// The one segment that all simulated nodes are on.
pub const SEGMENT: IfaceId = IfaceId(0);

/// A simulated node, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

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
    trace: Vec<TraceEntry>,
}

struct Member {
    plan: NodePlan,
    /// `None`: crashed, or never started.
    running: Option<Node<'static, ADDRS>>,
    link: LinkState,
}

/// A frame under way. Ordered by arrival; `sequence` keeps the order of sending among equals.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Delivery {
    at: Instant,
    sequence: u64,
    to: NodeId,
    from: NodeId,
    frame: Vec<u8>,
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
            trace: Vec::new(),
        }
    }

    /// Loss, delay and order from now on.
    pub fn set_network(&mut self, network: Network) {
        self.network = network;
    }

    /// Adds a node and starts it now, unless its plan is one that [`Node::insert`] refuses.
    pub fn add(&mut self, plan: NodePlan) -> Result<NodeId, ConfigError> {
        let id = NodeId(self.members.len());
        let link = LinkState::Up;
        self.members.push(Member {
            plan,
            running: None,
            link,
        });
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

    /// Everything that happened, oldest first.
    pub fn trace(&self) -> &[TraceEntry] {
        &self.trace
    }

    /// Name of a node.
    pub fn name(&self, id: NodeId) -> &str {
        self.members.get(id.0).map_or("?", |member| &member.plan.name)
    }

    /// A running node; `None` if it crashed.
    pub fn node(&self, id: NodeId) -> Option<&Node<'static, ADDRS>> {
        self.members.get(id.0)?.running.as_ref()
    }

    /// The virtual host with this vhid on a node.
    pub fn host(&self, id: NodeId, vhid: Vhid) -> Option<HostId> {
        self.node(id)?.find(SEGMENT, vhid)
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

    /// Gives a command to a running node, then carries out what follows. Does nothing if it crashed.
    pub fn command(&mut self, id: NodeId, command: impl FnOnce(&mut Node<'static, ADDRS>, Instant)) {
        let now = self.now;
        if let Some(node) = self.running(id) {
            command(node, now);
        }
        self.drain(id);
    }

    /// The node stops dead: no bow-out, and what it held is gone.
    pub fn crash(&mut self, id: NodeId) {
        self.note(id, TraceKind::Fault("crash"));
        if let Some(member) = self.members.get_mut(id.0) {
            member.running = None;
        }
    }

    /// Starts a crashed node again, with its plan.
    pub fn restart(&mut self, id: NodeId) {
        self.note(id, TraceKind::Fault("restart"));
        // The plan was accepted before.
        let _ = self.start(id);
    }

    /// Nothing passes from one node to the other, until healed. One way only.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.note(from, TraceKind::Fault("cut off"));
        self.cut.insert((from, to));
    }

    /// Undoes [`cut`](Self::cut).
    pub fn heal(&mut self, from: NodeId, to: NodeId) {
        self.note(from, TraceKind::Fault("healed"));
        self.cut.remove(&(from, to));
    }

    /// Pulls (or plugs) the cable of a node, which notices.
    pub fn set_link(&mut self, id: NodeId, link: LinkState) {
        self.note(
            id,
            TraceKind::Fault(if link == LinkState::Up {
                "cable plugged in"
            } else {
                "cable pulled"
            }),
        );
        if let Some(member) = self.members.get_mut(id.0) {
            member.link = link;
        }
        self.report_interface(id);
        self.drain(id);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.next_instant().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.deliver_due();
            self.wake_due();
        }
        self.now = end;
    }

    fn next_instant(&self) -> Option<Instant> {
        let timers = self
            .members
            .iter()
            .filter_map(|member| member.running.as_ref()?.next_deadline());
        let arrival = self.deliveries.peek().map(|Reverse(delivery)| delivery.at);
        timers.chain(arrival).min()
    }

    fn deliver_due(&mut self) {
        while self
            .deliveries
            .peek()
            .is_some_and(|Reverse(delivery)| delivery.at <= self.now)
        {
            let Some(Reverse(delivery)) = self.deliveries.pop() else {
                return;
            };
            let (now, to, from) = (self.now, delivery.to, delivery.from);
            let FrameClass::Carp { meta, payload } = classify(&delivery.frame) else {
                continue;
            };
            let connected = self
                .members
                .get(to.0)
                .is_some_and(|member| member.link != LinkState::Down);
            let Some(node) = self.running(to).filter(|_| connected) else {
                continue;
            };
            if node.handle_packet(now, SEGMENT, &meta, payload).is_ok() {
                self.note(to, TraceKind::Heard { from });
            }
            self.drain(to);
        }
    }

    fn wake_due(&mut self) {
        let now = self.now;
        for id in (0..self.members.len()).map(NodeId) {
            let due = |node: &Node<'_, ADDRS>| node.next_deadline().is_some_and(|deadline| deadline <= now);
            let Some(node) = self.running(id).filter(|node| due(node)) else {
                continue;
            };
            node.handle_timeout(now);
            node.handle_drained(now);
            self.drain(id);
        }
    }

    fn start(&mut self, id: NodeId) -> Result<(), ConfigError> {
        let (now, seed) = (self.now, self.random.draw());
        let Some(member) = self.members.get_mut(id.0) else {
            return Ok(());
        };
        let mut node = Node::new(member.plan.policy, seed, Storage::growing());
        for config in &member.plan.hosts {
            node.insert(now, config.clone())?;
        }
        member.running = Some(node);
        self.report_interface(id);
        self.drain(id);
        Ok(())
    }

    fn report_interface(&mut self, id: NodeId) {
        let now = self.now;
        let Some(member) = self.members.get_mut(id.0) else {
            return;
        };
        let info = InterfaceInfo {
            mac: member.plan.mac(),
            ipv4: Some(member.plan.address),
            ipv6: None,
            link: member.link,
        };
        if let Some(node) = &mut member.running {
            node.handle_interface(now, SEGMENT, info);
        }
    }

    /// What every adapter does: events and actions until there are none.
    fn drain(&mut self, id: NodeId) {
        let now = self.now;
        self.note_events(id);
        let mut frame = [0; MAX_FRAME_LEN];
        while let Some(action) = self
            .running(id)
            .and_then(|node| node.poll_action(now, &mut frame))
        {
            match action {
                Action::SetOwner { host, owner, seq } => {
                    if let Some(node) = self.running(id) {
                        node.handle_owner_result(now, host, seq, Ok(()));
                    }
                    self.note(id, TraceKind::Owner { host, owner });
                }
                Action::Transmit { kind, len, tx, .. } => {
                    self.note(id, TraceKind::Sent(kind));
                    self.broadcast(id, frame.get(..len).unwrap_or_default());
                    if let Some(node) = self.running(id) {
                        node.handle_transmit_result(now, tx, TransmitResult::Sent);
                    }
                }
            }
        }
        self.note_events(id);
    }

    fn note_events(&mut self, id: NodeId) {
        while let Some(event) = self.running(id).and_then(Node::poll_event) {
            self.note(id, TraceKind::Event(event.kind));
        }
    }

    fn broadcast(&mut self, from: NodeId, frame: &[u8]) {
        if self
            .members
            .get(from.0)
            .is_none_or(|member| member.link == LinkState::Down)
        {
            return;
        }
        for to in (0..self.members.len()).map(NodeId) {
            let lost = self.random.draw() % 1000 < u64::from(self.network.loss_per_mille);
            if to == from || lost || self.cut.contains(&(from, to)) {
                continue;
            }
            let mut at = self.now + self.network.delay(self.random.draw());
            let last = self.last_arrival.entry((from, to)).or_insert(at);
            if !self.network.reorders {
                at = at.max(*last);
            }
            *last = at;
            self.sequence = self.sequence.saturating_add(1);
            let delivery = Delivery {
                at,
                sequence: self.sequence,
                to,
                from,
                frame: frame.to_owned(),
            };
            self.deliveries.push(Reverse(delivery));
        }
    }

    fn running(&mut self, id: NodeId) -> Option<&mut Node<'static, ADDRS>> {
        self.members.get_mut(id.0)?.running.as_mut()
    }

    fn note(&mut self, node: NodeId, kind: TraceKind) {
        let name: String = self.name(node).to_owned();
        self.trace.push(TraceEntry {
            at: self.now,
            node,
            name,
            kind,
        });
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
