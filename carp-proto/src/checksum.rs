//! The Internet checksum (RFC 1071).

use core::net::Ipv6Addr;

/// The Internet checksum of `bytes`: 0 if they hold a right checksum, and what belongs in the field if that
/// is zero.
pub fn checksum(bytes: &[u8]) -> u16 {
    Sum::new().add(bytes).finish()
}

/// A one's-complement sum in the making. Every slice but the last must have an even length.
#[derive(Clone, Copy)]
pub(crate) struct Sum(u64);

impl Sum {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        // Four bytes at a time: 2^16 is 1 in one's complement, so the upper half of a word counts as much as
        // the lower.
        let (words, rest) = bytes.as_chunks::<4>();
        let mut sum = words.iter().fold(self.0, |sum, word| {
            sum.wrapping_add(u64::from(u32::from_be_bytes(*word)))
        });
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        sum = sum.wrapping_add(u64::from(u32::from_be_bytes(last)));
        Self(sum)
    }

    /// The pseudo-header of IPv6 (RFC 8200 §8.1).
    pub(crate) fn add_ipv6_pseudo_header(
        self,
        src: &Ipv6Addr,
        dst: &Ipv6Addr,
        len: u16,
        next_header: u8,
    ) -> Self {
        self.add(&src.octets())
            .add(&dst.octets())
            .add(&len.to_be_bytes())
            .add(&[0, next_header])
    }

    pub(crate) fn finish(self) -> u16 {
        // The upper half of a number counts as much as the lower: the four quarters in 32 bits, and their carries
        // twice.
        let (high, low) = self.halves();
        let sum = (high >> 16)
            .wrapping_add(high & 0xffff)
            .wrapping_add(low >> 16)
            .wrapping_add(low & 0xffff);
        let sum = (sum >> 16).wrapping_add(sum & 0xffff);
        !low_half((sum >> 16).wrapping_add(sum))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is cut off is in the other half"
    )]
    const fn halves(self) -> (u32, u32) {
        ((self.0 >> 32) as u32, self.0 as u32)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the upper bits were folded in")]
const fn low_half(sum: u32) -> u16 {
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen bits at a time, as RFC 1071 puts it.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !u16::try_from(sum).unwrap()
    }

    #[test]
    fn every_length_agrees_with_the_plain_sum() {
        let mut bytes = [0u8; 131];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(at * 151 % 256).unwrap();
        }
        for len in 0..bytes.len() {
            assert_eq!(checksum(&bytes[..len]), plain(&bytes[..len]), "{len} bytes");
        }
        assert_eq!(checksum(&[0xff; 9_000]), 0);
        assert_eq!(checksum(&[]), 0xffff);
    }
}
