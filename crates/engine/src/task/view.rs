// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a task shows of itself, kept beside it so that a look never waits for user code.

use std::sync::Arc;

use fnstream_core::Error;
use fnstream_core::broker::Assignment;
use fnstream_core::epoch::{Progress, TaskId};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::runtime::CallFailure;

use crate::coming_up::{ComingUp, OneComingUp};
use crate::status::{PartitionStatus, TaskError, TaskState, TaskStatus};

/// The last known state of a task.
pub(crate) struct View {
    task: TaskId,
    pub(crate) state: TaskState,
    pub(crate) progress: Progress,
    inputs: Vec<TopicPartition>,
    /// Those that are known.
    pub(crate) ends: Positions,
    pub(crate) restarts: u64,
    pub(crate) memory_bytes: usize,
    pub(crate) watermark: Option<u64>,
    pub(crate) last_error: Option<TaskError>,
    /// Why the epoch in flight was refused when it was last handed in.
    pub(crate) refused: Option<Error>,
    /// Why the task waits for what is outside it, as its source, its opening or its instance says.
    pub(crate) trouble: Option<Error>,
    /// Timers set each other without end.
    pub(crate) circling: Option<Error>,
    /// Until it is known how the task fares.
    coming_up: Option<OneComingUp>,
    /// Who is told when that changes.
    all: Arc<ComingUp>,
    /// An instance has started since the task was assigned.
    started: bool,
    /// Deltas that were replayed since the task is being taken over.
    restored: u64,
}

impl View {
    pub(crate) fn new(assignment: &Assignment, all: &Arc<ComingUp>) -> Self {
        View {
            task: assignment.task,
            state: TaskState::Opening,
            progress: Progress::default(),
            inputs: assignment.inputs.iter().map(|input| input.partition.clone()).collect(),
            ends: Positions::new(),
            restarts: 0,
            memory_bytes: 0,
            watermark: None,
            last_error: None,
            refused: None,
            trouble: None,
            circling: None,
            coming_up: Some(all.one()),
            all: all.clone(),
            started: false,
            restored: 0,
        }
    }

    /// The task enters a state.
    pub(crate) fn enter(&mut self, state: TaskState) {
        self.state = state;
        self.restored = 0;
        self.circling = None;
        if state != TaskState::Opening {
            self.coming_up = None;
        }
        if state != TaskState::Running {
            // It has no instance then.
            self.memory_bytes = 0;
        }
        let comes_up = state == TaskState::Running && !self.started;
        if state == TaskState::Running {
            self.trouble = None;
            self.started = true;
        }
        if comes_up || matches!(state, TaskState::BackingOff | TaskState::Failed | TaskState::Ended) {
            self.all.news();
        }
    }

    /// Something failed, at that time; `waits` when the task waits for what is outside it.
    pub(crate) fn failed(&mut self, failure: &CallFailure, waits: bool, at_ms: i64) {
        self.restarts += 1;
        self.trouble = waits.then(|| failure.error.clone());
        self.failed_in_place(failure, at_ms);
    }

    /// A record failed, and the task goes on with the next one.
    pub(crate) fn failed_in_place(&mut self, failure: &CallFailure, at_ms: i64) {
        let CallFailure { error, backtrace, .. } = failure;
        let (code, message, backtrace) = (error.code, error.message.clone(), backtrace.clone());
        self.last_error = Some(TaskError { code, message, backtrace, at_ms });
    }

    /// One more delta was replayed.
    pub(crate) fn restored_one(&mut self) {
        self.state = TaskState::Restoring;
        self.coming_up = None;
        self.restored += 1;
    }

    pub(crate) fn status(&self) -> TaskStatus {
        let partition = |partition: &TopicPartition| {
            let position = self.progress.positions.get(partition).copied().unwrap_or(Position::START);
            let end = self.ends.get(partition).map(|end| (*end).max(position));
            PartitionStatus { partition: partition.clone(), position, end }
        };
        let partitions = self.inputs.iter().map(partition).collect();
        TaskStatus {
            index: self.task.index,
            state: self.state,
            started: self.started,
            epoch: self.progress.epoch,
            partitions,
            records_in: self.progress.records_in,
            records_out: self.progress.records_out,
            restarts: self.restarts,
            memory_bytes: self.memory_bytes,
            watermark: self.watermark,
            last_error: self.last_error.clone(),
            refused: self.refused.clone(),
            trouble: self.trouble.clone(),
            circling: self.circling.clone(),
            restored: (self.state == TaskState::Restoring).then_some(self.restored),
        }
    }
}
