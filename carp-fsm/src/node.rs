//! This computer: many virtual hosts on many interfaces.

use carp_proto::MAX_FRAME_LEN;

use crate::action::{Action, OwnerError, TransmitResult, TxId};
use crate::config::{ConfigError, HostConfig, InterfaceInfo, ReconfigureError};
use crate::event::{Event, EventKind, EventQueue};
use crate::host::{HELD_BACK, Host, IGNORES_LINK, LEFT_FAST, Output, Signature, Wanted};
use crate::hosts::Hosts;
use crate::id::{HostId, IfaceId, NoSuchHost};
use crate::ledger::Cause;
use crate::machine::{Departure, Input, Wishes};
use crate::policy::Policy;
use crate::random::SplitMix64;
use crate::state::State;
use crate::stats::{Stats, bump};
use crate::storage::{GroupSlot, InterfaceSlot, Pool, Storage};
use crate::time::Instant;

/// Many virtual hosts on many interfaces: packets, time and wishes in, actions and events out.
///
/// **The drain rule:** after any input or command call [`poll_action`](Self::poll_action) until it
/// returns `None`, then sleep until [`next_deadline`](Self::next_deadline). Forgetting to drain delays
/// actions, but never loses or reorders one.
///
/// An adapter's loop, whenever it wakes: [`handle_timeout`](Self::handle_timeout); receive what is
/// waiting, [`handle_packet`](Self::handle_packet) each; [`handle_drained`](Self::handle_drained);
/// then drain actions and events.
///
/// `now` must not go backwards; where it does, the latest time given counts.
///
/// The methods come in four kinds: inspection, inputs from the world, commands of the operator, and
/// outputs. Inputs and commands may change the deadline and lead to actions; inspection does not, and
/// draining actions brings the deadline forward only where a removed host is forgotten, and with it what it demoted.
///
/// ```
/// use carp_fsm::{Action, Duration, HostConfig, IfaceId, Instant, InterfaceInfo, LinkState, Node, Policy, State, Storage};
/// use carp_fsm::{EventSlot, GroupSlot, HostSlot, InterfaceSlot};
/// use carp_proto::{Key, MAX_FRAME_LEN, MacAddr, Vhid};
///
/// let (mut hosts, mut interfaces) = ([const { HostSlot::<4>::EMPTY }; 1], [InterfaceSlot::EMPTY; 1]);
/// let (mut groups, mut events) = ([const { GroupSlot::EMPTY }; 1], [EventSlot::EMPTY; 8]);
/// let storage = Storage::borrowed(&mut hosts, &mut interfaces, &mut groups, &mut events);
/// let mut node = Node::new(Policy::HARDENED, 0x5eed, storage);
///
/// let (eth0, now) = (IfaceId(0), Instant::ZERO);
/// node.handle_interface(now, eth0, InterfaceInfo {
///     mac: MacAddr([2, 0, 0, 0, 0, 1]),
///     ipv4: Some([10, 0, 0, 1].into()),
///     ipv6: None,
///     link: LinkState::Up,
/// });
/// let mut config = HostConfig::new(eth0, Vhid::new(7).unwrap(), Key::from_passphrase(b"secret").unwrap());
/// config.addresses.insert([10, 0, 0, 100].into()).unwrap();
/// let host = node.insert(now, config).unwrap();
///
/// // Nobody else is heard: MASTER after 3 * advbase + advskew / 256 seconds.
/// let deadline = node.next_deadline().unwrap();
/// assert_eq!(deadline, now + Duration::from_secs(3));
/// node.handle_timeout(deadline);
/// // Here come the packets that wait, if any.
/// node.handle_drained(deadline);
/// assert_eq!(node.state(host), Some(State::Master));
///
/// let mut frame = [0; MAX_FRAME_LEN];
/// while let Some(action) = node.poll_action(deadline, &mut frame) {
///     match action {
///         Action::SetOwner { .. } => { /* addresses on or off, then handle_owner_result */ }
///         Action::Transmit { len, .. } => { /* send frame[..len], then handle_transmit_result */ assert!(len > 0) }
///     }
/// }
/// ```
pub struct Node<'s, const ADDRS: usize> {
    policy: Policy,
    hosts: Hosts<'s, ADDRS>,
    interfaces: Pool<'s, InterfaceSlot>,
    groups: Pool<'s, GroupSlot>,
    events: EventQueue<'s>,
    stats: Stats,
    memory: Memory<'s>,
    keys: Keys<'s>,
    peers: Peers<'s>,
    neighbours: Neighbours<'s>,
    parts: Parts<ADDRS>,
    random: SplitMix64,
    /// When the announcements of which it is the turn will have left, each taking its part of the window.
    announced_until: Instant,
    now: Instant,
    shutting_down: bool,
    maintenance: bool,
    /// Look for groups that are split then.
    look_at: Option<Instant>,
    /// Services are up, as far as we were asked to wait for them.
    ready: bool,
}

