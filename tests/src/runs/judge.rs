//! What must hold at every moment of a run.

use std::fmt;

use carp_fsm::sim::{NodeId, Sim, TraceEntry, TraceKind};
use carp_fsm::{
    Cause, Duration, EventKind, GroupId, HandOver, HostId, InitReason, Instant, LinkMode, Reason, State,
    TransmitKind, TransmitResult,
};
use carp_proto::{Dialect, Interval};

use super::plan::{NODES, Plan, VHIDS};
use super::seat::Seat;
use crate::model::reference::{self, Rank};

pub(super) const GROUP: GroupId = GroupId(0);

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Virtual time.
    pub at: Instant,
    /// What happened that must not.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12}  {}", self.at, self.what)
    }
}

pub(super) struct Judge<'p> {
    pub(super) plan: &'p Plan,
    pub(super) seats: [Seat; NODES],
}

/// A change of state, as it was reported.
#[derive(Clone, Copy)]
struct Change {
    from: State,
    to: State,
    reason: Reason,
}

impl<'p> Judge<'p> {
    pub(super) fn new(plan: &'p Plan, sim: &Sim) -> Self {
        let mut index = 0;
        let seats = [(); NODES].map(|()| {
            let seat = Seat::started(sim.local_time(NodeId(index)), plan.hosts);
            index += 1;
            seat
        });
        Self { plan, seats }
    }

    pub(super) fn is_hardened(&self, index: usize) -> bool {
        self.plan.members[index].is_hardened()
    }

    /// One thing that just happened.
    pub(super) fn see(&mut self, sim: &Sim, entry: &TraceEntry) -> Result<(), Violation> {
        let (index, now) = (entry.node.0, sim.local_time(entry.node));
        // Where there is only one, it is not named.
        let side = VHIDS
            .iter()
            .position(|vhid| entry.vhid == Some(*vhid))
            .unwrap_or(0);
        let found = match entry.kind {
            TraceKind::Heard {
                from,
                source,
                interval,
                demotion,
                counter,
            } => {
                let heard = (rank(interval, demotion), from.0);
                self.hears(now, (index, side), heard, source.is_ipv6(), counter.get())
            }
            TraceKind::HeardAgain { counter, .. } => {
                let seat = &mut self.seats[index].sides[side];
                seat.heard = None;
                let known = seat.may_remember(counter.get());
                (!known).then(|| "takes for a copy what it has not heard before".into())
            }
            TraceKind::Owner { owner, .. } => {
                let side = &mut self.seats[index].sides[side];
                let again = std::mem::take(&mut side.refused);
                let twice = side.owner.replace(owner) == Some(owner) && !again;
                twice.then(|| format!("is asked twice for owner: {owner}"))
            }
            TraceKind::Refused { .. } => {
                let side = &mut self.seats[index].sides[side];
                side.refused = true;
                (side.owner == Some(true)).then(|| "is asked for addresses that it has".into())
            }
            TraceKind::Sent(kind) => self.sends(now, (index, side), kind, TransmitResult::Sent),
            TraceKind::NotSent(kind, result) => self.sends(now, (index, side), kind, result),
            TraceKind::Event(event) => {
                let about = |host| side_of(sim, entry.node, host);
                self.tells(now, (index, side), event, about)
            }
            TraceKind::Fault(_) => None,
        };
        match found {
            Some(what) => Err(Violation {
                at: entry.at,
                what: format!("{} {what}", entry.name),
            }),
            None => Ok(()),
        }
    }

    fn hears(
        &mut self,
        now: Instant,
        (index, number): (usize, usize),
        (heard, from): (Rank, usize),
        ipv6: bool,
        counter: u64,
    ) -> Option<String> {
        let (member, seat) = (&self.plan.members[index], &mut self.seats[index]);
        let (own, preempts) = (seat.rank(member, number), seat.preempts(member));
        let fast = seat.dead_ratio(member, number).is_some();
        let side = &mut seat.sides[number];
        if member.policy.ignores_replays && member.host.dialect != Dialect::OpenBsd {
            if side.remembers(counter) {
                return Some("believes what it has heard before".into());
            }
            side.remember(Some(counter));
        }
        side.heard = Some((heard, from));
        if fast && heard.advbase() > 0 && heard.interval != reference::BOW_OUT {
            (side.left_fast, side.behind) = (true, [None; 2]);
        }
        if side.state == State::Backup {
            let worse = reference::takes_over(member.host.dialect, preempts, fast, own, heard);
            side.preempts = side.tied && worse && heard.interval != reference::BOW_OUT;
            side.follows = Some(heard);
            side.quiet[usize::from(ipv6)] = now;
            let behind = seat.slower_master(member, number);
            seat.sides[number].behind[usize::from(ipv6)] = behind;
        }
        None
    }

