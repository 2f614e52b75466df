// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One event through a function, aside: what it would do with it, with nothing kept.
//!
//! An instance of its own is called on a copy of what the task has committed, of one moment. So it does not matter whether the function
//! runs, is stopped or stuck, and the function notices nothing. A copy has a bounded size, and a call a bounded time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::budget::{Held, Part};
use fnstream_core::clock::Clock;
use fnstream_core::epoch::TaskId;
use fnstream_core::interrupt::Interrupt;
use fnstream_core::metadata::Metadata;
use fnstream_core::record::{TopicPartition, partition_for_key};
use fnstream_core::spec::{FunctionEntry, FunctionSpec, check_name};
use fnstream_core::tasks::Tasks;
use fnstream_core::topics::Topics;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{Engine, StateCopy, Trigger, Triggered};
use fnstream_frame::{FrameBuilder, RecordRef};
use tokio::sync::Semaphore;

use super::ops::{Ops, blocking};
use super::programs::Programs;
use super::{entry, grants};
use crate::clusters::Clusters;
use crate::logs::aside::{Aside, Said};

/// The largest state that is copied, keys and values.
const MOST_STATE: usize = 32 << 20;

/// The longest that a call and the start of its instance may take together, by the clock, whatever the function's limits are.
const MOST_TIME: Duration = Duration::from_secs(30);

/// How many are called at once.
const AT_ONCE: usize = 2;

/// See the module.
pub(crate) struct Triggers {
    pub(super) ops: Arc<Ops>,
    pub(super) register: Arc<dyn Metadata>,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) clusters: Arc<Clusters>,
    pub(super) programs: Arc<Programs>,
    pub(super) engine: Engine,
    pub(super) aside: Arc<Aside>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Folders that functions may be granted.
    pub(super) files_dirs: Vec<PathBuf>,
    /// What copies of states take.
    pub(super) memory: Part,
    pub(super) turns: Semaphore,
}

/// Where an event seems to come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// The first input topic when there is none.
    pub(crate) input: Option<String>,
    pub(crate) partition: Option<u32>,
}

/// What a function would do with an event.
pub(crate) struct Tried {
    pub(crate) revision: u64,
    pub(crate) task: u32,
    pub(crate) said: Said,
    pub(crate) triggered: Triggered,
}

impl Triggers {
    pub(super) fn turns() -> Semaphore {
        Semaphore::new(AT_ONCE)
    }

    /// Gives a function an event; `frame` has it alone.
    pub(crate) async fn trigger(self: &Arc<Self>, name: String, origin: Origin, frame: Vec<u8>) -> Result<Tried> {
        check_name("function", &name)?;
        self.ops.check_open()?;
        let _turn = self.turns.acquire().await.map_err(|_| Error::new(ErrorCode::ShuttingDown, "no turn is given"))?;
        let triggers = self.clone();
        let function = blocking(move || entry(&*triggers.register, &name)).await?;
        let program = self.programs.load(&function.spec.artifact).await?;
        let interrupt = Interrupt::default();
        // Also when the caller goes away.
        let _ends = SetAtEnd(interrupt.clone());
        let (triggers, end) = (self.clone(), interrupt.clone());
        let mut called = std::pin::pin!(blocking(move || {
            let listening = triggers.aside.listen();
            let (spec, _) = triggers.clusters.expand(&function.spec)?;
            let expanded = FunctionEntry { spec, ..function.clone() };
            let (entry, event, task) = triggers.prepared(&expanded, &origin, &frame)?;
            let (state, _held) = triggers.copy(TaskId::new(function.id, task))?;
            let entry = FunctionEntry { id: listening.id, ..entry };
            let backend = triggers.clusters.backend(&expanded)?;
            let (program, broker) = (&*program, &*backend.broker);
            let trigger =
                Trigger { entry: &entry, program, broker, task, state, event: &event, interrupt: interrupt.clone() };
            let triggered = triggers.engine.trigger(trigger)?;
            let revision = super::revision(&*triggers.register, &function)?;
            Ok(Tried { revision, task, said: listening.said(), triggered })
        }));
        let too_long = tokio::select! {
            done = &mut called => return done,
            () = self.ops.closing().cancelled() => false,
            _ = tokio::time::timeout(MOST_TIME, std::future::pending::<()>()) => true,
        };
        end.set();
        let mut tried = called.await?;
        if let Err(failure) = &mut tried.triggered.outcome
            && failure.error.code == ErrorCode::Interrupted
        {
            failure.error = match too_long {
                true => {
                    Error::new(ErrorCode::GuestTimeout, format!("it ran longer than the {MOST_TIME:?} of a trigger"))
                }
                false => return Err(Error::new(ErrorCode::ShuttingDown, "the server is shutting down")),
            };
        }
        Ok(tried)
    }

