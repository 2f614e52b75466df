// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Commits that were handed in, and what becomes of each when the driver resolves it.
//!
//! The driver asks for an outcome; what the contract of [`crate::committer::Committer`] forbids does not happen all the
//! same: a stale generation is fenced, a repeated epoch is answered `Ok` without being repeated, what follows a failed
//! epoch fails like it. Commits that are resolved together stand or fall together.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_frame::Frame;

use super::tasks::TaskLog;
use super::topics::Topics;
use crate::committer::{CommitDone, CommitFailure, CommitResult};
use crate::epoch::{Epoch, FrozenEpoch, Generation, OutboxBatch, TaskId};
use crate::error::{Error, ErrorCode};
use crate::record::TopicPartition;

/// How the driver wants a commit to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed.
    Commit,
    /// Nothing happened; it may be handed in again.
    Retriable,
    /// Nothing happened; it has to be replayed.
    Abortable,
    /// Nothing happened, for good: the first batch of its outbox is refused.
    Rejected,
    /// Nothing happened; the owner was fenced.
    Fenced,
    /// The connection broke before the commit.
    FatalNotCommitted,
    /// The connection broke after the commit.
    FatalCommitted,
}

impl Outcome {
    /// All of them, for drivers that choose at random.
    pub const ALL: [Outcome; 6] = [
        Outcome::Commit,
        Outcome::Retriable,
        Outcome::Abortable,
        Outcome::Fenced,
        Outcome::FatalNotCommitted,
        Outcome::FatalCommitted,
    ];

    fn commits(self) -> bool {
        matches!(self, Outcome::Commit | Outcome::FatalCommitted)
    }

    fn failure(self) -> Option<Failure> {
        match self {
            Outcome::Commit => None,
            Outcome::Retriable => Some(Failure::Retriable),
            Outcome::Abortable => Some(Failure::Abortable),
            Outcome::Rejected => Some(Failure::Rejected(Some(0))),
            Outcome::Fenced => Some(Failure::Fenced),
            Outcome::FatalNotCommitted | Outcome::FatalCommitted => Some(Failure::Fatal),
        }
    }
}

/// A commit that waits for the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingCommit {
    /// Who handed it in.
    pub process: u32,
    /// The task.
    pub task: TaskId,
    /// The number of the epoch.
    pub epoch: Epoch,
    /// The generation under which it was made.
    pub generation: Generation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Retriable,
    Abortable,
    /// The index in the outbox of what is refused.
    Rejected(Option<u32>),
    Fenced,
    Fatal,
}

impl Failure {
    fn because(self, why: &str) -> CommitFailure {
        match self {
            Failure::Retriable => CommitFailure::Retriable(Error::new(ErrorCode::CommitRetriable, why)),
            Failure::Abortable => CommitFailure::Abortable(Error::new(ErrorCode::CommitAborted, why)),
            Failure::Rejected(output) => {
                CommitFailure::Rejected { error: Error::new(ErrorCode::CommitRejected, why), output }
            }
            Failure::Fenced => CommitFailure::Fenced(Error::new(ErrorCode::Fenced, why)),
            Failure::Fatal => CommitFailure::Fatal(Error::new(ErrorCode::CommitFatal, why)),
        }
    }
}

pub(super) struct Queued {
    pub info: PendingCommit,
    pub epoch: Arc<FrozenEpoch>,
    pub done: CommitDone,
    /// An earlier epoch of the task failed after this one was handed in.
    doomed: Option<Failure>,
}

/// What a commit is when it is resolved, whatever the driver wants.
enum Standing {
    /// It follows the last commit.
    Next,
    /// It is committed already.
    Repeat,
    /// It fails like this, and so does everything that is resolved with it.
    Vetoes(Failure, String),
    /// It fails like this, alone.
    Doomed(Failure),
}

/// The part of the broker that commits change.
#[derive(Default)]
pub(super) struct Ledger {
    pub topics: Topics,
    pub tasks: HashMap<TaskId, TaskLog>,
    pub queue: VecDeque<Queued>,
    pub violations: Vec<String>,
    /// Records with a larger value are refused.
    pub max_value: Option<usize>,
    /// Partitions that got records since the wakers were called.
    pub appended: BTreeSet<TopicPartition>,
}

impl Ledger {
    pub(super) fn hand_in(&mut self, process: u32, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let info =
            PendingCommit { process, task: epoch.task, epoch: epoch.progress.epoch, generation: epoch.generation };
        self.queue.push_back(Queued { info, epoch, done, doomed: None });
    }

