// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A lock for each key, made when it is first wanted and gone when nobody wants it any more.
//!
//! Changes of one function, or deliveries of one consumer group, go one after the other; those of different ones do not
//! wait for each other. Waiting is fair and may be abandoned.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

type Locks<K> = Arc<Mutex<HashMap<K, Arc<AsyncMutex<()>>>>>;

/// The locks.
pub(crate) struct KeyLocks<K: Hash + Eq + Clone> {
    locks: Locks<K>,
}

/// Holds the lock of a key; dropping it lets the next one in.
pub(crate) struct KeyGuard<K: Hash + Eq + Clone> {
    // Dropped in this order: the ticket must find the lock free to see that it can go.
    _held: OwnedMutexGuard<()>,
    _ticket: Ticket<K>,
}

/// Somebody who holds or waits for a key's lock.
struct Ticket<K: Hash + Eq + Clone> {
    locks: Locks<K>,
    key: K,
    lock: Arc<AsyncMutex<()>>,
}

impl<K: Hash + Eq + Clone> KeyLocks<K> {
    pub(crate) fn new() -> Self {
        KeyLocks { locks: Arc::default() }
    }

    /// Whether nobody holds the lock of a key or waits for it.
    #[cfg(test)]
    pub(crate) fn is_free(&self, key: &K) -> bool {
        !self.locks.lock().contains_key(key)
    }

    /// Waits for the lock of a key.
    pub(crate) async fn lock(&self, key: K) -> KeyGuard<K> {
        let lock = self.locks.lock().entry(key.clone()).or_default().clone();
        let ticket = Ticket { locks: self.locks.clone(), key, lock };
        let held = ticket.lock.clone().lock_owned().await;
        KeyGuard { _held: held, _ticket: ticket }
    }
}

impl<K: Hash + Eq + Clone> Drop for Ticket<K> {
    fn drop(&mut self) {
        let mut locks = self.locks.lock();
        // The map's and this one: clones are made under the map's lock only, or from a ticket, which counts itself.
        if Arc::strong_count(&self.lock) == 2 {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_key_is_held_once_and_another_is_free() {
        let locks = KeyLocks::new();
        let held = locks.lock("a").await;
        let other = locks.lock("b").await;
        let mut waiting = Box::pin(locks.lock("a"));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("held twice"),
            () = std::future::ready(()) => {}
        }
        drop((held, other));
        drop(waiting.await);
    }

    #[tokio::test]
    async fn nothing_is_left_of_keys_that_nobody_wants() {
        let locks = KeyLocks::new();
        let held = locks.lock("a").await;
        {
            let mut abandoned = Box::pin(locks.lock("a"));
            tokio::select! {
                biased;
                _ = &mut abandoned => panic!("held twice"),
                () = std::future::ready(()) => {}
            }
            drop(held);
        }
        assert!(locks.locks.lock().is_empty());
        drop(locks.lock("b").await);
        assert!(locks.locks.lock().is_empty());
    }
}
