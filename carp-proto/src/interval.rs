use core::fmt;

/// The advertisement interval in whole seconds, 0..=255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AdvBase(u8);

/// What is added to [`AdvBase`], in 1/256 s, 0..=255; the lower, the more wanted as MASTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AdvSkew(u8);

/// An advertisement interval, `advbase + advskew / 256` seconds: the priority that elections compare, lower
/// first.
///
/// Kept as `advbase << 8 | advskew`, in 1/256 s. Its order is that of the kernels' truncated microseconds for
/// all 65 536 values, so comparing priorities needs no time arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Interval(u16);

impl AdvBase {
    /// Seconds.
    pub const fn new(seconds: u8) -> Self {
        Self(seconds)
    }

    /// Seconds.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl AdvSkew {
    /// 1/256 s. 255 belongs to the bow-out; a configuration takes 0..=254 (`docs/protocol.md` §2).
    pub const fn new(skew: u8) -> Self {
        Self(skew)
    }

    /// 1/256 s.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Interval {
    /// 255/255: the interval a MASTER advertises when it gives up on purpose (`docs/protocol.md` §9).
    pub const BOW_OUT: Self = Self::new(AdvBase(255), AdvSkew(255));

    /// The interval of `base` and `skew`.
    pub const fn new(base: AdvBase, skew: AdvSkew) -> Self {
        Self(u16::from_be_bytes([base.0, skew.0]))
    }

    /// Whole seconds.
    pub const fn base(self) -> AdvBase {
        AdvBase(self.0.to_be_bytes()[0])
    }

    /// 1/256 s above [`base`](Self::base).
    pub const fn skew(self) -> AdvSkew {
        AdvSkew(self.0.to_be_bytes()[1])
    }

    /// Microseconds, truncated as the kernels do: 0..=255 996 093.
    pub const fn micros(self) -> u64 {
        // A 1/256 s is 15625/4 microseconds. The product fits 32 bits, which small processors multiply at once.
        ((self.0 as u32).wrapping_mul(15_625) >> 2) as u64
    }
}

impl fmt::Display for AdvBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AdvSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `advbase/advskew`, as in `1/100`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base(), self.skew())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_micros_agree_for_all_values() {
        let mut previous = None;
        // Miri takes minutes for all of them.
        for raw in (0..=u16::MAX).step_by(if cfg!(miri) { 1021 } else { 1 }) {
            let interval = Interval(raw);
            let (base, skew) = (u64::from(interval.base().get()), u64::from(interval.skew().get()));
            assert_eq!(interval.micros(), base * 1_000_000 + skew * 1_000_000 / 256);
            assert!(previous < Some(interval.micros()));
            previous = Some(interval.micros());
        }
        assert_eq!(Interval::BOW_OUT.micros(), 255_996_093);
    }
}
