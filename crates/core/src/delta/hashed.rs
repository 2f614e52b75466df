// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Keys of state that are hashed once.

use std::sync::OnceLock;

/// A key of state with its hash, which is the same for every delta and cache of this process and no other process.
///
/// Whoever asks several of them for a key makes one of these and hashes the key once.
#[derive(Debug, Clone, Copy)]
pub struct HashedKey<'a> {
    hash: u64,
    bytes: &'a [u8],
}

impl<'a> HashedKey<'a> {
    /// Hashes a key.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        // Seeded at random, so that nobody who chooses keys can make them collide.
        static HASHER: OnceLock<ahash::RandomState> = OnceLock::new();
        HashedKey { hash: HASHER.get_or_init(ahash::RandomState::new).hash_one(bytes), bytes }
    }

    /// The hash.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The key.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// A key whose hash is known.
    #[inline]
    pub(super) fn known(hash: u64, bytes: &'a [u8]) -> Self {
        HashedKey { hash, bytes }
    }
}

impl<'a, K: AsRef<[u8]> + ?Sized> From<&'a K> for HashedKey<'a> {
    fn from(key: &'a K) -> Self {
        HashedKey::new(key.as_ref())
    }
}
