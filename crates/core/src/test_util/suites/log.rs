// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the suites of sources and committers need of the place where topics live.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use fnstream_frame::RecordRef;

use super::must;
use crate::batch::Batch;
use crate::broker::{Assignment, Broker, Membership, PollLimit, Polled, Source, Subscription};
use crate::committer::{Acquired, CommitResult, Committer};
use crate::delta::Delta;
use crate::epoch::{FunctionId, TaskId};
use crate::error::{ErrorCode, Result};
use crate::record::{Position, Positions, TopicPartition};
use crate::spec::InputSelector;
use crate::state::Marker;
use crate::test_util::support::RecordingListener;
use crate::topic::TopicRef;
use crate::waker::Waker;

/// How a commit is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// [`crate::committer::CommitFailure::Retriable`].
    Retriable,
    /// [`crate::committer::CommitFailure::Abortable`].
    Abortable,
    /// [`crate::committer::CommitFailure::Rejected`], because of the first batch of the outbox.
    Rejected,
    /// [`crate::committer::CommitFailure::Fenced`], although nobody has taken the task over.
    Fenced,
    /// [`crate::committer::CommitFailure::Fatal`], without a commit.
    FatalNotCommitted,
    /// [`crate::committer::CommitFailure::Fatal`], although it was committed.
    FatalCommitted,
}

/// A fresh place where topics live, with one process connected to it.
pub trait LogHarness {
    /// The process' view of topics.
    fn broker(&self) -> Arc<dyn Broker>;

    /// The process' committer.
    fn committer(&self) -> Arc<dyn Committer>;

    /// Creates a topic.
    fn create_topic(&self, topic: &str, partitions: u32);

