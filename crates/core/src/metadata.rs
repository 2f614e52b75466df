// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to the register of functions.

use crate::error::Result;
use crate::spec::{DesiredState, FunctionEntry, FunctionSpec};
use crate::waker::Waker;

/// The register of functions: what the user wants, durable before a call returns.
///
/// Contract:
/// - **Compare and set**: a change names the revision that it is based on and fails with
///   [`crate::ErrorCode::FunctionChanged`] when that is not the latest; of two changes of one revision one wins.
/// - **Ids** of removed functions are not given again, also after a restart.
/// - **Watch never misses the latest**: after any change every watcher is woken at least once; several changes may share
///   a wake-up; the watcher then lists.
/// - **Atomicity**: after a crash a change is done or not done.
pub trait Metadata: Send + Sync {
    /// All functions in the order of their names.
    fn list(&self) -> Result<Vec<FunctionEntry>>;

    /// The function of a name.
    fn get(&self, name: &str) -> Result<Option<FunctionEntry>>;

    /// Registers a new function; `Err` when the name is taken.
    fn create(&self, spec: FunctionSpec, desired: DesiredState) -> Result<FunctionEntry>;

    /// Replaces description and desired state of the function of that name and revision; answers the new entry.
    fn update(&self, spec: FunctionSpec, desired: DesiredState, based_on: u64) -> Result<FunctionEntry>;

    /// Removes a function of that name and revision, with everything that belongs to its tasks.
    fn remove(&self, name: &str, based_on: u64) -> Result<()>;

    /// Wakes the waker after each change from now on.
    fn watch(&self, waker: Waker);
}
