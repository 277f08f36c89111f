//! The nodes, the network between them, and one step of either.

use std::hash::{DefaultHasher, Hash, Hasher};

use carp_fsm::sim::{NodeId, SEGMENT, TraceEntry, TraceKind};
use carp_fsm::{Cause, GroupId, Instant, Node, State, Storage};

use super::adapter::Message;
use super::promises::Violation;
use super::reference::Rank;
use super::scenario::{DEMOTION, Fault, Scenario, Speak, TICK};
use super::seat::{Seat, configuration, interface, peers};
use super::step::Step;

pub(super) const GROUP: GroupId = GroupId(0);

/// Why a node acts.
#[derive(Clone, Copy)]
pub(super) enum Because {
    Heard(Rank, Heard),
    /// It heard something that it should not believe.
    Repeated,
    Time,
    /// Of time, and it has not yet heard what waits.
    Unheard,
    Operator,
}

/// What else is known of an advertisement that is heard.
#[derive(Clone, Copy)]
pub(super) struct Heard {
    /// It comes from the lower address.
    pub(super) lower_source: bool,
    pub(super) ipv6: bool,
}

/// One state of everything.
pub struct World<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) now: Instant,
    pub(super) seats: Vec<Seat>,
    pub(super) flight: Vec<Message>,
    /// Messages beyond [`Scenario::in_flight`] are lost.
    pub(super) crowded: bool,
    pub(super) starts: u64,
    /// When the first of the nodes got the new key.
    pub(super) first_change: Option<Instant>,
    /// A node started after that: it does not know the old one.
    pub(super) restarted: bool,
    pub(super) log: Option<Vec<String>>,
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
            first_change: None,
            restarted: false,
            log: None,
        };
        for index in (0..).take(scenario.members.len()) {
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
            first_change: self.first_change,
            restarted: self.restarted,
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
        let grace = self.scenario.policy.change_grace;
        let ago = |at: Option<Instant>| at.map(|at| (self.now - at).min(grace));
        if self.scenario.faults.contains(&Fault::Rekey) {
            (ago(self.first_change), self.restarted).hash(&mut state);
        }
        for (index, seat) in (0..).zip(&self.seats) {
            (
                (seat.link, seat.isolated, seat.deaf, seat.demoted, seat.enabled),
                (
                    seat.shutdown,
                    seat.send_errors,
                    seat.owner,
                    seat.resigned,
                    seat.asked,
                ),
                (seat.sending, seat.paused, seat.refuses),
                (seat.maintenance, seat.tied, seat.preempts),
                (seat.left_fast, seat.unreachable),
                (seat.rekeyed, ago(seat.changed)),
            )
                .hash(&mut state);
            let Some((node, host)) = &seat.running else {
                continue;
            };
            node.hash_election(self.now, &mut state);
            if let (true, Some(retry)) = (seat.sending.failing, self.scenario.policy.senderr_retry) {
                (self.now - seat.failing_since).min(retry).hash(&mut state);
            }
            if node.state(*host) == Some(State::Backup) {
                // Longer than the master-down time is long enough.
                let patience = self.patience(index);
                let quiet = |since| (self.now - since).min(patience);
                (seat.quiet_since.map(quiet), patience).hash(&mut state);
            }
        }
        for message in &self.flight {
            let news = self.is_news(message);
            let fresh = message.sent == Some(self.now);
            (message.from, message.to, message.ipv6, message.heard).hash(&mut state);
            (message.copy, news, message.new_key, fresh).hash(&mut state);
        }
        state.finish()
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
                    .map_or(self.now + TICK, |at| at.min(self.now + TICK));
            }
            Step::Sleep => self.now = self.next_deadline().map_or(self.now, |at| at.max(self.now)),
            Step::Crash(index) => self.crash(index),
            Step::Start(index) => {
                let mut seat = self.seat(index);
                let old = &self.seats[usize::from(index)];
                (seat.isolated, seat.deaf) = (old.isolated, old.deaf);
                (seat.send_errors, seat.refuses) = (old.send_errors, old.refuses);
                (seat.rekeyed, seat.unreachable) = (old.rekeyed, old.unreachable);
                self.restarted |= self.first_change.is_some();
                let maintenance = old.maintenance;
                self.seats[usize::from(index)] = seat;
                self.maintain(index, maintenance)?;
            }
            Step::Isolate(index) => {
                let seat = &mut self.seats[usize::from(index)];
                seat.isolated = !seat.isolated;
                self.flight
                    .retain(|message| message.to != index && message.from != index);
            }
            Step::Deafen(index) => {
                let seat = &mut self.seats[usize::from(index)];
                seat.deaf = !seat.deaf;
                self.flight.retain(|message| message.to != index);
            }
            Step::SendErrors(index) => {
                let seat = &mut self.seats[usize::from(index)];
                seat.send_errors = !seat.send_errors;
            }
            Step::Refuse(index) => {
                let seat = &mut self.seats[usize::from(index)];
                seat.refuses = !seat.refuses;
            }
            Step::Rekey(index) => self.rekey(index)?,
            Step::Unreachable(index) => {
                let seat = &mut self.seats[usize::from(index)];
                seat.unreachable = !seat.unreachable;
            }
            Step::Pause(index) if self.seats[usize::from(index)].paused => self.wake(index)?,
            Step::Pause(index) => self.seats[usize::from(index)].paused = true,
            Step::Link(index) => self.toggle_link(index)?,
            Step::Demote(index) => self.toggle_demotion(index)?,
            Step::Enable(index) => self.toggle_enabled(index)?,
            Step::HandOver(index) => {
                self.seats[usize::from(index)].asked = true;
                self.with_node(index, Because::Operator, |node, host, now| {
                    let _ = node.hand_over(now, host);
                })?;
            }
            Step::Maintain(index) => {
                let maintenance = !self.seats[usize::from(index)].maintenance;
                self.maintain(index, maintenance)?;
            }
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

    /// What an adapter does when it wakes: timers, what waits, and then timers that waited for that.
    pub(super) fn wake(&mut self, index: u8) -> Result<(), Violation> {
        let seat = &mut self.seats[usize::from(index)];
        seat.paused = false;
        let because = if self.scenario.policy.hears_first {
            Because::Unheard
        } else {
            Because::Time
        };
        self.with_node(index, because, |node, _, now| node.handle_timeout(now))?;
        while let Some(waiting) = self.flight.iter().position(|message| message.to == index) {
            self.deliver(u8::try_from(waiting).unwrap_or(u8::MAX), false)?;
        }
        self.with_node(index, Because::Time, |node, _, now| node.handle_drained(now))
    }

    /// Every pause ends, every peer is reached, and the operator finishes what is begun.
    pub(super) fn calm(&mut self) -> Result<(), Violation> {
        for index in (0..).take(self.seats.len()) {
            let seat = &self.seats[usize::from(index)];
            let (paused, unreachable) = (seat.paused, seat.unreachable);
            let old_key = self.first_change.is_some() && !seat.rekeyed;
            for (applies, step) in [
                (paused, Step::Pause(index)),
                (unreachable, Step::Unreachable(index)),
                (old_key, Step::Rekey(index)),
            ] {
                if applies {
                    self.apply(step)?;
                }
            }
        }
        Ok(())
    }

    /// Whom [`Step::Unreachable`] is about.
    pub(super) fn next(&self, index: u8) -> u8 {
        (index + 1) % u8::try_from(self.seats.len()).unwrap_or(u8::MAX)
    }

    fn rekey(&mut self, index: u8) -> Result<(), Violation> {
        let now = self.now;
        self.first_change.get_or_insert(now);
        let config = configuration(self.member(index), self.scenario.speak, true);
        let seat = &mut self.seats[usize::from(index)];
        seat.rekeyed = true;
        seat.changed = seat.running.is_some().then_some(now);
        self.with_node(index, Because::Operator, |node, host, now| {
            let _ = node.reconfigure(now, host, config);
        })
    }

    fn toggle_link(&mut self, index: u8) -> Result<(), Violation> {
        let seat = &mut self.seats[usize::from(index)];
        seat.link = !seat.link;
        let info = interface(index, seat.link);
        self.flight.retain(|message| message.to != index);
        self.with_node(index, Because::Operator, |node, _, now| {
            node.handle_interface(now, SEGMENT, info);
        })
    }

    fn maintain(&mut self, index: u8, maintenance: bool) -> Result<(), Violation> {
        let seat = &mut self.seats[usize::from(index)];
        seat.maintenance = maintenance;
        self.with_node(index, Because::Operator, |node, _, now| {
            node.set_maintenance(now, maintenance);
        })?;
        if maintenance && self.is_master(index) {
            return Err(self.blame(index, "enters maintenance mode, and hands nothing over"));
        }
        Ok(())
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
            deaf: seat.deaf,
            send_errors: seat.send_errors,
            refuses: seat.refuses,
            rekeyed: seat.rekeyed,
            unreachable: seat.unreachable,
            maintenance: seat.maintenance,
            ..Seat::empty(self.now)
        };
        self.flight.retain(|message| message.to != index);
    }

    fn seat(&mut self, index: u8) -> Seat {
        let rekeyed = self.seats.get(usize::from(index)).is_some_and(|old| old.rekeyed);
        let config = configuration(self.member(index), self.scenario.speak, rekeyed);
        self.starts += 1;
        // Any two starts draw different counters.
        let seed = self.starts << 8 | u64::from(index);
        let mut node = Box::new(Node::new(
            self.scenario.policy,
            seed,
            Storage::growing_with(8, 16),
        ));
        let host = node.insert(self.now, config).expect("a valid configuration");
        if self.scenario.speak == Speak::Unicast {
            let peers = peers(index, self.scenario.members.len());
            node.set_peers(self.now, host, false, &peers)
                .expect("the other nodes");
        }
        node.handle_interface(self.now, SEGMENT, interface(index, true));
        Seat {
            running: Some((node, host)),
            ..Seat::empty(self.now)
        }
    }

    pub(super) fn trace(&mut self, index: u8, kind: TraceKind) {
        if self.log.is_some() {
            let name = self.member(index).name.to_owned();
            let node = NodeId(usize::from(index));
            let entry = TraceEntry {
                at: self.now,
                node,
                name,
                vhid: None,
                kind,
            };
            self.log.iter_mut().for_each(|log| log.push(entry.to_string()));
        }
    }

    pub(super) fn note(&mut self, index: Option<u8>, what: &str) {
        let name = index.map_or("-", |index| self.member(index).name);
        let line = format!("{:>12}  {name}  {what}", self.now);
        self.log.iter_mut().for_each(|log| log.push(line.clone()));
    }
}
