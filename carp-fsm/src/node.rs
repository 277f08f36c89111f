//! This computer: many virtual hosts on many interfaces.

use core::net::IpAddr;

use carp_proto::frame::{MAX_FRAME_LEN, RxMeta};
use carp_proto::{AdvBase, AdvSkew, Counter, Receiver, Rejection, TieRule, Vhid};

use crate::action::{Action, OwnerError, TransmitKind, TransmitResult, TxId};
use crate::config::{ConfigError, HostConfig, InterfaceInfo, LinkMode, LinkState};
use crate::event::{Event, EventKind, EventQueue};
use crate::host::{Host, Output, PeerSeen};
use crate::hosts::Hosts;
use crate::id::{GroupId, HostId, IfaceId, NoSuchHost};
use crate::ledger::{Cause, Holding, LedgerError};
use crate::machine::{Departure, Family, InitReason, Input, State, View, Wishes};
use crate::policy::Policy;
use crate::stats::{Stats, bump};
use crate::storage::{GroupSlot, InterfaceSlot, Pool, Storage};
use crate::time::{Duration, Instant};

/// How soon a frame for which there was no room is tried again.
const BUSY_RETRY: Duration = Duration::from_millis(2);

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
/// draining actions does not bring the deadline forward.
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
    counters: Counters,
    now: Instant,
    shutting_down: bool,
}

/// A virtual host at a glance, from [`Node::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostStatus {
    /// INIT, BACKUP or MASTER.
    pub state: State,
    /// Why it is in INIT, if it is.
    pub init_reason: Option<InitReason>,
    /// It bowed out and waits for its successor.
    pub leaving: bool,
    /// Since when it is in this state.
    pub since: Instant,
    /// The addresses were last asked to be here.
    pub owner: bool,
    /// advbase on the wire.
    pub advbase: AdvBase,
    /// advskew on the wire: configured, and demotion added as the dialect does.
    pub advskew: AdvSkew,
    /// Sum of its group's demotion.
    pub demotion: u16,
    /// The last valid advertisement of somebody else.
    pub peer: Option<PeerSeen>,
}

/// What holds a virtual host back from taking part.
enum Obstacle {
    /// Nothing can be sent either.
    Physical(InitReason),
    /// It is so wished: bow out first.
    Wished(InitReason),
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
            counters: Counters(seed),
            now: Instant::ZERO,
            shutting_down: false,
        }
    }
}

/// # Inspection
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// INIT, BACKUP or MASTER; `None` if the host does not exist (any longer).
    pub fn state(&self, host: HostId) -> Option<State> {
        Some(self.resolve(host)?.state())
    }

    /// Were the addresses last asked to be on this machine?
    pub fn is_owner(&self, host: HostId) -> bool {
        self.resolve(host).is_some_and(|host| host.owner)
    }

    /// As configured.
    pub fn config(&self, host: HostId) -> Option<&HostConfig<ADDRS>> {
        Some(&self.resolve(host)?.config)
    }

    /// Everything about a virtual host that `status` commands show.
    pub fn status(&self, id: HostId) -> Option<HostStatus> {
        let slot = self.hosts.resolve(id)?;
        let (host, view) = (self.hosts.get(slot)?, self.view(slot)?);
        Some(HostStatus {
            state: host.state(),
            init_reason: host.machine.init_reason(),
            leaving: host.machine.is_leaving(),
            since: host.since,
            owner: host.owner,
            advbase: view.interval().base(),
            advskew: view.interval().skew(),
            demotion: view.demotion,
            peer: host.peer,
        })
    }

    /// All virtual hosts, by interface and vhid.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> {
        self.hosts.ranks().filter_map(|rank| self.hosts.id(self.hosts.at_rank(rank)?))
    }

    /// The virtual host of this interface and vhid.
    pub fn find(&self, iface: IfaceId, vhid: Vhid) -> Option<HostId> {
        self.hosts.id(self.hosts.find(iface, vhid)?)
    }

    /// What was last reported of an interface.
    pub fn interface(&self, iface: IfaceId) -> Option<&InterfaceInfo> {
        self.interfaces.get(usize::from(iface.0))?.info.as_ref()
    }

    /// Sum of what demotes a group now.
    pub fn demotion(&self, group: GroupId) -> u16 {
        self.groups.get(usize::from(group.0)).map_or(0, |group| group.demotion)
    }

    /// What demotes a group now, cause by cause.
    pub fn causes(&self, group: GroupId) -> impl Iterator<Item = Holding> {
        let entered = self.groups.get(usize::from(group.0)).map(|group| group.ledger.iter());
        entered.into_iter().flatten().chain(self.observed_causes(group))
    }

    /// The kernels' counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None`: only when something else happens.
    /// Once in the past, it stays there until handled.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.hosts.earliest().map(|(deadline, _)| deadline)
    }

    /// After [`shutdown`](Self::shutdown): nothing is owned here any longer, nothing left to send.
    pub fn is_quiet(&self) -> bool {
        self.hosts.front_ready().is_none()
            && self.hosts.ranks().all(|rank| {
                let host = self.hosts.at_rank(rank).and_then(|slot| self.hosts.get(slot));
                host.is_none_or(|host| !host.owner && host.pending.is_empty() && host.state() == State::Init)
            })
    }
}

