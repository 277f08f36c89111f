//! What every adapter does: frames in, and then actions and events until there are none.

use std::rc::Rc;

use carp_fsm::sim::{SEGMENT, TraceKind};
use carp_fsm::{
    Action, EventKind, HandOver, HostId, Instant, Node, OwnerError, State, TransmitKind, TransmitResult,
};
use carp_proto::{Advertisement, Counter, Dialect, FrameClass, MAX_FRAME_LEN, Packet, frame::classify};

use super::promises::Violation;
use super::reference::{self, Rank};
use super::world::{Because, World};

/// An advertisement under way. The order makes equal worlds look equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    pub(super) from: u8,
    pub(super) to: u8,
    pub(super) heard: Rank,
    pub(super) copy: bool,
    counter: u64,
    pub(super) frame: Rc<[u8]>,
}

impl World<'_> {
    pub(super) fn deliver(&mut self, index: u8, stays: bool) -> Result<(), Violation> {
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
        let before = self.state(message.to);
        // Kernels may have no ear for a virtual host in INIT.
        let deaf = before == State::Init && !self.scenario.policy.hears_in_init;
        let believed = self.is_news(&message);
        if !believed && !message.copy {
            return Err(self.blame(message.to, "takes an advertisement for one that it heard before"));
        }
        let because = if believed {
            Because::Heard(message.heard, lower_source)
        } else {
            Because::Repeated
        };
        let mut refused = None;
        self.with_node(message.to, because, |node, _, now| {
            refused = node.handle_packet(now, SEGMENT, &meta, payload).err();
        })?;
        if let Some(rejection) = refused.filter(|_| believed && !deaf) {
            return Err(self.blame(message.to, &format!("refuses an advertisement: {rejection:?}")));
        }
        let called = before == State::Backup && message.heard.interval == reference::BOW_OUT && believed;
        let takes_over = self.state(message.to) == State::Master;
        if called && !takes_over && !self.seats[usize::from(message.to)].refuses {
            return Err(self.blame(message.to, "does not take over from a master that bows out"));
        }
        let maintenance = self.seats[usize::from(message.to)].maintenance;
        let rival = message.heard.interval != reference::BOW_OUT && believed;
        if maintenance && rival && before == State::Master && self.is_master(message.to) {
            return Err(self.blame(message.to, "is in maintenance, and stays MASTER beside another"));
        }
        Ok(())
    }

    /// Will its receiver believe it? Not if it remembers the counter, except where counters repeat.
    pub(super) fn is_news(&self, message: &Message) -> bool {
        let running = self.seats[usize::from(message.to)].running.as_ref();
        let counters_repeat = self.member(message.to).dialect == Dialect::OpenBsd;
        let remembered =
            running.is_some_and(|(node, host)| node.remembers(*host, Counter::new(message.counter)));
        !remembered || counters_repeat || !self.scenario.policy.ignores_replays
    }

    pub(super) fn with_node(
        &mut self,
        index: u8,
        because: Because,
        act: impl FnOnce(&mut Node<'static, 1>, HostId, Instant),
    ) -> Result<(), Violation> {
        let now = self.now;
        if let Some((node, host)) = &mut self.seats[usize::from(index)].running {
            act(node, *host, now);
        }
        if let Because::Heard(heard, _) = because
            && self.state(index) == State::Backup
        {
            let (own, member) = (self.rank(index), self.member(index));
            let period = reference::period(own);
            let worse = reference::takes_over(member.dialect, member.preempt, own, heard)
                && heard.interval != reference::BOW_OUT;
            let seat = &mut self.seats[usize::from(index)];
            let quiet = (now - seat.quiet_since).as_micros();
            let preempts = seat.tied && worse && !seat.resigned && !seat.maintenance;
            // A master that stays is heard once in each period: not the one that was to be preempted.
            let stays = !seat.preempts && !preempts && (period / 2..=period / 2 * 3).contains(&quiet);
            seat.preempts = preempts;
            seat.tied &= !stays;
            seat.quiet_since = now;
        }
        self.drain(index, because)
    }

    /// What every adapter does: events and actions until there are none.
    pub(super) fn drain(&mut self, index: u8, because: Because) -> Result<(), Violation> {
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
                    let may_speak = match node.state(*host) {
                        Some(State::Master) => true,
                        // The last word of one that yields.
                        Some(State::Backup) => kind == TransmitKind::Advertisement,
                        _ => false,
                    };
                    node.handle_transmit_result(now, tx, result);
                    if kind == TransmitKind::Advertisement {
                        let member = &self.scenario.members[usize::from(index)];
                        let failed_before = seat.sending.failing;
                        seat.sending
                            .count(!seat.send_errors, &self.scenario.policy, member.dialect);
                        if !failed_before {
                            seat.failing_since = now;
                        }
                    }
                    let silent = seat.send_errors || seat.isolated || !seat.link;
                    let entitled = seat.owner == Some(true) && (may_speak || kind == TransmitKind::BowOut);
                    self.trace(index, TraceKind::Sent(kind));
                    if !entitled {
                        return Err(
                            self.blame(index, &format!("sends {kind:?} but is not MASTER, or not owner"))
                        );
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
        let (heard, counter) =
            decode(frame).ok_or_else(|| self.blame(from, "sends a frame that is no advertisement"))?;
        let frame: Rc<[u8]> = frame.into();
        for (to, seat) in (0..).zip(&self.seats) {
            let reached = seat.running.is_some() && seat.link && !seat.isolated && !seat.deaf;
            let room = !self.crowded || self.flight.len() < self.scenario.in_flight;
            if to != from && reached && room {
                let frame = Rc::clone(&frame);
                self.flight.push(Message {
                    from,
                    to,
                    heard,
                    copy: false,
                    counter,
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
                    let tied = self.is_tie(index, from, because);
                    let now = self.now;
                    let seat = &mut self.seats[usize::from(index)];
                    seat.resigned &= to == State::Backup;
                    seat.tied = tied && to == State::Backup;
                    seat.preempts = false;
                    if to == State::Backup {
                        seat.quiet_since = now;
                    }
                }
                EventKind::HandOver {
                    outcome: HandOver::Done(_),
                    ..
                } => {
                    let backup = self.state(index) == State::Backup;
                    let seat = &mut self.seats[usize::from(index)];
                    // Maintenance ends some day, and the priority counts again.
                    seat.resigned = backup && !seat.maintenance && seat.asked;
                }
                EventKind::Lost(_) => return Err(self.blame(index, "reports more than the search can hold")),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Message {
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        (self.from, self.to, self.heard, self.copy) == (other.from, other.to, other.heard, other.copy)
    }

    pub(super) fn to_string_in(&self, world: &World<'_>) -> String {
        let (from, to) = (world.member(self.from).name, world.member(self.to).name);
        format!("{} from {from} to {to}", self.heard)
    }
}

fn decode(frame: &[u8]) -> Option<(Rank, u64)> {
    let FrameClass::Carp { payload, .. } = classify(frame) else {
        return None;
    };
    let advertisement = Advertisement::parse(&Packet::new_checked(payload).ok()?).ok()?;
    let interval = advertisement.interval();
    let rank = Rank {
        demotion: advertisement.demotion.get(),
        interval: u16::from(interval.base().get()) << 8 | u16::from(interval.skew().get()),
    };
    Some((rank, advertisement.counter.get()))
}