    fn sends(
        &mut self,
        now: Instant,
        (index, number): (usize, usize),
        kind: TransmitKind,
        result: TransmitResult,
    ) -> Option<String> {
        let (member, seat) = (&self.plan.members[index], &mut self.seats[index]);
        let side = &mut seat.sides[number];
        // Whoever cannot take the addresses was asked to own them first, and says goodbye.
        let entitled = side.owner == Some(true) || side.refused && kind == TransmitKind::BowOut;
        let last_word = side.yielded == Some(now)
            && member.host.mode == LinkMode::Plain
            && member.policy.answer_worse_master;
        let silent = side.state != State::Master && !last_word;
        if !entitled || kind == TransmitKind::Advertisement && silent {
            return Some(format!(
                "sends {kind:?}, being {} and owner: {:?}",
                side.state, side.owner
            ));
        }
        if kind != TransmitKind::Announcement && result == TransmitResult::Sent {
            side.remember(None);
        }
        if result == TransmitResult::Busy {
            // In plain mode an advertisement waits behind announcements.
            side.wait_for_room(now);
        } else if kind == TransmitKind::Advertisement && seat.ends_round(member, number, now) {
            seat.sides[number].end_wait(member, now);
            seat.sides[number].count(result == TransmitResult::Sent, member, now);
            seat.look_for_losses(member);
        }
        None
    }

    fn tells(
        &mut self,
        now: Instant,
        (index, number): (usize, usize),
        event: EventKind,
        about: impl Fn(HostId) -> Option<usize>,
    ) -> Option<String> {
        let (member, seat) = (&self.plan.members[index], &mut self.seats[index]);
        match event {
            EventKind::Demotion { to, cause, holds, .. } => {
                seat.demotion = to;
                // Of a BACKUP that could not send, the demotion is lifted on trial after a while.
                let Cause::SendErrors(host) = cause else {
                    return None;
                };
                let side = &mut seat.sides[about(host)?];
                let retry = member.policy.senderr_retry;
                let due = retry.is_some_and(|retry| now - side.failing_since >= retry);
                if !holds && (side.unsure || due && side.state != State::Master) {
                    side.forgive();
                }
                let wrong = holds && !side.failing && !side.may_fail(member, now);
                seat.look_for_losses(member);
                wrong.then(|| "thinks that it cannot send".into())
            }
            EventKind::HandOver { outcome, .. } => {
                let side = &mut seat.sides[number];
                let asked = std::mem::take(&mut side.handing_over);
                if let HandOver::Done(_) = outcome {
                    side.resigned = side.state == State::Backup && asked;
                    let behind = [seat.slower_master(member, number); 2];
                    seat.sides[number].behind = behind;
                }
                None
            }
            EventKind::Transition { from, to, reason, .. } => {
                self.changes(now, (index, number), Change { from, to, reason })
            }
            EventKind::SplitMaster { .. } => {
                seat.split = true;
                None
            }
            EventKind::SplitMasterEnded { .. } => {
                seat.split = false;
                None
            }
            EventKind::FastProfileLeft { .. } => (!seat.sides[number].left_fast)
                .then(|| "leaves the fast profile, but everybody has it".into()),
            EventKind::Lost(_) => Some("loses events".into()),
            _ => None,
        }
    }

