// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Seams that may block, and say so when they are called on a thread that serves others.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use fnstream_core::artifacts::{Artifacts, InUse, Pin};
use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::forks::Forks;
use fnstream_core::groups::{Claim, GroupPlace, Groups, Taking};
use fnstream_core::metadata::{Metadata, Revision};
use fnstream_core::notes::Notes;
use fnstream_core::producers::{Numbered, NumberedDone, ProducerPlace, Producers};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::state::Visit;
use fnstream_core::tasks::{Standing, Tasks};
use fnstream_core::topic::Topic;
use fnstream_core::topics::{Ahead, AppendDone, Retention, TopicChange, TopicInfo, Topics, Watch};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use crate::app::ops::on_blocking_thread;

/// A seam whose blocking methods panic on any thread but those for blocking work.
pub(super) struct Guarded<T: ?Sized>(pub(super) Arc<T>);

/// What a test has happen to topics.
#[derive(Default)]
pub(super) struct Happens {
    /// So many of the next calls that look a topic up find no broker.
    pub(super) away: AtomicU32,
    /// What happens right before the next reads, the last one first.
    pub(super) before_reads: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

/// Topics to which something happens.
pub(super) struct Happening(pub(super) Guarded<dyn Topics>, pub(super) Arc<Happens>);

impl Happening {
    fn look_up(&self) -> Result<&Guarded<dyn Topics>> {
        match self.1.away.try_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Err(Error::new(ErrorCode::Unavailable, "no broker answers")),
            Err(_) => Ok(&self.0),
        }
    }
}

impl Topics for Happening {
    fn create(&self, topic: &Topic, partitions: u32, retention: Retention) -> Result<()> {
        self.look_up()?.create(topic, partitions, retention)
    }

    fn list(&self) -> Result<Vec<TopicInfo>> {
        self.0.list()
    }

    fn page(&self, after: Option<&Topic>, limit: usize) -> Result<Vec<Topic>> {
        self.0.page(after, limit)
    }

    fn describe(&self, topic: &Topic) -> Result<TopicInfo> {
        self.look_up()?.describe(topic)
    }

    fn alter(&self, topic: &Topic, change: TopicChange) -> Result<()> {
        self.0.alter(topic, change)
    }

    fn delete(&self, topic: &Topic) -> Result<()> {
        self.0.delete(topic)
    }

    fn append(&self, topic: &Topic, partition: Option<u32>, frame: Bytes, done: AppendDone) {
        self.0.append(topic, partition, frame, done);
    }

    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        let before = self.1.before_reads.lock().pop();
        if let Some(before) = before {
            before();
        }
        self.0.read(partition, from, limit)
    }

    fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>> {
        self.0.watch(partition, waker)
    }

    fn look(&self, partition: &TopicPartition, from: Position) -> Result<Ahead> {
        self.0.look(partition, from)
    }
}

impl<T: ?Sized> Guarded<T> {
    #[track_caller]
    fn blocks(&self) -> &T {
        assert!(on_blocking_thread(), "a call that may block on a thread that serves others");
        &self.0
    }
}

impl Metadata for Guarded<dyn Metadata> {
    fn list(&self) -> Result<Vec<FunctionEntry>> {
        self.blocks().list()
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<FunctionEntry>> {
        self.blocks().page(after, limit)
    }

    fn get(&self, name: &str) -> Result<Option<FunctionEntry>> {
        self.blocks().get(name)
    }

    fn revisions(&self, name: &str) -> Result<Vec<Revision>> {
        self.blocks().revisions(name)
    }

    fn create_from(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        fork: Option<FunctionId>,
    ) -> Result<FunctionEntry> {
        self.blocks().create_from(spec, desired, fork)
    }

    fn update(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        based_on: u64,
        snapshot: Option<FunctionId>,
    ) -> Result<FunctionEntry> {
        self.blocks().update(spec, desired, based_on, snapshot)
    }

    fn switch(&self, spec: FunctionSpec, based_on: u64, to: FunctionId) -> Result<FunctionEntry> {
        self.blocks().switch(spec, based_on, to)
    }

    fn remove(&self, name: &str, based_on: u64) -> Result<()> {
        self.blocks().remove(name, based_on)
    }

    fn watch(&self, waker: Waker) {
        self.0.watch(waker);
    }
}

impl Topics for Guarded<dyn Topics> {
    fn create(&self, topic: &Topic, partitions: u32, retention: Retention) -> Result<()> {
        self.blocks().create(topic, partitions, retention)
    }

