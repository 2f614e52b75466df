// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State stores in memory, that can lose what a crash may lose.
//!
//! ```text
//! synced ── apply ── apply ── apply        what `get` and `scan` see: all of it
//!   ▲         └───────┴────────┴─ lose_unsynced(keep) forgets the newest, each as a whole with its marker
//!   └─ sync() moves here             lose_all() forgets everything: the disk is gone
//! ```
//!
//! Handles from before a loss belong to the process that died: they go on with what they had and harm nobody.

use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::delta::Delta;
use crate::epoch::TaskId;
use crate::error::Result;
use crate::state::{Marker, StateStore, StateStores, Visit};
use crate::test_util::model::{self, Model};

/// The stores of one process.
#[derive(Default)]
pub struct MemStateStores {
    tasks: Mutex<HashMap<TaskId, Arc<MemStateStore>>>,
}

/// The store of one task.
#[derive(Default)]
pub struct MemStateStore {
    inner: Mutex<Inner>,
}

#[derive(Default, Clone)]
struct Inner {
    now: Version,
    synced: Version,
    unsynced: Vec<(Delta, Marker)>,
}

/// A moment of the store. Scans hold it while later applies change a copy.
#[derive(Default, Clone)]
struct Version {
    pairs: Arc<Model>,
    marker: Option<Marker>,
}

impl Version {
    fn apply(&mut self, delta: &Delta, marker: &Marker) {
        model::apply(Arc::make_mut(&mut self.pairs), delta);
        self.marker = Some(marker.clone());
    }
}

impl MemStateStores {
    /// No stores yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store of a task, with the methods that only tests have.
    pub fn store(&self, task: TaskId) -> Arc<MemStateStore> {
        self.tasks.lock().entry(task).or_default().clone()
    }

    /// Makes everything that was applied outlast [`MemStateStores::lose_unsynced`].
    pub fn sync(&self) {
        for store in self.tasks.lock().values() {
            let mut inner = store.inner.lock();
            inner.synced = inner.now.clone();
            inner.unsynced.clear();
        }
    }

    /// Loses the disk.
    pub fn lose_all(&self) {
        self.tasks.lock().clear();
    }

    /// Loses, of each task, all applies since the last sync but the oldest `keep(task, count)`.
    pub fn lose_unsynced(&self, mut keep: impl FnMut(TaskId, usize) -> usize) {
        for (task, store) in self.tasks.lock().iter_mut() {
            let before = store.inner.lock().clone();
            let kept = keep(*task, before.unsynced.len()).min(before.unsynced.len());
            let mut now = before.synced.clone();
            for (delta, marker) in &before.unsynced[..kept] {
                now.apply(delta, marker);
            }
            let unsynced = before.unsynced[..kept].to_vec();
            *store = Arc::new(MemStateStore { inner: Mutex::new(Inner { now, synced: before.synced, unsynced }) });
        }
    }
}

impl StateStores for MemStateStores {
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>> {
        Ok(self.store(task))
    }
}

impl MemStateStore {
    /// All pairs.
    pub fn pairs(&self) -> Model {
        self.inner.lock().now.pairs.as_ref().clone()
    }
}

impl StateStore for MemStateStore {
    fn marker(&self) -> Result<Option<Marker>> {
        Ok(self.inner.lock().now.marker.clone())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.inner.lock().now.pairs.get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let pairs = self.inner.lock().now.pairs.clone();
        let range = (Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
        for (key, value) in pairs.range::<[u8], _>(range) {
            if let ControlFlow::Break(()) = visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, delta: &Delta, marker: &Marker) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.now.apply(delta, marker);
        inner.unsynced.push((delta.clone(), marker.clone()));
        Ok(())
    }
}
