//! Settings of the whole node that change while it runs.

use super::Node;
use crate::ledger::{Cause, Holding};
use crate::time::Instant;

/// # Settings
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// Changes [`Policy::ifdown_demotion_factor`](crate::Policy::ifdown_demotion_factor) and
    /// [`Policy::senderr_demotion_factor`](crate::Policy::senderr_demotion_factor). Faults that last count
    /// with the new weights at once.
    pub fn set_demotion_factors(&mut self, now: Instant, ifdown: u16, senderr: u16) {
        let now = self.clamp(now);
        let links_change = self.policy.ifdown_demotion_factor != ifdown;
        self.policy.ifdown_demotion_factor = ifdown;
        self.policy.senderr_demotion_factor = senderr;
        for group in self.group_ids() {
            // The event names one that weighs more or less than before.
            let changed = |fault: &Holding| links_change || matches!(fault.cause, Cause::SendErrors(_));
            let fault = self.observed_causes(group).find(changed);
            if let Some(fault) = fault {
                self.weigh(now, group, fault.cause, true);
            }
        }
    }
}
