// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The process's one cache of stored values, shared fairly by all tasks: what is read often stays, whoever reads it.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fnstream_core::delta::HashedKey;
use fnstream_core::epoch::TaskId;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

/// Rough bytes of bookkeeping of one entry.
const ENTRY_OVERHEAD: usize = 104;

/// A key with the hash that it has in deltas, mixed with its scope's.
#[derive(Clone, PartialEq, Eq)]
struct OwnedKey {
    scope: Scope,
    hash: u64,
    key: Bytes,
}

/// Whose keys, and since which range delete: entries of an older version are never found again and age out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    task: TaskId,
    version: u64,
}

impl Scope {
    /// The hash of a key in this scope: tasks that have the same keys do not meet in the cache.
    fn mix(self, hash: u64) -> u64 {
        hash ^ self.version.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(PartialEq, Eq)]
struct BorrowedKey<'a> {
    scope: Scope,
    hash: u64,
    key: &'a [u8],
}

impl Hash for OwnedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for BorrowedKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<OwnedKey> for BorrowedKey<'_> {
    fn equivalent(&self, other: &OwnedKey) -> bool {
        self.hash == other.hash && self.scope == other.scope && self.key == &other.key[..]
    }
}

/// Takes the hash that a key brings along.
#[derive(Default, Clone, Copy)]
struct Known(u64);

impl Hasher for Known {
    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "keys of the cache bring their hash along");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<OwnedKey, Option<Bytes>> for ByBytes {
    fn weight(&self, key: &OwnedKey, value: &Option<Bytes>) -> u64 {
        (ENTRY_OVERHEAD + key.key.len() + value.as_ref().map_or(0, Bytes::len)) as u64
    }
}

/// Values as they are in the stores, absence included.
pub(crate) struct ReadCache {
    cache: Cache<OwnedKey, Option<Bytes>, ByBytes, BuildHasherDefault<Known>>,
    versions: AtomicU64,
}

impl ReadCache {
    pub(crate) fn new(bytes: usize) -> Self {
        let entries = (bytes / (ENTRY_OVERHEAD + 64)).max(16);
        ReadCache {
            cache: Cache::with(entries, bytes as u64, ByBytes, Default::default(), Default::default()),
            versions: AtomicU64::new(0),
        }
    }

    /// A scope in which nothing is cached yet.
    pub(crate) fn scope(&self, task: TaskId) -> Scope {
        Scope { task, version: self.versions.fetch_add(1, Ordering::Relaxed) }
    }

    /// The stored value: `None` = not cached, `Some(None)` = known to be absent.
    pub(crate) fn get(&self, scope: Scope, key: HashedKey<'_>) -> Option<Option<Bytes>> {
        self.cache.get(&BorrowedKey { scope, hash: scope.mix(key.hash()), key: key.bytes() })
    }

    /// Keeps a value; `hash` is that of [`HashedKey`].
    pub(crate) fn insert(&self, scope: Scope, hash: u64, key: Bytes, value: Option<Bytes>) {
        self.cache.insert(OwnedKey { scope, hash: scope.mix(hash), key }, value);
    }
}
