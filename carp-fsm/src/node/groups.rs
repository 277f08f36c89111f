//! Groups of virtual hosts: what demotes them.

use carp_proto::{AdvBase, Interval};

use super::Node;
use crate::config::HostConfig;
use crate::event::EventKind;
use crate::host::{Host, IGNORES_LINK, IGNORES_SENDING};
use crate::id::GroupId;
use crate::ledger::{Cause, Holding, LedgerError};
use crate::machine::{Departure, Input};
use crate::time::{Duration, Instant};

/// How much later than its interval an advertisement may come before it is overdue, at least: masters send some
/// milliseconds before or after their time. Where there is time it is 1/16 of the interval: many a group does not move
/// because a link is lost, but because one virtual host is handed over, and a living master may be late.
const LEAST_GRACE: Duration = Duration::from_millis(10);

/// # Inputs from the world
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// Services here are up: what [`Policy::not_ready_demotion_factor`](crate::Policy) entered into the ledgers is
    /// struck, now and for hosts inserted later.
    pub fn handle_ready(&mut self, now: Instant) {
        let now = self.clamp(now);
        self.ready = true;
        for group in self.group_ids() {
            // Cannot fail: not observed, and the group exists.
            let _ = self.clear(now, group, Cause::NotReady);
        }
    }
}

/// # Commands of the operator
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// Enters a cause into the ledger of a group, or changes its weight.
    pub fn demote(
        &mut self,
        now: Instant,
        group: GroupId,
        cause: Cause,
        weight: u16,
    ) -> Result<(), LedgerError> {
        let now = self.clamp(now);
        let slot = self
            .groups
            .get_mut(usize::from(group.0))
            .ok_or(LedgerError::NoSuchGroup(group))?;
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
        if !self.has_group(group) {
            return Err(LedgerError::NoSuchGroup(group));
        }
        self.strike(group, cause);
        self.weigh(now, group, cause, false);
        Ok(())
    }

    /// Strikes every cause from the ledger of a group.
    ///
    /// Refused while something holds that ends by itself or is reported to have ended: a link that is down, sending
    /// that fails, services that are not ready, an external cause. With `force` they go all the same; a link that is
    /// down and sending that fails then count nothing until they end, and count again the next time.
    pub fn clear_all(&mut self, now: Instant, group: GroupId, force: bool) -> Result<(), LedgerError> {
        let now = self.clamp(now);
        if !self.has_group(group) {
            return Err(LedgerError::NoSuchGroup(group));
        }
        let counts = |holding: &Holding| holding.weight > 0 && holding.cause != Cause::Operator;
        if let Some(holding) = self.causes(group).find(counts).filter(|_| !force) {
            return Err(LedgerError::StillHolds(holding.cause));
        }
        // One after the other, so that there is an event for each.
        let next = |node: &Self| {
            let mut left = node.causes(group);
            let holding = left.find(|holding| holding.weight > 0 || !holding.cause.is_observed());
            holding.map(|holding| holding.cause)
        };
        while let Some(cause) = next(self) {
            match cause {
                Cause::LinkDown(iface) => {
                    for rank in self.hosts.ranks_on(iface) {
                        let Some(slot) = self.hosts.at_rank(rank) else {
                            continue;
                        };
                        let host = self.hosts.get_mut(slot);
                        if let Some(host) = host.filter(|host| host.config.group == group) {
                            host.marks.put(IGNORES_LINK, true);
                        }
                    }
                }
                Cause::SendErrors(id) => {
                    if let Some(host) = self.hosts.get_mut(id.slot) {
                        host.marks.put(IGNORES_SENDING, true);
                    }
                }
                entered => self.strike(group, entered),
            }
            self.weigh(now, group, cause, false);
        }
        Ok(())
    }
}

impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// A host became MASTER because nobody was heard, perhaps in a group that is lost elsewhere: whoever comes back
    /// may not preempt.
    pub(super) fn offer_if_lost(&mut self, now: Instant, slot: u16) {
        // Who cannot send cannot offer either.
        let sends = |host: &&Host<ADDRS>| host.sending.failing_since.is_none();
        let Some(host) = self.hosts.get(slot).filter(sends) else {
            return;
        };
        let group = self.groups.get(usize::from(host.config.group.0));
        let lost = group.is_some_and(|group| group.lost);
        if lost && self.policy.fails_over_as_group {
            self.step(now, slot, Input::Leave(Departure::Offer), None);
        }
    }

    /// Where a host became MASTER because it heard somebody bow out, or slower, or more demoted, that one may have lost
    /// another of its links, on which it cannot say so. Once for all that was heard in one go.
    pub(super) fn hurry_groups(&mut self, now: Instant) {
        if self.look_at.is_none_or(|at| at > now) {
            return;
        }
        for group in self.group_ids() {
            let slot = self.groups.get_mut(usize::from(group.0));
            let moves_here = slot.is_some_and(|slot| core::mem::take(&mut slot.moves_here));
            if moves_here && self.policy.fails_over_as_group && !self.maintenance {
                self.hurry(now, group);
            }
        }
    }

    fn hurry(&mut self, now: Instant, id: GroupId) {
        for rank in self.hosts.ranks() {
            let Some(slot) = self.hosts.at_rank(rank) else {
                continue;
            };
            let host = self.hosts.get(slot).filter(|host| host.config.group == id);
            if let Some(at) = host.and_then(|host| self.overdue_at(host)) {
                self.step(now, slot, Input::Overdue(at.max(now)), None);
            }
        }
    }

    /// When the next advertisement that a BACKUP waits for is overdue, if it has heard one since it is BACKUP.
    /// Whoever is worse off waits a little longer, so that not everybody takes over at once.
    fn overdue_at(&self, host: &Host<ADDRS>) -> Option<Instant> {
        let heard = host.peer.filter(|peer| peer.at > host.machine.since())?;
        let HostConfig {
            dialect,
            advskew,
            group,
            ..
        } = host.config;
        let interval = dialect.advertisement_interval_micros(heard.interval.base(), heard.interval.skew());
        let worse_off = dialect.effective_skew(advskew, self.demotion(group));
        let turn = Interval::new(AdvBase::new(0), worse_off).micros() / 16;
        let grace = Duration::from_micros(interval / 16).max(LEAST_GRACE);
        Some(heard.at + Duration::from_micros(interval.saturating_add(turn)) + grace)
    }

    fn has_group(&self, group: GroupId) -> bool {
        usize::from(group.0) < self.groups.len()
    }

    fn strike(&mut self, group: GroupId, cause: Cause) {
        if let Some(slot) = self.groups.get_mut(usize::from(group.0)) {
            slot.ledger.clear(cause);
        }
    }

    /// A host was inserted: what demotes its group because of it.
    pub(super) fn demote_with(&mut self, now: Instant, slot: u16) {
        let Some(HostConfig { iface, group, .. }) = self.hosts.get(slot).map(|host| &host.config) else {
            return;
        };
        let (iface, group) = (*iface, *group);
        // What was reset on this interface stays so.
        let ignored = self.hosts.ranks_on(iface).any(|rank| {
            let host = self.hosts.at_rank(rank).and_then(|slot| self.hosts.get(slot));
            host.is_some_and(|host| host.config.group == group && host.marks.has(IGNORES_LINK))
        });
        if let Some(host) = self.hosts.get_mut(slot) {
            host.marks.put(IGNORES_LINK, ignored);
        }
        // Its interface may be one that was down before anybody in the group used it.
        self.weigh(now, group, Cause::LinkDown(iface), true);
        if !self.ready {
            // A ledger that is full demotes enough.
            let _ = self.demote(now, group, Cause::NotReady, self.policy.not_ready_demotion_factor);
        }
    }

    /// All groups, 256 at most.
    pub(super) fn group_ids(&self) -> impl Iterator<Item = GroupId> + use<ADDRS> {
        (0..=u8::MAX).take(self.groups.len()).map(GroupId)
    }

    /// Sums up what demotes a group; if the sum changed, everybody in it says so at once.
    pub(super) fn weigh(&mut self, now: Instant, group: GroupId, cause: Cause, holds: bool) {
        let (mut to, mut lost) = (0_u16, false);
        for Holding { cause, weight, .. } in self.causes(group) {
            to = to.saturating_add(weight);
            lost |= weight > 0 && cause.is_observed();
        }
        let Some(slot) = self.groups.get_mut(usize::from(group.0)) else {
            return;
        };
        slot.lost = lost;
        let from = core::mem::replace(&mut slot.demotion, to);
        if from == to {
            return;
        }
        self.events.push(
            now,
            EventKind::Demotion {
                group,
                from,
                to,
                cause,
                holds,
            },
        );
        // One of the group is lost here; the others follow it, though the peer may not preempt.
        let fails_over = to > from && cause.is_observed() && self.policy.fails_over_as_group;
        for rank in self.hosts.ranks() {
            let Some(slot) = self.hosts.at_rank(rank) else {
                continue;
            };
            if self
                .hosts
                .get(slot)
                .is_some_and(|host| host.config.group == group)
            {
                // A relief takes an offer back, but not one for something that is still lost.
                let offers = self.hosts.get(slot).is_some_and(|host| host.machine.offers());
                self.step(now, slot, Input::DemotionChanged { worse: to > from }, None);
                let is_the_cause = Cause::SendErrors(self.hosts.id(slot)) == cause;
                let leaves = self.hosts.get(slot).is_none_or(|host| host.machine.is_leaving());
                if (fails_over && !is_the_cause && !leaves) || (offers && lost) {
                    self.step(now, slot, Input::Leave(Departure::Offer), None);
                }
            }
        }
    }

    /// Interfaces that are down (each once, however many hosts it has) and hosts that cannot send.
    pub(super) fn observed_causes(&self, group: GroupId) -> impl Iterator<Item = Holding> {
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
            first_here.then_some(Holding {
                cause: Cause::LinkDown(iface),
                weight: if host.marks.has(IGNORES_LINK) { 0 } else { weight },
                since,
            })
        });
        let senders = members.filter_map(|(slot, host)| {
            let (id, since) = (self.hosts.id(slot), host.sending.failing_since?);
            let weight = self.policy.senderr_demotion_factor;
            Some(Holding {
                cause: Cause::SendErrors(id),
                weight: if host.marks.has(IGNORES_SENDING) {
                    0
                } else {
                    weight
                },
                since,
            })
        });
        interfaces.chain(senders)
    }
}
