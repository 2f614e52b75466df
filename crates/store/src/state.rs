// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Applied state: one column family for all tasks, each key behind its task.
//!
//! Applying is one unsynced write of entries and marker together. It needs no sync: the deltas stay until `trim`, which
//! comes later in the same write-ahead log, so a power cut that takes an apply back brings its deltas back too.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::delta::{Delta, Write, appended};
use fnstream_core::epoch::{FrozenEpoch, TaskId};
use fnstream_core::state::{Marker, StateStore, StateStores, Visit};
use fnstream_core::state_key::prefix_end;
use fnstream_core::{Error, ErrorCode, Result, failpoint};
use rocksdb::WriteBatch;

use crate::db::{Db, Sync, ended};
use crate::formats;
use crate::keys;
use crate::options::CommitMode;
use crate::store::Store;

/// Up to so many keys a range is deleted key by key: range tombstones slow every later read down until they are compacted
/// away, and most ranges that functions delete are small.
const SMALL_RANGE: usize = 64;

/// Opens the stores of tasks.
pub(crate) struct RocksStates(pub Store);

impl StateStores for RocksStates {
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>> {
        Ok(Arc::new(TaskState { store: self.0.clone(), task, prefix: keys::task(task) }))
    }
}

struct TaskState {
    store: Store,
    task: TaskId,
    prefix: [u8; 8],
}

impl StateStore for TaskState {
    fn marker(&self) -> Result<Option<Marker>> {
        let value = self.db().get(keys::META, &keys::marker(self.task))?;
        value.map(|value| formats::decode_marker(&value)).transpose()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.db().get(keys::STATE, &[&self.prefix, key].concat())?.map(Bytes::from))
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        let (start, end) = bounds(&self.prefix, start, end);
        if end.as_ref().is_some_and(|end| *end <= start) {
            return Ok(());
        }
        let mut iterator = self.db().iterate(keys::STATE, end);
        iterator.seek(start);
        while let Some((key, value)) = iterator.item() {
            if let ControlFlow::Break(()) = visit(&key[self.prefix.len()..], value) {
                return Ok(());
            }
            iterator.next();
        }
        ended(&iterator)
    }

    fn apply(&self, delta: &Delta, marker: &Marker) -> Result<()> {
        failpoint!("apply.before");
        if self.store.inner().options.commit_mode == CommitMode::PutPerKey {
            // The commit has written it.
            return Ok(());
        }
        let removed = self.store.inner().removed.read();
        if removed.contains(&self.task.function) {
            return Err(Error::new(ErrorCode::Fenced, format!("the function of task {} was removed", self.task)));
        }
        let mut batch = WriteBatch::default();
        put_delta(self.db(), &mut batch, self.task, delta)?;
        put_marker(self.db(), &mut batch, self.task, marker);
        failpoint!("apply.during");
        self.db().write(batch, Sync::No)?;
        failpoint!("apply.after");
        Ok(())
    }
}

impl TaskState {
    fn db(&self) -> &Db {
        &self.store.inner().db
    }
}

/// Writes an epoch's state with its commit, key by key.
pub(crate) fn put_per_key(db: &Db, batch: &mut WriteBatch, epoch: &FrozenEpoch) -> Result<()> {
    put_delta(db, batch, epoch.task, &epoch.delta)?;
    let marker = Marker { epoch: epoch.progress.epoch, log_end: Bytes::new() };
    put_marker(db, batch, epoch.task, &marker);
    Ok(())
}

/// Ranges first, then entries in key order. All reads come before the first write to the batch.
fn put_delta(db: &Db, batch: &mut WriteBatch, task: TaskId, delta: &Delta) -> Result<()> {
    let prefix = keys::task(task);
    let entries = delta.sorted_entries();
    let mut merged = Vec::new();
    for (key, write) in &entries {
        if let Write::Merge(operand) = write {
            let below = db.get(keys::STATE, &[&prefix[..], key].concat())?;
            merged.push(below.map_or_else(|| operand.clone(), |below| appended(&below, operand)));
        }
    }
    let ranges: Result<Vec<_>> = delta
        .ranges()
        .iter()
        .map(|range| small_range(db, bounds(&prefix, &range.start, range.end.as_deref())))
        .collect();
    let family = db.family(keys::STATE);
    for range in ranges? {
        match range {
            DeletedRange::Keys(keys) => keys.iter().for_each(|key| batch.delete_cf(family, key)),
            DeletedRange::All(start, end) => batch.delete_range_cf(family, start, end),
        }
    }
    let mut full_key = prefix.to_vec();
    let mut merged = merged.into_iter();
    for (key, write) in entries {
        full_key.truncate(prefix.len());
        full_key.extend_from_slice(key);
        match write {
            Write::Put(value) => batch.put_cf(family, &full_key, value),
            Write::Delete => batch.delete_cf(family, &full_key),
            Write::Merge(operand) => batch.put_cf(family, &full_key, merged.next().unwrap_or_else(|| operand.clone())),
        }
    }
    Ok(())
}

fn put_marker(db: &Db, batch: &mut WriteBatch, task: TaskId, marker: &Marker) {
    batch.put_cf(db.family(keys::META), keys::marker(task), formats::encode_marker(marker));
}

enum DeletedRange {
    Keys(Vec<Vec<u8>>),
    All(Vec<u8>, Vec<u8>),
}

fn small_range(db: &Db, (start, end): (Vec<u8>, Option<Vec<u8>>)) -> Result<DeletedRange> {
    if end.as_ref().is_some_and(|end| *end <= start) {
        return Ok(DeletedRange::Keys(Vec::new()));
    }
    let mut iterator = db.iterate(keys::STATE, end.clone());
    iterator.seek(&start);
    let mut found = Vec::new();
    while let Some(key) = iterator.key() {
        if found.len() >= SMALL_RANGE
            && let Some(end) = end
        {
            return Ok(DeletedRange::All(start, end));
        }
        found.push(key.to_vec());
        iterator.next();
    }
    ended(&iterator)?;
    Ok(DeletedRange::Keys(found))
}

/// A task's range among the keys of all tasks; the very last task's has no end.
fn bounds(prefix: &[u8; 8], start: &[u8], end: Option<&[u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
    let end = end.map_or_else(|| prefix_end(prefix), |end| Some([&prefix[..], end].concat()));
    ([&prefix[..], start].concat(), end)
}