impl<'s, const ADDRS: usize> Node<'s, ADDRS> {
    /// A node without virtual hosts.
    ///
    /// The seed must differ at every start of every node (a hardware random number, or the MAC address
    /// mixed with a boot counter): all counters are drawn from it, and a peer may ignore a counter that
    /// it heard before.
    pub fn new(policy: Policy, seed: u64, storage: Storage<'s, ADDRS>) -> Self {
        Self {
            policy,
            hosts: Hosts::new(storage.hosts),
            interfaces: storage.interfaces,
            groups: storage.groups,
            events: EventQueue::new(storage.events),
            stats: Stats::default(),
            memory: Memory::new(storage.counters, storage.counters_per_host),
            keys: Keys::new(storage.keys, storage.keys_per_host),
            peers: Peers::new(storage.peers, storage.peers_per_host),
            neighbours: Neighbours::new(storage.neighbours, storage.neighbours_limit),
            parts: storage.parts,
            random: SplitMix64::new(seed),
            announced_until: Instant::ZERO,
            now: Instant::ZERO,
            shutting_down: false,
            maintenance: false,
            look_at: None,
            ready: policy.not_ready_demotion_factor == 0,
        }
    }
}

/// # Inputs from the world
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// Time has passed, and packets may be waiting. Early and repeated calls do nothing.
    ///
    /// With [`Policy::hears_first`] nothing acts yet: what is due waits for
    /// [`handle_drained`](Self::handle_drained), and [`next_deadline`](Self::next_deadline) stays in the past
    /// until then.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clamp(now);
        if !self.policy.hears_first {
            self.run_timers(now);
        }
    }

    /// No packet is waiting (or the adapter has taken as many as it takes in one go): what is due acts. Early
    /// and repeated calls do nothing.
    ///
    /// A loop that forgets this never becomes MASTER, and never sleeps.
    pub fn handle_drained(&mut self, now: Instant) {
        let now = self.clamp(now);
        self.run_timers(now);
    }

    /// An interface appeared or changed. One that went away is reported with its link down. Report an
    /// interface before (or after) its virtual hosts are inserted; without a report they stay in INIT.
    ///
    /// Ignored if `iface` is beyond the interface storage.
    pub fn handle_interface(&mut self, now: Instant, iface: IfaceId, info: InterfaceInfo) {
        let now = self.clamp(now);
        let index = usize::from(iface.0);
        if !self.interfaces.ensure(index, || InterfaceSlot::EMPTY) {
            return;
        }
        let usable = self.carries(info.link);
        let Some(slot) = self.interfaces.get_mut(index) else {
            return;
        };
        let other_mac = slot.info.is_some_and(|before| before.mac != info.mac);
        slot.info = Some(info);
        slot.down_since = if usable {
            None
        } else {
            slot.down_since.or(Some(now))
        };
        for rank in self.hosts.ranks_on(iface) {
            if let Some(slot) = self.hosts.at_rank(rank) {
                if let Some(host) = self.hosts.get_mut(slot)
                    && usable
                {
                    host.marks.put(IGNORES_LINK, false);
                }
                self.settle(now, slot);
                if other_mac {
                    self.announce_mac(slot);
                }
            }
        }
        for group in self.group_ids() {
            self.weigh(now, group, Cause::LinkDown(iface), !usable);
        }
    }

    /// What became of a [`Action::Transmit`].
    pub fn handle_transmit_result(&mut self, now: Instant, tx: TxId, result: TransmitResult) {
        let now = self.clamp(now);
        let Some(slot) = self.hosts.resolve(tx.host) else {
            return;
        };
        let Some(host) = self.hosts.get_mut(slot) else {
            return;
        };
        if result != TransmitResult::Sent
            && matches!(tx.output, Output::Advertise(..) | Output::BowOut(..))
            && let Some(replays) = self.parts.replays
        {
            (replays.not_sent)(&mut self.memory, slot, host.last_counter());
        }
        let verdict_changed = match (result, tx.output) {
            (TransmitResult::Busy, output) => {
                bump(&mut self.stats.onomem);
                host.restore(now, output);
                host.marks.put(HELD_BACK, true);
                false
            }
            (_, Output::Advertise(to, Signature::InForce)) => {
                host.reported(now, to, result == TransmitResult::Sent, &self.policy)
            }
            _ => false,
        };
        if result == TransmitResult::Error {
            bump(&mut self.stats.senderr);
        }
        self.reschedule(slot);
        if verdict_changed {
            self.judge_sending(now, slot);
        }
    }

    /// What became of a [`Action::SetOwner`]. A MASTER whose addresses were refused bows out, goes to INIT
    /// and tries again later, each time after twice the time. Addresses that could not be taken off are
    /// tried again every [`Policy::refused_retry`].
    pub fn handle_owner_result(
        &mut self,
        now: Instant,
        host: HostId,
        seq: u32,
        result: Result<(), OwnerError>,
    ) {
        let now = self.clamp(now);
        let Some(slot) = self.hosts.resolve(host) else {
            return;
        };
        let Some(host) = self
            .hosts
            .get_mut(slot)
            .filter(|host| u32::from(host.owner_seq) == seq)
        else {
            return;
        };
        match (host.is_owner(), result) {
            (true, Ok(())) => host.refusals = 0,
            (true, Err(OwnerError)) => {
                // It may be MASTER again before the bow-out has found room, and the addresses be given up.
                host.asked.again();
                self.refused(now, slot);
            }
            (false, Ok(())) => {}
            (false, Err(OwnerError)) => {
                host.still_there(now, self.policy.refused_retry);
                self.reschedule(slot);
            }
        }
    }

    /// Somebody else took addresses off that this machine owns: a MASTER asks for them again, and
    /// announces them. The adapter limits how often, for two programs may quarrel about an address.
    pub fn handle_taken_away(&mut self, now: Instant, id: HostId) {
        let now = self.clamp(now);
        let Some(slot) = self.hosts.resolve(id) else {
            return;
        };
        let owner = |host: &&mut Host<ADDRS>| host.is_owner() && host.state() == State::Master;
        if let Some(host) = self.hosts.get_mut(slot).filter(owner) {
            host.asked.again();
            host.wish(Wishes::OWN.with(Wishes::ANNOUNCE));
            self.hosts.push_ready(slot);
            self.events.push(now, EventKind::TakenAway { host: id });
        }
    }
}