    /// Appends records, as a producer does; they are readable when it returns.
    fn append(&self, at: &TopicPartition, records: &[RecordRef<'_>]);

    /// The values of all readable records of a partition. It makes nothing readable that was not before.
    fn read_all(&self, at: &TopicPartition) -> Vec<Vec<u8>>;

    /// Lets everything happen that is under way: assignments are told, commits are answered, records are delivered. With threads of its own an
    /// implementation has nothing to do here: the suites wait.
    fn settle(&self) {}

    /// Kills the process and starts it anew, on what outlasts it. Whoever held something of the old one drops it.
    fn reopen(&mut self);

    /// How long to wait for what must come.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Makes the next commit that is handed in fail; `false` when this cannot be arranged, and the check is passed over.
    fn fail_next(&self, _how: Failing) -> bool {
        false
    }

    /// Makes the place unreachable for the process, or reachable again; `false` when this cannot be arranged.
    fn set_away(&self, _away: bool) -> bool {
        false
    }

    /// Drops the records of a partition below a position, as retention does; `false` when this cannot be arranged.
    fn drop_before(&self, _at: &TopicPartition, _position: Position) -> bool {
        false
    }
}

/// The function that the suites run.
pub const FUNCTION: FunctionId = FunctionId(7);

/// A poll that takes all there is of a small test.
pub(super) const ALL: PollLimit = PollLimit { records: 10_000, bytes: 16 << 20 };

pub(super) fn at(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

pub(super) fn task(index: u32) -> TaskId {
    TaskId::new(FUNCTION, index)
}

/// A member of the function's group.
pub(super) struct Member {
    pub listener: Arc<RecordingListener>,
    _membership: Box<dyn Membership>,
    patience: Duration,
}

/// Joins the function's group, reading these topics, each of which is an input group.
pub(super) fn join(harness: &dyn LogHarness, topics: &[&str]) -> Member {
    let groups = topics.iter().map(|topic| vec![TopicRef::from(*topic)]).collect();
    let subscription = Subscription {
        function: FUNCTION,
        name: "suite".into(),
        groups,
        outputs: Vec::new(),
        selector: InputSelector::default(),
        elsewhere: Default::default(),
    };
    let listener = RecordingListener::new();
    let membership = must("joining", sure(harness, || harness.broker().join(subscription.clone(), listener.clone())));
    harness.settle();
    Member { listener, _membership: membership, patience: harness.patience() }
}

impl Member {
    pub(super) fn assignment(&self, index: u32) -> Assignment {
        let assignment = self.listener.wait_for_assignment(task(index), self.patience);
        assignment.unwrap_or_else(|| panic!("task {index} was not assigned to the only member"))
    }
}

pub(super) fn open(harness: &dyn LogHarness, assignment: &Assignment, from: &Positions) -> Reader {
    must("opening a source", try_open(harness, assignment, from))
}

pub(super) fn try_open(harness: &dyn LogHarness, assignment: &Assignment, from: &Positions) -> Result<Reader> {
    let (waker, woken) = waker();
    let broker = harness.broker();
    let source = sure(harness, || broker.open_source(assignment, from, waker.clone()))?;
    Ok(Reader { source, woken, positions: Positions::new() })
}

/// What a broker answers when it is sure.
pub(super) fn sure<T>(harness: &dyn LogHarness, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    for attempt in 0.. {
        match ask() {
            Err(e) if e.code == ErrorCode::Unavailable && (attempt < 100 || begun.elapsed() < harness.patience()) => {
                harness.settle();
                std::thread::yield_now();
            }
            answer => return answer,
        }
    }
    unreachable!("it is asked without end")
}

/// A record as the suites compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub at: TopicPartition,
    pub position: Position,
    pub channel: u32,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// A source with what its waker said and where it stands.
pub(super) struct Reader {
    pub source: Box<dyn Source>,
    pub woken: Receiver<()>,
    /// Where reading stands, as far as it has moved.
    pub positions: Positions,
}

impl Reader {
    /// What one poll gives, gaps and watermarks passed over; empty when nothing is there.
    pub(super) fn poll(&mut self, limit: PollLimit) -> Vec<Seen> {
        let batch = loop {
            match must("polling", self.source.poll(None, limit)) {
                Polled::Batch(batch) => break batch,
                Polled::Watermark { .. } => {}
                Polled::Skipped { partition, to } => {
                    let before = self.positions.insert(partition, to);
                    assert!(before < Some(to), "a gap leads on: from {before:?} to {to}");
                }
                Polled::Pending => return Vec::new(),
            }
        };
        assert!(!batch.is_empty(), "a polled batch has at least one record");
        assert!(batch.len() <= limit.records, "a poll of {} records gave {}", limit.records, batch.len());
        self.positions.extend(batch.end().map(|end| (batch.from().clone(), end)));
        seen(&batch)
    }

    /// The same, after letting happen what is under way when nothing is there at first.
    pub(super) fn poll_patiently(&mut self, harness: &dyn LogHarness, limit: PollLimit) -> Vec<Seen> {
        let first = self.poll(limit);
        if !first.is_empty() {
            return first;
        }
        harness.settle();
        self.poll(limit)
    }

    /// The next batch, which is there or on its way.
    pub(super) fn next(&mut self, harness: &dyn LogHarness, limit: PollLimit) -> Vec<Seen> {
        loop {
            let batch = self.poll_patiently(harness, limit);
            if !batch.is_empty() || !self.await_readable(harness) {
                return batch;
            }
        }
    }

    /// What the next poll answers that is more than "nothing is here now".
    pub(super) fn answer(&mut self, harness: &dyn LogHarness) -> Result<Polled> {
        loop {
            match self.source.poll(None, ALL)? {
                Polled::Pending => harness.settle(),
                polled => return Ok(polled),
            }
            match self.source.poll(None, ALL)? {
                Polled::Pending if self.await_readable(harness) => {}
                polled => return Ok(polled),
            }
        }
    }

    /// Polls until `count` records came, and then until nothing is there. `Pending` is no end: before they have come it is
    /// the waker that says when to go on.
    pub(super) fn drain(&mut self, harness: &dyn LogHarness, limit: PollLimit, count: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let batch = self.poll_patiently(harness, limit);
            let is_empty = batch.is_empty();
            all.extend(batch);
            if is_empty && (all.len() >= count || !self.await_readable(harness)) {
                return all;
            }
        }
    }

    /// Moves the source.
    pub(super) fn seek(&mut self, to: &Positions) -> Result<()> {
        self.source.seek(to)?;
        for (at, position) in &mut self.positions {
            *position = to.get(at).copied().unwrap_or(*position);
        }
        Ok(())
    }

    /// Waits until the waker is called; `false` when it is not.
    pub(super) fn await_readable(&self, harness: &dyn LogHarness) -> bool {
        self.woken.recv_timeout(harness.patience()).is_ok()
    }

    /// Forgets the calls of the waker so far.
    pub(super) fn forget_wakes(&self) {
        while self.woken.try_recv().is_ok() {}
    }
}

fn seen(batch: &Batch) -> Vec<Seen> {
    let seen = |(position, record): (Position, RecordRef<'_>)| Seen {
        at: batch.from().clone(),
        position,
        channel: record.channel,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        headers: record.headers.as_bytes().to_vec(),
        value: record.value.map(<[u8]>::to_vec),
    };
    batch.iter().map(seen).collect()
}

/// Takes a task over; gives the replayed deltas too.
pub(super) fn acquire(
    harness: &dyn LogHarness,
    assignment: &Assignment,
    applied: Option<&Marker>,
) -> (Acquired, Vec<(Marker, Delta)>) {
    let mut replayed = Vec::new();
    let committer = harness.committer();
    let acquired = sure(harness, || {
        replayed.clear();
        committer.acquire(assignment, applied, &mut |marker, delta| {
            replayed.push((marker, delta));
            Ok(())
        })
    });
    (must("taking a task over", acquired), replayed)
}

/// Where the answer to a commit comes.
pub(super) struct Answer(pub Receiver<CommitResult>);

impl Answer {
    /// The answer, if it came already.
    pub(super) fn now(&self) -> Option<CommitResult> {
        match self.0.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("a commit was dropped without an answer"),
        }
    }

    /// The answer, after letting it happen.
    pub(super) fn wait(&self, harness: &dyn LogHarness) -> CommitResult {
        if let Some(result) = self.now() {
            return result;
        }
        harness.settle();
        self.0.recv_timeout(harness.patience()).unwrap_or_else(|e| panic!("a commit was not answered: {e}"))
    }
}

/// A waker whose calls can be waited for.
pub(super) fn waker() -> (Waker, Receiver<()>) {
    let (send, receive) = channel();
    let waker = Waker::new(move || {
        // Nobody may be waiting any more.
        let _ = send.send(());
    });
    (waker, receive)
}
