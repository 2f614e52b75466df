// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to what tasks have committed, for those who do not run them.

mod peek;

use std::collections::BTreeMap;

use crate::epoch::{FunctionId, Progress, TaskId};
use crate::error::Result;
use crate::state::Visit;

pub use peek::{Deltas, peek};

/// Where the tasks of a function stand, by their index.
pub type Standing = BTreeMap<u32, Progress>;

/// The committed past of tasks, whether or not they run and wherever that is.
///
/// Contract:
/// - **Fencing**: after `fence` answered, no epoch is committed that was handed in before, those under way included, unless it
///   counts in the answer. A task that runs finds itself fenced at its next commit; whoever is assigned it may take it over
///   again, from the standing that was answered.
/// - **Progress** is that of one moment and counts whole epochs only.
/// - **Peek** shows a task's state of one moment, in the order of the keys, from `start` inclusive on: applied or not, never
///   anything of an epoch that is not committed. A function or task that is not known has no state.
///
/// All methods may block.
pub trait Tasks: Send + Sync {
    /// Fences all tasks of a function and answers where they stand.
    fn fence(&self, function: FunctionId) -> Result<Standing>;

    /// Where the tasks of a function or of a fork stand; those that never committed or took over anything are missing.
    fn progress(&self, function: FunctionId) -> Result<Standing>;

    /// Visits what a task has committed, until the visitor breaks off.
    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()>;
}
