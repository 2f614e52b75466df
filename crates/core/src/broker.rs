// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to the place where topics live.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::Batch;
use crate::epoch::{FunctionId, TaskId};
use crate::error::{Error, Result};
use crate::record::{Position, Positions, TopicPartition};
use crate::spec::{FunctionSpec, InputSelector};
use crate::topic::{Topic, TopicRef};
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
    pub groups: Vec<Vec<TopicRef>>,
    /// Its outputs, for what their options say.
    pub outputs: Vec<TopicRef>,
    /// Whether the groups have tasks of their own; which group is read next is the engine's affair.
    pub selector: InputSelector,
    /// The numbers of partitions of those topics that another broker serves, as they were when the function was started.
    pub elsewhere: BTreeMap<Topic, u32>,
}

impl Subscription {
    /// What a function of that id and description reads.
    pub fn new(function: FunctionId, spec: &FunctionSpec) -> Self {
        Subscription {
            function,
            name: spec.name.clone(),
            groups: spec.inputs.clone(),
            outputs: spec.outputs.clone(),
            selector: spec.selector,
            elsewhere: BTreeMap::new(),
        }
    }

    /// What each of the function's tasks reads, by the task's index. `partitions` says how many a topic has that the broker
    /// serves itself.
    pub fn tasks(&self, mut partitions: impl FnMut(&Topic) -> Result<u32>) -> Result<BTreeMap<u32, Vec<TaskInput>>> {
        let mut tasks: BTreeMap<u32, Vec<TaskInput>> = BTreeMap::new();
        let groups = self.groups.len() as u32;
        for (group, topics) in (0u32..).zip(&self.groups) {
            for named in topics {
                let count =
                    self.elsewhere.get(&named.topic).map_or_else(|| partitions(&named.topic), |count| Ok(*count))?;
                for number in (0..count).filter(|number| named.covers(*number)) {
                    let index = self.selector.task_of(groups, group, number);
                    let partition = TopicPartition::new(named.topic.clone(), number);
                    tasks.entry(index).or_default().push(TaskInput { group, partition });
                }
            }
        }
        Ok(tasks)
    }
}

/// Hears which tasks this process runs. Calls come one after the other and must not block.
///
/// ```text
///              assigned                  revoked, then done
///   not ours ───────────► ours ────────────────────────────► not ours
///      ▲                   └───────────── lost ────────────────▲ │
///      └──────────── assigned anew, with a higher lease ─────────┘
/// ```
///
/// An owner that was fenced ([`crate::committer::CommitFailure::Fenced`], or [`crate::ErrorCode::Fenced`] from
/// [`crate::committer::Committer::acquire`]) does nothing more for the task and waits. The broker owes it the truth:
/// it calls `lost` for every assignment that ended without `revoked`, and `assigned`, with a higher lease, when the task
/// falls to this process again. A broker that fences an owner and keeps the assignment with this process (a group's
/// generation that moved on, a producer that was replaced by its own successor) therefore calls both.
pub trait AssignmentListener: Send + Sync {
    /// From now on this process runs the task.
    fn assigned(&self, assignment: Assignment);

    /// The task is to be given up: its open epoch is finished or aborted, then `done` is called, and nothing of the task
    /// is committed afterwards. Until then nobody else is given it, unless the broker loses patience.
    fn revoked(&self, task: TaskId, done: RevokeDone);

    /// The assignment is over already, perhaps somebody else's: abort at once, commit nothing.
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
    /// No record lies between the partition's position and `to`: reading goes on at `to`. Moves the position like a batch.
    Skipped {
        /// The partition.
        partition: TopicPartition,
        /// The partition's new position, higher than the one before.
        to: Position,
    },
    /// Nothing is here now; the waker is called when there is something. This does not mean that the partitions are read to
    /// their ends: the next records may be on their way. Whoever needs to know compares its position with an end.
    Pending,
}