/// # Commands of the operator
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// Adds a virtual host. It starts as BACKUP as soon as its interface can carry it.
    pub fn insert(&mut self, now: Instant, config: HostConfig<ADDRS>) -> Result<HostId, ConfigError> {
        let now = self.clamp(now);
        config.check()?;
        if self.hosts.find(config.iface, config.vhid).is_some() {
            return Err(ConfigError::Duplicate);
        }
        let (iface, group) = (config.iface, config.group);
        if !self
            .interfaces
            .ensure(usize::from(iface.0), || InterfaceSlot::EMPTY)
            || !self.groups.ensure(usize::from(group.0), || GroupSlot::EMPTY)
        {
            return Err(ConfigError::NoRoom);
        }
        let slot = self
            .hosts
            .insert(Host::new(now, config))
            .ok_or(ConfigError::NoRoom)?;
        self.forget(slot);
        self.hosts.push_ready(slot);
        self.settle(now, slot);
        self.demote_with(now, slot);
        Ok(self.hosts.id(slot))
    }

    /// Changes advbase, advskew, profile, preempt, dscp, key or addresses of a virtual host. Anything else is another
    /// virtual host: remove it and insert a new one.
    ///
    /// Nothing is interrupted (unless [`Policy::live_changes`] is off): a MASTER goes on, owns the new
    /// addresses, advertises and announces them at once. All members must change key and addresses within
    /// [`Policy::change_grace`], in any order: for that long each signs with the old ones and with the new ones,
    /// and believes both.
    pub fn reconfigure(
        &mut self,
        now: Instant,
        id: HostId,
        config: HostConfig<ADDRS>,
    ) -> Result<(), ReconfigureError> {
        let now = self.clamp(now);
        config.check().map_err(ReconfigureError::Config)?;
        let unknown = ReconfigureError::NoSuchHost(NoSuchHost(id));
        let slot = self.hosts.resolve(id).ok_or(unknown)?;
        self.suits_peers(slot, &config).map_err(ReconfigureError::Peers)?;
        let host = self.hosts.get_mut(slot).ok_or(unknown)?;
        let old = &host.config;
        let same = (old.iface, old.vhid, old.group) == (config.iface, config.vhid, config.group)
            && (old.dialect, old.mode) == (config.dialect, config.mode);
        if !same {
            return Err(ReconfigureError::Identity);
        }
        let added = !config
            .addresses
            .iter()
            .all(|address| old.addresses.contains(&address));
        let addresses_changed = !old.addresses.iter().eq(config.addresses.iter());
        let key_changed = old.key != config.key;
        let profile_changed = old.profile != config.profile || host.marks.has(LEFT_FAST);
        let preempt_only = !addresses_changed
            && (old.advbase, old.advskew) == (config.advbase, config.advskew)
            && !key_changed
            && !profile_changed;
        host.marks.put(LEFT_FAST, false);
        if addresses_changed || key_changed {
            self.change(now, slot, config);
        } else {
            host.config = config;
        }
        if addresses_changed {
            self.readdress(now, slot, added);
        }
        if !preempt_only {
            self.step(now, slot, Input::Reconfigured, None);
        }
        Ok(())
    }

    /// Removes a virtual host; a MASTER bows out first and goes when its successor is heard.
    pub fn remove(&mut self, now: Instant, host: HostId) -> Result<(), NoSuchHost> {
        self.parts.removal = Some(&RemovalPart::LINKED);
        self.alter(now, host, |host| host.wanted = Wanted::Removed)
    }

    /// Takes a virtual host out of the election (a MASTER bows out first), or back into it.
    pub fn set_enabled(&mut self, now: Instant, host: HostId, enabled: bool) -> Result<(), NoSuchHost> {
        self.alter(now, host, |host| {
            host.wanted = match (host.wanted, enabled) {
                (Wanted::Removed, _) => Wanted::Removed,
                (_, true) => Wanted::Enabled,
                (_, false) => Wanted::Disabled,
            };
        })
    }

    /// Planned hand-over: bow out, keep the address until the successor is heard, then be its BACKUP
    /// without preempting it. If nobody takes over within [`Policy::leave_wait`], stay MASTER. The
    /// outcome is an event.
    pub fn hand_over(&mut self, now: Instant, host: HostId) -> Result<(), NoSuchHost> {
        self.command(now, host, Input::Leave(Departure::HandOver))
    }

    /// `ifconfig ... state backup` or `state master`. INIT cannot be forced, nor left by force.
    pub fn force_state(&mut self, now: Instant, host: HostId, state: State) -> Result<(), NoSuchHost> {
        self.command(now, host, Input::Force(state))
    }

    /// Every virtual host leaves: MASTERs bow out and keep their addresses until a successor is heard,
    /// or [`Policy::leave_wait`] has passed. Go on with the loop until [`is_quiet`](Self::is_quiet).
    pub fn shutdown(&mut self, now: Instant) {
        let now = self.clamp(now);
        self.shutting_down = true;
        for rank in self.hosts.ranks() {
            if let Some(slot) = self.hosts.at_rank(rank) {
                self.settle(now, slot);
            }
        }
    }
}

