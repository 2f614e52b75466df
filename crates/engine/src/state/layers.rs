// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The layers of one task's state, and reading through them.

mod applying;

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::delta::{Delta, HashedKey, Lookup, Write, appended};
use fnstream_core::epoch::{FrozenEpoch, TaskId};
use fnstream_core::error::Result;
use fnstream_core::state::{Marker, Unfinished, Visit};

use super::apply::Applying;
use super::cache::{ReadCache, Scope};
use super::{Claim, TaskBase};

/// What one unapplied key costs beside its bytes.
const KEY_OVERHEAD: usize = 112;

/// How many keys a deleted range counts as: every read of a key that has no entry asks all of them.
const RANGE_KEYS: usize = 1_000;

/// See the parent module for their order.
pub(crate) struct Layers {
    task: TaskId,
    overlay: Delta,
    /// What a trial has written before its call at hand. Empty at all other times.
    kept: Delta,
    frozen: Option<Arc<FrozenEpoch>>,
    dirty: Delta,
    /// Where the dirty map ends.
    dirty_marker: Marker,
    /// Being written, or to be written again after it failed.
    applying: Option<Arc<Applying>>,
    /// The apply runs, or has ended and is not settled.
    runs: bool,
    /// An apply that an earlier owner did not finish.
    unfinished: Option<Unfinished>,
    cache: Arc<ReadCache>,
    scope: Scope,
    base: Arc<TaskBase>,
    claim: Claim,
}

/// What the layers say of a key before the store is asked.
enum Upper {
    Decided(Option<Bytes>),
    /// The store decides; these bytes are appended, the last ones first.
    Store(Vec<Bytes>),
}

impl Layers {
    /// The layers of a task that is taken over. What its delta log has after the store's marker is to be replayed next.
    pub(crate) fn open(task: TaskId, base: Arc<TaskBase>, claim: Claim, cache: Arc<ReadCache>) -> Result<Self> {
        let scope = cache.scope(task);
        let unfinished = base.store.unfinished()?;
        Ok(Layers {
            task,
            overlay: Delta::new(),
            kept: Delta::new(),
            frozen: None,
            dirty: Delta::new(),
            dirty_marker: Marker::default(),
            applying: None,
            runs: false,
            unfinished,
            cache,
            scope,
            base,
            claim,
        })
    }

    /// Adds a delta of the log. Before the first one behind an unfinished apply that is rolled forward.
    pub(crate) fn replay(&mut self, delta: Delta, marker: Marker) -> Result<()> {
        if self.unfinished.as_ref().is_some_and(|begun| marker.epoch > begun.marker.epoch) {
            self.roll_forward()?;
        }
        if delta.deletes_all() {
            // Filled anew: what was begun is of no interest any more.
            self.unfinished = None;
        }
        self.absorb(delta, marker);
        Ok(())
    }

    /// All deltas are replayed: the dirty map ends at `marker`, which may be behind the last of them.
    pub(crate) fn replayed(&mut self, marker: Marker) -> Result<()> {
        self.roll_forward()?;
        self.dirty_marker = marker;
        Ok(())
    }

    /// Bytes that the open epoch has written.
    pub(crate) fn overlay_bytes(&self) -> usize {
        self.overlay.bytes()
    }

    /// Whether the open epoch has written nothing.
    pub(crate) fn is_clean(&self) -> bool {
        self.overlay.is_empty()
    }

    /// Memory and keys of committed state that is not being applied.
    pub(crate) fn dirty_size(&self) -> (usize, usize) {
        let failed = self.applying.as_ref().filter(|_| !self.runs).map(|failed| size_of(&failed.delta));
        let (dirty, failed) = (size_of(&self.dirty), failed.unwrap_or_default());
        (dirty.0 + failed.0, dirty.1 + failed.1)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let key = HashedKey::new(key);
        match self.upper(key) {
            Upper::Decided(value) => Ok(value),
            Upper::Store(suffixes) => Ok(append_all(self.stored(key)?, &suffixes)),
        }
    }

    pub(crate) fn write(&mut self, key: &[u8], write: Write) {
        self.overlay.write(key, write);
    }