/// # Inputs from the world
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// A packet of IP protocol 112 came in on `iface`: what [`carp_proto::frame::classify`] calls
    /// `Carp`. Anything but a valid advertisement for one of our virtual hosts is counted by reason,
    /// and nothing else happens.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        iface: IfaceId,
        meta: &RxMeta,
        payload: &[u8],
    ) -> Result<HostId, Rejection> {
        let now = self.clamp(now);
        bump(if meta.src.is_ipv4() { &mut self.stats.ipackets } else { &mut self.stats.ipackets6 });
        let hosts = &self.hosts;
        let found = carp_proto::receive(meta, payload, |vhid| {
            let slot = hosts.find(iface, vhid)?;
            let host = hosts.get(slot)?;
            let authenticators = &host.authenticators;
            Some((slot, Receiver { dialect: host.config.dialect, unicast: false, authenticators }))
        });
        let (slot, advertisement) = found.inspect_err(|rejection| self.stats.count(*rejection))?;

        let family = if meta.src.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        let interval = advertisement.interval();
        let lower_source = self.has_lower_source(slot, iface, meta.src);
        if let Some(host) = self.hosts.get_mut(slot) {
            host.peer = Some(PeerSeen { source: meta.src, interval, at: now });
        }
        let input = Input::Heard { family, interval, demotion: advertisement.demotion, lower_source };
        self.step(now, slot, input, Some(meta.src));
        self.hosts.id(slot).ok_or(Rejection::BadVhid)
    }

    /// Time has passed. Early and repeated calls do nothing.
    ///
    /// If the node wakes later than [`Policy::late`] allows, its timers wait for
    /// [`handle_drained`](Self::handle_drained): the packets that came meanwhile are heard first.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clamp(now);
        let overslept = match (self.hosts.earliest(), self.policy.late) {
            (Some((deadline, _)), Some(late)) => now - deadline > late,
            _ => false,
        };
        if !overslept {
            self.run_timers(now);
        }
    }

    /// No packet is waiting (or the adapter has taken as many as it takes in one go): timers that
    /// waited for that go ahead.
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
        let Some(slot) = self.interfaces.get_mut(index) else { return };
        slot.info = Some(info);
        slot.down_since = if usable { None } else { slot.down_since.or(Some(now)) };
        for rank in self.hosts.ranks_on(iface) {
            if let Some(slot) = self.hosts.at_rank(rank) {
                self.settle(now, slot);
            }
        }
        for group in 0..self.group_count() {
            self.weigh(now, GroupId(group), Cause::LinkDown(iface), !usable);
        }
    }

    /// What became of a [`Action::Transmit`].
    pub fn handle_transmit_result(&mut self, now: Instant, tx: TxId, result: TransmitResult) {
        let now = self.clamp(now);
        let retry = self.policy.senderr_retry;
        let Some(slot) = self.hosts.resolve(tx.host) else { return };
        let Some(host) = self.hosts.get_mut(slot) else { return };
        let is_advertisement = matches!(tx.output, Output::Advertise(_));
        let verdict_changed = match result {
            TransmitResult::Busy => {
                bump(&mut self.stats.onomem);
                // Who has left MASTER meanwhile has nothing more to say.
                if host.state() == State::Master {
                    host.pending.restore(tx.output);
                    host.resume_at = Some(now + BUSY_RETRY);
                }
                false
            }
            TransmitResult::Sent => is_advertisement && host.sending.sent(),
            TransmitResult::Error => {
                bump(&mut self.stats.senderr);
                is_advertisement && host.sending.failed(now, retry)
            }
        };
        let (group, failing) = (host.config.group, host.sending.failing_since.is_some());
        self.reschedule(slot);
        if verdict_changed {
            self.weigh(now, group, Cause::SendErrors(tx.host), failing);
        }
    }

    /// What became of a [`Action::SetOwner`]. A refusal while MASTER bows out, goes to INIT and tries
    /// again later, each time after twice the time.
    pub fn handle_owner_result(&mut self, now: Instant, host: HostId, seq: u32, result: Result<(), OwnerError>) {
        let now = self.clamp(now);
        let first_retry = self.policy.refused_retry.as_micros();
        let Some(slot) = self.hosts.resolve(host) else { return };
        let Some(host) = self.hosts.get_mut(slot).filter(|host| host.owner && host.owner_seq == seq) else { return };
        match result {
            Ok(()) => host.refusals = 0,
            Err(OwnerError) => {
                let wait = Duration::from_micros(first_retry.saturating_mul(1 << host.refusals.min(6)));
                host.refusals = host.refusals.saturating_add(1);
                self.step(now, slot, Input::Refused(now + wait), None);
            }
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
        if !self.interfaces.ensure(usize::from(iface.0), || InterfaceSlot::EMPTY)
            || !self.groups.ensure(usize::from(group.0), || GroupSlot::EMPTY)
        {
            return Err(ConfigError::NoRoom);
        }
        let slot = self.hosts.insert(Host::new(now, config)).ok_or(ConfigError::NoRoom)?;
        self.hosts.push_ready(slot);
        self.settle(now, slot);
        // Its interface may be one that was down before anybody in the group used it.
        self.weigh(now, group, Cause::LinkDown(iface), true);
        self.hosts.id(slot).ok_or(ConfigError::NoRoom)
    }

    /// Removes a virtual host; a MASTER bows out first and goes when its successor is heard.
    pub fn remove(&mut self, now: Instant, host: HostId) -> Result<(), NoSuchHost> {
        self.change(now, host, |host| host.removing = true)
    }

    /// Takes a virtual host out of the election (a MASTER bows out first), or back into it.
    pub fn set_enabled(&mut self, now: Instant, host: HostId, enabled: bool) -> Result<(), NoSuchHost> {
        self.change(now, host, |host| host.enabled = enabled)
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

    /// Enters a cause into the ledger of a group, or changes its weight.
    pub fn demote(&mut self, now: Instant, group: GroupId, cause: Cause, weight: u16) -> Result<(), LedgerError> {
        let now = self.clamp(now);
        let slot = self.groups.get_mut(usize::from(group.0)).ok_or(LedgerError::NoSuchGroup(group))?;
        slot.ledger.set(now, cause, weight)?;
        self.weigh(now, group, cause, true);
        Ok(())
    }

    /// Strikes a cause from the ledger of a group; no error if it is not there.
    pub fn clear(&mut self, now: Instant, group: GroupId, cause: Cause) -> Result<(), LedgerError> {
        let now = self.clamp(now);
        if cause.is_observed() {
            return Err(LedgerError::Observed);
        }
        let slot = self.groups.get_mut(usize::from(group.0)).ok_or(LedgerError::NoSuchGroup(group))?;
        slot.ledger.clear(cause);
        self.weigh(now, group, cause, false);
        Ok(())
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
            // While there is no room to transmit, the timer brings it back.
            let output = if host.resume_at.is_some() { None } else { host.next_output() };
            let Some(output) = output else {
                self.hosts.pop_ready();
                self.forget_if_removed(slot);
                continue;
            };
            if let Some(action) = self.act(now, slot, output, frame) {
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

/// Behind the four kinds of methods.
impl<const ADDRS: usize> Node<'_, ADDRS> {
    fn clamp(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn resolve(&self, id: HostId) -> Option<&Host<ADDRS>> {
        self.hosts.get(self.hosts.resolve(id)?)
    }

    fn view(&self, slot: u16) -> Option<View> {
        let host = self.hosts.get(slot)?;
        let HostConfig { dialect, advbase, advskew, preempt, group, .. } = host.config;
        let (ipv4, ipv6, demotion) = (host.ipv4(), host.ipv6(), self.demotion(group));
        Some(View { dialect, policy: self.policy, advbase, advskew, demotion, preempt, ipv4, ipv6 })
    }

    fn change(
        &mut self,
        now: Instant,
        id: HostId,
        change: impl FnOnce(&mut Host<ADDRS>),
    ) -> Result<(), NoSuchHost> {
        let now = self.clamp(now);
        let slot = self.hosts.resolve(id).ok_or(NoSuchHost(id))?;
        change(self.hosts.get_mut(slot).ok_or(NoSuchHost(id))?);
        self.settle(now, slot);
        self.hosts.push_ready(slot);
        Ok(())
    }

    fn command(&mut self, now: Instant, id: HostId, input: Input) -> Result<(), NoSuchHost> {
        let now = self.clamp(now);
        let slot = self.hosts.resolve(id).ok_or(NoSuchHost(id))?;
        self.step(now, slot, input, None);
        Ok(())
    }

    /// One step of one machine, and what follows from it.
    fn step(&mut self, now: Instant, slot: u16, input: Input, peer: Option<IpAddr>) {
        let Some(view) = self.view(slot) else { return };
        let Some(id) = self.hosts.id(slot) else { return };
        let Some(host) = self.hosts.get_mut(slot) else { return };
        let effects = host.machine.step(now, input, &view);
        let mut wishes = effects.wishes;
        if let Some(transition) = effects.transition {
            host.since = now;
            if transition.to == State::Master {
                bump(&mut self.stats.preempt);
            }
            let yields = transition.to == State::Backup && wishes.contains(Wishes::DISOWN);
            if yields && host.config.mode == LinkMode::Plain && view.policy.linger > Duration::ZERO {
                wishes = wishes.without(Wishes::DISOWN);
                host.pending.silence();
                host.disown_at = Some(now + view.policy.linger);
            }
            let kind = EventKind::Transition {
                host: id,
                from: transition.from,
                to: transition.to,
                reason: transition.reason,
                peer,
            };
            self.events.push(now, kind);
        }
        if let Some(outcome) = effects.hand_over {
            self.events.push(now, EventKind::HandOver { host: id, outcome });
        }
        if wishes.contains(Wishes::DISOWN) {
            host.disown_at = None;
        }
        host.wish(wishes);
        if !wishes.is_empty() {
            self.hosts.push_ready(slot);
        }
        self.reschedule(slot);
    }

    fn reschedule(&mut self, slot: u16) {
        let deadline = self.hosts.get(slot).and_then(Host::deadline);
        self.hosts.set_deadline(slot, deadline);
    }

    /// Every timer that is due acts, the earliest first.
    fn run_timers(&mut self, now: Instant) {
        while let Some((deadline, slot)) = self.hosts.earliest() {
            if deadline > now {
                return;
            }
            self.run_timer(now, slot);
        }
    }

    fn run_timer(&mut self, now: Instant, slot: u16) {
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        let retry = self.policy.senderr_retry;
        let Some(id) = self.hosts.id(slot) else { return };
        let Some(host) = self.hosts.get_mut(slot) else { return };
        if due(&mut host.resume_at) {
            self.hosts.push_ready(slot);
        }
        let Some(host) = self.hosts.get_mut(slot) else { return };
        if due(&mut host.disown_at) {
            host.wish(Wishes::DISOWN);
            self.hosts.push_ready(slot);
        }
        let Some(host) = self.hosts.get_mut(slot) else { return };
        let group = host.config.group;
        if due(&mut host.sending.retry_at) {
            if host.state() == State::Master {
                host.sending.retry_at = retry.map(|wait| now + wait);
            } else {
                host.sending = Default::default();
                self.weigh(now, group, Cause::SendErrors(id), false);
            }
        }
        self.step(now, slot, Input::Timeout, None);
    }

    /// Brings the machine into line with whether it can and may take part.
    fn settle(&mut self, now: Instant, slot: u16) {
        let Some(host) = self.hosts.get(slot) else { return };
        let input = match self.obstacle(host) {
            None => Input::Start,
            Some(Obstacle::Physical(reason)) => Input::Stop(reason),
            Some(Obstacle::Wished(reason)) => Input::Leave(Departure::Stop(reason)),
        };
        self.step(now, slot, input, None);
    }

    fn obstacle(&self, host: &Host<ADDRS>) -> Option<Obstacle> {
        let Some(interface) = self.interface(host.config.iface) else {
            return Some(Obstacle::Physical(InitReason::NoInterface));
        };
        if !self.carries(interface.link) {
            return Some(Obstacle::Physical(InitReason::LinkDown));
        }
        if host.config.addresses.is_empty() && !self.policy.election_only {
            return Some(Obstacle::Physical(InitReason::NoAddress));
        }
        let wished = [
            (self.shutting_down, InitReason::ShuttingDown),
            (host.removing, InitReason::Removed),
            (!host.enabled, InitReason::Disabled),
        ];
        wished.into_iter().find(|(wished, _)| *wished).map(|(_, reason)| Obstacle::Wished(reason))
    }

    fn carries(&self, link: LinkState) -> bool {
        match link {
            LinkState::Up => true,
            LinkState::Down => false,
            LinkState::Unknown => self.policy.unknown_link_is_up,
        }
    }

    fn forget_if_removed(&mut self, slot: u16) {
        let Some(host) = self.hosts.get(slot) else { return };
        let gone = host.removing && host.state() == State::Init && host.pending.is_empty() && host.disown_at.is_none();
        if gone && !host.owner {
            self.hosts.remove(slot);
        }
    }

    fn group_count(&self) -> u8 {
        u8::try_from(self.groups.len()).unwrap_or(u8::MAX)
    }

    /// Sums up what demotes a group; if the sum changed, everybody in it says so at once.
    fn weigh(&mut self, now: Instant, group: GroupId, cause: Cause, holds: bool) {
        let to = self.causes(group).fold(0_u16, |sum, holding| sum.saturating_add(holding.weight));
        let Some(slot) = self.groups.get_mut(usize::from(group.0)) else { return };
        let from = core::mem::replace(&mut slot.demotion, to);
        if from == to {
            return;
        }
        self.events.push(now, EventKind::Demotion { group, from, to, cause, holds });
        for rank in self.hosts.ranks() {
            let Some(slot) = self.hosts.at_rank(rank) else { continue };
            if self.hosts.get(slot).is_some_and(|host| host.config.group == group) {
                self.step(now, slot, Input::DemotionChanged, None);
            }
        }
    }

    /// Interfaces that are down (each once, however many hosts it has) and hosts that cannot send.
    fn observed_causes(&self, group: GroupId) -> impl Iterator<Item = Holding> {
        let members = self.hosts.ranks().filter_map(move |rank| {
            let slot = self.hosts.at_rank(rank)?;
            let host = self.hosts.get(slot)?;
            (host.config.group == group).then_some((slot, host))
        });
        let mut last = None;
        let interfaces = members.clone().filter_map(move |(_, host)| {
            let iface = host.config.iface;
            let first_here = last.replace(iface) != Some(iface);
            let since = self.interfaces.get(usize::from(iface.0))?.down_since?;
            let weight = self.policy.ifdown_demotion_factor;
            first_here.then_some(Holding { cause: Cause::LinkDown(iface), weight, since })
        });
        let senders = members.filter_map(|(slot, host)| {
            let (id, since) = (self.hosts.id(slot)?, host.sending.failing_since?);
            Some(Holding { cause: Cause::SendErrors(id), weight: self.policy.senderr_demotion_factor, since })
        });
        interfaces.chain(senders)
    }

    fn act(&mut self, now: Instant, slot: u16, output: Output, frame: &mut [u8; MAX_FRAME_LEN]) -> Option<Action> {
        let id = self.hosts.id(slot)?;
        let view = self.view(slot)?;
        let counter = self.counters.draw();
        let host = self.hosts.get_mut(slot)?;
        let kind = match output {
            Output::Own | Output::Disown => {
                host.owner = output == Output::Own;
                host.owner_seq = host.owner_seq.wrapping_add(1);
                return Some(Action::SetOwner { host: id, owner: host.owner, seq: host.owner_seq });
            }
            Output::Advertise(_) => TransmitKind::Advertisement,
            Output::BowOut(_) => TransmitKind::BowOut,
            Output::Announce(_) => TransmitKind::Announcement,
        };
        let iface = host.config.iface;
        let interface = self.interfaces.get(usize::from(iface.0))?.info?;
        let len = self.hosts.get(slot)?.emit(output, &view, &interface, counter, frame)?;
        match output {
            Output::Advertise(Family::Ipv4) | Output::BowOut(Family::Ipv4) => bump(&mut self.stats.opackets),
            Output::Advertise(Family::Ipv6) | Output::BowOut(Family::Ipv6) => bump(&mut self.stats.opackets6),
            _ => {}
        }
        let _ = now;
        Some(Action::Transmit { iface, host: id, kind, len, next_hop: None, tx: TxId { host: id, output } })
    }

    /// UCarp breaks ties by comparing addresses as they lie in a little-endian machine's memory.
    fn has_lower_source(&self, slot: u16, iface: IfaceId, peer: IpAddr) -> bool {
        let raw = |address: core::net::Ipv4Addr| u32::from_le_bytes(address.octets());
        let ties = |host: &Host<ADDRS>| host.config.dialect.rules().tie == TieRule::HigherLittleEndianSource;
        match (peer, self.interface(iface).and_then(|interface| interface.ipv4)) {
            (IpAddr::V4(peer), Some(own)) => self.hosts.get(slot).is_some_and(ties) && raw(peer) < raw(own),
            _ => false,
        }
    }
}

/// Counters of advertisements: a SplitMix64 sequence, which does not repeat within 2^64 draws.
struct Counters(u64);

impl Counters {
    /// Never 0: a fresh OpenBSD backup takes 0 for its own (`docs/protocol.md §6`).
    fn draw(&mut self) -> Counter {
        loop {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            if z != 0 {
                return Counter::new(z);
            }
        }
    }
}

#[cfg(test)]
mod tests;
