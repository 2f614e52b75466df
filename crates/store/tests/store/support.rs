// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the tests share: blocking calls, and short ways to say things.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::batch::Batch;
use fnstream_core::broker::{Assignment, PollLimit};
use fnstream_core::committer::{Acquired, CommitResult, Committer};
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, FrozenEpoch, FunctionId, Generation, OutboxBatch, Progress, TaskId};
use fnstream_core::groups::{GroupPlace, Taking};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::FunctionSpec;
use fnstream_core::state::Marker;
use fnstream_core::state::Visit;
use fnstream_core::tasks::Standing;
use fnstream_core::topic::Topic;
use fnstream_core::topics::{AppendDone, Appended, Retention, TopicInfo, Watch};
use fnstream_core::waker::Waker;
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_store::{Store, StoreOptions};

pub(crate) const ALL: PollLimit = PollLimit { records: usize::MAX, bytes: usize::MAX };

/// Small memory, so that many can be open.
pub(crate) fn options() -> StoreOptions {
    StoreOptions { block_cache_bytes: 4 << 20, write_buffer_bytes: 8 << 20, ..StoreOptions::default() }
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(dir, options()).unwrap()
}

pub(crate) fn at(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

pub(crate) fn frame<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> FrameBuilder {
    let mut frame = FrameBuilder::new();
    for value in values {
        frame.push(RecordRef::new(value.as_ref()));
    }
    frame
}

/// Appends and waits for the answer.
pub(crate) fn append(store: &Store, topic: &str, partition: Option<u32>, frame: &FrameBuilder) -> Result<Appended> {
    let (tell, told) = channel();
    store.append(topic, partition, frame.to_bytes(), Box::new(move |done| tell.send(done).unwrap()));
    told.recv().unwrap()
}

/// Commits and waits for the answer.
pub(crate) fn commit(committer: &dyn Committer, epoch: FrozenEpoch) -> CommitResult {
    let (tell, told) = channel();
    committer.commit(Arc::new(epoch), Box::new(move |done| tell.send(done).unwrap()));
    told.recv().unwrap()
}

/// The values of a partition from its earliest position on, with their positions.
pub(crate) fn read_all(store: &Store, partition: &TopicPartition, limit: PollLimit) -> Vec<(u128, Vec<u8>)> {
    let info = store.topic(&partition.topic.name).unwrap();
    let mut next = info.partitions[partition.partition as usize].earliest;
    let mut values = Vec::new();
    while let Some(batch) = store.read(partition, next, limit).unwrap() {
        assert!(!batch.is_empty() && batch.len() <= limit.records.max(1));
        assert_eq!(batch.position(0), next);
        values.extend(batch.iter().map(|(position, record)| (position.0, record.bytes().to_vec())));
        next = batch.end().unwrap();
    }
    assert_eq!(next, info.partitions[partition.partition as usize].end);
    values
}

pub(crate) fn values(store: &Store, partition: &TopicPartition) -> Vec<String> {
    read_all(store, partition, ALL).into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect()
}

pub(crate) fn task(function: u32, index: u32) -> TaskId {
    TaskId::new(FunctionId(function), index)
}

pub(crate) fn assignment(task: TaskId) -> Assignment {
    Assignment { task, lease: 1, inputs: Vec::new() }
}

/// Takes a task over with the deltas that its store does not have.
pub(crate) fn acquire(store: &Store, task: TaskId, applied: Option<&Marker>) -> (Acquired, Vec<(Marker, Delta)>) {
    let mut replayed = Vec::new();
    let acquired = store
        .committer()
        .acquire(&assignment(task), applied, &mut |marker, delta| {
            replayed.push((marker, delta));
            Ok(())
        })
        .unwrap();
    (acquired, replayed)
}

pub(crate) fn outbox(topic: &str, partition: u32, frame: &FrameBuilder) -> OutboxBatch {
    OutboxBatch { topic: topic.into(), partition, records: frame.len() as u32, frame: frame.to_bytes().into() }
}

/// An epoch that says of its positions only its own number.
pub(crate) fn epoch(
    task: TaskId,
    generation: Generation,
    number: u64,
    delta: Delta,
    outbox: Vec<OutboxBatch>,
) -> FrozenEpoch {
    let progress = Progress {
        epoch: Epoch(number),
        positions: [(at("in", task.index), Position(number.into()))].into(),
        records_in: number,
        records_out: outbox.iter().map(|batch| u64::from(batch.records)).sum(),
        time: Bytes::new(),
    };
    FrozenEpoch { task, generation, progress, delta, outbox, watermarks: Vec::new() }
}

pub(crate) fn put(key: &str, value: &str) -> Delta {
    let mut delta = Delta::new();
    delta.write(key.as_bytes(), Write::Put(Bytes::copy_from_slice(value.as_bytes())));
    delta
}

pub(crate) fn spec(name: &str) -> FunctionSpec {
    FunctionSpec {
        name: name.into(),
        artifact: "0".repeat(64),
        inputs: vec![vec!["in".into()]],
        outputs: vec!["out".into()],
        replicas: 1,
        ..FunctionSpec::default()
    }
}

/// Copies a folder as a crash would leave it: what the process has handed to the operating system, nothing else.
///
/// A crash is one moment and a copy is not: when files came or went meanwhile, it is made anew.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    loop {
        let before = files(from);
        let copied = before.iter().try_for_each(|file| {
            let target = to.join(file);
            std::fs::create_dir_all(target.parent().unwrap())?;
            std::fs::copy(from.join(file), target).map(drop)
        });
        match copied {
            Ok(()) if files(from) == before => return,
            Err(e) if e.kind() != ErrorKind::NotFound => panic!("{e}"),
            _ => std::fs::remove_dir_all(to).unwrap(),
        }
    }
}