    fn changes(&mut self, now: Instant, at: (usize, usize), change: Change) -> Option<String> {
        let ((index, number), Change { from, to, reason }) = (at, change);
        if let Some(what) = self.wrong_change(now, at, change) {
            return Some(what);
        }
        let (member, seat) = (&self.plan.members[index], &mut self.seats[index]);
        let own = seat.rank(member, number);
        let slower = seat.slower_master(member, number);
        let side = &mut seat.sides[number];
        let tie = side.heard.is_some_and(|(heard, _)| {
            let alike = member.host.dialect != Dialect::OpenBsd || heard.demotion == own.demotion;
            heard.interval == own.interval && alike
        });
        let yields = (from, to) == (State::Master, State::Backup);
        side.yielded = yields.then_some(now);
        side.state = to;
        side.resigned &= to == State::Backup;
        side.tied = to == State::Backup && tie && member.policy.parts_equals;
        side.preempts = false;
        side.left_fast &= to != State::Init;
        side.offers &= to == State::Master;
        side.follows = None;
        if to != State::Master {
            side.end_wait(member, now);
        }
        if to == State::Backup {
            side.quiet = [now; 2];
        }
        side.behind = [slower.filter(|_| yields); 2];
        seat.look_for_losses(member);
        let heard = matches!(
            reason,
            Reason::PreemptingSlowerMaster | Reason::PreemptingMoreDemotedMaster | Reason::MasterWillTimeOut
        );
        let others = seat
            .sides
            .iter_mut()
            .enumerate()
            .filter(|(other, _)| *other != number);
        for (_, other) in others.filter(|_| heard) {
            other.moved = Some(now);
        }
        None
    }

    fn wrong_change(&self, now: Instant, at: (usize, usize), change: Change) -> Option<String> {
        let ((index, number), Change { from, to, reason }) = (at, change);
        let (member, seat) = (&self.plan.members[index], &self.seats[index]);
        let side = &seat.sides[number];
        let own = seat.rank(member, number);
        let dialect = member.host.dialect;
        if from != side.state {
            return Some(format!("leaves {from}, but was {}", side.state));
        }
        match (from, to, reason) {
            (State::Init, State::Backup, Reason::InitializationComplete)
            | (_, State::Init, Reason::Stopped(_)) => None,
            (State::Backup, State::Master, Reason::MasterTimedOut) => self.is_early(now, at),
            (State::Backup, State::Master, Reason::FollowingGroup) => self.follows_wrongly(now, at),
            (
                State::Backup,
                State::Master,
                Reason::PreemptingSlowerMaster
                | Reason::PreemptingMoreDemotedMaster
                | Reason::MasterWillTimeOut,
            ) => match side.heard {
                None if side.preempts && !side.resigned && !seat.maintenance => None,
                None => Some("takes over from nobody".into()),
                Some((heard, _)) if side.resigned && heard.interval != reference::BOW_OUT => {
                    Some("takes back what it handed over".into())
                }
                Some((heard, _)) if seat.maintenance && heard.interval != reference::BOW_OUT => {
                    Some("is in maintenance, and takes over from a living master".into())
                }
                Some((heard, _)) => {
                    let fast = seat.dead_ratio(member, number).is_some();
                    (!reference::takes_over(dialect, seat.preempts(member), fast, own, heard))
                        .then(|| format!("takes over from {heard}, being {own}"))
                }
            },
            (State::Master, State::Backup, Reason::MoreFrequentAdvertisement) => match side.heard {
                None => Some("yields to nobody".into()),
                Some((heard, from)) => {
                    let from_nobody =
                        heard.interval == reference::BOW_OUT && member.policy.answer_worse_master;
                    let yields = reference::yields(dialect, own, heard, from < index) && !from_nobody;
                    (!yields).then(|| format!("yields to {heard}, being {own}"))
                }
            },
            (State::Master, State::Backup, Reason::HandedOver) => {
                let successor = side
                    .heard
                    .is_some_and(|(heard, _)| heard.interval != reference::BOW_OUT);
                (!(side.handing_over || seat.maintained || side.offers) || !successor)
                    .then(|| "hands over without being asked, or to nobody".into())
            }
            (_, _, Reason::UserRequested) if seat.forced => None,
            _ => Some(format!("goes from {from} to {to} ({reason})")),
        }
    }

    /// It takes over because nobody is heard. Either family alone is enough.
    fn is_early(&self, now: Instant, (index, number): (usize, usize)) -> Option<String> {
        let (member, seat) = (&self.plan.members[index], &self.seats[index]);
        let (addresses, side) = (&member.host.addresses, &seat.sides[number]);
        let families = [addresses.has_ipv4(), addresses.has_ipv6()];
        let quiet = side.quiet.iter().zip(side.behind).zip(families);
        let missing = quiet.filter(|(_, has)| *has).map(|((since, behind), _)| {
            let (quiet, patience) = (now - *since, seat.patience_since(member, number, *since, behind));
            (patience - quiet, quiet, patience)
        });
        missing
            .min()
            .filter(|(missing, ..)| *missing > Duration::ZERO)
            .map(|(_, quiet, patience)| {
                format!("takes over after {quiet} s of silence instead of {patience}")
            })
    }

