// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Commits that are counted while they are under way, and a broker that rings when there may be something to read: what tells that
//! nothing happens any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fnstream_core::broker::{Assignment, AssignmentListener, Broker, Membership, Source, Subscription};
use fnstream_core::committer::{Acquired, CommitDone, Committer, Replay};
use fnstream_core::epoch::{Epoch, FrozenEpoch, TaskId};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::state::Marker;
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, Result};

use crate::run::bell::Bell;

/// What is under way, and the bell that rings when it is done.
#[derive(Clone, Default)]
pub(super) struct UnderWay {
    count: Arc<AtomicUsize>,
    pub(super) bell: Bell,
}

impl UnderWay {
    pub(super) fn begin(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
        self.bell.ring();
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }
}

/// A committer whose commits are counted.
pub(super) struct Counting {
    pub(super) committer: Arc<dyn Committer>,
    pub(super) under_way: UnderWay,
}

impl Committer for Counting {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        self.committer.acquire(assignment, applied, replay)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let under_way = self.under_way.clone();
        under_way.begin();
        let done = move |result| {
            // Whoever it wakes is ready before this is not under way any more.
            done(result);
            under_way.end();
        };
        self.committer.commit(epoch, Box::new(done));
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        self.committer.trim(task, through);
    }

    fn trouble(&self, task: TaskId) -> Option<Error> {
        self.committer.trouble(task)
    }
}

/// A broker whose sources ring, too, when they wake.
pub(super) struct Ringing {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) bell: Bell,
}

impl Broker for Ringing {
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>> {
        self.broker.join(subscription, listener)
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        let bell = self.bell.clone();
        let both = Waker::new(move || {
            waker.wake();
            bell.ring();
        });
        self.broker.open_source(assignment, from, both)
    }

    fn partitions(&self, topic: &Topic) -> Result<u32> {
        self.broker.partitions(topic)
    }

    fn max_record_bytes(&self, topic: &Topic) -> Option<usize> {
        self.broker.max_record_bytes(topic)
    }

    fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
        self.broker.earliest(partition)
    }

    fn latest(&self, partition: &TopicPartition) -> Result<Position> {
        self.broker.latest(partition)
    }
}
