//! `carpd genkey`: a password that nobody has to invent.

/// Letters and digits that are not taken for one another (no l, o, 0, 1) and need no quotes anywhere. There are 32, so
/// that five bits of a random byte choose one of them, all equally likely.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// The longest password that the BSDs and UCarp take.
const LENGTH: usize = 19;

/// A random password of 19 characters, 95 bits.
///
/// # Errors
///
/// When the system has no random numbers.
pub fn generate() -> Result<String, getrandom::Error> {
    let mut random = [0; LENGTH];
    getrandom::fill(&mut random)?;
    Ok(random.into_iter().map(character).collect())
}

fn character(random: u8) -> char {
    ALPHABET[usize::from(random % 32)].into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use carp_proto::Key;

    use super::*;

    #[test]
    fn every_character_is_equally_likely() {
        let mut counts = std::collections::BTreeMap::<char, u32>::new();
        for random in 0..=255 {
            *counts.entry(character(random)).or_default() += 1;
        }
        assert_eq!(counts.len(), ALPHABET.len());
        assert!(counts.values().all(|count| *count == 8), "{counts:?}");
    }

    #[test]
    fn passwords_are_usable_and_differ() {
        let passwords: BTreeSet<_> = (0..100).map(|_| generate().expect("random numbers")).collect();
        assert_eq!(passwords.len(), 100);
        for password in passwords {
            assert_eq!(password.len(), LENGTH);
            assert!(Key::from_passphrase(password.as_bytes()).is_ok());
        }
    }
}
