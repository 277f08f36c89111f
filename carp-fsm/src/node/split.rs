//! Split groups: MASTER on one interface, BACKUP on another.

use carp_proto::Interval;

use super::Node;
use crate::event::EventKind;
use crate::id::{GroupId, HostId, IfaceId};
use crate::machine::earlier;
use crate::state::{Reason, State, Transition};
use crate::time::{Duration, Instant};

/// A host, and one on another interface if there is one.
#[derive(Default)]
struct Sides {
    one: Option<(IfaceId, HostId)>,
    other: Option<HostId>,
}

impl Sides {
    fn add(&mut self, iface: IfaceId, host: HostId) {
        match self.one {
            None => self.one = Some((iface, host)),
            Some((first, _)) if first != iface => self.other = Some(host),
            Some(_) => {}
        }
    }

    /// One of `self` and one of `with` that are on different interfaces.
    fn apart(&self, with: &Sides) -> Option<(HostId, HostId)> {
        let ((iface, ours), (on, theirs)) = (self.one?, with.one?);
        if iface != on {
            return Some((ours, theirs));
        }
        let elsewhere = self.other.map(|other| (other, theirs));
        elsewhere.or(with.other.map(|other| (ours, other)))
    }
}

impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// A host changed its state: its group may be split now, or no longer, or move here.
    pub(super) fn look_later(&mut self, now: Instant, slot: u16, transition: Transition) {
        if !self.may_split() {
            return;
        }
        let Some(view) = self.view(slot) else { return };
        // Somebody who can be heard is worse off, or leaves.
        let moves_here = matches!(
            transition.reason,
            Reason::PreemptingSlowerMaster | Reason::PreemptingMoreDemotedMaster | Reason::MasterWillTimeOut
        );
        let group = self.hosts.get(slot).map_or(0, |host| host.config.group.0);
        if let Some(group) = self.groups.get_mut(usize::from(group)) {
            group.changed = Some(now);
            // What goes away again before anybody has looked has not moved.
            group.moves_here = moves_here || (group.moves_here && transition.from != State::Master);
        }
        let split_at = now + Duration::from_micros(view.interval().micros());
        let look_at = if moves_here { now } else { split_at };
        self.look_at = earlier(self.look_at, Some(look_at));
    }

    /// Are there hosts on more than one interface?
    pub(super) fn may_split(&self) -> bool {
        let ranks = self.hosts.ranks();
        let iface = |rank| Some(self.hosts.get(self.hosts.at_rank(rank)?)?.config.iface);
        iface(ranks.start) != iface(ranks.end.saturating_sub(1))
    }

    pub(super) fn is_split(&self, group: GroupId) -> bool {
        self.groups
            .get(usize::from(group.0))
            .is_some_and(|group| group.split)
    }

    pub(super) fn look_for_splits(&mut self, now: Instant) {
        if self.look_at.take_if(|at| *at <= now).is_some() {
            for group in self.group_ids() {
                self.look_for_split(now, group);
            }
        }
    }

    /// A group on its way from one node to another is split for a moment: each of its hosts moves when the old
    /// master advertises. So it counts as split when nothing has moved for the longest interval, and a BACKUP
    /// has heard its master all the same.
    fn look_for_split(&mut self, now: Instant, id: GroupId) {
        let Some(group) = self.groups.get(usize::from(id.0)) else {
            return;
        };
        let (Some(changed), was_split) = (group.changed, group.split) else {
            return;
        };
        let (mut masters, mut backups, mut followers) = <(Sides, Sides, Sides)>::default();
        // 0/0 is no interval to look at again after.
        let mut longest = Duration::from_millis(4);
        for slot in self.hosts.ranks().filter_map(|rank| self.hosts.at_rank(rank)) {
            let Some(host) = self.hosts.get(slot) else {
                continue;
            };
            let name = self.hosts.id(slot);
            let iface = host.config.iface;
            if host.config.group != id {
                continue;
            }
            let interval = match host.state() {
                State::Init => None,
                State::Master => {
                    masters.add(iface, name);
                    self.view(slot).map(|view| view.interval())
                }
                State::Backup => {
                    backups.add(iface, name);
                    let peer = host.peer.filter(|peer| peer.interval != Interval::BOW_OUT);
                    if peer.is_some_and(|peer| peer.at > changed) {
                        followers.add(iface, name);
                    }
                    peer.map(|peer| peer.interval)
                }
            };
            let micros = interval.map_or(0, Interval::micros);
            longest = longest.max(Duration::from_micros(micros));
        }
        let due = changed + longest;
        let found = masters.apart(&followers).filter(|_| due <= now);
        if found.is_none() && masters.apart(&backups).is_some() {
            // Not long enough. Or that master is dead: then the BACKUP moves on soon, or hears another.
            let again = if due > now { due } else { now + longest };
            self.look_at = earlier(self.look_at, Some(again));
            return;
        }
        if let Some(group) = self.groups.get_mut(usize::from(id.0)) {
            group.changed = None;
            group.split = found.is_some();
        }
        let kind = match found {
            Some((master, backup)) if !was_split => EventKind::SplitMaster {
                group: id,
                master,
                backup,
            },
            None if was_split => EventKind::SplitMasterEnded { group: id },
            _ => return,
        };
        self.events.push(now, kind);
    }
}