/// # Outputs
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// The next thing to be done. A frame to be sent is in the buffer, until the next call.
    pub fn poll_action(&mut self, now: Instant, frame: &mut [u8; MAX_FRAME_LEN]) -> Option<Action> {
        let now = self.clamp(now);
        while let Some(slot) = self.hosts.front_ready() {
            let Some(host) = self.hosts.get_mut(slot) else {
                self.hosts.pop_ready();
                continue;
            };
            let output = if host.waits_for_room() {
                None
            } else {
                host.next_output()
            };
            let Some(output) = output else {
                self.hosts.pop_ready();
                if let Some(removal) = self.parts.removal {
                    (removal.forget_if_removed)(self, now, slot);
                }
                continue;
            };
            if matches!(output, Output::Announce(_)) && !self.may_announce(now, slot, output) {
                continue;
            }
            if let Some(action) = self.act(slot, output, frame) {
                return Some(action);
            }
        }
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }
}

#[cfg(feature = "sim")]
mod election;
mod engine;
mod groups;
mod inspect;
mod keys;
mod maintenance;
mod neighbours;
mod parts;
mod peers;
mod receive;
mod replay;
mod settings;
mod split;
#[cfg(test)]
mod tests;

pub use inspect::HostStatus;
use keys::Keys;
use neighbours::Neighbours;
pub use neighbours::{Neighbour, NeighbourKind};
pub(crate) use parts::{KeyPart, NeighbourPart, Parts, PeerPart, RemovalPart, ReplayPart, SplitPart};
use peers::Peers;
pub use peers::{Peer, PeersError};
use replay::Memory;
