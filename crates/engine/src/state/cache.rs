// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The process's one cache of stored values, shared fairly by all tasks: what is read often stays, whoever reads it.

use std::hash::{Hash, Hasher};

use bytes::Bytes;
use fnstream_core::epoch::TaskId;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

/// Rough bytes of bookkeeping of one entry.
const ENTRY_OVERHEAD: usize = 96;

#[derive(Clone, PartialEq, Eq)]
struct OwnedKey {
    scope: Scope,
    key: Bytes,
}

/// Whose keys, and since which range delete: entries of an older version are never found again and age out.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    task: TaskId,
    version: u64,
}

#[derive(PartialEq, Eq)]
struct BorrowedKey<'a> {
    scope: Scope,
    key: &'a [u8],
}

impl Hash for OwnedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scope.hash(state);
        self.key[..].hash(state);
    }
}

impl Hash for BorrowedKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scope.hash(state);
        self.key.hash(state);
    }
}

impl Equivalent<OwnedKey> for BorrowedKey<'_> {
    fn equivalent(&self, other: &OwnedKey) -> bool {
        self.scope == other.scope && self.key == &other.key[..]
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
    cache: Cache<OwnedKey, Option<Bytes>, ByBytes, ahash::RandomState>,
    versions: std::sync::atomic::AtomicU64,
}

impl ReadCache {
    pub(crate) fn new(bytes: usize) -> Self {
        let entries = (bytes / (ENTRY_OVERHEAD + 64)).max(16);
        ReadCache {
            cache: Cache::with(entries, bytes as u64, ByBytes, ahash::RandomState::default(), Default::default()),
            versions: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// A scope in which nothing is cached yet.
    pub(crate) fn scope(&self, task: TaskId) -> Scope {
        Scope { task, version: self.versions.fetch_add(1, std::sync::atomic::Ordering::Relaxed) }
    }

    /// The stored value: `None` = not cached, `Some(None)` = known to be absent.
    pub(crate) fn get(&self, scope: Scope, key: &[u8]) -> Option<Option<Bytes>> {
        self.cache.get(&BorrowedKey { scope, key })
    }

    pub(crate) fn insert(&self, scope: Scope, key: Bytes, value: Option<Bytes>) {
        self.cache.insert(OwnedKey { scope, key }, value);
    }
}
