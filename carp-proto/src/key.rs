use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

const KEY_LEN: usize = 20;
/// What is left of the 20 bytes after the terminating zero that the BSDs and UCarp store.
const MAX_PASSPHRASE_LEN: usize = 19;

/// The 20-byte key that the nodes of one virtual host share (`docs/protocol.md` §4).
///
/// The bytes are wiped on drop and never printed. Comparing two keys takes the same time wherever they
/// differ.
#[derive(Clone)]
pub struct Key([u8; KEY_LEN]);

/// Why a pass phrase cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KeyError {
    /// No byte was given. A group without a password has [`Key::NONE`].
    Empty,
    /// More than 19 bytes; this many were given.
    TooLong(usize),
    /// A zero byte at this offset, where the BSDs and UCarp would end the pass phrase.
    Nul(usize),
}

impl Key {
    /// The key of a group that has no password: 20 zero bytes. Digests are computed and checked all the same.
    pub const NONE: Self = Self([0; KEY_LEN]);

    /// The key of a pass phrase of 1..=19 bytes: its bytes, then zeros, as `ifconfig` and UCarp make it.
    ///
    /// A longer one is an error: the BSDs would silently keep 19 bytes, and UCarp would refuse to start.
    pub fn from_passphrase(passphrase: &[u8]) -> Result<Self, KeyError> {
        if passphrase.is_empty() {
            return Err(KeyError::Empty);
        }
        if passphrase.len() > MAX_PASSPHRASE_LEN {
            return Err(KeyError::TooLong(passphrase.len()));
        }
        if let Some(at) = passphrase.iter().position(|byte| *byte == 0) {
            return Err(KeyError::Nul(at));
        }
        let mut key = Self::NONE;
        for (to, from) in key.0.iter_mut().zip(passphrase) {
            *to = *from;
        }
        Ok(key)
    }

    /// All 20 bytes as given: for keys set through an ioctl or netlink, and for what an older `ifconfig` left
    /// behind.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl zeroize::ZeroizeOnDrop for Key {}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => {
                f.write_str("the pass phrase is empty; give 1 to 19 bytes, or configure no password")
            }
            Self::TooLong(len) => write!(
                f,
                "the pass phrase has {len} bytes, CARP takes 19: the BSDs would drop the rest without a word and UCarp \
                 refuses it; shorten it on every node, or give all 20 key bytes"
            ),
            Self::Nul(at) => write!(
                f,
                "byte {at} of the pass phrase is zero, where the BSDs and UCarp would end it; leave it out, or give \
                 all 20 key bytes"
            ),
        }
    }
}

impl core::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_pass_phrase_is_padded_with_zeros() {
        let key = Key::from_passphrase(b"pass123").unwrap();
        assert_eq!(key.as_bytes(), b"pass123\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(Key::from_passphrase(&[b'x'; 19]).unwrap().as_bytes()[19], 0);
    }

    #[test]
    fn what_peers_would_cut_short_is_refused() {
        assert_eq!(Key::from_passphrase(b""), Err(KeyError::Empty));
        assert_eq!(Key::from_passphrase(&[b'x'; 20]), Err(KeyError::TooLong(20)));
        assert_eq!(Key::from_passphrase(b"ab\0c"), Err(KeyError::Nul(2)));
    }

    #[test]
    fn debug_shows_no_byte() {
        assert_eq!(
            std::format!("{:?}", Key::from_passphrase(b"secret").unwrap()),
            "Key(..)"
        );
    }
}
