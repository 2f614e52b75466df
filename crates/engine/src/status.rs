// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What can be seen of a function from outside.

use std::fmt;

use fnstream_core::epoch::Epoch;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::{Error, ErrorCode};

/// A function as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FunctionState {
    /// Its tasks are coming up, or it has none here yet.
    Starting,
    /// At least one task runs and none fails; or there is nothing to read at present, so that it has no tasks.
    Running,
    /// At least one task waits before it tries again.
    BackingOff,
    /// It finishes its open epochs.
    Stopping,
    /// At least one task failed in a way that a repetition would not mend.
    Failed,
}

impl fmt::Display for FunctionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FunctionState::Starting => "starting",
            FunctionState::Running => "running",
            FunctionState::BackingOff => "backing off",
            FunctionState::Stopping => "stopping",
            FunctionState::Failed => "failed",
        })
    }
}

/// A task.
///
/// ```text
///  ──► Opening, Restoring ──► Running ──► Draining ──► Ended
///        │ ▲ ▲                │ │
///        │ │ └─ a culprit is looked for: at once
///        │ └── BackingOff ◄── a retry of a record; a fault of the host; a function that does not start in time
///        └───► Failed ◄────── init refused; policy `stop` at a record: waits for a human
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// It is taken over, or starts an instance.
    Opening,
    /// It rebuilds its state from the delta log.
    Restoring,
    /// It processes.
    Running,
    /// It waits before it tries again.
    BackingOff,
    /// It commits what it has and ends.
    Draining,
    /// It failed in a way that a repetition would not mend.
    Failed,
    /// It is not run here any more.
    Ended,
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskState::Opening => "opening",
            TaskState::Restoring => "restoring",
            TaskState::Running => "running",
            TaskState::BackingOff => "backing off",
            TaskState::Draining => "draining",
            TaskState::Failed => "failed",
            TaskState::Ended => "ended",
        })
    }
}

/// The way in which a function has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stopped {
    /// Tasks whose last epoch was handed in and is not answered yet: it may still be committed, now or later, unless the tasks
    /// are fenced. Until then their progress must not be read as final. Always 0 after a drain that was not cut short.
    pub unanswered: u32,
}

/// A function's state with its tasks.
#[derive(Debug, Clone)]
pub struct FunctionStatus {
    /// The whole.
    pub state: FunctionState,
    /// The kind of its artifact.
    pub kind: &'static str,
    /// The tasks that run here, by index.
    pub tasks: Vec<TaskStatus>,
}

/// A task's state.
#[derive(Debug, Clone)]
pub struct TaskStatus {
    /// Its index.
    pub index: u32,
    /// Its state.
    pub state: TaskState,
    /// An instance has started since the task runs here, whatever has become of it.
    pub started: bool,
    /// Its last commit.
    pub epoch: Epoch,
    /// Its inputs.
    pub partitions: Vec<PartitionStatus>,
    /// Records consumed and committed since the task exists.
    pub records_in: u64,
    /// Records written and committed since the task exists, dead letters included. One that fails again in a replay is written once
    /// more.
    pub records_out: u64,
    /// Failures after which it started again, since the function was started.
    pub restarts: u64,
    /// Bytes of linear memory of its instance.
    pub memory_bytes: usize,
    /// The watermark that its function was told last, in milliseconds since the Unix epoch.
    pub watermark: Option<u64>,
    /// The last failure, until the function is started anew.
    pub last_error: Option<TaskError>,
    /// Why what it has done cannot be committed now; it is handed in again until it can.
    pub refused: Option<Error>,
    /// Why it waits now: inputs or topics cannot be reached, nothing can be committed, or there is no memory for its instance. It goes
    /// on by itself.
    pub trouble: Option<Error>,
    /// What is the matter when its timers set each other without end, while it goes on running.
    pub circling: Option<Error>,
    /// While it rebuilds its state: how many deltas it has replayed.
    pub restored: Option<u64>,
}

/// An input partition of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Which.
    pub partition: TopicPartition,
    /// The next record to be consumed, as committed.
    pub position: Position,
    /// The position that the partition's next record will get, as last seen; `None` while it is not known.
    pub end: Option<Position>,
}

/// A failure of a task.
#[derive(Debug, Clone)]
pub struct TaskError {
    /// Its code.
    pub code: ErrorCode,
    /// The description of the failure.
    pub message: String,
    /// The wasm backtrace, where there is one.
    pub backtrace: Option<String>,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}
