//! Maintenance mode: the whole node steps back, and stays there.

use super::Node;
use crate::machine::{Departure, Input};
use crate::time::Instant;

/// # Commands of the operator
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// Enters or leaves maintenance mode (`docs/protocol.md §11`). A second time does nothing.
    ///
    /// While it holds every virtual host, also one inserted later, has advskew 254, whatever its
    /// configuration says. It takes over from nobody, but becomes MASTER when nobody else is heard or a
    /// master bows out. Whoever lives may have what it is MASTER of.
    ///
    /// On entering, every MASTER hands over as after [`hand_over`](Self::hand_over), so that it moves
    /// even if the peer does not preempt. The outcome of every virtual host is an
    /// [`EventKind::HandOver`](crate::EventKind::HandOver). A backup is silent, so whether there is one
    /// shows only then: if nobody takes over, this node stays MASTER and says so.
    ///
    /// On leaving, the configured advskew holds at once, and who preempts may do so again. What is just being
    /// handed over goes only to somebody better, unless [`hand_over`](Self::hand_over) asked for it.
    pub fn set_maintenance(&mut self, now: Instant, maintenance: bool) {
        let now = self.clamp(now);
        if self.maintenance == maintenance {
            return;
        }
        self.maintenance = maintenance;
        for rank in self.hosts.ranks() {
            let Some(slot) = self.hosts.at_rank(rank) else {
                continue;
            };
            self.step(now, slot, Input::Reconfigured, None);
            let leaves = self.hosts.get(slot).is_some_and(|host| host.machine.is_leaving());
            if maintenance {
                self.step(now, slot, Input::Leave(Departure::StepBack), None);
            } else if leaves {
                // Whoever took over meanwhile keeps it only if it is better.
                self.step(now, slot, Input::Leave(Departure::Offer), None);
            }
        }
    }
}
