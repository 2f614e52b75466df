// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Applying what is committed to the store, and finishing what an earlier owner began to apply.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::delta::{Delta, HashedKey, Lookup, Write, appended};
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::state::Marker;

use super::{Layers, renewed};
use crate::state::apply::Applying;

impl Layers {
    /// Finishes an unfinished apply with what the log has of it. Merges among that meet the values from before the apply.
    pub(super) fn roll_forward(&mut self) -> Result<()> {
        let Some(begun) = self.unfinished.take() else { return Ok(()) };
        if !self.base.begin_apply(self.claim) {
            return Err(Error::new(ErrorCode::Fenced, format!("task {} was taken over", self.task)));
        }
        let mut rest = std::mem::take(&mut self.dirty);
        rest.drop_through(&begun.through);
        let _applying = self.base.ends_apply();
        self.base.store.apply(&rest, &begun.marker)
    }

    /// Starts to apply the dirty map, or what failed before; `None` when there is nothing to apply or an apply runs already.
    ///
    /// Merges become plain values here: while the apply runs the store may or may not have them, and only a plain value
    /// reads the same either way.
    pub(crate) fn start_apply(&mut self) -> Result<Option<Arc<Applying>>> {
        if self.runs || self.unfinished.is_some() {
            return Ok(None);
        }
        if let Some(failed) = &self.applying {
            self.runs = self.base.begin_apply(self.claim);
            return Ok(self.runs.then(|| failed.clone()));
        }
        if self.dirty.is_empty() {
            return Ok(None);
        }
        for key in merges(&self.dirty) {
            if let Lookup::Append(operand) = self.dirty.lookup(&key) {
                let below = self.stored(HashedKey::new(&key))?.unwrap_or_default();
                self.dirty.write(&key, Write::Put(appended(&below, &operand)));
            }
        }
        if !self.base.begin_apply(self.claim) {
            return Ok(None);
        }
        let applying = Applying::new(renewed(&mut self.dirty), self.dirty_marker.clone());
        self.applying = Some(applying.clone());
        self.runs = true;
        Ok(Some(applying))
    }

    pub(crate) fn is_applying(&self) -> bool {
        self.runs
    }

    /// Settles an apply that has ended: the marker that the store has reached. One that failed may have written some of its
    /// parts, so the same one is tried again, and newer deltas wait for it.
    pub(crate) fn settle_apply(&mut self) -> Option<Result<Marker>> {
        let outcome = self.applying.as_ref()?.take_outcome()?;
        self.runs = false;
        if let Err(error) = outcome {
            return Some(Err(error));
        }
        let applying = self.applying.take()?;
        let marker = applying.marker.clone();
        let delta = Arc::try_unwrap(applying).map_or_else(|shared| shared.delta.clone(), |owned| owned.delta);
        self.remember(delta);
        Some(Ok(marker))
    }

    /// Puts what the store now has into the cache.
    fn remember(&mut self, delta: Delta) {
        if !delta.ranges().is_empty() {
            self.scope = self.cache.scope(self.task);
        }
        for (hash, key, write) in delta.into_entries() {
            match write {
                Write::Put(value) => self.cache.insert(self.scope, hash, key, Some(value)),
                Write::Delete => self.cache.insert(self.scope, hash, key, None),
                Write::Merge(_) => debug_assert!(false, "merges are resolved before a delta is written"),
            }
        }
    }
}

fn merges(delta: &Delta) -> Vec<Bytes> {
    delta.entries().filter(|(_, write)| matches!(write, Write::Merge(_))).map(|(key, _)| key.clone()).collect()
}
