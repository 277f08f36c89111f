//! Settings of the whole node that change while it runs.

use super::Node;
use crate::ledger::{Cause, Holding};
use crate::policy::Policy;
use crate::time::Instant;

/// # Settings
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Changes the policy. Faults that last count with the new weights at once; all else holds from the next occasion
    /// on, and what has begun (an announcement, a change of keys, a wait) ends as it began. So
    /// [`Policy::not_ready_demotion_factor`] is for hosts inserted later, as long as nobody has called
    /// [`handle_ready`](Self::handle_ready); what was entered for others can be changed with [`demote`](Self::demote).
    pub fn set_policy(&mut self, now: Instant, policy: Policy) {
        let now = self.clamp(now);
        let links_change = self.policy.ifdown_demotion_factor != policy.ifdown_demotion_factor;
        self.policy = policy;
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
