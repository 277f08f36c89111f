//! What must hold at every moment of a run, and in the end.

use std::fmt;

use carp_fsm::sim::{NodeId, Sim, TraceEntry, TraceKind};
use carp_fsm::{
    Cause, Duration, EventKind, GroupId, HandOver, InitReason, Instant, LinkMode, Reason, State,
    TransmitKind, TransmitResult,
};
use carp_proto::{Dialect, Interval};

use super::plan::{Member, NODES, Plan, VHID};
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
    plan: &'p Plan,
    pub(super) seats: [Seat; NODES],
}

impl<'p> Judge<'p> {
    pub(super) fn new(plan: &'p Plan, sim: &Sim) -> Self {
        let mut index = 0;
        let seats = [(); NODES].map(|()| {
            let seat = Seat::started(sim.local_time(NodeId(index)));
            index += 1;
            seat
        });
        Self { plan, seats }
    }

    pub(super) fn is_hardened(&self, index: usize) -> bool {
        self.plan.members[index].policy.live_changes
    }

    /// One thing that just happened.
    pub(super) fn see(&mut self, sim: &Sim, entry: &TraceEntry) -> Result<(), Violation> {
        let index = entry.node.0;
        let (member, now) = (&self.plan.members[index], sim.local_time(entry.node));
        let seat = &mut self.seats[index];
        let blame = |what: String| {
            Err(Violation {
                at: entry.at,
                what: format!("{} {what}", entry.name),
            })
        };
        match entry.kind {
            TraceKind::Heard {
                from,
                source,
                interval,
                demotion,
            } => {
                seat.heard = Some((rank(interval, demotion), from.0));
                if seat.state == State::Backup {
                    let (own, heard) = (seat.rank(member), rank(interval, demotion));
                    let worse =
                        reference::takes_over(member.host.dialect, member.host.preempt, false, own, heard);
                    seat.preempts = seat.tied && worse && heard.interval != reference::BOW_OUT;
                    let family = usize::from(source.is_ipv6());
                    seat.quiet[family] = now;
                    seat.behind[family] = seat.slower_master();
                }
            }
            TraceKind::Owner { owner, .. } => {
                let again = std::mem::take(&mut seat.refused);
                if seat.owner.replace(owner) == Some(owner) && !again {
                    return blame(format!("is asked twice for owner: {owner}"));
                }
            }
            TraceKind::Refused { .. } => {
                if seat.owner == Some(true) {
                    return blame("is asked for addresses that it has".into());
                }
                seat.refused = true;
            }
            TraceKind::Sent(kind) | TraceKind::NotSent(kind, _) => {
                let busy = matches!(entry.kind, TraceKind::NotSent(_, TransmitResult::Busy));
                let sent = matches!(entry.kind, TraceKind::Sent(_));
                // Whoever cannot take the addresses was asked to own them first, and says goodbye.
                let entitled = seat.owner == Some(true) || seat.refused && kind == TransmitKind::BowOut;
                let last_word = seat.yielded == Some(now)
                    && member.host.mode == LinkMode::Plain
                    && member.policy.answer_worse_master;
                let silent = seat.state != State::Master && !last_word;
                if !entitled || kind == TransmitKind::Advertisement && silent {
                    return blame(format!(
                        "sends {kind:?}, being {} and owner: {:?}",
                        seat.state, seat.owner
                    ));
                }
                if busy {
                    // In plain mode an advertisement waits behind announcements.
                    seat.wait_for_room(now);
                } else if kind == TransmitKind::Advertisement && seat.ends_round(member) {
                    seat.end_wait(member, now);
                    seat.count(sent, member, now);
                }
            }
            TraceKind::Event(EventKind::Demotion { to, cause, holds, .. }) => {
                seat.demotion = to;
                // Of a BACKUP that could not send, the demotion is lifted on trial after a while.
                let retry = member.policy.senderr_retry;
                let due = retry.is_some_and(|retry| now - seat.failing_since >= retry);
                if matches!(cause, Cause::SendErrors(_)) && !holds && due && seat.state != State::Master {
                    seat.forgive();
                }
                if matches!(cause, Cause::SendErrors(_))
                    && holds
                    && !seat.failing
                    && !seat.may_fail(member, now)
                {
                    return blame("thinks that it cannot send".into());
                }
            }
            TraceKind::Event(EventKind::HandOver { outcome, .. }) => {
                let asked = std::mem::take(&mut seat.handing_over);
                if let HandOver::Done(_) = outcome {
                    seat.resigned = seat.state == State::Backup && asked;
                    seat.behind = [seat.slower_master(); 2];
                }
            }
            TraceKind::Event(EventKind::Transition { from, to, reason, .. }) => {
                let found = Self::wrong_transition(member, seat, from, to, reason, now, index);
                if let Some(what) = found {
                    return blame(what);
                }
                let own = seat.rank(member);
                let tie = seat.heard.is_some_and(|(heard, _)| {
                    let alike = member.host.dialect != Dialect::OpenBsd || heard.demotion == own.demotion;
                    heard.interval == own.interval && alike
                });
                let yields = (from, to) == (State::Master, State::Backup);
                seat.yielded = yields.then_some(now);
                seat.state = to;
                seat.resigned &= to == State::Backup;
                seat.tied = to == State::Backup && tie && member.policy.parts_equals;
                seat.preempts = false;
                if to != State::Master {
                    seat.end_wait(member, now);
                }
                if to == State::Backup {
                    seat.quiet = [now; 2];
                }
                seat.behind = [if yields { seat.slower_master() } else { 0 }; 2];
            }
            TraceKind::Event(EventKind::Lost(_)) => return blame("loses events".into()),
            TraceKind::HeardAgain { .. } => seat.heard = None,
            _ => {}
        }
        Ok(())
    }

