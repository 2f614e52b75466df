// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to copies of a function's state.

use crate::epoch::FunctionId;
use crate::error::Result;
use crate::tasks::Standing;

/// Copies what a function's tasks have committed, under ids of their own.
///
/// ```text
/// fence ──► copy ──► (place) ──► claimed by a change of the register: kept with a revision, or gone on from
///              └──── discarded, or a crash ────► nothing is left of it
/// ```
///
/// Contract:
/// - **Fences first**: `fork` fences the tasks as [`crate::tasks::Tasks::fence`] does and copies afterwards, so the copy is what
///   the tasks stand at until somebody takes them over: no epoch is committed between the two.
/// - **Whole or not at all**: a fork has state, timers, deltas and progress of one moment of each task. One that was not claimed
///   by [`crate::metadata::Metadata::update`], [`crate::metadata::Metadata::switch`] or
///   [`crate::metadata::Metadata::create_from`] is gone after a crash.
/// - **Apart**: what its function does later does not change a fork, nor the other way around.
/// - **Discarding** a fork that was claimed does nothing.
///
/// All methods may block. A cluster that cannot copy state has no implementation; its functions keep no state with their
/// revisions.
pub trait Forks: Send + Sync {
    /// Copies a function or a fork; answers the id of the copy, which was never given before. That of [`FunctionId::NONE`] has
    /// nothing: a function that is created from it begins where it is placed.
    fn fork(&self, from: FunctionId) -> Result<FunctionId>;

    /// Says where the tasks of a fork stand that nobody has claimed yet. A task's epoch belongs to its state and stays, or this
    /// fails; for one without any state it is 0.
    fn place(&self, fork: FunctionId, standing: &Standing) -> Result<()>;

    /// Removes a fork that nobody has claimed.
    fn discard(&self, fork: FunctionId) -> Result<()>;
}
