//! What every adapter does: frames in, and then actions and events until there are none.

use std::net::IpAddr;
use std::rc::Rc;

use carp_fsm::sim::{SEGMENT, TraceKind};
use carp_fsm::{
    Action, Duration, EventKind, HandOver, HostId, Instant, Node, OwnerError, State, TransmitKind,
    TransmitResult,
};
use carp_proto::{Advertisement, Counter, Dialect, FrameClass, MAX_FRAME_LEN, Packet, frame::classify};

use super::promises::Violation;
use super::reference::{self, Rank};
use super::scenario::Fault;
use super::seat::{ADDRS, new_signer};
use super::world::{Because, Heard, World};

/// An advertisement under way. The order makes equal worlds look equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    pub(super) from: u8,
    pub(super) to: u8,
    pub(super) ipv6: bool,
    pub(super) heard: Rank,
    pub(super) copy: bool,
    /// Where keys change: which one signed it, and when.
    pub(super) new_key: bool,
    pub(super) sent: Option<Instant>,
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
        let understood = self.understands(&message)?;
        let believed = believed && understood;
        let (slow, fast) = (message.heard.interval >> 8 > 0, self.is_fast(message.to));
        if believed && !deaf && fast && slow && message.heard.interval != reference::BOW_OUT {
            let seat = &mut self.seats[usize::from(message.to)];
            (seat.left_fast, seat.heard) = (true, None);
        }
        let because = if believed {
            let ipv6 = message.ipv6;
            Because::Heard(message.heard, Heard { lower_source, ipv6 })
        } else {
            Because::Repeated
        };
        let mut refused = None;
        self.with_node(message.to, because, |node, _, now| {
            refused = node.handle_packet(now, SEGMENT, &meta, payload).err();
        })?;
        if refused.is_none() && !understood {
            return Err(self.blame(
                message.to,
                "believes what is signed with a key that it does not have",
            ));
        }
        if let Some(rejection) = refused.filter(|_| believed && !deaf) {
            return Err(self.blame(message.to, &format!("refuses an advertisement: {rejection:?}")));
        }
        let called = before == State::Backup && message.heard.interval == reference::BOW_OUT && believed;
        let takes_over = self.state(message.to) == State::Master;
        if called && !takes_over && !self.seats[usize::from(message.to)].refuses {
            return Err(self.blame(message.to, "does not take over from a master that bows out"));
        }
        // Who was called back a moment after it stepped back stays for an interval.
        let maintenance = self.seats[usize::from(message.to)].maintenance && !self.is_new_master(message.to);
        let rival = message.heard.interval != reference::BOW_OUT && believed;
        if maintenance && rival && before == State::Master && self.is_master(message.to) {
            return Err(self.blame(message.to, "is in maintenance, and stays MASTER beside another"));
        }
        Ok(())
    }

    /// Has it been MASTER for less than an interval? Asked of the node: what it answers is checked elsewhere.
    fn is_new_master(&self, index: u8) -> bool {
        let seat = &self.seats[usize::from(index)];
        let status = seat.running.as_ref().and_then(|(node, host)| node.status(*host));
        status.is_some_and(|status| {
            let longest = Duration::from_secs(u64::from(self.member(index).advbase) + 1);
            status.state == State::Master && self.now - status.since < longest
        })
    }

    /// Will its receiver believe it? Not if it remembers the counter, except where counters repeat.
    pub(super) fn is_news(&self, message: &Message) -> bool {
        let running = self.seats[usize::from(message.to)].running.as_ref();
        let counters_repeat = self.member(message.to).dialect == Dialect::OpenBsd;
        let remembered =
            running.is_some_and(|(node, host)| node.remembers(*host, Counter::new(message.counter)));
        !remembered || counters_repeat || !self.scenario.policy.ignores_replays
    }

    /// Has its receiver the key? If all nodes change theirs within the grace, everybody is understood all the time:
    /// whoever has just changed says everything twice.
    fn understands(&self, message: &Message) -> Result<bool, Violation> {
        let seat = &self.seats[usize::from(message.to)];
        let grace = self.scenario.policy.change_grace;
        let understands = message.new_key == seat.rekeyed || self.in_grace(message.to);
        // At the moment at which its grace ends, too, as long as the timer has not been served.
        let changed = self.seats[usize::from(message.from)].changed;
        let twice = changed.is_some_and(|at| self.now - at <= grace);
        let Some(first) = self.first_change else {
            return Ok(understands);
        };
        let in_time = self
            .seats
            .iter()
            .all(|seat| seat.changed.map_or(!seat.rekeyed, |at| at - first < grace));
        let orderly = in_time && !self.restarted && (self.now - first < grace || self.all_have_changed());
        if !understands && !twice && orderly && message.sent == Some(self.now) {
            return Err(self.blame(
                message.to,
                "cannot understand, though all change their keys in time",
            ));
        }
        Ok(understands)
    }

    /// It has changed its key, and the others may not have.
    fn in_grace(&self, index: u8) -> bool {
        let changed = self.seats[usize::from(index)].changed;
        changed.is_some_and(|at| self.now - at < self.scenario.policy.change_grace)
    }

    fn all_have_changed(&self) -> bool {
        self.seats.iter().all(|seat| seat.rekeyed)
    }

    pub(super) fn with_node(
        &mut self,
        index: u8,
        because: Because,
        act: impl FnOnce(&mut Node<'static, ADDRS>, HostId, Instant),
    ) -> Result<(), Violation> {
        let now = self.now;
        if let Some((node, host)) = &mut self.seats[usize::from(index)].running {
            act(node, *host, now);
        }
        if let Because::Heard(rank, heard) = because
            && self.state(index) == State::Backup
        {
            let (own, member, fast) = (self.rank(index), self.member(index), self.is_fast(index));
            let period = reference::period(own.interval);
            let worse = reference::takes_over(member.dialect, member.preempt, fast, own, rank)
                && rank.interval != reference::BOW_OUT;
            let seat = &mut self.seats[usize::from(index)];
            let since = &mut seat.quiet_since[usize::from(heard.ipv6)];
            let quiet = (now - *since).as_micros();
            *since = now;
            let preempts = seat.tied && worse && !seat.resigned && !seat.maintenance;
            // A master that stays is heard once in each period: not the one that was to be preempted.
            let stays = !seat.preempts && !preempts && (period / 2..=period / 2 * 3).contains(&quiet);
            seat.preempts = preempts;
            seat.tied &= !stays;
            seat.hear(rank);
        }
        self.drain(index, because)
    }

    /// What every adapter does: events and actions until there are none.
    pub(super) fn drain(&mut self, index: u8, because: Because) -> Result<(), Violation> {
        self.take_events(index, because)?;
        let mut frame = [0; MAX_FRAME_LEN];
        let mut actions = 0;
        let nodes = u8::try_from(self.seats.len()).unwrap_or(u8::MAX);
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
                Action::Transmit {
                    kind,
                    len,
                    tx,
                    next_hop,
                    ..
                } => {
                    let to = next_hop.map(number);
                    let unreachable = seat.unreachable && to == Some((index + 1) % nodes);
                    let result = if seat.send_errors || unreachable {
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
                    // One of several peers need not be there.
                    if kind == TransmitKind::Advertisement && !(unreachable && nodes > 2) {
                        let member = &self.scenario.members[usize::from(index)];
                        let failed_before = seat.sending.failing;
                        seat.sending
                            .count(!seat.send_errors, &self.scenario.policy, member.dialect);
                        if !failed_before {
                            seat.failing_since = now;
                        }
                    }
                    let silent = seat.send_errors || unreachable || seat.isolated || !seat.link;
                    let entitled = seat.owner == Some(true) && (may_speak || kind == TransmitKind::BowOut);
                    self.trace(index, TraceKind::Sent(kind));
                    if !entitled {
                        return Err(
                            self.blame(index, &format!("sends {kind:?} but is not MASTER, or not owner"))
                        );
                    }
                    if kind != TransmitKind::Announcement && !silent {
                        self.send(index, to, &frame[..len])?;
                    }
                }
            }
        }
        self.take_events(index, because)
    }

    /// To one, or to all others.
    fn send(&mut self, from: u8, only: Option<u8>, frame: &[u8]) -> Result<(), Violation> {
        let no_carp = || self.blame(from, "sends a frame that is no advertisement");
        let FrameClass::Carp { meta, payload } = classify(frame) else {
            return Err(no_carp());
        };
        let packet = Packet::new_checked(payload).map_err(|_| no_carp())?;
        let (heard, counter) = decode(&packet).ok_or_else(no_carp)?;
        let ipv6 = meta.src.is_ipv6();
        let changing = self.scenario.faults.contains(&Fault::Rekey);
        let new_key = changing && new_signer(self.scenario.speak).verify(&packet).is_ok();
        let sent = changing.then_some(self.now);
        let twice = self.in_grace(from);
        let frame: Rc<[u8]> = frame.into();
        for (to, seat) in (0..).zip(&self.seats) {
            let reached = seat.running.is_some() && seat.link && !seat.isolated && !seat.deaf;
            let room = !self.crowded || self.flight.len() < self.scenario.in_flight;
            if to != from && only.is_none_or(|only| only == to) && reached && room {
                let the_same = |message: &&Message| {
                    (message.from, message.to, message.ipv6, message.sent) == (from, to, ipv6, sent)
                };
                let said = self.flight.iter().filter(the_same);
                if twice && new_key && !self.crowded && said.clone().all(|message| message.new_key) {
                    return Err(self.blame(from, "says something with its new key alone"));
                }
                let frame = Rc::clone(&frame);
                self.flight.push(Message {
                    from,
                    to,
                    ipv6,
                    heard,
                    copy: false,
                    new_key,
                    sent,
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
                    seat.left_fast &= to != State::Init;
                    seat.heard = None;
                    if to == State::Backup {
                        seat.quiet_since = [now; 2];
                        if let Because::Heard(rank, _) = because {
                            seat.hear(rank);
                        }
                    }
                }
                EventKind::HandOver { outcome, .. } => {
                    let backup = self.state(index) == State::Backup;
                    let seat = &mut self.seats[usize::from(index)];
                    let asked = std::mem::take(&mut seat.asked);
                    if matches!(outcome, HandOver::Done(_)) {
                        seat.resigned = backup && asked;
                    }
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
        (self.from, self.to, self.ipv6, self.heard) == (other.from, other.to, other.ipv6, other.heard)
            && (self.copy, self.new_key, self.sent) == (other.copy, other.new_key, other.sent)
    }

    pub(super) fn to_string_in(&self, world: &World<'_>) -> String {
        let (from, to) = (world.member(self.from).name, world.member(self.to).name);
        let family = if self.ipv6 { " over IPv6" } else { "" };
        let key = if self.new_key { ", with the new key," } else { "" };
        format!("{} from {from} to {to}{family}{key}", self.heard)
    }
}

/// The node of an address.
fn number(address: IpAddr) -> u8 {
    let last = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    last - 1
}

fn decode(packet: &Packet<&[u8]>) -> Option<(Rank, u64)> {
    let advertisement = Advertisement::parse(packet).ok()?;
    let interval = advertisement.interval();
    let rank = Rank {
        demotion: advertisement.demotion.get(),
        interval: u16::from(interval.base().get()) << 8 | u16::from(interval.skew().get()),
    };
    Some((rank, advertisement.counter.get()))
}