    pub(crate) fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) {
        self.overlay.delete_range(start, end);
    }

    /// Visits the keys of a range in order: those of the store that no layer hides, and those of the layers.
    pub(crate) fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        let mut upper = self.next_upper(Bound::Included(start), end);
        let mut stopped = false;
        self.base.store.scan(start, end, &mut |stored_key, stored| {
            // First the keys that only layers have, up to this one.
            while let Some(key) = upper.take_if(|key| &key[..] <= stored_key) {
                upper = self.next_upper(Bound::Excluded(&key), end);
                if &key[..] < stored_key && self.visit_one(&key, None, visit).is_break() {
                    stopped = true;
                    return ControlFlow::Break(());
                }
            }
            let flow = self.visit_one(stored_key, Some(stored), visit);
            stopped = flow.is_break();
            flow
        })?;
        while !stopped && let Some(key) = upper.take() {
            upper = self.next_upper(Bound::Excluded(&key), end);
            stopped = self.visit_one(&key, None, visit).is_break();
        }
        Ok(())
    }

    /// Drops the open epoch's writes.
    pub(crate) fn clear_overlay(&mut self) {
        self.overlay = Delta::new();
    }

    /// Puts the overlay below the writes that come next, which can be dropped without it.
    pub(crate) fn keep_overlay(&mut self) {
        self.kept.absorb(std::mem::take(&mut self.overlay));
    }

    /// Takes away what was kept, or puts it back.
    pub(crate) fn swap_kept(&mut self, kept: Delta) -> Delta {
        std::mem::replace(&mut self.kept, kept)
    }

    /// Drops everything that is not committed: the open epoch's writes, and those of an epoch whose commit failed.
    pub(crate) fn abandon(&mut self) {
        self.overlay = Delta::new();
        self.kept = Delta::new();
        self.frozen = None;
    }

    /// Ends the open epoch: its writes, which stay readable through [`Layers::set_frozen`].
    pub(crate) fn freeze(&mut self) -> Delta {
        renewed(&mut self.overlay)
    }

    /// Reads go through this epoch's delta until it is settled.
    pub(crate) fn set_frozen(&mut self, epoch: Arc<FrozenEpoch>) {
        self.frozen = Some(epoch);
    }

    /// The frozen epoch is committed: its delta joins the dirty map.
    pub(crate) fn settle(&mut self, log_end: Bytes) {
        let Some(frozen) = self.frozen.take() else { return };
        let marker = Marker { epoch: frozen.progress.epoch, log_end };
        // The committer has let go of it, so this is a move and not a copy.
        let delta = Arc::try_unwrap(frozen).map_or_else(|shared| shared.delta.clone(), |owned| owned.delta);
        self.absorb(delta, marker);
    }

    /// Adds a committed delta, newer than all before.
    pub(crate) fn absorb(&mut self, delta: Delta, marker: Marker) {
        self.dirty.absorb(delta);
        self.dirty_marker = marker;
    }

    fn deltas(&self) -> impl Iterator<Item = &Delta> {
        [
            Some(&self.overlay),
            (!self.kept.is_empty()).then_some(&self.kept),
            self.frozen.as_ref().map(|frozen| &frozen.delta),
            Some(&self.dirty),
            self.applying.as_ref().map(|applying| &applying.delta),
        ]
        .into_iter()
        .flatten()
    }

    fn upper(&self, key: HashedKey<'_>) -> Upper {
        let mut suffixes = Vec::new();
        for delta in self.deltas() {
            match delta.lookup(key) {
                Lookup::Below => {}
                Lookup::Append(operand) => suffixes.push(operand),
                Lookup::Value(value) => return Upper::Decided(append_all(Some(value), &suffixes)),
                Lookup::Absent => return Upper::Decided(append_all(None, &suffixes)),
            }
        }
        Upper::Store(suffixes)
    }

    /// The first key after `from` that any layer has an entry for.
    fn next_upper(&self, from: Bound<&[u8]>, end: Option<&[u8]>) -> Option<Bytes> {
        self.deltas().filter_map(|delta| delta.next_key(from, end)).min()
    }

    /// Shows one key to a visitor, unless it is absent.
    fn visit_one(&self, key: &[u8], stored: Option<&[u8]>, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let value = match self.upper(HashedKey::new(key)) {
            Upper::Decided(value) => value,
            Upper::Store(suffixes) if suffixes.is_empty() => {
                return stored.map_or(ControlFlow::Continue(()), |stored| visit(key, stored));
            }
            Upper::Store(suffixes) => append_all(stored.map(Bytes::copy_from_slice), &suffixes),
        };
        value.map_or(ControlFlow::Continue(()), |value| visit(key, &value))
    }

    fn stored(&self, key: HashedKey<'_>) -> Result<Option<Bytes>> {
        if let Some(cached) = self.cache.get(self.scope, key) {
            return Ok(cached);
        }
        let value = self.base.store.get(key.bytes())?;
        // Absence is not worth an entry: the key is mostly written next, and the store's filters know what it lacks.
        if value.is_some() {
            self.cache.insert(self.scope, key.hash(), Bytes::copy_from_slice(key.bytes()), value.clone());
        }
        Ok(value)
    }
}

/// About how much memory a delta takes, and its keys.
fn size_of(delta: &Delta) -> (usize, usize) {
    (delta.bytes() + delta.len() * KEY_OVERHEAD, delta.len() + delta.ranges().len() * RANGE_KEYS)
}

/// Takes a delta and leaves an empty one that is as large as this one was: the next one mostly becomes so too, and growing
/// it step by step costs about as much as filling it.
fn renewed(delta: &mut Delta) -> Delta {
    let empty = Delta::with_capacity(delta.len());
    std::mem::replace(delta, empty)
}

/// A value with the operands of merges appended, the newest of which comes first.
fn append_all(value: Option<Bytes>, suffixes: &[Bytes]) -> Option<Bytes> {
    suffixes.iter().rev().fold(value, |value, operand| Some(appended(&value.unwrap_or_default(), operand)))
}