    fn wrong_transition(
        member: &Member,
        seat: &Seat,
        from: State,
        to: State,
        reason: Reason,
        now: Instant,
        index: usize,
    ) -> Option<String> {
        let own = seat.rank(member);
        let dialect = member.host.dialect;
        if from != seat.state {
            return Some(format!("leaves {from}, but was {}", seat.state));
        }
        match (from, to, reason) {
            (State::Init, State::Backup, Reason::InitializationComplete)
            | (_, State::Init, Reason::Stopped(_)) => None,
            (State::Backup, State::Master, Reason::MasterTimedOut) => {
                let addresses = &member.host.addresses;
                let families = [addresses.has_ipv4(), addresses.has_ipv6()];
                let quiet = seat.quiet.iter().zip(seat.behind).zip(families);
                let missing = quiet.filter(|(_, has)| *has).map(|((since, behind), _)| {
                    let (quiet, patience) = (now - *since, seat.patience_behind(member, behind));
                    (patience - quiet, quiet, patience)
                });
                missing
                    .min()
                    .filter(|(missing, ..)| *missing > Duration::ZERO)
                    .map(|(_, quiet, patience)| {
                        format!("takes over after {quiet} s of silence instead of {patience}")
                    })
            }
            (
                State::Backup,
                State::Master,
                Reason::PreemptingSlowerMaster
                | Reason::PreemptingMoreDemotedMaster
                | Reason::MasterWillTimeOut,
            ) => match seat.heard {
                None if seat.preempts && !seat.resigned && !seat.maintenance => None,
                None => Some("takes over from nobody".into()),
                Some((heard, _)) if seat.resigned && heard.interval != reference::BOW_OUT => {
                    Some("takes back what it handed over".into())
                }
                Some((heard, _)) if seat.maintenance && heard.interval != reference::BOW_OUT => {
                    Some("is in maintenance, and takes over from a living master".into())
                }
                Some((heard, _)) => (!reference::takes_over(dialect, member.host.preempt, false, own, heard))
                    .then(|| format!("takes over from {heard}, being {own}")),
            },
            (State::Master, State::Backup, Reason::MoreFrequentAdvertisement) => match seat.heard {
                None => Some("yields to nobody".into()),
                Some((heard, from)) => {
                    let from_nobody =
                        heard.interval == reference::BOW_OUT && member.policy.answer_worse_master;
                    let yields = reference::yields(dialect, own, heard, from < index) && !from_nobody;
                    (!yields).then(|| format!("yields to {heard}, being {own}"))
                }
            },
            (State::Master, State::Backup, Reason::HandedOver) => {
                let successor = seat
                    .heard
                    .is_some_and(|(heard, _)| heard.interval != reference::BOW_OUT);
                (!(seat.handing_over || seat.maintained) || !successor)
                    .then(|| "hands over without being asked, or to nobody".into())
            }
            (_, _, Reason::UserRequested) if seat.forced => None,
            _ => Some(format!("goes from {from} to {to} ({reason})")),
        }
    }

