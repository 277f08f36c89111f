//! Who had the address when, from a simulation's trace.

use std::collections::BTreeSet;

use carp_fsm::sim::{Fault, NodeId, TraceEntry, TraceKind};
use carp_fsm::{Duration, Instant};

/// How many owned the address, from each moment at which that changed.
pub(super) struct Ownership {
    changes: Vec<(Instant, usize)>,
    end: Instant,
}

impl Ownership {
    pub(super) fn of(trace: &[TraceEntry], end: Instant) -> Self {
        let mut owners = BTreeSet::<NodeId>::new();
        let mut changes = vec![(Instant::ZERO, 0)];
        for entry in trace {
            let changed = match entry.kind {
                TraceKind::Owner { owner: true, .. } => owners.insert(entry.node),
                TraceKind::Owner { owner: false, .. } | TraceKind::Fault(Fault::Crash) => {
                    owners.remove(&entry.node)
                }
                _ => false,
            };
            if changed {
                changes.push((entry.at, owners.len()));
            }
        }
        Self { changes, end }
    }

    /// The longest time without an owner that ends after `since`.
    pub(super) fn longest_gap_since(&self, since: Instant) -> Duration {
        self.longest(since, |owners| owners == 0)
    }

    /// The longest time with more than one owner.
    pub(super) fn longest_overlap(&self) -> Duration {
        self.longest(Instant::ZERO, |owners| owners > 1)
    }

    fn longest(&self, since: Instant, wanted: impl Fn(usize) -> bool) -> Duration {
        let ends = self.changes.iter().skip(1).map(|(at, _)| *at).chain([self.end]);
        let spans = self.changes.iter().zip(ends);
        let wanted = spans.filter(|((_, owners), end)| wanted(*owners) && *end > since);
        wanted
            .map(|((start, _), end)| end - (*start).max(since))
            .max()
            .unwrap_or_default()
    }
}