/// The files below a folder, relative to it.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(relative) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&relative)).unwrap() {
            let entry = entry.unwrap();
            let path = relative.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                _ => drop(found.insert(path)),
            }
        }
    }
    found
}

/// Gives the next records of a partition to a group, at most so many; answers where the group goes on, if there are any.
pub(crate) fn give(store: &Store, group: &str, partition: &TopicPartition, records: usize) -> Result<Option<Position>> {
    let limit = PollLimit { records, ..ALL };
    Ok(match store.groups().take(group, std::slice::from_ref(partition), limit, Waker::noop())? {
        Taking::Taken(taken) => {
            store.groups().accept(taken.claim);
            Some(taken.next)
        }
        Taking::Nothing | Taking::Busy => None,
    })
}

/// Short ways to what the store's seams do.
pub(crate) trait Shorthand {
    fn create_topic(&self, name: &str, partitions: u32, retention: Retention) -> Result<()>;
    /// Makes a topic that is kept for ever unless there is one; answers whether it was made.
    fn ensure_topic(&self, name: &str, partitions: u32) -> Result<bool>;
    fn delete_topic(&self, name: &str) -> Result<()>;
    fn topic(&self, name: &str) -> Result<TopicInfo>;
    fn append(&self, topic: &str, partition: Option<u32>, frame: impl Into<Bytes>, done: AppendDone);
    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>>;
    fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>>;
    fn places(&self, topic: &str) -> Result<Vec<GroupPlace>>;
    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()>;
    fn fork(&self, from: FunctionId) -> Result<FunctionId>;
    fn discard_fork(&self, fork: FunctionId) -> Result<()>;
    fn place_fork(&self, fork: FunctionId, standing: &Standing) -> Result<()>;
    fn progress(&self, function: FunctionId) -> Result<Standing>;
}

impl Shorthand for Store {
    fn create_topic(&self, name: &str, partitions: u32, retention: Retention) -> Result<()> {
        self.topics().create(&Topic::own(name), partitions, retention)
    }

    fn ensure_topic(&self, name: &str, partitions: u32) -> Result<bool> {
        match self.create_topic(name, partitions, Retention::default()) {
            Ok(()) => Ok(true),
            Err(error) if error.code == fnstream_core::ErrorCode::TopicExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn delete_topic(&self, name: &str) -> Result<()> {
        self.topics().delete(&Topic::own(name))
    }

    fn topic(&self, name: &str) -> Result<TopicInfo> {
        self.topics().describe(&Topic::own(name))
    }

    fn append(&self, topic: &str, partition: Option<u32>, frame: impl Into<Bytes>, done: AppendDone) {
        self.topics().append(&Topic::own(topic), partition, frame.into(), done);
    }

    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        self.topics().read(partition, from, limit)
    }

    fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>> {
        self.topics().watch(partition, waker)
    }

    fn places(&self, topic: &str) -> Result<Vec<GroupPlace>> {
        self.groups().places(&Topic::own(topic))
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        self.tasks().peek(task, start, visit)
    }

    fn fork(&self, from: FunctionId) -> Result<FunctionId> {
        self.forks().fork(from)
    }

    fn discard_fork(&self, fork: FunctionId) -> Result<()> {
        self.forks().discard(fork)
    }

    fn place_fork(&self, fork: FunctionId, standing: &Standing) -> Result<()> {
        self.forks().place(fork, standing)
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        self.tasks().progress(function)
    }
}
