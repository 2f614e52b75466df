// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Applied state: one column family for all tasks, each key behind its task.
//!
//! Applying is a few unsynced writes. RocksDB does one write after the other, so a large one would make every commit wait
//! that comes meanwhile: a delta is written in parts, in the order of its keys, each with a note up to where it reaches, and
//! the last one with the marker. An apply that a crash cuts goes on behind its last part (see [`StateStore::unfinished`]).
//!
//! No sync is needed: the deltas stay until `trim`, which comes later in the same write-ahead log, so a power cut that takes
//! an apply back, or parts of it, brings its deltas back too.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::delta::{Delta, KeyRange, Write, appended};
use fnstream_core::epoch::TaskId;
use fnstream_core::error::internal;
use fnstream_core::state::{Marker, StateStore, StateStores, Unfinished, Visit};
use fnstream_core::state_key::prefix_end;
use fnstream_core::{Error, ErrorCode, Result, failpoint};
use rocksdb::WriteBatch;

use crate::db::{Db, Sync};
use crate::formats;
use crate::keys;
use crate::store::Store;

/// The most keys and bytes of a part of an apply. A commit waits for one part at most, which takes a millisecond or two. With fail
/// points parts are so small that crashes fall between those of small applies too.
const PART_KEYS: usize = if cfg!(feature = "failpoints") { 2 } else { 1024 };
const PART_BYTES: usize = 256 << 10;

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
        let value = self.db()?.get(keys::META, &keys::marker(self.task))?;
        value.map(|value| formats::decode_marker(&value)).transpose()
    }

    fn unfinished(&self) -> Result<Option<Unfinished>> {
        let value = self.db()?.get(keys::META, &keys::unfinished(self.task))?;
        value.map(|value| formats::decode_unfinished(&value)).transpose()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.db()?.get(keys::STATE, &[&self.prefix, key].concat())?.map(Bytes::from))
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        let (start, end) = bounds(&self.prefix, start, end);
        if end.as_ref().is_some_and(|end| *end <= start) {
            return Ok(());
        }
        let db = self.db()?;
        let mut iterator = db.iterate(keys::STATE, end);
        iterator.seek(start);
        while let Some((key, value)) = iterator.item() {
            if let ControlFlow::Break(()) = visit(&key[self.prefix.len()..], value) {
                return Ok(());
            }
            iterator.next();
        }
        db.ended(&iterator)
    }

    fn apply(&self, delta: &Delta, marker: &Marker) -> Result<()> {
        failpoint!("apply.before");
        let begun = self.unfinished()?.filter(|_| !delta.deletes_all());
        let mut entries = delta.sorted_entries();
        let mut ranges = delta.ranges();
        if let Some(begun) = &begun {
            if begun.marker != *marker {
                let (wanted, epoch) = (marker.epoch.0, begun.marker.epoch.0);
                return Err(internal(format!("an apply to epoch {epoch} is unfinished, and one to {wanted} begins")));
            }
            entries.drain(..entries.partition_point(|(key, _)| **key <= begun.through));
            ranges = &[];
        }
        let mut rest = &entries[..];
        loop {
            let (part, behind) = rest.split_at(part_len(rest));
            rest = behind;
            let db = &*self.db()?;
            let mut batch = WriteBatch::default();
            put_part(db, &mut batch, self.task, std::mem::take(&mut ranges), part)?;
            match part.last().filter(|_| !rest.is_empty()) {
                Some((through, _)) => {
                    let begun = Unfinished { marker: marker.clone(), through: (*through).clone() };
                    let value = formats::encode_unfinished(&begun);
                    batch.put_cf(db.family(keys::META), keys::unfinished(self.task), value);
                }
                None => {
                    let value = formats::encode_marker(marker);
                    batch.put_cf(db.family(keys::META), keys::marker(self.task), value);
                    batch.delete_cf(db.family(keys::META), keys::unfinished(self.task));
                }
            }
            failpoint!("apply.during");
            self.write(db, batch)?;
            if rest.is_empty() {
                failpoint!("apply.after");
                return Ok(());
            }
            failpoint!("apply.between");
        }
    }
}

/// How many of the next entries are written in one part.
fn part_len(rest: &[(&Bytes, &Write)]) -> usize {
    let mut bytes = 0;
    let fits = |(key, write): &&(&Bytes, &Write)| {
        bytes += key.len() + write.value().map_or(0, Bytes::len);
        bytes <= PART_BYTES
    };
    let fitting = rest.iter().take(PART_KEYS).take_while(fits).count();
    fitting.max(1).min(rest.len())
}

impl TaskState {
    fn db(&self) -> Result<Arc<Db>> {
        self.store.inner().db()
    }

    /// Writes a part, unless the function was removed meanwhile.
    fn write(&self, db: &Db, batch: WriteBatch) -> Result<()> {
        let removed = self.store.inner().removed.read();
        if removed.contains(&self.task.function) {
            return Err(Error::new(ErrorCode::Fenced, format!("the function of task {} was removed", self.task)));
        }
        db.write(batch, Sync::No)
    }
}

/// Ranges first, then entries in key order. All reads come before the first write to the batch.
fn put_part(
    db: &Db,
    batch: &mut WriteBatch,
    task: TaskId,
    ranges: &[KeyRange],
    entries: &[(&Bytes, &Write)],
) -> Result<()> {
    let prefix = keys::task(task);
    let mut merged = Vec::new();
    for (key, write) in entries {
        if let Write::Merge(operand) = write {
            let below = db.get(keys::STATE, &[&prefix[..], key].concat())?;
            merged.push(below.map_or_else(|| operand.clone(), |below| appended(&below, operand)));
        }
    }
    let ranges: Result<Vec<_>> =
        ranges.iter().map(|range| small_range(db, bounds(&prefix, &range.start, range.end.as_deref()))).collect();
    let family = db.family(keys::STATE);
    for range in ranges? {
        match range {
            DeletedRange::Keys(keys) => keys.iter().for_each(|key| batch.delete_cf(family, key)),
            DeletedRange::All(start, end) => db.delete_range(batch, keys::STATE, start..end),
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
    db.ended(&iterator)?;
    Ok(DeletedRange::Keys(found))
}

/// A task's range among the keys of all tasks; the very last task's has no end.
fn bounds(prefix: &[u8; 8], start: &[u8], end: Option<&[u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
    let end = end.map_or_else(|| prefix_end(prefix), |end| Some([&prefix[..], end].concat()));
    ([&prefix[..], start].concat(), end)
}