    /// The function as it is called, the event as the task would get it, and the task. Blocks.
    fn prepared(&self, function: &FunctionEntry, origin: &Origin, frame: &[u8]) -> Result<(FunctionEntry, Batch, u32)> {
        let entry = grants::granted(&self.files_dirs, function)?;
        let frame = fnstream_frame::Frame::parse(frame)
            .map_err(|e| Error::new(ErrorCode::InvalidRequest, format!("not an event: {e}")))?;
        let record = frame.record(0);
        let topics = self.clusters.topics_of(&function.spec);
        let (group, at) = place(&*topics, &function.spec, origin, record.key)?;
        let end = topics.describe(&at.topic)?.partitions.get(at.partition as usize).map(|partition| partition.end);
        let end = end.ok_or_else(|| no_partition(&at))?;
        let mut alone = FrameBuilder::new();
        alone.push(RecordRef { channel: group, ..record });
        let event = Batch::new(at.clone(), BatchPositions::Contiguous(end), Bytes::from(alone.to_bytes()))?;
        Ok((entry, event, function.spec.task_of(group, at.partition)))
    }

    /// A copy of what a task has committed, with the memory for it. Blocks.
    fn copy(&self, task: TaskId) -> Result<(StateCopy, Held)> {
        let (mut state, mut bytes) = (BTreeMap::new(), 0);
        let mut held = self.memory.try_take(0)?;
        let mut refused = None;
        self.tasks.peek(task, &[], &mut |key, value| {
            let more = key.len() + value.len();
            bytes += more;
            let room = match bytes > MOST_STATE {
                true => Err(Error::new(
                    ErrorCode::StateTooLarge,
                    format!("the state of task {} has more than {} MiB", task.index, MOST_STATE >> 20),
                )),
                false => held.try_grow(more),
            };
            if let Err(error) = room {
                refused = Some(error);
                return ControlFlow::Break(());
            }
            state.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            ControlFlow::Continue(())
        })?;
        refused.map_or(Ok((state, held)), Err)
    }
}

/// The input group and the partition.
fn place(
    topics: &dyn Topics,
    spec: &FunctionSpec,
    origin: &Origin,
    key: Option<&[u8]>,
) -> Result<(u32, TopicPartition)> {
    let inputs = || (0u32..).zip(&spec.inputs).flat_map(|(group, topics)| topics.iter().map(move |t| (group, t)));
    let found = match &origin.input {
        None => inputs().next(),
        Some(name) => inputs().find(|(_, named)| named.topic.to_string() == *name),
    };
    let (group, named) = found.ok_or_else(|| {
        let wanted = origin.input.as_deref().unwrap_or_default().escape_debug().to_string();
        let there = inputs().map(|(_, named)| named.topic.to_string()).collect::<Vec<_>>().join("', '");
        Error::new(ErrorCode::InvalidRequest, format!("'{wanted}' is no input of the function, which has '{there}'"))
    })?;
    let partitions = topics.describe(&named.topic)?.partitions.len() as u32;
    let of_key = || key.map_or(0, |key| partition_for_key(key, partitions));
    let partition = origin.partition.or(named.partition()).unwrap_or_else(of_key);
    let at = TopicPartition::new(named.topic.clone(), partition);
    if partition < partitions && named.covers(partition) { Ok((group, at)) } else { Err(no_partition(&at)) }
}

fn no_partition(at: &TopicPartition) -> Error {
    Error::new(
        ErrorCode::PartitionNotFound,
        format!("the function reads no partition {} of '{}'", at.partition, at.topic),
    )
}

/// Interrupts when it is dropped.
struct SetAtEnd(Interrupt);

impl Drop for SetAtEnd {
    fn drop(&mut self) {
        self.0.set();
    }
}
