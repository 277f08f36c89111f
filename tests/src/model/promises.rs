//! What holds for every node at every moment.

use std::fmt;

use carp_fsm::{Cause, Duration, InitReason, Reason, State};
use carp_proto::Dialect;

use super::reference::{self, Rank};
use super::scenario::{Fault, Member, Speak};
use super::seat::Sending;
use super::world::{Because, GROUP, Heard, World};

/// What must not happen, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'s> World<'s> {
    /// A state changes only for a reason that the reference accepts.
    pub(super) fn check_transition(
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
                if seat.maintenance && heard.interval != reference::BOW_OUT {
                    return Err(self.blame(index, "is in maintenance, and takes over from a living master"));
                }
                if !reference::takes_over(member.dialect, member.preempt, self.is_fast(index), own, heard) {
                    return Err(self.blame(index, &format!("takes over from {heard}, being {own}")));
                }
            }
            (State::Backup, State::Master, Because::Time) if reason != Reason::MasterTimedOut => {
                let late = (self.now - seat.quiet_since[0].max(seat.quiet_since[1])).as_micros()
                    > reference::period(own.interval);
                if !seat.preempts || late {
                    return Err(self.blame(
                        index,
                        "preempts by the timer, but has heard no worse master after a tie",
                    ));
                }
            }
            (State::Backup, State::Master, Because::Time) => {
                let [ipv4, ipv6] = seat.quiet_since.map(|since| self.now - since);
                // The silence of either family is enough.
                let quiet = if self.scenario.speak == Speak::Both {
                    ipv4.max(ipv6)
                } else {
                    ipv4
                };
                let patience = self.patience(index);
                if quiet < patience {
                    return Err(self.blame(
                        index,
                        &format!("takes over after {quiet} s of silence instead of {patience}"),
                    ));
                }
            }
            (_, _, Because::Repeated) => return Err(self.blame(index, "believes what it heard before")),
            (State::Backup, State::Master, Because::Unheard) => {
                return Err(self.blame(index, "takes over before it has heard what waits"));
            }
            (State::Master, State::Backup, Because::Heard(heard, Heard { lower_source, .. })) => {
                let handed_over = reason == Reason::HandedOver && heard.interval != reference::BOW_OUT;
                let from_nobody =
                    heard.interval == reference::BOW_OUT && self.scenario.policy.answer_worse_master;
                let yields = reference::yields(member.dialect, own, heard, lower_source) && !from_nobody;
                if !handed_over && !yields {
                    return Err(self.blame(index, &format!("yields to {heard}, being {own}")));
                }
            }
            (State::Master, State::Backup, Because::Time | Because::Unheard) => {
                return Err(self.blame(index, "yields to nobody"));
            }
            _ => {}
        }
        Ok(())
    }

    /// What holds for every node at every moment.
    pub(super) fn check_seats(&mut self) -> Result<(), Violation> {
        for index in 0..self.seats.len() {
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            self.check_seat(index)?;
        }
        Ok(())
    }

    fn check_seat(&mut self, index: u8) -> Result<(), Violation> {
        let policy = self.scenario.policy;
        let mut patience = self.longest_patience(index);
        let advbase = self.advbase(index);
        let parting = Duration::from_micros(reference::longest_period(advbase) / 16 * 15);
        let slowest = self
            .scenario
            .members
            .iter()
            .map(|member| member.advbase.max(1))
            .max();
        let state = self.state(index);
        let seat = &mut self.seats[usize::from(index)];
        let Some((node, host)) = &seat.running else {
            return Ok(());
        };
        // After a while the demotion of a BACKUP that could not send is lifted on trial; the count begins anew.
        let lifted = node
            .causes(GROUP)
            .all(|holding| !matches!(holding.cause, Cause::SendErrors(_)));
        let long_enough = policy
            .senderr_retry
            .is_some_and(|retry| self.now - seat.failing_since >= retry);
        if seat.sending.failing && lifted && long_enough && state != State::Master {
            seat.sending = Sending::default();
        }
        let deadline = node.next_deadline();
        let demotion = node.demotion(GROUP);
        let summed: u16 = node.causes(GROUP).map(|holding| holding.weight).sum();
        let leaving = node.status(*host).is_some_and(|status| status.leaving);
        let left_fast = node.status(*host).is_some_and(|status| status.left_fast);
        let should_have = seat.left_fast;
        let holds = seat.demotion();
        let refused =
            node.status(*host).and_then(|status| status.init_reason) == Some(InitReason::AddressRefused);
        let taking_part = seat.link && seat.enabled && !seat.shutdown && !refused;
        if seat.tied && policy.parts_equals {
            patience = patience + parting;
        }
        // In maintenance (which may have ended since) it waits for a slower master to be heard again.
        let farewell = if self.scenario.faults.contains(&Fault::Maintain) {
            policy.leave_wait + Duration::from_secs(u64::from(slowest.unwrap_or(1)) + 1)
        } else {
            policy.leave_wait
        };
        let longest = [
            (state == State::Backup, patience),
            (
                state == State::Master && !leaving,
                Duration::from_secs(u64::from(advbase) + 1),
            ),
            (leaving, farewell),
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
        if left_fast != should_have {
            return Err(self.blame(index, &format!("has left the fast profile: {left_fast}")));
        }
        if state == State::Master && seat.owner != Some(true) {
            return Err(self.blame(index, "is MASTER without the addresses"));
        }
        if taking_part == (state == State::Init) && !leaving {
            return Err(self.blame(index, &format!("is {state}, but taking part is {taking_part}")));
        }
        Ok(())
    }

    /// A MASTER heard an equal that yields to it just as well.
    pub(super) fn is_tie(&self, index: u8, from: State, because: Because) -> bool {
        let both_yield = self.member(index).dialect != Dialect::Ucarp;
        let equal = matches!(because, Because::Heard(heard, _) if heard == self.rank(index));
        from == State::Master && both_yield && equal
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
        let (member, seat) = (self.member(index), &self.seats[usize::from(index)]);
        let advskew = if seat.maintenance {
            reference::MAINTENANCE
        } else {
            member.advskew
        };
        reference::rank(member.dialect, self.advbase(index), advskew, seat.demotion())
    }

    /// Whether it has the fast profile now.
    pub(super) fn is_fast(&self, index: u8) -> bool {
        self.member(index).fast.is_some() && !self.seats[usize::from(index)].left_fast
    }

    fn advbase(&self, index: u8) -> u8 {
        let (member, left) = (self.member(index), self.seats[usize::from(index)].left_fast);
        if left { 1 } else { member.advbase }
    }

    /// No BACKUP waits longer: who leaves a slower master alone gives it the time that it needs, and goes on doing so
    /// when it has left maintenance mode, until it hears it.
    fn longest_patience(&self, index: u8) -> Duration {
        let (member, members) = (self.member(index), self.scenario.members.iter());
        let maintains = self.scenario.faults.contains(&Fault::Maintain);
        let longest = if let Some(ratio) = member.fast {
            let slowest = members.map(|member| member.advskew).max().unwrap_or_default();
            let slowest = if maintains {
                reference::MAINTENANCE
            } else {
                slowest
            };
            reference::fast_master_down(ratio, member.advskew, maintains, Some(slowest))
                + reference::period(member.advskew.into())
        } else {
            let slowest = members.map(|member| member.advbase).max().unwrap_or_default();
            reference::master_down(member.dialect, slowest, member.advskew, maintains)
        };
        self.patience(index).max(Duration::from_micros(longest))
    }

    /// How long it waits in silence, before a tie is counted.
    pub(super) fn patience(&self, index: u8) -> Duration {
        let (member, seat) = (self.member(index), &self.seats[usize::from(index)]);
        let advskew = member.advskew;
        Duration::from_micros(match member.fast {
            Some(ratio) if !seat.left_fast => {
                reference::fast_master_down(ratio, advskew, seat.maintenance, seat.heard)
            }
            _ => reference::master_down(member.dialect, self.advbase(index), advskew, seat.maintenance),
        })
    }

    pub(super) fn blame(&self, index: u8, what: &str) -> Violation {
        Violation(format!("{} {what}", self.member(index).name))
    }
}
