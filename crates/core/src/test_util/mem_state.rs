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
//! An apply is written in one step, and a loss may cut the first one that it takes: [`MemStateStores::cut_unsynced`].
//!
//! Handles from before a loss belong to the process that died: they go on with what they had and harm nobody.

use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::delta::Delta;
use crate::epoch::TaskId;
use crate::error::{Error, ErrorCode, Result, internal};
use crate::state::{Marker, StateStore, StateStores, Unfinished, Visit};
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
    unsynced: Vec<Applied>,
    /// The next apply fails after so many entries.
    fails_after: Option<usize>,
}

/// An apply; or its first part, with so many entries.
#[derive(Clone)]
struct Applied {
    delta: Delta,
    marker: Marker,
    part: Option<usize>,
}

/// A moment of the store. Scans hold it while later applies change a copy.
#[derive(Default, Clone)]
struct Version {
    pairs: Arc<Model>,
    marker: Option<Marker>,
    unfinished: Option<Unfinished>,
}

impl Version {
    fn apply(&mut self, applied: &Applied) {
        let Applied { delta, marker, part } = applied;
        let mut rest = delta.clone();
        if let Some(begun) = self.unfinished.take().filter(|_| !delta.deletes_all()) {
            rest.drop_through(&begun.through);
        }
        let last = part.and_then(|part| Some(rest.sorted_entries().get(part.checked_sub(1)?)?.0.clone()));
        match last.filter(|last| rest.sorted_entries().last().is_some_and(|(key, _)| *key != last)) {
            Some(through) => {
                let pairs = Arc::make_mut(&mut self.pairs);
                model::apply(pairs, &first_part(&rest, &through));
                self.unfinished = Some(Unfinished { marker: marker.clone(), through });
            }
            None => {
                model::apply(Arc::make_mut(&mut self.pairs), &rest);
                self.marker = Some(marker.clone());
            }
        }
    }
}

/// The ranges of a delta and its entries up to a key.
fn first_part(delta: &Delta, through: &Bytes) -> Delta {
    let mut part = Delta::new();
    for range in delta.ranges() {
        part.delete_range(&range.start, range.end.as_deref());
    }
    for (key, write) in delta.entries().filter(|(key, _)| *key <= through) {
        part.write(key, write.clone());
    }
    part
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
    pub fn lose_unsynced(&self, keep: impl FnMut(TaskId, usize) -> usize) {
        self.cut_unsynced(keep, |_| 0);
    }

    /// The same, but of the first apply that is lost so many entries stay, in the order of their keys, as its first part;
    /// 0 = none. One of which all would stay is lost as a whole.
    pub fn cut_unsynced(&self, mut keep: impl FnMut(TaskId, usize) -> usize, mut part: impl FnMut(TaskId) -> usize) {
        for (task, store) in self.tasks.lock().iter_mut() {
            let before = store.inner.lock().clone();
            let kept = keep(*task, before.unsynced.len()).min(before.unsynced.len());
            let mut now = before.synced.clone();
            let mut unsynced = before.unsynced[..kept].to_vec();
            let cut = before.unsynced.get(kept).filter(|cut| cut.part.is_none()).cloned();
            let part = part(*task);
            unsynced.extend(
                cut.filter(|cut| (1..cut.delta.entries().count()).contains(&part))
                    .map(|cut| Applied { part: Some(part), ..cut }),
            );
            unsynced.iter().for_each(|applied| now.apply(applied));
            *store = Arc::new(MemStateStore {
                inner: Mutex::new(Inner { now, synced: before.synced, unsynced, fails_after: None }),
            });
        }
    }
}

impl StateStores for MemStateStores {
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>> {
        Ok(self.store(task))
    }
}

impl MemStateStore {
    /// Has the next apply fail after it has written so many entries, in the order of their keys; 0 = none. One that has no
    /// more of them writes nothing.
    pub fn fail_next_apply(&self, after: usize) {
        self.inner.lock().fails_after = Some(after);
    }

    /// All pairs.
    pub fn pairs(&self) -> Model {
        self.inner.lock().now.pairs.as_ref().clone()
    }
}

impl StateStore for MemStateStore {
    fn marker(&self) -> Result<Option<Marker>> {
        Ok(self.inner.lock().now.marker.clone())
    }

    fn unfinished(&self) -> Result<Option<Unfinished>> {
        Ok(self.inner.lock().now.unfinished.clone())
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
        if !delta.deletes_all() && inner.now.unfinished.as_ref().is_some_and(|begun| begun.marker != *marker) {
            return Err(internal("another apply is unfinished"));
        }
        let part = inner.fails_after.take();
        let applied = Applied { delta: delta.clone(), marker: marker.clone(), part };
        if part.is_none_or(|part| (1..delta.entries().count()).contains(&part)) {
            inner.now.apply(&applied);
            inner.unsynced.push(applied);
        }
        part.map_or(Ok(()), |_| Err(Error::new(ErrorCode::Storage, "an apply was made to fail")))
    }
}
