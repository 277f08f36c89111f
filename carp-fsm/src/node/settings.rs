//! Settings of the whole node that change while it runs.

use super::Node;
use crate::id::GroupId;
use crate::ledger::Cause;
use crate::policy::Policy;
use crate::time::Instant;

/// # Settings
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Changes the policy. Faults that last, and services that are not up yet, count with the new weights at once. All
    /// else holds from the next occasion on: what has begun (an announcement, a change of keys, a wait) ends as it began.
    ///
    /// Services that were reported to be [up](Self::handle_ready), or for which nobody waited, stay so.
    pub fn set_policy(&mut self, now: Instant, policy: Policy) {
        let now = self.clamp(now);
        self.policy = policy;
        for group in (0..self.group_count()).map(GroupId) {
            let fault = self.observed_causes(group).next();
            if let Some(fault) = fault {
                self.weigh(now, group, fault.cause, true);
            }
        }
        if self.ready {
            return;
        }
        if policy.not_ready_demotion_factor == 0 {
            return self.handle_ready(now);
        }
        for group in (0..self.group_count()).map(GroupId) {
            let waits = self.causes(group).any(|holding| holding.cause == Cause::NotReady);
            if waits {
                // Cannot fail: it is entered already.
                let _ = self.demote(now, group, Cause::NotReady, policy.not_ready_demotion_factor);
            }
        }
    }
}
