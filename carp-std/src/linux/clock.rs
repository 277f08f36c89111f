use std::io;

use carp_fsm::Instant;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The time since the machine was started, suspend included
/// (`CLOCK_BOOTTIME`).
///
/// A machine that slept through its peer's advertisements has to know it: on a
/// clock that stops with it, it would wake up as a master that has just
/// advertised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The time now.
    pub fn now(self) -> Instant {
        let now = clock_gettime(ClockId::Boottime);
        // Neither field of this clock is ever negative.
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
        Instant::from_micros(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000))
    }
}

/// `instant` of [`Clock`] as the kernel wants it.
pub(crate) fn timespec(instant: Instant) -> Timespec {
    let micros = instant.as_micros();
    Timespec {
        tv_sec: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::from((micros % 1_000_000) as u32 * 1_000),
    }
}

/// Draws a seed for a node from the kernel's random number generator.
///
/// Every start needs a new one: the node draws the counters of its
/// advertisements from it.
pub fn random_seed() -> io::Result<u64> {
    let mut seed = [0; 8];
    getrandom(&mut seed[..], GetRandomFlags::empty())?; // never short for so few bytes
    Ok(u64::from_ne_bytes(seed))
}
