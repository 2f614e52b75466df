// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One commit's worth of work of one task, frozen.
//!
//! ```text
//!   committed                 frozen, in flight            open
//!  ───────────┤ epoch n ├────────┤ epoch n + 1 ├────────┤ epoch n + 2 …
//!             positions           positions, state delta, outbox, progress: durable and visible together, or not at all
//! ```

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::delta::Delta;
use crate::record::Positions;
use crate::topic::Topic;

/// A function, for ever: the id of a deleted function is not given to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct FunctionId(pub u32);

impl FunctionId {
    /// That of no function: ids are given from 1 on.
    pub const NONE: FunctionId = FunctionId(0);
}

/// A function x partition index: the unit of order, state and commit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// The function.
    pub function: FunctionId,
    /// The index of the partitions that the task reads.
    pub index: u32,
}

impl TaskId {
    /// The task of that index.
    pub fn new(function: FunctionId, index: u32) -> Self {
        TaskId { function, index }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.function.0, self.index)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number of a commit of one task: 0 = nothing committed yet, then 1, 2, 3 …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The next one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

/// The number of an ownership of a task: each take-over has a higher one, and commits of lower ones are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// What of a task is durable beside its state: where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The last commit.
    pub epoch: Epoch,
    /// The next records to read.
    pub positions: Positions,
    /// Records of the input consumed since the task exists; replays of their dead letters are not.
    pub records_in: u64,
    /// Records written since the task exists, dead letters included, however often each was written. Brokers that drop repeats by a sequence number count from here.
    pub records_out: u64,
    /// What is known of event time, in the engine's own encoding; empty when nothing is. Timers are in the state.
    pub time: Bytes,
}

/// An epoch that is handed to the committer. Nothing in it changes any more.
#[derive(Debug)]
pub struct FrozenEpoch {
    /// The task.
    pub task: TaskId,
    /// The ownership under which it was made.
    pub generation: Generation,
    /// Where the task stands after it; `progress.epoch` is the number of this commit.
    pub progress: Progress,
    /// The state writes.
    pub delta: Delta,
    /// The emitted records.
    pub outbox: Vec<OutboxBatch>,
    /// The emitted watermarks: they hold after all records of the outbox.
    pub watermarks: Vec<OutboxWatermark>,
}

/// What a task says of event time to an output: that it will write no older record to any partition of the topic, and whether
/// its own inputs are silent, so that nobody need wait for it.
///
/// The tasks of a function count for a topic from the first watermark on that any of them emits to it. The topic's is the least
/// of those of all tasks that count and are not idle, where one that has emitted none has 0; when all are idle, the greatest. It
/// never falls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxWatermark {
    /// The output topic.
    pub topic: Topic,
    /// Milliseconds since the Unix epoch; 0 when it emits none now. A lower one than before says nothing.
    pub watermark: u64,
    /// Whether the task's inputs are idle.
    pub idle: bool,
}

/// Emitted records for one partition of one output, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxBatch {
    /// The output topic.
    pub topic: Topic,
    /// The partition.
    pub partition: u32,
    /// The records in one frame, channel 0.
    pub frame: Bytes,
    /// Their number, at least one.
    pub records: u32,
}
