// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to the place where topics live.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::Batch;
use crate::epoch::{FunctionId, TaskId};
use crate::error::Result;
use crate::record::{Position, Positions, TopicPartition};
use crate::spec::InputSelector;
use crate::waker::Waker;

/// A task that this process is to run, with what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The task.
    pub task: TaskId,
    /// The broker's number of this assignment; a later one of the same task is higher. A process that slept through the
    /// loss of its assignment is told apart by it.
    pub lease: u64,
    /// Its input partitions with the input group of each.
    pub inputs: Vec<TaskInput>,
}

/// One input partition of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskInput {
    /// The index of the input group: the source id that the function sees.
    pub group: u32,
    /// What is read.
    pub partition: TopicPartition,
}

/// What a function reads, for joining its group of consumers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The function.
    pub function: FunctionId,
    /// Its name, which names the group.
    pub name: String,
    /// The topics of each input group.
    pub groups: Vec<Vec<Arc<str>>>,
    /// Whether the groups have tasks of their own; which group is read next is the engine's affair.
    pub selector: InputSelector,
}

impl Subscription {
    /// What each of the function's tasks reads, by the task's index. `partitions` tells how many a topic has.
    pub fn tasks(&self, mut partitions: impl FnMut(&str) -> Result<u32>) -> Result<BTreeMap<u32, Vec<TaskInput>>> {
        let mut tasks: BTreeMap<u32, Vec<TaskInput>> = BTreeMap::new();
        let groups = self.groups.len() as u32;
        for (group, topics) in (0u32..).zip(&self.groups) {
            for topic in topics {
                for number in 0..partitions(topic)? {
                    let index = self.selector.task_index(groups, group, number);
                    let partition = TopicPartition::new(topic.clone(), number);
                    tasks.entry(index).or_default().push(TaskInput { group, partition });
                }
            }
        }
        Ok(tasks)
    }
}

/// Is told which tasks this process runs. Calls come one after the other and must not block.
///
/// ```text
///              assigned                  revoked, then done
///   not ours ───────────► ours ────────────────────────────► not ours
///                          └───────────── lost ────────────────▲
/// ```
pub trait AssignmentListener: Send + Sync {
    /// From now on this process runs the task.
    fn assigned(&self, assignment: Assignment);

    /// The task is to be given up: its open epoch is finished or aborted, then `done` is called, and nothing of the task
    /// is committed afterwards. Until then nobody else is given it, unless the broker loses patience.
    fn revoked(&self, task: TaskId, done: RevokeDone);

    /// The task is somebody else's already: abort at once, commit nothing.
    fn lost(&self, task: TaskId);
}

/// Says that a revoked task was given up. Dropping it says the same, so that it cannot be forgotten.
pub struct RevokeDone(Option<Box<dyn FnOnce() + Send>>);

impl RevokeDone {
    /// Calls `done` when the task was given up.
    pub fn new(done: impl FnOnce() + Send + 'static) -> Self {
        RevokeDone(Some(Box::new(done)))
    }
}

impl Drop for RevokeDone {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done();
        }
    }
}

impl std::fmt::Debug for RevokeDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RevokeDone")
    }
}

/// Keeps this process in a function's group; dropping it leaves the group without waiting.
pub trait Membership: Send + Sync {}

/// How much a poll may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollLimit {
    /// At most so many records; at least 1.
    pub records: usize,
    /// About so many bytes; a single larger record is given all the same.
    pub bytes: usize,
}

/// The answer to a poll.
#[derive(Debug)]
pub enum Polled {
    /// At least one record of one partition.
    Batch(Batch),
    /// No function that emits watermarks to the partition expects to write a record older than `watermark` any more. It comes after all
    /// records that were written before that was said.
    Watermark {
        /// The partition.
        from: TopicPartition,
        /// Milliseconds since the Unix epoch.
        watermark: u64,
    },
    /// Nothing now; the waker is called when there is something.
    Pending,
}

/// The records of one task's input partitions.
///
/// Contract:
/// - **Order** per partition: each batch begins at the partition's position and moves it; positions ascend, with or
///   without gaps. A batch has records of one partition only; its channel is the partition's input group.
/// - **Groups**: a poll of one group gives records and watermarks of that group only.
/// - **Fairness** within what is polled: a partition that always has records does not keep another from being polled.
/// - **Reopening** at a position yields exactly the records at and after it.
/// - **Wake-ups**: after `Pending` the waker is called at least once when a record comes; it may be called without cause.
/// - **Watermarks** that functions have emitted to a partition ([`crate::epoch::OutboxWatermark`]) come in their order among
///   its records, or later, and ascend; a source that is opened at a position gives the one that holds there again. They are
///   never records.
/// - **Abandoning** a source at any time loses nothing: what was polled but not committed is read again after reopening.
pub trait Source: Send {
    /// The next records of an input group, or of any. Does not block.
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled>;

    /// The end of each input partition as far as it is known: the position that its next record will get.
    fn ends(&self) -> Positions;
}

/// A place where topics live: the embedded log, Kafka, Pulsar.
pub trait Broker: Send + Sync {
    /// Joins the group of a function. The tasks that fall to this process are told to the listener, some perhaps before
    /// this returns.
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>>;

    /// Opens the inputs of a task. A partition that has no position in `from` begins at its earliest record.
    ///
    /// A position that retention has dropped meanwhile is an error ([`crate::ErrorCode::PositionDropped`]), never a
    /// silent jump.
    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>>;

    /// The number of partitions of a topic; at least 1.
    fn partitions(&self, topic: &str) -> Result<u32>;

    /// The position before the oldest record that is still there.
    fn earliest(&self, partition: &TopicPartition) -> Result<Position>;
}