    /// Resolves the first `count` commits of a process together; the answers are for the caller to give.
    pub(super) fn resolve(&mut self, process: u32, count: usize, outcome: Outcome) -> Vec<(PendingCommit, Answer)> {
        let group = self.take(process, count);
        let standings = self.standings(&group);
        let vetoed = standings.iter().any(|s| matches!(s, Standing::Vetoes(..)));
        // Of what is refused for its own sake the others are not to blame.
        let blamed = standings.iter().all(|s| matches!(s, Standing::Vetoes(Failure::Rejected(_), _) | Standing::Next));
        let outcome = match vetoed && outcome.commits() {
            true if blamed => Outcome::Retriable,
            true => Outcome::Abortable,
            false => outcome,
        };
        let mut answers = Vec::new();
        for (queued, standing) in group.into_iter().zip(standings) {
            let result = match standing {
                Standing::Next => self.decide(&queued.epoch, outcome),
                Standing::Repeat => Ok(self.tasks.entry(queued.info.task).or_default().log_end()),
                Standing::Doomed(failure) => Err(failure.because("an earlier epoch of the task failed")),
                Standing::Vetoes(failure, why) => {
                    self.doom_later(queued.info, failure);
                    Err(failure.because(&why))
                }
            };
            // The epoch is let go before the answer is given.
            let Queued { info, done, epoch, .. } = queued;
            drop(epoch);
            answers.push((info, (done, result)));
        }
        answers
    }

    /// Takes all commits of a process that died out of the queue and commits those that `survives` names, as far as the
    /// order within each task allows. What is answered is for the caller to forget, outside any lock.
    pub(super) fn crash(&mut self, process: u32, mut survives: impl FnMut(&PendingCommit) -> bool) -> Vec<Queued> {
        let group = self.take(process, usize::MAX);
        let mut failed = BTreeSet::new();
        for queued in &group {
            let standing = self.standings(std::slice::from_ref(queued)).pop();
            let possible = matches!(standing, Some(Standing::Next)) && !failed.contains(&queued.info.task);
            if possible && survives(&queued.info) {
                self.apply(&queued.epoch);
            } else if !matches!(standing, Some(Standing::Repeat)) {
                failed.insert(queued.info.task);
            }
        }
        group
    }

    fn take(&mut self, process: u32, count: usize) -> Vec<Queued> {
        let mut taken = Vec::new();
        let mut rest = VecDeque::new();
        for queued in self.queue.drain(..) {
            if queued.info.process == process && taken.len() < count {
                taken.push(queued);
            } else {
                rest.push_back(queued);
            }
        }
        self.queue = rest;
        taken
    }

    fn standings(&mut self, group: &[Queued]) -> Vec<Standing> {
        let mut last: HashMap<TaskId, Epoch> = HashMap::new();
        let mut standings = Vec::new();
        for Queued { info, doomed, epoch, .. } in group {
            let log = self.tasks.entry(info.task).or_default();
            let before = *last.entry(info.task).or_insert(log.progress.epoch);
            let standing = if info.generation < log.generation {
                Standing::Vetoes(
                    Failure::Fenced,
                    format!("generation {} of task {} was fenced", info.generation.0, info.task),
                )
            } else if let Some(failure) = doomed {
                Standing::Doomed(*failure)
            } else if info.epoch <= log.progress.epoch && info.generation == log.committed_by {
                Standing::Repeat
            } else if log.broken == Some(info.generation) {
                Standing::Vetoes(Failure::Fatal, "the connection is broken".to_owned())
            } else if info.generation > log.generation || info.epoch != before.next() {
                let why = format!("epoch {} of task {} does not follow {}", info.epoch.0, info.task, before.0);
                self.violations.push(why.clone());
                Standing::Vetoes(Failure::Abortable, why)
            } else if let Some((output, why)) = self.refused_output(epoch) {
                Standing::Vetoes(Failure::Rejected(Some(output)), why)
            } else {
                last.insert(info.task, info.epoch);
                Standing::Next
            };
            standings.push(standing);
        }
        standings
    }

    /// The first batch of an outbox that holds a record above the limit.
    fn refused_output(&self, epoch: &FrozenEpoch) -> Option<(u32, String)> {
        let max = self.max_value?;
        let too_large = |batch: &OutboxBatch| {
            let frame = Frame::parse(&batch.frame).ok()?;
            let record = frame.iter().find(|record| record.bytes().len() > max)?;
            Some(format!("a record of {} bytes for {} is above the limit {max}", record.bytes().len(), batch.topic))
        };
        (0u32..).zip(&epoch.outbox).find_map(|(index, batch)| Some((index, too_large(batch)?)))
    }

