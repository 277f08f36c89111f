//! HMAC-SHA1 (RFC 2104) over a prefix known beforehand and a counter of 8 bytes.
//!
//! Both midstates, and the block that the counter completes, are laid out once. A digest then costs two
//! compressions while the tail of the prefix, the counter and the padding fit one block, and three otherwise.

use core::slice::from_ref;

use sha1::block_api::compress;
use zeroize::Zeroize;

type State = [u32; 5];
type Block = [u8; BLOCK_LEN];

const BLOCK_LEN: usize = 64;
const COUNTER_LEN: usize = 8;
/// FIPS 180-4 §5.3.1.
const INITIAL: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
/// What the outer hash takes: the block of the key, then the inner digest of 20 bytes; in bits.
const OUTER_BITS: u32 = (64 + 20) * 8;
/// The longest tail for which counter, the byte 0x80 and the 8 bytes of length fit the same block.
const MAX_ONE_BLOCK_TAIL: usize = 47;

#[derive(Clone)]
pub(crate) struct PrefixedHmac {
    inner: State,
    outer: State,
    /// The tail of the prefix; behind it, if all fits, room for the counter, then the padding.
    block: Block,
    /// The length in bits of all that the inner hash takes.
    bits: u32,
}

/// Takes the prefix piece by piece.
pub(crate) struct Prefix {
    hmac: PrefixedHmac,
    /// The length of the tail, 0..=63.
    tail: usize,
}

impl Prefix {
    pub(crate) fn new(key: &[u8; 20]) -> Self {
        Self {
            hmac: PrefixedHmac {
                inner: keyed_state(key, 0x36),
                outer: keyed_state(key, 0x5c),
                block: [0; BLOCK_LEN],
                bits: 64 * 8,
            },
            tail: 0,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let hmac = &mut self.hmac;
        for byte in bytes {
            if let Some(slot) = hmac.block.get_mut(self.tail) {
                *slot = *byte;
            }
            self.tail = self.tail.wrapping_add(1);
            hmac.bits = hmac.bits.wrapping_add(8);
            if self.tail == BLOCK_LEN {
                compress(&mut hmac.inner, from_ref(&hmac.block));
                hmac.block = [0; BLOCK_LEN];
                self.tail = 0;
            }
        }
    }

    pub(crate) fn finish(self) -> PrefixedHmac {
        let mut hmac = self.hmac;
        hmac.bits = hmac.bits.wrapping_add(64);
        if self.tail <= MAX_ONE_BLOCK_TAIL {
            let after_counter = self.tail.wrapping_add(COUNTER_LEN);
            if let Some(end_mark) = hmac.block.get_mut(after_counter) {
                *end_mark = 0x80;
            }
            put_bits(&mut hmac.block, hmac.bits);
        }
        hmac
    }
}

impl PrefixedHmac {
    pub(crate) fn digest(&self, counter: u64) -> State {
        let mut inner = self.inner;
        let counter = counter.to_be_bytes();
        let tail = self.tail();
        if tail <= MAX_ONE_BLOCK_TAIL {
            let mut block = self.block;
            if let Some(slot) = block.get_mut(tail..).and_then(<[u8]>::first_chunk_mut) {
                *slot = counter;
            }
            compress(&mut inner, from_ref(&block));
        } else {
            self.two_blocks(&mut inner, counter);
        }

        // The outer hash: the inner digest, the byte 0x80, zeros, the length.
        let mut block = [0; BLOCK_LEN];
        for (to, word) in block
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(inner.into_iter().chain([0x8000_0000]))
        {
            *to = word.to_be_bytes();
        }
        put_bits(&mut block, OUTER_BITS);
        let mut outer = self.outer;
        compress(&mut outer, from_ref(&block));
        outer
    }

    /// The length of the tail, 0..=63: what was hashed, less whole blocks and the counter.
    fn tail(&self) -> usize {
        let bytes = (self.bits >> 3).wrapping_sub(8);
        usize::from(bytes.to_le_bytes()[0]) % BLOCK_LEN
    }

    #[cold]
    fn two_blocks(&self, inner: &mut State, counter: [u8; COUNTER_LEN]) {
        let mut blocks = [self.block, [0; BLOCK_LEN]];
        let rest = blocks.as_flattened_mut().iter_mut().skip(self.tail());
        for (to, from) in rest.zip(counter.into_iter().chain([0x80])) {
            *to = from;
        }
        put_bits(&mut blocks[1], self.bits);
        compress(inner, &blocks);
    }
}

impl Drop for PrefixedHmac {
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    fn drop(&mut self) {
        // Whoever knows the midstates can sign without the key.
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

fn keyed_state(key: &[u8; 20], pad: u8) -> State {
    let mut block = [pad; BLOCK_LEN];
    for (to, from) in block.iter_mut().zip(key) {
        *to ^= *from;
    }
    let mut state = INITIAL;
    compress(&mut state, from_ref(&block));
    block.zeroize();
    state
}

fn put_bits(block: &mut Block, bits: u32) {
    if let Some(end) = block.last_chunk_mut() {
        *end = bits.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use sha1::Sha1;

    use super::*;

    #[test]
    fn every_prefix_length_agrees_with_the_hmac_crate() {
        let mut prefix = [0u8; 300];
        for (at, byte) in prefix.iter_mut().enumerate() {
            *byte = u8::try_from(at * 7 % 256).unwrap();
        }
        let key = *b"0123456789abcdefghij";
        let counter = 0x0123_4567_89ab_cdef_u64;
        // Miri takes minutes for all of them.
        for len in (0..prefix.len()).step_by(if cfg!(miri) { 15 } else { 1 }) {
            let mut ours = Prefix::new(&key);
            ours.push(&prefix[..len]);
            let ours = ours.finish().digest(counter).map(u32::to_be_bytes);

            let mut theirs = Hmac::<Sha1>::new_from_slice(&key).unwrap();
            theirs.update(&prefix[..len]);
            theirs.update(&counter.to_be_bytes());
            assert_eq!(
                ours.as_flattened(),
                theirs.finalize().into_bytes().as_slice(),
                "prefix of {len} bytes"
            );
        }
    }
}
