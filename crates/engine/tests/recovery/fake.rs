// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A client of the in-memory broker that counts what it is asked for, and misbehaves as told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use fnstream_core::broker::{
    Assignment, AssignmentListener, Broker, Membership, PollLimit, Polled, Source, Subscription,
};
use fnstream_core::committer::{Acquired, CommitDone, CommitFailure, Committer, Replay};
use fnstream_core::epoch::{Epoch, FrozenEpoch, TaskId};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::state::Marker;
use fnstream_core::test_util::mem_broker::MemClient;
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::Frame;
use parking_lot::Mutex;

/// See the module. A number of 0 is no limit.
pub(crate) struct Fake {
    inner: Arc<MemClient>,
    pub(crate) acquires: AtomicU64,
    pub(crate) sources: AtomicU64,
    pub(crate) seeks: AtomicU64,
    /// Sources do not know any end.
    pub(crate) hides_ends: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
    /// A gap that the next poll leads over.
    gap: Mutex<Option<(TopicPartition, Position)>>,
    /// Where somebody has moved the function to, which it is told once.
    pub(crate) moved: Mutex<Positions>,
    /// Sources answer `Pending` before each real answer, and wake a moment later.
    pub(crate) hesitates: AtomicBool,
    pub(crate) source_trouble: Mutex<Option<Error>>,
    pub(crate) commit_trouble: Mutex<Option<Error>>,
    /// What it says that a record may have.
    pub(crate) announced_limit: AtomicUsize,
    /// What a record may have, found out by the commit only.
    pub(crate) secret_limit: AtomicUsize,
    /// Called with each delta that is replayed, unless it is being called.
    pub(crate) on_replay: Mutex<Option<Box<dyn FnMut() + Send>>>,
}

impl Fake {
    pub(crate) fn new(inner: Arc<MemClient>) -> Arc<Self> {
        Arc::new(Fake {
            inner,
            acquires: AtomicU64::new(0),
            sources: AtomicU64::new(0),
            seeks: AtomicU64::new(0),
            hides_ends: AtomicBool::new(false),
            wakers: Mutex::default(),
            gap: Mutex::default(),
            moved: Mutex::default(),
            hesitates: AtomicBool::new(false),
            source_trouble: Mutex::default(),
            commit_trouble: Mutex::default(),
            announced_limit: AtomicUsize::new(0),
            secret_limit: AtomicUsize::new(0),
            on_replay: Mutex::default(),
        })
    }

    /// There is a gap up to that position, where a partition ends.
    pub(crate) fn ends_with_gap(&self, at: TopicPartition, to: Position) {
        *self.gap.lock() = Some((at, to));
        self.wakers.lock().iter().for_each(Waker::wake);
    }

    /// Sources learn of ends that they did not know.
    pub(crate) fn shows_ends(&self) {
        self.hides_ends.store(false, Relaxed);
        self.wakers.lock().iter().for_each(Waker::wake);
    }

    /// The index of the output that a commit is to be rejected for.
    fn too_large(&self, epoch: &FrozenEpoch) -> Option<u32> {
        let limit = Some(self.secret_limit.load(Relaxed)).filter(|limit| *limit > 0)?;
        let too_large = |frame: &[u8]| Frame::parse(frame).unwrap().iter().any(|record| record.packed_len() > limit);
        epoch.outbox.iter().position(|batch| too_large(&batch.frame)).map(|index| index as u32)
    }
}

/// The broker's face of a [`Fake`], whose sources keep it.
pub(crate) struct FakeBroker(pub(crate) Arc<Fake>);

impl Broker for FakeBroker {
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>> {
        self.0.inner.join(subscription, listener)
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        self.0.sources.fetch_add(1, Relaxed);
        self.0.wakers.lock().push(waker.clone());
        let inner = self.0.inner.open_source(assignment, from, waker.clone())?;
        Ok(Box::new(FakeSource { inner, fake: self.0.clone(), waker, hesitated: false }))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32> {
        self.0.inner.partitions(topic)
    }

    fn max_record_bytes(&self, _topic: &Topic) -> Option<usize> {
        Some(self.0.announced_limit.load(Relaxed)).filter(|limit| *limit > 0)
    }

    fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
        self.0.inner.earliest(partition)
    }

    fn begin(&self, assignment: &Assignment, known: &Positions) -> Result<Positions> {
        let mut begins = self.0.inner.begin(assignment, known)?;
        begins.append(&mut self.0.moved.lock());
        Ok(begins)
    }

    fn latest(&self, partition: &TopicPartition) -> Result<Position> {
        self.0.inner.latest(partition)
    }
}

impl Committer for Fake {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        self.acquires.fetch_add(1, Relaxed);
        self.inner.acquire(assignment, applied, &mut |marker, delta| {
            // Whatever it calls may replay too.
            let hook = self.on_replay.lock().take();
            if let Some(mut on_replay) = hook {
                on_replay();
                *self.on_replay.lock() = Some(on_replay);
            }
            replay(marker, delta)
        })
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        match self.too_large(&epoch) {
            None => self.inner.commit(epoch, done),
            output => {
                drop(epoch);
                let error = Error::new(ErrorCode::CommitRejected, "the record is too large for the broker");
                done(Err(CommitFailure::Rejected { error, output }));
            }
        }
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        self.inner.trim(task, through);
    }

    fn trouble(&self, _task: TaskId) -> Option<Error> {
        self.commit_trouble.lock().clone()
    }
}

struct FakeSource {
    inner: Box<dyn Source>,
    fake: Arc<Fake>,
    waker: Waker,
    hesitated: bool,
}

impl Source for FakeSource {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        self.hesitated = !self.hesitated && self.fake.hesitates.load(Relaxed);
        if self.hesitated {
            self.waker.wake();
            return Ok(Polled::Pending);
        }
        if self.fake.source_trouble.lock().is_some() {
            return Ok(Polled::Pending);
        }
        if let Some((partition, to)) = self.fake.gap.lock().take() {
            return Ok(Polled::Skipped { partition, to });
        }
        self.inner.poll(group, limit)
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        self.fake.seeks.fetch_add(1, Relaxed);
        self.inner.seek(to)
    }

    fn ends(&self) -> Positions {
        if self.fake.hides_ends.load(Relaxed) { Positions::new() } else { self.inner.ends() }
    }

    fn trouble(&self) -> Option<Error> {
        self.fake.source_trouble.lock().clone()
    }
}
