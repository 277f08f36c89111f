#![doc = include_str!("../README.md")]

pub mod fast;
#[cfg(target_os = "linux")]
pub mod invalid;
pub mod model;
pub mod runs;
pub mod transcript;

use std::fs;
use std::path::{Path, PathBuf};

/// Where a vector is: `wire/packets.json`.
pub fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

/// The frames of a capture file, written on a little-endian machine.
///
/// # Panics
///
/// If it is none, or there are no frames in it.
pub fn pcap(name: &str) -> Vec<Vec<u8>> {
    let file = fs::read(vectors(name)).unwrap();
    assert_eq!(file[..4], [0xd4, 0xc3, 0xb2, 0xa1], "{name}");
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap())
            .try_into()
            .unwrap();
        frames.push(behind[..len].to_vec());
        rest = &behind[len..];
    }
    assert!(!frames.is_empty(), "{name}");
    frames
}

/// Tells those who ask (`--nocapture`; the report does) how many vectors of which kind agree, by dialect.
pub fn tell_agreement(what: &str, dialects: impl IntoIterator<Item = carp_proto::Dialect>) {
    let dialects: Vec<_> = dialects.into_iter().collect();
    for dialect in carp_proto::Dialect::ALL {
        let count = dialects.iter().filter(|one| **one == dialect).count();
        if count > 0 {
            println!("vectors: {what}, {dialect}: {count}");
        }
    }
}
