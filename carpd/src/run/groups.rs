//! The groups of virtual hosts, by name; and what demotes all of them.

use carp_fsm::{Cause, GroupId, Instant};

use super::Carp;
use crate::config::DEFAULT_GROUP;

/// The names of all groups since the start, in the order of their numbers, and what was entered for all of them.
pub(super) struct Groups {
    names: Vec<String>,
    /// Causes that also count for groups to come, with their weights.
    everywhere: Vec<(Cause, u16)>,
}

impl Groups {
    pub(super) fn new() -> Self {
        Self {
            names: vec![DEFAULT_GROUP.to_owned()],
            everywhere: Vec::new(),
        }
    }

    /// The number of a group, which it keeps.
    pub(super) fn id(&mut self, name: &str) -> Result<GroupId, String> {
        let known = self.names.iter().position(|known| known == name);
        let place = known.unwrap_or(self.names.len());
        let id = u8::try_from(place).map_err(
            |_| "there were 256 groups since the start; restart carpd, which forgets the old ones",
        )?;
        if known.is_none() {
            self.names.push(name.to_owned());
        }
        Ok(GroupId(id))
    }

    pub(super) fn find(&self, name: &str) -> Option<GroupId> {
        let place = self.names.iter().position(|known| known == name)?;
        u8::try_from(place).ok().map(GroupId)
    }

    pub(super) fn name(&self, id: GroupId) -> &str {
        self.names.get(usize::from(id.0)).map_or("?", String::as_str)
    }

    /// What a cause that was entered for all groups weighs.
    pub(super) fn everywhere(&self, cause: Cause) -> Option<u16> {
        let entered = self.everywhere.iter().find(|(entered, _)| *entered == cause);
        entered.map(|(_, weight)| *weight)
    }

    /// From now on it counts for groups to come, or (`None`) does not.
    pub(super) fn set_everywhere(&mut self, cause: Cause, weight: Option<u16>) {
        self.everywhere.retain(|(entered, _)| *entered != cause);
        self.everywhere.extend(weight.map(|weight| (cause, weight)));
    }

    /// Nothing counts for groups to come.
    pub(super) fn forget_everywhere(&mut self) {
        self.everywhere.clear();
    }

    /// Demotes a group that may be a new one by what counts for all.
    pub(super) fn join(&self, carp: &mut Carp, now: Instant, group: GroupId) {
        for (cause, weight) in &self.everywhere {
            // A ledger that is full demotes enough.
            let _ = carp.node_mut().demote(now, group, *cause, *weight);
        }
    }
}
