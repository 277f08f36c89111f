//! For model checkers: a copy of a node, and what its election reads.

use core::hash::{Hash, Hasher};

use super::Node;
use crate::ledger::Holding;
use crate::storage::{GroupSlot, InterfaceSlot};
use crate::time::Instant;

/// # For model checkers (feature `sim`)
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
            random: self.random.clone(),
            now: self.now,
            shutting_down: self.shutting_down,
        })
    }

    /// Feeds all that the election reads, with every deadline counted from `now`: two nodes of the same
    /// configuration that feed the same will do the same from here on, counters of advertisements aside.
    pub fn hash_election(&self, now: Instant, state: &mut impl Hasher) {
        self.shutting_down.hash(state);
        for InterfaceSlot { info, down_since } in self.interfaces.iter() {
            (info, down_since.is_some()).hash(state);
        }
        for GroupSlot { ledger, demotion } in self.groups.iter() {
            demotion.hash(state);
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
            if let Some(host) = self.hosts.get(slot) {
                host.hash_election(now, state);
            }
        }
    }
}
