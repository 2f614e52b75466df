// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to committed keyed state.

mod resolved;

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::delta::Delta;
use crate::epoch::{Epoch, TaskId};
use crate::error::Result;

pub use resolved::{Keyed, resolved};

/// How far a store has got: the deltas up to `epoch` are in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marker {
    /// The last epoch whose delta was applied.
    pub epoch: Epoch,
    /// Where the delta log goes on after that epoch, in the broker's own terms; empty when the epoch says enough. With epoch 0
    /// it may be a place within a restore that was cut off: the store has a part of the state, and the committer knows which.
    pub log_end: Bytes,
}

/// An apply that was cut between two of its parts: by a crash, or by a write that failed.
///
/// ```text
/// keys in order   ─────────────┤through├────────────────────────►
///                 as `marker` says     as the store's own marker says,
///                                      but the ranges of the delta are deleted already
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// The marker that the apply was to reach.
    pub marker: Marker,
    /// The last key of the part that was written last.
    pub through: Bytes,
}

/// What a visitor of [`StateStore::scan`] is given for each pair; `Break` ends the scan.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// The committed state of one task: an ordered map from bytes to bytes, without the deltas that are not applied yet.
///
/// ```text
/// commit n, n+1, n+2 …   ->  delta log (the committer's)        durable at once
///                            └─ applied later, in bulk  ->  StateStore {keys, marker}   keys and marker change together
/// ```
///
/// Contract:
/// - **Absent is not empty**: a key with an empty value is there.
/// - **Order**: scans go in ascending byte order, from `start` inclusive to `end` exclusive, and see one moment of the
///   store: an `apply` during a scan does not show in it.
/// - **Isolation**: a store never shows the keys of another task.
/// - **Atomicity**: after a crash either all of an [`StateStore::apply`] is there, with its marker, or nothing of it, or a
///   first part that [`StateStore::unfinished`] describes, under the marker from before. A store may write in parts so that
///   no commit waits behind a large delta.
/// - **Rolling forward**: an unfinished apply goes on when a delta is applied to the same marker: what it says of keys up to
///   `through`, and its ranges, is not done again. So merges are applied once, and whoever takes a task over applies what
///   the delta log has up to that marker before anything else. Any other marker is refused, unless the delta deletes
///   everything: that begins anew.
/// - **Durability** is not asked for: a store may forget its newest applies, or parts of one, marker included, as long as the
///   delta log still has them (see [`crate::committer::Committer::trim`]).
pub trait StateStore: Send + Sync {
    /// How far the store has got; `None` when nothing was ever applied.
    fn marker(&self) -> Result<Option<Marker>>;

    /// The apply that was begun after the marker and did not end.
    fn unfinished(&self) -> Result<Option<Unfinished>>;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Calls `visit` with the pairs of a range in order.
    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()>;

    /// Applies a delta and moves the marker: first its ranges are deleted, then its entries written, in the order of their
    /// keys. A merge appends to the stored value.
    fn apply(&self, delta: &Delta, marker: &Marker) -> Result<()>;
}

/// Opens the stores of tasks.
pub trait StateStores: Send + Sync {
    /// The store of a task; an empty one when the task never had state here.
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>>;
}