    /// After everything that happened at one moment.
    pub(super) fn check(&mut self, sim: &Sim) -> Result<(), Violation> {
        for (index, member) in self.plan.members.iter().enumerate() {
            let id = NodeId(index);
            let (now, seat) = (sim.local_time(id), &mut self.seats[index]);
            seat.heard = None;
            seat.forced = false;
            let (Some(node), Some(host)) = (sim.node(id), sim.host(id, VHID)) else {
                continue;
            };
            if !seat.can_act() {
                continue;
            }
            let blame = |what: String| {
                Err(Violation {
                    at: sim.now(),
                    what: format!("{} {what}", member.name),
                })
            };
            let Some(status) = node.status(host) else {
                return blame("has lost its virtual host".into());
            };
            let holds = seat.holds();
            if node.demotion(GROUP) != holds {
                return blame(format!(
                    "is demoted by {}, but {holds} holds",
                    node.demotion(GROUP)
                ));
            }
            if status.state != seat.state || status.owner != (seat.owner == Some(true) || seat.refused) {
                return blame(format!(
                    "is {} and owner: {}, but said otherwise",
                    status.state, status.owner
                ));
            }
            let refused = status.init_reason == Some(InitReason::AddressRefused);
            if status.state == State::Master && seat.owner != Some(true) {
                return blame("is MASTER without the addresses".into());
            }
            if seat.healthy() == (status.state == State::Init) && !refused && !status.leaving {
                return blame(format!(
                    "is {}, though taking part is {}",
                    status.state,
                    seat.healthy()
                ));
            }
            let longest = match status.state {
                State::Backup => seat.patience(member) + seat.parting(member),
                State::Master if status.leaving => seat.farewell(member),
                State::Master => Duration::from_secs(u64::from(member.host.advbase.get()) + 1),
                State::Init if refused => Duration::from_micros(64 * member.policy.refused_retry.as_micros()),
                State::Init => continue,
            };
            if node
                .next_deadline()
                .is_none_or(|deadline| deadline > now + longest)
            {
                return blame(format!("is {} without a deadline in time", status.state));
            }
        }
        Ok(())
    }

    /// Once all is quiet: the master of those who hear each other, if all is as it should be.
    pub(super) fn settled(&self, sim: &Sim) -> Result<Vec<usize>, String> {
        let mut masters = Vec::new();
        let mut together = Vec::new();
        for (index, seat) in self.seats.iter().enumerate() {
            let member = &self.plan.members[index];
            let owner = seat.owner == Some(true) && seat.running;
            let master = seat.running && seat.state == State::Master && owner;
            if !seat.healthy() {
                if owner {
                    return Err(format!("{} takes no part, but owns the addresses", member.name));
                }
                continue;
            }
            if master != owner || !master && seat.state != State::Backup {
                return Err(format!("{} is {} and owner: {owner}", member.name, seat.state));
            }
            let leaving = sim.node(NodeId(index)).zip(sim.host(NodeId(index), VHID));
            if leaving.is_some_and(|(node, host)| node.status(host).is_some_and(|status| status.leaving)) {
                return Err(format!("{} is about to leave", member.name));
            }
            if seat.isolated {
                if !master {
                    return Err(format!("{} hears nobody, and is no MASTER", member.name));
                }
                continue;
            }
            together.push(index);
            if master {
                masters.push(index);
            }
        }
        match (together.len(), masters.len()) {
            (0, _) | (_, 1) => {}
            (_, count) => return Err(format!("{count} masters among those that hear each other")),
        }
        self.best(&together, &masters)?;
        Ok(masters)
    }

    /// Where all preempt, speak one dialect, and nobody handed over on request, nobody who is not in maintenance is
    /// better than the MASTER.
    fn best(&self, together: &[usize], masters: &[usize]) -> Result<(), String> {
        let member = |index: &usize| &self.plan.members[*index];
        let dialects = together.iter().map(|index| member(index).host.dialect);
        let alike = dialects
            .clone()
            .zip(dialects.skip(1))
            .all(|(one, other)| one == other);
        let willing = |index: &usize| member(index).host.preempt && !self.seats[*index].resigned;
        if !alike || !together.iter().all(willing) {
            return Ok(());
        }
        let rank = |index: &usize| self.seats[*index].rank(member(index));
        let rivals = together.iter().filter(|index| !self.seats[**index].maintenance);
        let best = rivals.map(rank).min();
        match (masters.first(), best) {
            (Some(master), Some(best)) if rank(master) > best => Err(format!(
                "{} stays MASTER with {}, though {best} preempts",
                member(master).name,
                rank(master)
            )),
            _ => Ok(()),
        }
    }
}

fn rank(interval: Interval, demotion: u8) -> Rank {
    let interval = u16::from(interval.base().get()) << 8 | u16::from(interval.skew().get());
    Rank { demotion, interval }
}
