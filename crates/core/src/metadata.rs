// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to the register of functions.

mod registered;
mod revision;

use crate::epoch::FunctionId;
use crate::error::Result;
use crate::spec::{DesiredState, FunctionEntry, FunctionSpec};
use crate::waker::Waker;

pub use registered::Registered;
pub use revision::{MAX_REVISIONS, Revision, succeed};

/// The register of functions: what the user wants, durable before a call returns.
///
/// ```text
///  id 3   ──rev 1──►──rev 2 (stop)──►──rev 3──►──rev 4──►─┐ switched to id 9
///  history:  1 {spec, state 7}        3 {…, 8}   4 {…, 3} │       a fork of 7, which is the state that 1 ended with
///  id 9                                                   └──rev 5──►
/// ```
///
/// Contract:
/// - **Compare and set**: a change names the revision that it is based on and fails with
///   [`crate::ErrorCode::FunctionChanged`] when that is not the latest; of two changes of one revision one wins.
/// - **Ids** ascend: those of removed functions are not given again, also after a restart. A fork of a function's state
///   has an id of its own, which belongs to nobody until a change names it.
/// - **History**: each revision at which the description changed is kept with its description, the newest
///   [`MAX_REVISIONS`] of them; what changes only the desired state is not one of them. A revision that is replaced keeps
///   the state that it ended with, where the change names it. It is part of the change: there is never the one without
///   the other.
/// - **Watch never misses the latest**: after any change every watcher is woken at least once; several changes may share
///   a wake-up; the watcher then lists.
/// - **Atomicity**: after a crash a change is done or not done.
pub trait Metadata: Send + Sync {
    /// All functions in the order of their names.
    fn list(&self) -> Result<Vec<FunctionEntry>>;

    /// At most `limit` functions in the order of their names: the first that come after the name `after`, which need not be
    /// one that is there. Costs what it answers, wherever in the register that is.
    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<FunctionEntry>>;

    /// The function of a name.
    fn get(&self, name: &str) -> Result<Option<FunctionEntry>>;

    /// The kept revisions of a function, the oldest first; the last has the present description. None when there is no
    /// function of that name.
    fn revisions(&self, name: &str) -> Result<Vec<Revision>>;

    /// Registers a new function; `Err` when the name is taken.
    fn create(&self, spec: FunctionSpec, desired: DesiredState) -> Result<FunctionEntry> {
        self.create_from(spec, desired, None)
    }

    /// The same. With `fork` the function has the id of that fork and goes on from what it has; the fork is claimed in the same write.
    fn create_from(&self, spec: FunctionSpec, desired: DesiredState, fork: Option<FunctionId>)
    -> Result<FunctionEntry>;

    /// Replaces description and desired state of the function of that name and revision; answers the new entry.
    ///
    /// With another description, `snapshot` is the fork of the function's state that the replaced revision keeps; with the
    /// same one there is nothing to keep it for, and it must be `None`. What belongs to revisions that are not kept any more
    /// is removed.
    fn update(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        based_on: u64,
        snapshot: Option<FunctionId>,
    ) -> Result<FunctionEntry>;

    /// Gives the function of that name and revision another description, which may be the same, and another id: `to`, a
    /// fork, from whose state it goes on. Always a new revision of the history.
    ///
    /// The replaced revision keeps the id that the function had, with all that belongs to it: whoever still runs a task of
    /// it is fenced, as at a removal.
    fn switch(&self, spec: FunctionSpec, based_on: u64, to: FunctionId) -> Result<FunctionEntry>;

    /// Removes a function of that name and revision, with everything that belongs to its tasks and to its revisions.
    fn remove(&self, name: &str, based_on: u64) -> Result<()>;

    /// Wakes the waker after each change from now on.
    fn watch(&self, waker: Waker);
}
