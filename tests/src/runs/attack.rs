//! What somebody without the key does who is on the segment: plays again what was said, as it was or forged.

use carp_fsm::sim::{NodeId, Recorded, Sim, TraceKind};

use super::chance::Chance;
use super::plan::NODES;

/// How much is recorded: more than a node remembers.
pub(super) const RECORDED: usize = 512;

/// Frames in a flood.
const FLOOD: usize = 50;

/// Plays some of what was said to one node, once more and as it was.
pub(super) fn replay(sim: &mut Sim, chance: &mut Chance, to: NodeId) -> &'static str {
    for _ in 0..=chance.below(5) {
        if let Some(recorded) = choose(sim, chance) {
            sim.inject(to, &recorded);
        }
    }
    "replays"
}

/// The last words of one node, in order, to all that others hear.
pub(super) fn replay_last_words(sim: &mut Sim, chance: &mut Chance, of: NodeId) -> &'static str {
    let skip = usize::try_from(chance.below(8)).unwrap_or(0);
    let words: Vec<Recorded> = sim.recorded().filter(|said| said.from == of).cloned().collect();
    for said in words.iter().rev().take(3 + skip).rev() {
        for to in (0..NODES).map(NodeId) {
            sim.inject(to, said);
        }
    }
    "replays of one node"
}

/// A flood of advertisements that nobody signed. Says what is wrong if one of them is believed.
pub(super) fn forge(sim: &mut Sim, chance: &mut Chance, to: NodeId) -> Result<&'static str, String> {
    let before = sim.trace().len();
    for _ in 0..FLOOD {
        let Some(mut forged) = choose(sim, chance) else {
            break;
        };
        // In front of the digest is the counter.
        let from_end = 1 + usize::try_from(chance.below(28)).unwrap_or(0);
        let at = forged.frame.len().saturating_sub(from_end);
        forged.frame[at] ^= 1 << chance.below(8);
        sim.inject(to, &forged);
    }
    let mut since = sim.trace().iter().skip(before);
    let believed = |kind| matches!(kind, TraceKind::Heard { .. } | TraceKind::HeardAgain { .. });
    match since.find(|entry| believed(entry.kind)) {
        Some(entry) => Err(format!("{} believes what nobody signed", entry.name)),
        None => Ok("forgeries"),
    }
}

fn choose(sim: &Sim, chance: &mut Chance) -> Option<Recorded> {
    let count = sim.recorded().len();
    let index = usize::try_from(chance.below(count.max(1) as u64)).unwrap_or(0);
    sim.recorded().nth(index).cloned()
}