    fn list(&self) -> Result<Vec<TopicInfo>> {
        self.blocks().list()
    }

    fn page(&self, after: Option<&Topic>, limit: usize) -> Result<Vec<Topic>> {
        self.blocks().page(after, limit)
    }

    fn describe(&self, topic: &Topic) -> Result<TopicInfo> {
        self.blocks().describe(topic)
    }

    fn alter(&self, topic: &Topic, change: TopicChange) -> Result<()> {
        self.blocks().alter(topic, change)
    }

    fn delete(&self, topic: &Topic) -> Result<()> {
        self.blocks().delete(topic)
    }

    fn append(&self, topic: &Topic, partition: Option<u32>, frame: Bytes, done: AppendDone) {
        self.0.append(topic, partition, frame, done);
    }

    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        self.blocks().read(partition, from, limit)
    }

    fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>> {
        self.0.watch(partition, waker)
    }

    fn look(&self, partition: &TopicPartition, from: Position) -> Result<Ahead> {
        self.blocks().look(partition, from)
    }
}

impl Groups for Guarded<dyn Groups> {
    fn take(&self, group: &str, partitions: &[TopicPartition], limit: PollLimit, free: Waker) -> Result<Taking> {
        self.blocks().take(group, partitions, limit, free)
    }

    fn accept(&self, claim: Claim) {
        self.0.accept(claim);
    }

    fn put_back(&self, claim: Claim) -> Result<()> {
        self.blocks().put_back(claim)
    }

    fn places(&self, topic: &Topic) -> Result<Vec<GroupPlace>> {
        self.blocks().places(topic)
    }
}

impl Producers for Guarded<dyn Producers> {
    fn append_numbered(
        &self,
        topic: &Topic,
        numbered: Numbered,
        partition: Option<u32>,
        frame: Bytes,
        done: NumberedDone,
    ) {
        self.0.append_numbered(topic, numbered, partition, frame, done);
    }

    fn producer(&self, topic: &Topic, producer: &str) -> Result<Option<ProducerPlace>> {
        self.blocks().producer(topic, producer)
    }
}

impl Tasks for Guarded<dyn Tasks> {
    fn fence(&self, function: FunctionId) -> Result<Standing> {
        self.blocks().fence(function)
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        self.blocks().progress(function)
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        self.blocks().peek(task, start, visit)
    }
}

impl Forks for Guarded<dyn Forks> {
    fn fork(&self, from: FunctionId) -> Result<FunctionId> {
        self.blocks().fork(from)
    }

    fn place(&self, fork: FunctionId, standing: &Standing) -> Result<()> {
        self.blocks().place(fork, standing)
    }

    fn discard(&self, fork: FunctionId) -> Result<()> {
        self.blocks().discard(fork)
    }
}

impl Artifacts for Guarded<dyn Artifacts> {
    fn put(&self, bytes: &[u8]) -> Result<Pin> {
        self.blocks().put(bytes)
    }

    fn get(&self, digest: &str) -> Result<Vec<u8>> {
        self.blocks().get(digest)
    }

    fn list(&self) -> Result<Vec<String>> {
        self.blocks().list()
    }

    fn pin(&self, digest: &str) -> Pin {
        self.0.pin(digest)
    }

    fn sweep(&self, in_use: &mut InUse<'_>) -> Result<usize> {
        self.blocks().sweep(in_use)
    }
}

impl Notes for Guarded<dyn Notes> {
    fn list(&self) -> Result<Vec<(String, Bytes)>> {
        self.blocks().list()
    }

    fn put(&self, name: &str, note: &[u8]) -> Result<()> {
        self.blocks().put(name, note)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.blocks().remove(name)
    }
}
