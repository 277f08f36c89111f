//! The one source of "chance": a `SplitMix64` sequence from the caller's seed.

/// Does not repeat within 2^64 draws, which is what an advertisement's counter needs; not secret.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// Makes neighbouring numbers look unrelated. Different numbers stay different: every step can be undone.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::SplitMix64;

    /// The reference sequence for seed 1234567 (Steele, Lea, Flood, "Fast splittable pseudorandom
    /// number generators", 2014; the widely published check values).
    #[test]
    fn reference_sequence() {
        let mut numbers = SplitMix64::new(1_234_567);
        assert_eq!(numbers.draw(), 6_457_827_717_110_365_317);
        assert_eq!(numbers.draw(), 3_203_168_211_198_807_973);
        assert_eq!(numbers.draw(), 9_817_491_932_198_370_423);
    }
}
