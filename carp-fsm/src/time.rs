//! Time as the election sees it: microseconds, handed in by the caller.

use core::fmt::{self, Write as _};
use core::num::NonZeroU64;
use core::ops::{Add, Sub};

/// A point in time: microseconds since any fixed point the caller chooses (boot, simulation start).
///
/// Must not go backwards. Where it does, [`Node`](crate::Node) uses the latest time it was given.
/// Arithmetic saturates at 2^64 - 2 µs, about 584 000 years. 8 bytes, and an `Option` of it no more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(4))] // every deadline of a virtual host is one; a 32-bit processor loads it as two words anyway
pub struct Instant(NonZeroU64);

/// A span of time in microseconds. Arithmetic saturates.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(4))]
pub struct Duration(u64);

impl Instant {
    /// The fixed point itself.
    pub const ZERO: Instant = Instant(NonZeroU64::MIN);

    /// `micros` microseconds after the fixed point.
    pub const fn from_micros(micros: u64) -> Self {
        // One more, so that 0 is left for `None`.
        Self(NonZeroU64::MIN.saturating_add(micros))
    }

    /// Microseconds since the fixed point.
    pub const fn as_micros(self) -> u64 {
        self.0.get().wrapping_sub(1)
    }
}

/// [`Instant::ZERO`].
impl Default for Instant {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);

    /// `micros` microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Length in microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    fn add(self, span: Duration) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }
}

impl Add for Duration {
    type Output = Duration;

    fn add(self, more: Duration) -> Duration {
        Duration(self.0.saturating_add(more.0))
    }
}

/// Zero if `less` is more.
impl Sub for Duration {
    type Output = Duration;

    fn sub(self, less: Duration) -> Duration {
        Duration(self.0.saturating_sub(less.0))
    }
}

/// The time that passed since `earlier`; zero if `earlier` is later.
impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        Duration(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl From<Duration> for core::time::Duration {
    fn from(span: Duration) -> Self {
        core::time::Duration::from_micros(span.0)
    }
}

/// Saturates at 2^64 µs.
impl From<core::time::Duration> for Duration {
    fn from(span: core::time::Duration) -> Self {
        Self(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }
}

/// Seconds with six decimals, as in `3.390625`.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_seconds(f, self.as_micros())
    }
}

/// Seconds with six decimals, as in `3.390625`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_seconds(f, self.0)
    }
}

/// Seconds since the fixed point, as in `3.390625s`.
impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}s")
    }
}

/// As in `3.390625s`.
impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}s")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Instant {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u64:us}", self.as_micros());
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Duration {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u64:us}", self.as_micros());
    }
}

fn write_seconds(f: &mut fmt::Formatter<'_>, micros: u64) -> fmt::Result {
    // 14 digits, the point, 6 digits.
    let mut text = heapless::String::<21>::new();
    write!(text, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)?;
    f.pad(&text)
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::{Duration, Instant};

    #[test]
    fn prints_seconds_in_columns() {
        assert_eq!(format!("{}", Instant::from_micros(3_390_625)), "3.390625");
        assert_eq!(format!("{:>10}|", Duration::from_micros(7)), "  0.000007|");
        assert_eq!(
            format!("{}", Instant::from_micros(u64::MAX)),
            "18446744073709.551614"
        );
    }

    #[test]
    fn debugging_shows_the_time_and_not_how_it_is_kept() {
        let deadline = Some(Instant::from_micros(3_390_625));
        assert_eq!(format!("{deadline:?}"), "Some(3.390625s)");
        assert_eq!(format!("{:?}", Instant::ZERO), "0.000000s");
        assert_eq!(format!("{:?}", Duration::from_millis(1_500)), "1.500000s");
    }

    #[test]
    fn saturates() {
        let end = Instant::from_micros(u64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Instant::ZERO - end, Duration::ZERO);
        assert_eq!(Duration::from_secs(u64::MAX), Duration::from_millis(u64::MAX));
        let long = core::time::Duration::from_secs(u64::MAX);
        assert_eq!(Duration::from(long), Duration::from_micros(u64::MAX));
    }
}
