//! Keys for what must not be made by others.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Another one each time, seeded by the operating system.
pub(crate) fn new() -> [u8; 32] {
    let mut key = [0; 32];
    for (i, part) in key.chunks_mut(8).enumerate() {
        part.copy_from_slice(&RandomState::new().hash_one(i).to_le_bytes());
    }
    key
}
