//! For model checkers and recorded runs: a copy of a node, what its election reads, and what kernels were made to do.

use core::hash::{Hash, Hasher};

use carp_proto::Counter;

use super::Node;
use crate::host::PeerSeen;
use crate::id::{HostId, NoSuchHost};
use crate::ledger::Holding;
use crate::machine::{Input, relative};
use crate::state::State;
use crate::storage::{GroupSlot, InterfaceSlot};
use crate::time::Instant;

/// # For model checkers and recorded runs (feature `sim`)
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// A copy that goes its own way; `None` if the node lives in the caller's memory.
    pub fn fork(&self) -> Option<Node<'static, ADDRS>> {
        Some(Node {
            policy: self.policy,
            hosts: self.hosts.fork()?,
            interfaces: self.interfaces.fork()?,
            groups: self.groups.fork()?,
            events: self.events.fork()?,
            stats: self.stats,
            memory: self.memory.fork()?,
            keys: self.keys.fork()?,
            peers: self.peers.fork()?,
            neighbours: self.neighbours.fork()?,
            parts: self.parts,
            random: self.random.clone(),
            announced_until: self.announced_until,
            now: self.now,
            shutting_down: self.shutting_down,
            maintenance: self.maintenance,
            look_at: self.look_at,
            ready: self.ready,
        })
    }

    /// The counter of the next advertisement of a virtual host; needs
    /// [`Policy::fresh_counters`](crate::Policy::fresh_counters) off.
    pub fn set_counter(&mut self, host: HostId, counter: u64) -> Result<(), NoSuchHost> {
        let slot = self.hosts.resolve(host).ok_or(NoSuchHost(host))?;
        if let Some(host) = self.hosts.get_mut(slot) {
            host.set_counter(counter);
        }
        Ok(())
    }

    /// One advertisement now, if it is MASTER, and the next a whole interval later.
    pub fn advertise(&mut self, now: Instant, host: HostId) -> Result<(), NoSuchHost> {
        // That is what a MASTER does whose demotion rose (`carp_send_ad`).
        self.command(now, host, Input::DemotionChanged { worse: true })
    }

    /// Is this counter in the replay memory of a host?
    pub fn remembers(&self, host: HostId, counter: Counter) -> bool {
        self.hosts
            .resolve(host)
            .is_some_and(|slot| self.memory.knows(slot, counter))
    }

    /// Feeds all that the election reads, with every deadline counted from `now`: two nodes of the same configuration
    /// that feed the same will do the same from here on, counters of advertisements aside. What it remembers of those
    /// must be asked for: see [`remembers`](Self::remembers).
    pub fn hash_election(&self, now: Instant, state: &mut impl Hasher) {
        (self.shutting_down, self.maintenance, self.ready).hash(state);
        for InterfaceSlot { info, down_since } in self.interfaces.iter() {
            (info, down_since.is_some()).hash(state);
        }
        relative(now, self.look_at).hash(state);
        for slot in self.groups.iter() {
            let GroupSlot {
                ledger,
                demotion,
                lost,
                split,
                moves_here,
                changed,
            } = slot;
            (demotion, lost, split, moves_here, relative(now, *changed)).hash(state);
            for Holding {
                cause,
                weight,
                since: _,
            } in ledger.iter()
            {
                (cause, weight).hash(state);
            }
        }
        for slot in self.hosts.ranks().filter_map(|rank| self.hosts.at_rank(rank)) {
            let Some(host) = self.hosts.get(slot) else {
                continue;
            };
            host.hash_election(now, state);
            self.keys.hash_election(now, slot, state);
            // A BACKUP that has heard its master since the last change is what makes a split; one that has heard it at
            // all follows its group, from then on.
            let group = self.groups.get(usize::from(host.config.group.0));
            let changed = group.and_then(|group| group.changed);
            let peer = host.peer.filter(|_| self.may_split());
            let peer = peer.map(|PeerSeen { interval, at, .. }| {
                let follows = host.state() == State::Backup && at > host.machine.since();
                let since_change = changed.is_some_and(|changed| at > changed);
                (interval, since_change, follows.then(|| relative(now, Some(at))))
            });
            peer.hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher as _};

    use carp_proto::{MAX_FRAME_LEN, Vhid};

    use crate::sim::{NodePlan, Sim, virtual_host};
    use crate::{Action, Duration, HostSlot, Node, Policy, Storage, TransmitResult};

    fn hash(node: &Node<'_, 8>, now: crate::Instant) -> u64 {
        let mut state = DefaultHasher::new();
        node.hash_election(now, &mut state);
        state.finish()
    }

    #[test]
    fn a_copy_goes_its_own_way_and_time_itself_does_not_count() {
        let mut sim = Sim::new(1);
        let vhid = Vhid::new(7).unwrap();
        let id = sim
            .add(NodePlan::new("a", [10, 0, 0, 1]).host(virtual_host(vhid, 0)))
            .unwrap();
        sim.run_for(Duration::from_secs(10));
        let node = sim.node(id).unwrap();
        let mut copy = node.fork().unwrap();
        let (now, before) = (sim.now(), hash(node, sim.now()));
        assert_eq!(hash(&copy, now), before);

        // One second on, it stands where it stood before.
        let later = now + Duration::from_secs(1);
        assert_ne!(hash(&copy, later), before);
        copy.handle_drained(later);
        let Some(Action::Transmit { tx, .. }) = copy.poll_action(later, &mut [0; MAX_FRAME_LEN]) else {
            panic!("an advertisement is due");
        };
        copy.handle_transmit_result(later, tx, TransmitResult::Sent);
        assert_eq!(hash(&copy, later), before);
        assert_eq!(hash(node, now), before);
    }

    #[test]
    fn the_callers_memory_is_not_copied() {
        let mut hosts = [const { HostSlot::<8>::EMPTY }; 1];
        let storage = Storage::borrowed(&mut hosts, &mut [], &mut [], &mut []);
        assert!(Node::new(Policy::HARDENED, 1, storage).fork().is_none());
    }
}
