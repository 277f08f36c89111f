//! How frames travel.

use alloc::vec::Vec;

use super::NodeId;
use crate::id::IfaceId;
use crate::random::SplitMix64;
use crate::time::Duration;

/// A frame that a node sent, for whoever plays it again ([`Sim::inject`](super::Sim::inject)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Who sent it.
    pub from: NodeId,
    /// Where.
    pub segment: IfaceId,
    /// From the Ethernet header on.
    pub frame: Vec<u8>,
}

/// How the simulated segments treat frames, for each receiver by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Frames lost of 1000.
    pub loss_per_mille: u16,
    /// Frames of 1000 that arrive twice, each copy after a delay of its own.
    pub duplicates_per_mille: u16,
    /// Shortest delay.
    pub delay_min: Duration,
    /// Longest delay.
    pub delay_max: Duration,
    /// Frames of one sender may overtake each other on their way to one receiver.
    pub reorders: bool,
}

impl Network {
    /// After which delays one frame arrives: never, once or twice.
    pub(super) fn arrivals(&self, random: &mut SplitMix64) -> impl Iterator<Item = Duration> {
        let lost = happens(self.loss_per_mille, random);
        let twice = happens(self.duplicates_per_mille, random);
        let delays = [self.delay(random), self.delay(random)];
        delays.into_iter().take(if lost {
            0
        } else {
            1_usize.saturating_add(twice.into())
        })
    }

    fn delay(&self, random: &mut SplitMix64) -> Duration {
        let shortest = self.delay_min.as_micros();
        let spread = (self.delay_max.as_micros())
            .saturating_sub(shortest)
            .saturating_add(1);
        let more = random.draw().checked_rem(spread).unwrap_or(0);
        Duration::from_micros(shortest.saturating_add(more))
    }
}

fn happens(per_mille: u16, random: &mut SplitMix64) -> bool {
    random.draw() % 1_000 < u64::from(per_mille)
}

/// A good switch: no loss, no duplicates, 50 to 150 µs, in order.
impl Default for Network {
    fn default() -> Self {
        Self {
            loss_per_mille: 0,
            duplicates_per_mille: 0,
            delay_min: Duration::from_micros(50),
            delay_max: Duration::from_micros(150),
            reorders: false,
        }
    }
}
