// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which partition a key belongs to: the functions of Pulsar's other clients.

/// How a key is turned into the number of a partition.
///
/// All producers of a topic should use the same. Pulsar's Java client uses [`Hashing::JavaString`] unless told
/// otherwise, those in Go and C++ have their own defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hashing {
    /// Java's `String.hashCode`, over the key's UTF-16 units.
    #[default]
    JavaString,
    /// MurmurHash3 of 32 bits, over the key's UTF-8.
    Murmur3,
}

impl Hashing {
    /// Returns the partition of a key. A key that is not UTF-8 stands for its base64 form, as in Java's `keyBytes`.
    pub fn partition(self, key: &[u8], partitions: u32) -> u32 {
        let text;
        let key = match std::str::from_utf8(key) {
            Ok(key) => key,
            Err(_) => {
                text = crate::base64::encode(key);
                &text
            }
        };
        let hash = match self {
            Hashing::JavaString => java_string(key),
            Hashing::Murmur3 => murmur3(key.as_bytes()),
        };
        (hash & 0x7fff_ffff) % partitions.max(1)
    }
}

fn java_string(text: &str) -> u32 {
    text.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

/// MurmurHash3_x86_32 with seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    fn mix(word: u32) -> u32 {
        word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
    }
    let mut hash = 0u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        hash = (hash ^ mix(u32::from_le_bytes(*word))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let last = tail.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    hash ^= mix(last);
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn murmur_is_the_published_function() {
        // Known values of MurmurHash3_x86_32 with seed 0.
        for (text, hash) in [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("abc", 0xb3dd_93fa),
            ("test", 0xba6b_d213),
            ("Hello, world!", 0xc036_3e43),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ] {
            assert_eq!(murmur3(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn the_hash_of_a_string_is_that_of_java() {
        for (text, hash) in [("", 0), ("a", 97), ("hello", 99_162_322), ("key1", 3_288_498), ("\u{1f600}", 1_772_899)] {
            assert_eq!(java_string(text), hash, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_key_has_a_partition(key in proptest::collection::vec(any::<u8>(), 0..20), partitions in 0u32..20) {
            for hashing in [Hashing::JavaString, Hashing::Murmur3] {
                prop_assert!(hashing.partition(&key, partitions) < partitions.max(1));
            }
        }
    }
}
