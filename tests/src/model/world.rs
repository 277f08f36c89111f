//! The nodes, the network between them, and one step of either.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use carp_fsm::sim::{NodeId, SEGMENT, TraceEntry, TraceKind};
use carp_fsm::{
    Action, Cause, Duration, EventKind, GroupId, HandOver, HostConfig, HostId, InitReason, Instant,
    InterfaceInfo, LinkState, Node, OwnerError, Policy, Reason, State, Storage, TransmitKind, TransmitResult,
};
use carp_proto::{
    AddressSet, AdvSkew, Advertisement, Dialect, FrameClass, Key, MAX_FRAME_LEN, MacAddr, Packet, Vhid,
    frame::classify,
};

use super::reference::{self, Rank};
use super::scenario::{DEMOTION, Fault, Member, Scenario, TICK};

const GROUP: GroupId = GroupId(0);

/// What may happen next. The number is a node, or a message under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message arrives.
    Deliver(u8),
    /// A message arrives, and a copy of it is still under way.
    Duplicate(u8),
    /// A message is lost.
    Lose(u8),
    /// The due timers of a node act.
    Fire(u8),
    /// Time passes: one tick, or less if a deadline comes first.
    Wait,
    /// Time passes until the next deadline.
    Sleep,
    /// A node stops dead.
    Crash(u8),
    /// A node starts.
    Start(u8),
    /// The cable of a node is pulled or plugged.
    Link(u8),
    /// A node is cut off, or reached again, and does not notice.
    Isolate(u8),
    /// The operator demotes a node, or lifts that.
    Demote(u8),
    /// Planned hand-over.
    HandOver(u8),
    /// The operator switches the virtual host off or on.
    Enable(u8),
    /// The node stops in good order.
    Shutdown(u8),
    /// Forced to the other of MASTER and BACKUP.
    Force(u8),
    /// Sending starts or stops to fail.
    SendErrors(u8),
    /// A node stops to run, or goes on and hears what came meanwhile.
    Pause(u8),
    /// The adapter refuses addresses from now on, or takes them again.
    Refuse(u8),
}

/// What must not happen, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node and what surrounds it.
pub(super) struct Seat {
    pub(super) running: Option<(Box<Node<'static, 1>>, HostId)>,
    pub(super) link: bool,
    pub(super) isolated: bool,
    pub(super) demoted: bool,
    pub(super) enabled: bool,
    pub(super) shutdown: bool,
    pub(super) send_errors: bool,
    pub(super) paused: bool,
    pub(super) refuses: bool,
    /// What the adapter was last asked to make true, and did.
    owner: Option<bool>,
    /// Handed over on request, and not MASTER since.
    pub(super) resigned: bool,
    /// Entered BACKUP, or heard an advertisement there.
    quiet_since: Instant,
    sending: Sending,
}

/// Is a node demoted because it cannot send? Counted apart from the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Sending {
    errors: u8,
    successes: u8,
    failing: bool,
}

impl Sending {
    /// We let errors add up, and forgive; kernels count errors in a row, and FreeBSD's never forgives.
    fn count(&mut self, sent: bool, policy: &Policy, dialect: Dialect) {
        if sent {
            self.successes += 1;
            let forgives = policy.senderr_adds_up || dialect != Dialect::FreeBsd;
            if self.successes >= 3 && (forgives || !self.failing) {
                *self = Self::default();
            } else if !policy.senderr_adds_up && !self.failing {
                self.errors = 0;
            }
            self.successes = self.successes.min(3);
        } else {
            self.successes = 0;
            self.errors = (self.errors + 1).min(3);
            self.failing |= self.errors == 3;
        }
    }
}

/// An advertisement under way. The order makes equal worlds look equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    from: u8,
    to: u8,
    heard: Rank,
    copy: bool,
    frame: Rc<[u8]>,
}

/// Why a node acts.
#[derive(Clone, Copy)]
enum Because {
    Heard(Rank, bool),
    Time,
    /// It is late, and has not yet heard what waits.
    Late,
    Operator,
}

