// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a task shows of itself, kept beside it so that a look never waits for user code.

use fnstream_core::Error;
use fnstream_core::broker::Assignment;
use fnstream_core::epoch::{Progress, TaskId};
use fnstream_core::record::{Position, Positions};

use crate::status::{PartitionStatus, TaskError, TaskState, TaskStatus};

/// The last known state of a task.
pub(crate) struct View {
    task: TaskId,
    pub(crate) state: TaskState,
    pub(crate) progress: Progress,
    pub(crate) ends: Positions,
    pub(crate) restarts: u64,
    pub(crate) memory_bytes: usize,
    pub(crate) watermark: Option<u64>,
    pub(crate) last_error: Option<TaskError>,
    /// Why the epoch in flight was refused when it was last handed in.
    pub(crate) refused: Option<Error>,
}

impl View {
    pub(crate) fn new(assignment: &Assignment) -> Self {
        View {
            task: assignment.task,
            state: TaskState::Opening,
            progress: Progress::default(),
            ends: assignment.inputs.iter().map(|input| (input.partition.clone(), Position::START)).collect(),
            restarts: 0,
            memory_bytes: 0,
            watermark: None,
            last_error: None,
            refused: None,
        }
    }

    pub(crate) fn status(&self) -> TaskStatus {
        let partitions = self
            .ends
            .iter()
            .map(|(partition, end)| {
                let position = self.progress.positions.get(partition).copied().unwrap_or(Position::START);
                PartitionStatus { partition: partition.clone(), position, end: (*end).max(position) }
            })
            .collect();
        TaskStatus {
            index: self.task.index,
            state: self.state,
            epoch: self.progress.epoch,
            partitions,
            records_in: self.progress.records_in,
            records_out: self.progress.records_out,
            restarts: self.restarts,
            memory_bytes: self.memory_bytes,
            watermark: self.watermark,
            last_error: self.last_error.clone(),
            refused: self.refused.clone(),
        }
    }
}