/// The records of one task's input partitions.
///
/// A source may fetch ahead of what is polled. Its position in a partition is where the next batch begins:
///
/// ```text
/// positions   10  11  12  13  14  15  16          r = record, t = a transaction's marker: no record
///              r   r   t   t   r   r   t
///              ▲       ▲       ▲       ▲   ▲
///              │       │       │       │   └ end: the position that the next record will get
///  open or seek┘       │       │       └ Batch{14, 15} leaves the position here, Skipped{to: 17} moves it to the end
///       Batch{10, 11} leaves it here, and the next answer is Batch{14, 15}, or Skipped{to: 14} and then the batch
/// ```
///
/// Contract:
/// - **Order** per partition: each batch begins at or after the partition's position and moves it behind its last record;
///   positions ascend, with or without gaps. A batch has records of one partition only; its channel is the partition's
///   input group.
/// - **Gaps**: what a batch jumps over holds no record. Before a partition has nothing more to give, a
///   [`Polled::Skipped`] leads over the gap before its end, so that a reader that took everything stands at the end.
/// - **Groups**: a poll of one group gives records, gaps and watermarks of that group only.
/// - **Fairness** within what is polled: a partition that always has records does not keep another from being polled.
/// - **Reopening** at a position, which need not be a record's, yields exactly the records at and after it; so does
///   **seeking** there.
/// - **Wake-ups**: after `Pending` the waker is called at least once when a poll would give something, and when the end of
///   a partition becomes known that was not; it may be called without cause.
/// - **Watermarks** that functions have emitted to a partition ([`crate::epoch::OutboxWatermark`]) come in their order among
///   its records, or later, and ascend; a source that is opened or sought at a position gives the one that holds there
///   again. They are never records.
/// - **Abandoning** a source at any time loses nothing: what was polled but not committed is read again after reopening.
pub trait Source: Send {
    /// The next records of an input group, or of any. Does not block.
    ///
    /// Errors: [`crate::ErrorCode::PositionDropped`] when records that come next were dropped by retention,
    /// [`crate::ErrorCode::PositionUnknown`] when the position lies past the end. A broker that is away is no error here:
    /// the source says `Pending` and goes on by itself; see [`Source::trouble`].
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled>;

    /// Moves the named partitions to these positions, forth or back. Does not block.
    ///
    /// Everything that was fetched of these partitions and not polled yet is dropped, and the watermark that holds at the
    /// new place is given again. Partitions that are not named stay where they are; positions of partitions that this
    /// source does not read are passed over. A position whose next records were dropped by retention is
    /// [`crate::ErrorCode::PositionDropped`], here or from the next poll, as after opening. After an error a partition may
    /// stand at either place; seeking again is allowed.
    fn seek(&mut self, to: &Positions) -> Result<()>;

    /// The end of each input partition that is known: the position that its next record will get. A partition whose end is
    /// not known (yet) is left out; an end is never guessed.
    fn ends(&self) -> Positions;

    /// Why nothing comes at present although there may be records, such as a broker that cannot be reached; `None` when
    /// all is well. The source goes on by itself when it can: this is shown to people and changes nothing. The waker is called
    /// when trouble begins and when it ends.
    fn trouble(&self) -> Option<Error>;
}

/// A place where topics live: the embedded log, Kafka, Pulsar. It serves the topics of one cluster, or of several.
///
/// **Unavailable until sure**: "there is no such topic, partition or position" comes only when the broker knows it. As long
/// as its view may be stale or incomplete (metadata still on its way, a topic that was just created, a leader that is being
/// elected) the answer is [`crate::ErrorCode::Unavailable`], which the engine waits out, whereas the others stop a task
/// until a human acts.
pub trait Broker: Send + Sync {
    /// Joins the group of a function. The listener hears of the tasks that fall to this process, of some perhaps before
    /// this returns.
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>>;

    /// Opens the inputs of a task. A partition that has no position in `from` begins at its earliest record; positions of
    /// partitions that are not inputs are passed over.
    ///
    /// A position below records that retention has dropped is an error ([`crate::ErrorCode::PositionDropped`]), here or
    /// from the first poll, never a silent jump. A position in a gap is none, also where retention has dropped the gap, as
    /// long as all records after it are still there:
    ///
    /// ```text
    /// positions   7   8   9  10  11        r = record, t = a transaction's marker, x = dropped
    ///             x   x   t   r   r        8, the dropped record's:  PositionDropped
    ///                 ▲   ▲                9, though dropped itself: reads on at 10
    /// ```
    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>>;

    /// The number of partitions of a topic; at least 1. A topic of a cluster that the broker does not serve is an error
    /// ([`crate::ErrorCode::ClusterUnknown`]).
    fn partitions(&self, topic: &Topic) -> Result<u32>;

    /// The most bytes that a record of the topic may have, packed in a frame ([`fnstream_frame::RecordRef::packed_len`]), if
    /// the broker says so. A function that emits a larger one fails at that record; without it the commit is rejected.
    fn max_record_bytes(&self, _topic: &Topic) -> Option<usize> {
        None
    }

    /// The oldest record's position; the end when there is none.
    fn earliest(&self, partition: &TopicPartition) -> Result<Position>;

    /// The position that the next record will get.
    fn latest(&self, partition: &TopicPartition) -> Result<Position>;

    /// Where inputs of a task begin that are not in its committed progress `known`, and where those go on that somebody has moved
    /// since, with the tools of the broker. The answer is committed before anything is read from there.
    fn begin(&self, assignment: &Assignment, known: &Positions) -> Result<Positions> {
        let unknown = assignment.inputs.iter().map(|input| &input.partition).filter(|at| !known.contains_key(at));
        unknown.map(|at| Ok((at.clone(), self.earliest(at)?))).collect()
    }
}