    /// It takes over because the other one of its group did, from somebody who could be heard, and here the next
    /// advertisement of the master is overdue.
    fn follows_wrongly(&self, now: Instant, (index, number): (usize, usize)) -> Option<String> {
        let (member, seat) = (&self.plan.members[index], &self.seats[index]);
        let side = &seat.sides[number];
        let last = side.quiet[0].max(side.quiet[1]);
        let moves =
            member.policy.fails_over_as_group && !seat.maintenance && side.moved.is_some_and(|at| at >= last);
        let overdue = side
            .follows
            .is_some_and(|heard| (now - last).as_micros() > reference::period(heard.interval));
        (!(moves && overdue)).then(|| {
            let quiet = now - last;
            format!("follows its group after {quiet} s of silence; it moves: {moves}")
        })
    }

    /// After everything that happened at one moment.
    pub(super) fn check(&mut self, sim: &Sim) -> Result<(), Violation> {
        for (index, member) in self.plan.members.iter().enumerate() {
            let seat = &mut self.seats[index];
            seat.forced = false;
            for side in &mut seat.sides {
                side.heard = None;
            }
            for number in 0..self.plan.hosts {
                if let Some(what) = self.wrong_at_rest(sim, (index, number)) {
                    return Err(Violation {
                        at: sim.now(),
                        what: format!("{} {what}", member.name),
                    });
                }
            }
        }
        Ok(())
    }

    fn wrong_at_rest(&self, sim: &Sim, (index, number): (usize, usize)) -> Option<String> {
        let id = NodeId(index);
        let (member, seat) = (&self.plan.members[index], &self.seats[index]);
        let (side, now) = (&seat.sides[number], sim.local_time(id));
        let (node, host) = sim.node(id).zip(sim.host(id, VHIDS[number]))?;
        if !seat.can_act() {
            return None;
        }
        let Some(status) = node.status(host) else {
            return Some("has lost its virtual host".into());
        };
        let (demotion, holds) = (node.demotion(GROUP), seat.holds());
        if demotion != holds {
            return Some(format!("is demoted by {demotion}, but {holds} holds"));
        }
        if status.state != side.state || status.owner != (side.owner == Some(true) || side.refused) {
            return Some(format!(
                "is {} and owner: {}, but said otherwise",
                status.state, status.owner
            ));
        }
        let refused = status.init_reason == Some(InitReason::AddressRefused);
        if status.state == State::Master && side.owner != Some(true) {
            return Some("is MASTER without the addresses".into());
        }
        if status.left_fast != side.left_fast {
            return Some(format!("has left the fast profile: {}", status.left_fast));
        }
        let healthy = seat.healthy(number);
        if healthy == (status.state == State::Init) && !refused && !status.leaving {
            return Some(format!("is {}, though taking part is {healthy}", status.state));
        }
        let longest = match status.state {
            State::Backup => seat.longest_patience(member, number) + seat.parting(member, number),
            State::Master if status.leaving => seat.farewell(member),
            State::Master => Duration::from_secs(u64::from(member.host.advbase.get()) + 2),
            State::Init if refused => Duration::from_micros(64 * member.policy.refused_retry.as_micros()),
            State::Init => return None,
        };
        let deadline = node.next_deadline();
        deadline
            .is_none_or(|deadline| deadline > now + longest)
            .then(|| format!("is {} without a deadline in time", status.state))
    }
}

fn rank(interval: Interval, demotion: u8) -> Rank {
    let interval = u16::from(interval.base().get()) << 8 | u16::from(interval.skew().get());
    Rank { demotion, interval }
}

/// Which of the virtual hosts of a node this is.
fn side_of(sim: &Sim, id: NodeId, host: HostId) -> Option<usize> {
    let vhid = sim.node(id)?.config(host)?.vhid;
    VHIDS.iter().position(|known| *known == vhid)
}
