//! What must hold in the end, once nothing goes wrong any longer.

use carp_fsm::State;
use carp_fsm::sim::{NodeId, Sim};

use super::judge::Judge;
use super::plan::VHIDS;
use crate::model::reference::Rank;

impl Judge<'_> {
    /// The masters of those who hear each other, and those who are alone, if all is as it should be.
    pub(super) fn settled(&self, sim: &Sim) -> Result<Vec<usize>, String> {
        let mut masters = Vec::new();
        for side in 0..self.plan.hosts {
            masters.extend(self.settled_on(sim, side)?);
        }
        self.group_is_together()?;
        Ok(masters)
    }

    fn settled_on(&self, sim: &Sim, number: usize) -> Result<Vec<usize>, String> {
        let vhid = VHIDS[number];
        let mut together = Vec::new();
        for (index, seat) in self.seats.iter().enumerate() {
            let (name, side) = (self.plan.members[index].name, &seat.sides[number]);
            let owner = side.owner == Some(true) && seat.running;
            let master = self.is_master(index, number);
            if !seat.healthy(number) {
                if owner {
                    return Err(format!(
                        "{name} takes no part in vhid {vhid}, but owns the addresses"
                    ));
                }
                continue;
            }
            if master != owner || !master && side.state != State::Backup {
                return Err(format!(
                    "{name} is {} of vhid {vhid} and owner: {owner}",
                    side.state
                ));
            }
            let leaving = sim.node(NodeId(index)).zip(sim.host(NodeId(index), vhid));
            if leaving.is_some_and(|(node, host)| node.status(host).is_some_and(|status| status.leaving)) {
                return Err(format!("{name} is about to leave"));
            }
            if !seat.isolated {
                together.push(index);
            } else if !master {
                return Err(format!("{name} hears nobody, and is no MASTER of vhid {vhid}"));
            }
        }
        let master = |index: &usize| self.is_master(*index, number);
        let masters: Vec<usize> = together.iter().copied().filter(master).collect();
        match (together.len(), masters.len()) {
            (0, _) | (_, 1) => {}
            (_, count) => {
                return Err(format!(
                    "vhid {vhid} has {count} masters among those that hear each other"
                ));
            }
        }
        self.is_best(number, &together, &masters)?;
        Ok(masters)
    }

    fn is_master(&self, index: usize, number: usize) -> bool {
        let (seat, side) = (&self.seats[index], &self.seats[index].sides[number]);
        seat.running && side.state == State::Master && side.owner == Some(true)
    }

    /// Where all preempt, speak one dialect, and nobody handed over on request, nobody who is not in maintenance is
    /// better than the MASTER.
    fn is_best(&self, number: usize, together: &[usize], masters: &[usize]) -> Result<(), String> {
        let member = |index: &usize| &self.plan.members[*index];
        let willing =
            |index: &usize| member(index).host.preempt && !self.seats[*index].sides[number].resigned;
        if !self.plan.speak_alike(together) || !together.iter().all(willing) {
            return Ok(());
        }
        let rank = |index: &usize| self.seats[*index].rank(member(index), number);
        let rivals = together.iter().filter(|index| !self.seats[**index].maintenance);
        let best = rivals.map(rank).min();
        match (masters.first(), best) {
            (Some(master), Some(best)) if rank(master) > best => Err(format!(
                "{} stays MASTER of vhid {} with {}, though {best} preempts",
                member(master).name,
                VHIDS[number],
                rank(master)
            )),
            _ => Ok(()),
        }
    }

    /// Of those that hear each other, one that has all its links is MASTER of the whole group, if all of those are better
    /// than everybody who lacks one: demotion counts within advbase only, and an advskew above 240 is worse than it.
    /// Not beside kernels, which do nothing about a group; nor where the operator wants it otherwise.
    fn group_is_together(&self) -> Result<(), String> {
        let sides = 0..self.plan.hosts;
        let there = |index: &usize| {
            let seat = &self.seats[*index];
            seat.running && !seat.shutdown && !seat.isolated
        };
        let together: Vec<usize> = (0..self.seats.len()).filter(there).collect();
        let orderly = |index: &usize| {
            let seat = &self.seats[*index];
            let mut sides = seat.sides.iter();
            let well = sides.all(|side| side.enabled && !side.resigned && !side.failing);
            self.is_hardened(*index) && well && !seat.maintenance
        };
        let alike = self.plan.speak_alike(&together);
        if self.plan.hosts < 2 || !alike || !together.iter().all(orderly) {
            return Ok(());
        }
        let rank = |index: &usize| self.seats[*index].rank(&self.plan.members[*index], 0);
        let is_whole = |index: &usize| sides.clone().all(|side| self.seats[*index].healthy(side));
        let (whole, others): (Vec<usize>, Vec<usize>) = together.iter().partition(|index| is_whole(index));
        let worst = whole.iter().map(rank).max();
        let masters = |side| together.iter().find(|index| self.is_master(**index, side));
        let masters: Vec<&usize> = sides.clone().filter_map(masters).collect();
        let home = whole
            .iter()
            .any(|index| masters.iter().all(|master| *master == index));
        // Nobody preempts an equal: each may keep what it has.
        let first = masters.first().copied();
        let tied = masters
            .iter()
            .any(|index| Some(*index) != first && Some(rank(index)) == first.map(rank));
        if worst.is_none() || worst >= others.iter().map(rank).min().or(Some(WORST)) || home || tied {
            Ok(())
        } else {
            Err("the group is not at a node that has all its links".into())
        }
    }
}

/// Than anybody.
const WORST: Rank = Rank {
    demotion: u8::MAX,
    interval: u16::MAX,
};