    fn decide(&mut self, epoch: &FrozenEpoch, outcome: Outcome) -> CommitResult {
        let info =
            PendingCommit { process: 0, task: epoch.task, epoch: epoch.progress.epoch, generation: epoch.generation };
        if outcome.commits() {
            self.apply(epoch);
        } else if outcome != Outcome::Fenced {
            self.leave_abort(epoch);
        }
        let log = self.tasks.entry(epoch.task).or_default();
        match outcome.failure() {
            None => return Ok(log.log_end()),
            Some(Failure::Fenced) => log.fence(),
            Some(Failure::Fatal) => log.broken = Some(epoch.generation),
            Some(_) => {}
        }
        let failure = outcome.failure().unwrap_or(Failure::Fatal);
        self.doom_later(info, failure);
        Err(failure.because("the broker was told to answer so"))
    }

    fn doom_later(&mut self, failed: PendingCommit, failure: Failure) {
        for queued in &mut self.queue {
            if queued.info.task == failed.task && queued.info.generation == failed.generation {
                queued.doomed.get_or_insert(failure);
            }
        }
    }

    /// Makes an epoch visible.
    fn apply(&mut self, epoch: &FrozenEpoch) {
        self.check(epoch);
        let mut touched = BTreeSet::new();
        for batch in &epoch.outbox {
            let at = TopicPartition::new(batch.topic.clone(), batch.partition);
            let Ok(frame) = Frame::parse(&batch.frame) else { continue };
            if self.topics.append_frame(&at, &frame).is_ok() {
                touched.insert(at);
            }
        }
        for at in &touched {
            let ended = self.topics.end_transaction(at, 0);
            debug_assert!(ended.is_ok(), "the partition took records just now");
        }
        for emitted in &epoch.watermarks {
            let of_function = self.tasks.keys().filter(|task| task.function == epoch.task.function);
            let all: Vec<_> = of_function.copied().collect();
            if let Ok(raised) = self.topics.say(epoch.task, emitted, &all) {
                touched.extend(raised);
            }
        }
        self.appended.append(&mut touched);
        let log = self.tasks.entry(epoch.task).or_default();
        log.append(epoch.generation, epoch.progress.clone(), &epoch.delta);
    }

    /// An aborted transaction leaves no records, but takes positions where transactions do.
    fn leave_abort(&mut self, epoch: &FrozenEpoch) {
        for batch in &epoch.outbox {
            let at = TopicPartition::new(batch.topic.clone(), batch.partition);
            if self.topics.end_transaction(&at, batch.records).is_err() {
                self.violations.push(format!("task {} emits to {at}, which is not there", epoch.task));
            }
        }
        self.tasks.entry(epoch.task).or_default().skip();
    }

    /// Notes what a correct engine never hands in.
    fn check(&mut self, epoch: &FrozenEpoch) {
        let mut wrong = Vec::new();
        let mut emitted = 0;
        for batch in &epoch.outbox {
            let at = TopicPartition::new(batch.topic.clone(), batch.partition);
            emitted += u64::from(batch.records);
            if let Err(e) = self.topics.get(&at) {
                wrong.push(format!("emits to {at}: {e}"));
            }
            match Frame::parse(&batch.frame) {
                Err(e) => wrong.push(format!("emits to {at} what is not a frame: {e}")),
                Ok(frame) if frame.is_empty() || frame.len() as u64 != u64::from(batch.records) => {
                    wrong.push(format!("says {} records for {at}, its frame has {}", batch.records, frame.len()));
                }
                Ok(frame) if frame.iter().any(|r| r.channel != 0) => wrong.push(format!("emits to {at} on a channel")),
                Ok(_) => {}
            }
        }
        let before = self.tasks.entry(epoch.task).or_default().progress.clone();
        let after = &epoch.progress;
        for (at, position) in &before.positions {
            if after.positions.get(at).is_none_or(|p| p < position) {
                wrong.push(format!("goes back in {at} from {position} to {:?}", after.positions.get(at)));
            }
        }
        for (at, position) in &after.positions {
            if self.topics.get(at).is_ok_and(|p| *position > p.end) {
                wrong.push(format!("consumed {at} up to {position}, past its end"));
            }
        }
        if after.records_out != before.records_out + emitted || after.records_in < before.records_in {
            wrong.push(format!("counts {after:?} after {before:?} and {emitted} emitted records"));
        }
        let of = format!("epoch {} of task {}", after.epoch.0, epoch.task);
        self.violations.extend(wrong.into_iter().map(|why| format!("{of} {why}")));
    }
}

/// The answer to a commit, to be given without the lock.
pub(super) type Answer = (CommitDone, std::result::Result<Bytes, CommitFailure>);