/// One state of everything.
pub struct World<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) now: Instant,
    pub(super) seats: Vec<Seat>,
    pub(super) flight: Vec<Message>,
    /// Messages beyond [`Scenario::in_flight`] are lost.
    pub(super) crowded: bool,
    starts: u64,
    log: Option<Vec<String>>,
}

impl<'s> World<'s> {
    /// All nodes just switched on.
    pub fn new(scenario: &'s Scenario) -> Result<Self, Violation> {
        let mut world = Self {
            scenario,
            now: Instant::ZERO,
            seats: Vec::new(),
            flight: Vec::new(),
            crowded: true,
            starts: 0,
            log: None,
        };
        for index in 0..scenario.members.len() {
            let seat = world.seat(index);
            world.seats.push(seat);
        }
        for index in (0..).take(scenario.members.len()) {
            world.drain(index, Because::Operator)?;
        }
        Ok(world)
    }

    /// A copy that goes its own way.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            scenario: self.scenario,
            now: self.now,
            seats: self.seats.iter().map(Seat::fork).collect(),
            flight: self.flight.clone(),
            crowded: self.crowded,
            starts: self.starts,
            log: None,
        }
    }

    /// From now on, what happens is written down.
    pub fn keep_log(&mut self) {
        self.log = Some(Vec::new());
    }

    /// What happened since [`keep_log`](Self::keep_log).
    pub fn log(&self) -> &[String] {
        self.log.as_deref().unwrap_or_default()
    }

    /// All on which the future depends, as 64 bits.
    pub fn fingerprint(&self) -> u64 {
        let mut state = DefaultHasher::new();
        for (seat, member) in self.seats.iter().zip(self.scenario.members) {
            (
                (seat.link, seat.isolated, seat.demoted, seat.enabled),
                (seat.shutdown, seat.send_errors, seat.owner, seat.resigned),
                (seat.sending, seat.paused, seat.refuses),
            )
                .hash(&mut state);
            let Some((node, host)) = &seat.running else {
                continue;
            };
            node.hash_election(self.now, &mut state);
            if node.state(*host) == Some(State::Backup) {
                // Longer than the master-down time is long enough.
                let quiet = (self.now - seat.quiet_since).as_micros();
                quiet
                    .min(reference::master_down(member.dialect, member.advskew))
                    .hash(&mut state);
            }
        }
        for message in &self.flight {
            (message.from, message.to, message.heard, message.copy).hash(&mut state);
        }
        state.finish()
    }

    /// What may happen next.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::with_capacity(24);
        let allowed = |fault| self.scenario.faults.contains(&fault);
        for (index, message) in (0_u8..).zip(&self.flight) {
            // One of several equal messages stands for all.
            let before = index
                .checked_sub(1)
                .and_then(|before| self.flight.get(usize::from(before)));
            if before.is_some_and(|before| before.looks_like(message)) {
                continue;
            }
            if !self.seats[usize::from(message.to)].paused {
                steps.push(Step::Deliver(index));
                if allowed(Fault::Duplicate) && !message.copy {
                    steps.push(Step::Duplicate(index));
                }
            }
            if allowed(Fault::Lose) {
                steps.push(Step::Lose(index));
            }
        }
        let due = self.due();
        if due.is_empty() {
            if let Some(next) = self.next_deadline() {
                steps.push(Step::Sleep);
                if next - self.now > TICK {
                    steps.push(Step::Wait);
                }
            } else if self.seats.iter().any(|seat| seat.paused) {
                steps.push(Step::Wait);
            }
        }
        steps.extend(due.into_iter().map(Step::Fire));
        for (index, seat) in (0..).zip(&self.seats) {
            self.faults_of(index, seat, &mut steps);
        }
        steps
    }

    fn faults_of(&self, index: u8, seat: &Seat, steps: &mut Vec<Step>) {
        let allowed = |fault| self.scenario.faults.contains(&fault);
        let Some((node, host)) = &seat.running else {
            steps.push(Step::Start(index));
            return;
        };
        if seat.paused {
            steps.push(Step::Pause(index));
            return;
        }
        let state = node.state(*host).unwrap_or(State::Init);
        let leaving = node.status(*host).is_some_and(|status| status.leaving);
        let offers = [
            (Fault::Crash, true, Step::Crash(index)),
            (Fault::Link, true, Step::Link(index)),
            (Fault::Isolate, seat.link, Step::Isolate(index)),
            (Fault::Demote, true, Step::Demote(index)),
            (
                Fault::HandOver,
                state == State::Master && !leaving,
                Step::HandOver(index),
            ),
            (Fault::Disable, !seat.shutdown, Step::Enable(index)),
            (Fault::Shutdown, !seat.shutdown, Step::Shutdown(index)),
            (Fault::Force, state != State::Init, Step::Force(index)),
            (Fault::SendErrors, true, Step::SendErrors(index)),
            (Fault::Pause, true, Step::Pause(index)),
            (Fault::Refuse, true, Step::Refuse(index)),
        ];
        steps.extend(
            offers
                .into_iter()
                .filter_map(|(fault, possible, step)| (possible && allowed(fault)).then_some(step)),
        );
        // Only an idle process is replaced by a new one; a crash explores the rest.
        if seat.shutdown && node.is_quiet() {
            steps.push(Step::Start(index));
        }
    }

    /// Nodes whose timers are due.
    pub(super) fn due(&self) -> Vec<u8> {
        let due = |seat: &Seat| seat.deadline().is_some_and(|deadline| deadline <= self.now);
        (0..)
            .zip(&self.seats)
            .filter_map(|(index, seat)| due(seat).then_some(index))
            .collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.seats.iter().filter_map(Seat::deadline).min()
    }

    /// One step, and what every node owes after it.
    pub fn apply(&mut self, step: Step) -> Result<(), Violation> {
        if self.log.is_some() {
            let told = self.tell(step);
            self.note(None, &told);
        }
        match step {
            Step::Deliver(index) => self.deliver(index, false)?,
            Step::Duplicate(index) => self.deliver(index, true)?,
            Step::Lose(index) => {
                self.flight.remove(usize::from(index));
            }
            Step::Fire(index) => self.with_node(index, Because::Time, |node, _, now| {
                node.handle_timeout(now);
                node.handle_drained(now);
            })?,
            Step::Wait => {
                self.now = self
                    .next_deadline()
                    .map_or(self.now + TICK, |at| at.min(self.now + TICK))
            }
            Step::Sleep => self.now = self.next_deadline().map_or(self.now, |at| at.max(self.now)),
            Step::Crash(index) => self.crash(index),
            Step::Start(index) => {
                let mut seat = self.seat(usize::from(index));
                let old = &self.seats[usize::from(index)];
                (seat.isolated, seat.send_errors, seat.refuses) =
                    (old.isolated, old.send_errors, old.refuses);
                self.seats[usize::from(index)] = seat;
                self.drain(index, Because::Operator)?;
            }
            Step::Isolate(index) => {
                let seat = &mut self.seats[usize::from(index)];
                seat.isolated = !seat.isolated;
                self.flight
                    .retain(|message| message.to != index && message.from != index);
            }
            Step::SendErrors(index) => {
                let seat = &mut self.seats[usize::from(index)];
                seat.send_errors = !seat.send_errors;
            }
            Step::Refuse(index) => {
                let seat = &mut self.seats[usize::from(index)];
                seat.refuses = !seat.refuses;
            }
            Step::Pause(index) if self.seats[usize::from(index)].paused => self.wake(index)?,
            Step::Pause(index) => self.seats[usize::from(index)].paused = true,
            Step::Link(index) => self.toggle_link(index)?,
            Step::Demote(index) => self.toggle_demotion(index)?,
            Step::Enable(index) => self.toggle_enabled(index)?,
            Step::HandOver(index) => self.with_node(index, Because::Operator, |node, host, now| {
                let _ = node.hand_over(now, host);
            })?,
            Step::Shutdown(index) => {
                self.seats[usize::from(index)].shutdown = true;
                self.with_node(index, Because::Operator, |node, _, now| node.shutdown(now))?;
            }
            Step::Force(index) => self.with_node(index, Because::Operator, |node, host, now| {
                let other = if node.state(host) == Some(State::Master) {
                    State::Backup
                } else {
                    State::Master
                };
                let _ = node.force_state(now, host, other);
            })?,
        }
        self.flight.sort_unstable();
        self.check_seats()
    }

    /// What an adapter does when it wakes: timers, what waits, and then late timers.
    fn wake(&mut self, index: u8) -> Result<(), Violation> {
        let seat = &mut self.seats[usize::from(index)];
        seat.paused = false;
        let late = self.scenario.policy.late;
        let overslept = seat
            .deadline()
            .is_some_and(|deadline| late.is_some_and(|late| self.now - deadline > late));
        let because = if overslept { Because::Late } else { Because::Time };
        self.with_node(index, because, |node, _, now| node.handle_timeout(now))?;
        while let Some(waiting) = self.flight.iter().position(|message| message.to == index) {
            self.deliver(u8::try_from(waiting).unwrap_or(u8::MAX), false)?;
        }
        self.with_node(index, Because::Time, |node, _, now| node.handle_drained(now))
    }

    /// Every pause ends.
    pub(super) fn wake_all(&mut self) -> Result<(), Violation> {
        for index in (0..).take(self.seats.len()) {
            if self.seats[usize::from(index)].paused {
                self.apply(Step::Pause(index))?;
            }
        }
        Ok(())
    }

    fn toggle_link(&mut self, index: u8) -> Result<(), Violation> {
        let seat = &mut self.seats[usize::from(index)];
        seat.link = !seat.link;
        let info = interface(index, seat.link);
        self.flight.retain(|message| message.to != index);
        self.with_node(index, Because::Operator, |node, _, now| {
            node.handle_interface(now, SEGMENT, info)
        })
    }

    fn toggle_demotion(&mut self, index: u8) -> Result<(), Violation> {
        let seat = &mut self.seats[usize::from(index)];
        seat.demoted = !seat.demoted;
        let demoted = seat.demoted;
        self.with_node(index, Because::Operator, |node, _, now| {
            let _ = if demoted {
                node.demote(now, GROUP, Cause::Operator, DEMOTION)
            } else {
                node.clear(now, GROUP, Cause::Operator)
            };
        })
    }

    fn toggle_enabled(&mut self, index: u8) -> Result<(), Violation> {
        let seat = &mut self.seats[usize::from(index)];
        seat.enabled = !seat.enabled;
        let enabled = seat.enabled;
        self.with_node(index, Because::Operator, |node, host, now| {
            let _ = node.set_enabled(now, host, enabled);
        })
    }

    fn crash(&mut self, index: u8) {
        let seat = &mut self.seats[usize::from(index)];
        *seat = Seat {
            isolated: seat.isolated,
            send_errors: seat.send_errors,
            refuses: seat.refuses,
            ..Seat::empty(self.now)
        };
        self.flight.retain(|message| message.to != index);
    }

    fn seat(&mut self, index: usize) -> Seat {
        let member = &self.scenario.members[index];
        self.starts += 1;
        // Any two starts draw different counters.
        let seed = self.starts << 8 | index as u64;
        let mut node = Box::new(Node::new(self.scenario.policy, seed, Storage::growing_with(16)));
        let host = node
            .insert(self.now, configuration(member))
            .expect("a valid configuration");
        node.handle_interface(self.now, SEGMENT, interface(index as u8, true));
        Seat {
            running: Some((node, host)),
            ..Seat::empty(self.now)
        }
    }

    fn deliver(&mut self, index: u8, stays: bool) -> Result<(), Violation> {
        let message = if stays {
            let message = &mut self.flight[usize::from(index)];
            message.copy = true;
            message.clone()
        } else {
            self.flight.remove(usize::from(index))
        };
        let FrameClass::Carp { meta, payload } = classify(&message.frame) else {
            return Err(Violation("a frame was sent that is no advertisement".into()));
        };
        let lower_source = message.from < message.to;
        let waited = self.state(message.to) == State::Backup;
        let mut refused = None;
        self.with_node(
            message.to,
            Because::Heard(message.heard, lower_source),
            |node, _, now| {
                refused = node.handle_packet(now, SEGMENT, &meta, payload).err();
            },
        )?;
        if let Some(rejection) = refused.filter(|_| !message.copy) {
            return Err(self.blame(message.to, &format!("refuses an advertisement: {rejection:?}")));
        }
        let called = waited && message.heard.interval == reference::BOW_OUT && refused.is_none();
        let takes_over = self.state(message.to) == State::Master;
        if called && !takes_over && !self.seats[usize::from(message.to)].refuses {
            return Err(self.blame(message.to, "does not take over from a master that bows out"));
        }
        Ok(())
    }

    fn with_node(
        &mut self,
        index: u8,
        because: Because,
        act: impl FnOnce(&mut Node<'static, 1>, HostId, Instant),
    ) -> Result<(), Violation> {
        let now = self.now;
        if let Some((node, host)) = &mut self.seats[usize::from(index)].running {
            act(node, *host, now);
        }
        if let Because::Heard(..) = because
            && self.state(index) == State::Backup
        {
            self.seats[usize::from(index)].quiet_since = now;
        }
        self.drain(index, because)
    }

    /// What every adapter does: events and actions until there are none.
    fn drain(&mut self, index: u8, because: Because) -> Result<(), Violation> {
        self.take_events(index, because)?;
        let mut frame = [0; MAX_FRAME_LEN];
        let mut actions = 0;
        loop {
            let now = self.now;
            let seat = &mut self.seats[usize::from(index)];
            let Some((node, host)) = &mut seat.running else {
                return Ok(());
            };
            let Some(action) = node.poll_action(now, &mut frame) else {
                break;
            };
            actions += 1;
            if actions > 32 {
                return Err(self.blame(index, "wishes something done without end"));
            }
            match action {
                Action::SetOwner { host, owner, seq } => {
                    let result = if owner && seat.refuses {
                        Err(OwnerError)
                    } else {
                        Ok(())
                    };
                    node.handle_owner_result(now, host, seq, result);
                    if seat.owner.replace(owner) == Some(owner) {
                        return Err(self.blame(index, &format!("asks twice for owner: {owner}")));
                    }
                    self.trace(index, TraceKind::Owner { host, owner });
                }
                Action::Transmit { kind, len, tx, .. } => {
                    let result = if seat.send_errors {
                        TransmitResult::Error
                    } else {
                        TransmitResult::Sent
                    };
                    let master = node.state(*host) == Some(State::Master);
                    node.handle_transmit_result(now, tx, result);
                    if kind == TransmitKind::Advertisement {
                        let member = &self.scenario.members[usize::from(index)];
                        seat.sending
                            .count(!seat.send_errors, &self.scenario.policy, member.dialect);
                    }
                    let silent = seat.send_errors || seat.isolated || !seat.link;
                    let entitled = seat.owner == Some(true) && (master || kind == TransmitKind::BowOut);
                    self.trace(index, TraceKind::Sent(kind));
                    if !entitled {
                        return Err(self.blame(index, &format!("sends {kind:?} but is not MASTER and owner")));
                    }
                    if kind != TransmitKind::Announcement && !silent {
                        self.broadcast(index, &frame[..len])?;
                    }
                }
            }
        }
        self.take_events(index, because)
    }

    fn broadcast(&mut self, from: u8, frame: &[u8]) -> Result<(), Violation> {
        let heard =
            rank_of(frame).ok_or_else(|| self.blame(from, "sends a frame that is no advertisement"))?;
        let frame: Rc<[u8]> = frame.into();
        for (to, seat) in (0..).zip(&self.seats) {
            let reached = seat.running.is_some() && seat.link && !seat.isolated;
            let room = !self.crowded || self.flight.len() < self.scenario.in_flight;
            if to != from && reached && room {
                let frame = Rc::clone(&frame);
                self.flight.push(Message {
                    from,
                    to,
                    heard,
                    copy: false,
                    frame,
                });
            }
        }
        Ok(())
    }

    fn take_events(&mut self, index: u8, because: Because) -> Result<(), Violation> {
        while let Some(event) = self.seats[usize::from(index)]
            .running
            .as_mut()
            .and_then(|(node, _)| node.poll_event())
        {
            self.trace(index, TraceKind::Event(event.kind));
            match event.kind {
                EventKind::Transition { from, to, reason, .. } => {
                    self.check_transition(index, from, to, reason, because)?;
                    let now = self.now;
                    let seat = &mut self.seats[usize::from(index)];
                    seat.resigned &= to == State::Backup;
                    if to == State::Backup {
                        seat.quiet_since = now;
                    }
                }
                EventKind::HandOver {
                    outcome: HandOver::Done(_),
                    ..
                } => {
                    self.seats[usize::from(index)].resigned = self.state(index) == State::Backup;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A state changes only for a reason that the reference accepts.
    fn check_transition(
        &self,
        index: u8,
        from: State,
        to: State,
        reason: Reason,
        because: Because,
    ) -> Result<(), Violation> {
        let seat = &self.seats[usize::from(index)];
        let member = self.member(index);
        let own = self.rank(index);
        match (from, to, because) {
            (State::Backup, State::Master, Because::Heard(heard, _)) => {
                if seat.resigned && heard.interval != reference::BOW_OUT {
                    return Err(self.blame(index, "takes back what it handed over"));
                }
                if !reference::takes_over(member.dialect, member.preempt, own, heard) {
                    return Err(self.blame(index, &format!("takes over from {heard}, being {own}")));
                }
            }
            (State::Backup, State::Master, Because::Time) => {
                let quiet = self.now - seat.quiet_since;
                let patience = reference::master_down(member.dialect, member.advskew);
                if quiet.as_micros() < patience {
                    return Err(self.blame(
                        index,
                        &format!(
                            "takes over after {quiet} s of silence instead of {}",
                            Duration::from_micros(patience)
                        ),
                    ));
                }
            }
            (State::Master, State::Backup, Because::Heard(heard, lower_source))
                if reason != Reason::HandedOver =>
            {
                if !reference::yields(member.dialect, own, heard, lower_source) {
                    return Err(self.blame(index, &format!("yields to {heard}, being {own}")));
                }
            }
            (State::Master, State::Backup, Because::Time) => {
                return Err(self.blame(index, "yields to nobody"));
            }
            _ => {}
        }
        Ok(())
    }

    /// What holds for every node at every moment.
    fn check_seats(&mut self) -> Result<(), Violation> {
        for index in 0..self.seats.len() {
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            self.check_seat(index)?;
        }
        Ok(())
    }

    fn check_seat(&mut self, index: u8) -> Result<(), Violation> {
        let (policy, member) = (self.scenario.policy, self.member(index));
        let state = self.state(index);
        let seat = &mut self.seats[usize::from(index)];
        let Some((node, host)) = &seat.running else {
            return Ok(());
        };
        // The demotion of a node that cannot send is lifted on trial; the count begins anew.
        let failing = node
            .causes(GROUP)
            .any(|holding| matches!(holding.cause, Cause::SendErrors(_)));
        if seat.sending.failing && !failing && state != State::Master && policy.senderr_retry.is_some() {
            seat.sending = Sending::default();
        }
        let deadline = node.next_deadline();
        let demotion = node.demotion(GROUP);
        let summed: u16 = node.causes(GROUP).map(|holding| holding.weight).sum();
        let leaving = node.status(*host).is_some_and(|status| status.leaving);
        let holds = seat.demotion();
        let refused =
            node.status(*host).and_then(|status| status.init_reason) == Some(InitReason::AddressRefused);
        let taking_part = seat.link && seat.enabled && !seat.shutdown && !refused;
        let patience = Duration::from_micros(reference::master_down(member.dialect, member.advskew));
        let longest = [
            (state == State::Backup, patience),
            (state == State::Master && !leaving, Duration::from_secs(2)),
            (leaving, policy.leave_wait),
            (
                refused,
                Duration::from_micros(64 * policy.refused_retry.as_micros()),
            ),
            (seat.owner == Some(true) && state != State::Master, policy.linger),
        ];
        for (applies, longest) in longest {
            if applies && deadline.is_none_or(|deadline| deadline > self.now + longest) {
                return Err(self.blame(index, &format!("is {state} without a deadline in time")));
            }
        }
        if demotion != holds || summed != holds {
            return Err(self.blame(index, &format!("is demoted by {demotion}, but {holds} holds")));
        }
        if state == State::Master && seat.owner != Some(true) {
            return Err(self.blame(index, "is MASTER without the addresses"));
        }
        if taking_part == (state == State::Init) && !leaving {
            return Err(self.blame(index, &format!("is {state}, but taking part is {taking_part}")));
        }
        Ok(())
    }

    pub(super) fn state(&self, index: u8) -> State {
        let running = self.seats[usize::from(index)].running.as_ref();
        running
            .and_then(|(node, host)| node.state(*host))
            .unwrap_or(State::Init)
    }

    /// MASTER and owner, and not about to leave.
    pub(super) fn is_master(&self, index: u8) -> bool {
        let seat = &self.seats[usize::from(index)];
        seat.running.as_ref().is_some_and(|(node, host)| {
            node.status(*host)
                .is_some_and(|status| status.state == State::Master && !status.leaving)
        }) && seat.owner == Some(true)
    }

    /// Owns the addresses, MASTER or not.
    pub(super) fn is_owner(&self, index: u8) -> bool {
        self.seats[usize::from(index)].owner == Some(true)
    }

    pub(super) fn member(&self, index: u8) -> &'s Member {
        &self.scenario.members[usize::from(index)]
    }

    /// What a node is worth in the election now.
    pub(super) fn rank(&self, index: u8) -> Rank {
        let member = self.member(index);
        reference::rank(
            member.dialect,
            member.advskew,
            self.seats[usize::from(index)].demotion(),
        )
    }

    fn blame(&self, index: u8, what: &str) -> Violation {
        Violation(format!("{} {what}", self.member(index).name))
    }

    fn trace(&mut self, index: u8, kind: TraceKind) {
        if self.log.is_some() {
            let name = self.member(index).name.to_owned();
            let node = NodeId(usize::from(index));
            let entry = TraceEntry {
                at: self.now,
                node,
                name,
                kind,
            };
            self.log.iter_mut().for_each(|log| log.push(entry.to_string()));
        }
    }

    fn note(&mut self, index: Option<u8>, what: &str) {
        let name = index.map_or("-", |index| self.member(index).name);
        let line = format!("{:>12}  {name}  {what}", self.now);
        self.log.iter_mut().for_each(|log| log.push(line.clone()));
    }

    /// A step in words.
    fn tell(&self, step: Step) -> String {
        let name = |index: u8| self.member(index).name;
        let message = |index: u8| self.flight[usize::from(index)].to_string_in(self);
        let seat = |index: u8| &self.seats[usize::from(index)];
        match step {
            Step::Deliver(index) => format!("{} arrives", message(index)),
            Step::Duplicate(index) => format!("{} arrives; a copy is still under way", message(index)),
            Step::Lose(index) => format!("{} is lost", message(index)),
            Step::Fire(index) => format!("timer of {}", name(index)),
            Step::Wait => "time passes".into(),
            Step::Sleep => "time passes until the next deadline".into(),
            Step::Crash(index) => format!("{} crashes", name(index)),
            Step::Start(index) => format!("{} starts", name(index)),
            Step::Link(index) if seat(index).link => format!("the cable of {} is pulled", name(index)),
            Step::Link(index) => format!("the cable of {} is plugged in", name(index)),
            Step::Isolate(index) if seat(index).isolated => format!("{} is reached again", name(index)),
            Step::Isolate(index) => format!("{} is cut off and does not notice", name(index)),
            Step::Demote(index) if seat(index).demoted => {
                format!("the demotion of {} is lifted", name(index))
            }
            Step::Demote(index) => format!("{} is demoted by {DEMOTION}", name(index)),
            Step::HandOver(index) => format!("{} is to hand over", name(index)),
            Step::Enable(index) if seat(index).enabled => format!("{} is disabled", name(index)),
            Step::Enable(index) => format!("{} is enabled", name(index)),
            Step::Shutdown(index) => format!("{} is shut down", name(index)),
            Step::Force(index) => format!("the state of {} is forced", name(index)),
            Step::SendErrors(index) if seat(index).send_errors => format!("{} can send again", name(index)),
            Step::SendErrors(index) => format!("{} cannot send any more", name(index)),
            Step::Pause(index) if seat(index).paused => format!("{} runs again", name(index)),
            Step::Pause(index) => format!("{} is paused", name(index)),
            Step::Refuse(index) if seat(index).refuses => {
                format!("{} can take the addresses again", name(index))
            }
            Step::Refuse(index) => format!("{} cannot take the addresses any more", name(index)),
        }
    }
}

impl Seat {
    fn empty(now: Instant) -> Self {
        Self {
            running: None,
            link: true,
            isolated: false,
            demoted: false,
            enabled: true,
            shutdown: false,
            send_errors: false,
            paused: false,
            refuses: false,
            owner: None,
            resigned: false,
            quiet_since: now,
            sending: Sending::default(),
        }
    }

    fn fork(&self) -> Self {
        Self {
            running: self.running.as_ref().map(|(node, host)| {
                let copy = node.fork().expect("its memory is its own");
                (Box::new(copy), *host)
            }),
            ..*self
        }
    }

    /// Of a node that runs.
    fn deadline(&self) -> Option<Instant> {
        if self.paused {
            return None;
        }
        self.running.as_ref()?.0.next_deadline()
    }

    /// Takes part, and is heard and hears as far as it is not isolated. Who has the addresses already does not need
    /// to be given them.
    pub(super) fn healthy(&self) -> bool {
        let can_own = !self.refuses || self.owner == Some(true);
        self.running.is_some() && self.link && self.enabled && !self.shutdown && !self.send_errors && can_own
    }

    /// Sum of what holds.
    fn demotion(&self) -> u16 {
        [
            (self.demoted, DEMOTION),
            (!self.link, 240),
            (self.sending.failing, 240),
        ]
        .into_iter()
        .filter_map(|(holds, weight)| holds.then_some(weight))
        .sum()
    }
}

impl Message {
    fn looks_like(&self, other: &Self) -> bool {
        (self.from, self.to, self.heard, self.copy) == (other.from, other.to, other.heard, other.copy)
    }

    fn to_string_in(&self, world: &World<'_>) -> String {
        let (from, to) = (world.member(self.from).name, world.member(self.to).name);
        format!("{} from {from} to {to}", self.heard)
    }
}

fn rank_of(frame: &[u8]) -> Option<Rank> {
    let FrameClass::Carp { payload, .. } = classify(frame) else {
        return None;
    };
    let advertisement = Advertisement::parse(&Packet::new_checked(payload).ok()?).ok()?;
    let interval = advertisement.interval();
    Some(Rank {
        demotion: advertisement.demotion.get(),
        interval: u16::from(interval.base().get()) << 8 | u16::from(interval.skew().get()),
    })
}

fn interface(index: u8, link: bool) -> InterfaceInfo {
    InterfaceInfo {
        mac: MacAddr([2, 0, 0, 0, 0, index]),
        ipv4: Some([10, 0, 0, index + 1].into()),
        ipv6: None,
        link: if link { LinkState::Up } else { LinkState::Down },
    }
}

fn configuration(member: &Member) -> HostConfig<1> {
    let vhid = Vhid::new(7).expect("not 0");
    let mut addresses = AddressSet::new();
    addresses.insert([192, 0, 2, 7].into()).expect("room for one");
    HostConfig {
        advskew: AdvSkew::new(member.advskew),
        preempt: member.preempt,
        dialect: member.dialect,
        addresses,
        ..HostConfig::new(SEGMENT, vhid, Key::from_bytes([7; 20]))
    }
}
