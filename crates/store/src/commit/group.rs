// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One group: jobs off the queue become one write, and its outcome becomes their answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::acks::AckDone;
use fnstream_core::committer::{CommitDone, CommitFailure, CommitResult};
use fnstream_core::epoch::{Epoch, Generation, OutboxWatermark, TaskId};
use fnstream_core::producers::{NumberedAppend, NumberedDone};
use fnstream_core::record::Position;
use fnstream_core::topics::{AppendDone, Appended};
use fnstream_core::{Error, ErrorCode, Result, failpoint, panics};
use rocksdb::WriteBatch;

use super::ledger::{Ledger, Verdict};
use super::numbered::NumberedJob;
use crate::db::{Db, Sync};
use crate::formats::{Floor, StoredBatch};
use crate::inner::Inner;
use crate::keys;
use crate::log::acks::Changes;
use crate::log::cut::Part;
use crate::log::partition::Topic;
use crate::log::producers::Producer;
use crate::log::watermarks::{Raised, Writers};
use crate::options::Durability;

/// A request to the thread.
pub(crate) enum Job {
    Commit(Commit),
    Append { topic: Arc<Topic>, parts: Vec<Part>, done: AppendDone },
    Numbered(Box<NumberedJob>),
    Acks { topic: Arc<Topic>, changes: Changes, letters: Option<(Arc<Topic>, Vec<Part>)>, done: AckDone },
    Trim { task: TaskId, through: Epoch },
}

/// An epoch, with what its own thread could prepare.
pub(crate) struct Commit {
    pub task: TaskId,
    pub generation: Generation,
    pub epoch: Epoch,
    pub outbox: Vec<(Arc<str>, Part)>,
    pub progress: Vec<u8>,
    /// The encoded state writes, when there are any.
    pub delta: Option<Vec<u8>>,
    pub watermarks: Vec<OutboxWatermark>,
    pub done: CommitDone,
}

impl Job {
    /// About how much the job adds to a write.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Job::Commit(commit) => {
                let state = commit.delta.as_ref().map_or(0, Vec::len);
                state + commit.progress.len() + commit.outbox.iter().map(|(_, part)| part.bytes()).sum::<usize>()
            }
            Job::Append { parts, .. } => parts.iter().map(Part::bytes).sum(),
            Job::Numbered(job) => job.parts.iter().map(Part::bytes).sum(),
            Job::Acks { changes, letters, .. } => {
                let letters = letters.iter().flat_map(|(_, parts)| parts).map(Part::bytes).sum::<usize>();
                changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum::<usize>()
                    + letters
            }
            Job::Trim { .. } => 0,
        }
    }

    /// Answers a job that will never be done.
    pub(crate) fn refuse(self, error: &Error) {
        match self {
            Job::Commit(commit) => (commit.done)(Err(CommitFailure::Fatal(error.clone()))),
            Job::Append { done, .. } => done(Err(error.clone())),
            Job::Numbered(job) => (job.done)(Err(error.clone())),
            Job::Acks { done, .. } => done(Err(error.clone())),
            Job::Trim { .. } => {}
        }
    }
}

/// An answer to give when the write has ended.
pub(super) enum Answer {
    Commit(CommitDone, Option<CommitResult>),
    Append(AppendDone, Result<Appended>),
    Numbered(NumberedDone, Result<NumberedAppend>),
    Acks(AckDone, Result<()>),
}

/// Jobs that are written together.
pub(crate) struct Group<'a> {
    pub(super) store: &'a Inner,
    pub(super) db: Arc<Db>,
    pub(super) batch: WriteBatch,
    ends: HashMap<(u32, u32), (Arc<Topic>, Floor)>,
    /// Writers of topics to which watermarks were emitted.
    writers: HashMap<u32, (Arc<Topic>, Writers)>,
    tasks: HashSet<TaskId>,
    /// The first epochs that are trimmed.
    trims: Vec<(TaskId, Epoch)>,
    pub(super) answers: Vec<Answer>,
    /// Producers whose records are in it, by their keys.
    pub(super) producers: HashMap<Vec<u8>, Producer>,
    value: Vec<u8>,
    /// When the records of the group arrive.
    now_ms: i64,
    /// Set if anything is in it that somebody waits for.
    pub(super) awaited: bool,
}

impl<'a> Group<'a> {
    pub(crate) fn new(store: &'a Inner, db: Arc<Db>) -> Self {
        Group {
            store,
            db,
            batch: WriteBatch::default(),
            ends: HashMap::new(),
            writers: HashMap::new(),
            tasks: HashSet::new(),
            trims: Vec::new(),
            answers: Vec::new(),
            producers: HashMap::new(),
            value: Vec::new(),
            now_ms: store.options.clock.unix_ms(),
            awaited: false,
        }
    }

    /// Writes all jobs together, moves what they move, and answers them.
    pub(crate) fn run(mut self, jobs: impl Iterator<Item = Job>) {
        let store = self.store;
        let mut ledger = store.ledger.lock();
        for job in jobs {
            match job {
                Job::Commit(commit) => self.add_commit(&mut ledger, commit),
                Job::Append { topic, parts, done } => self.add_append(&topic, &parts, done),
                Job::Numbered(job) => self.add_numbered(*job),
                Job::Acks { topic, changes, letters, done } => {
                    let staged = self.add_acks(&topic, changes, letters);
                    self.answers.push(Answer::Acks(done, staged));
                }
                Job::Trim { task, through } => self.add_trim(&mut ledger, task, through),
            }
        }
        let raised = self.raise();
        let written = self.write();
        for &task in &self.tasks {
            match &written {
                Ok(()) => ledger.committed(task),
                Err(e) => ledger.failed(task, &CommitFailure::Retriable(e.clone())),
            }
        }
        if written.is_ok() {
            for ((_, partition), (topic, end)) in &self.ends {
                topic.partitions[*partition as usize].set_end(*end);
            }
            raised.iter().for_each(Raised::written);
        } else {
            self.trims.iter().for_each(|(task, from)| ledger.untrim(*task, *from));
        }
        drop(ledger);
        for answer in self.answers {
            // All is done by then: one who panics at an answer must not cost the others theirs.
            tell(|| answer.give(&written));
        }
        if written.is_ok() {
            for ((_, partition), (topic, _)) in &self.ends {
                topic.partitions[*partition as usize].wake();
            }
            raised.iter().for_each(Raised::wake);
        }
    }

    fn add_commit(&mut self, ledger: &mut Ledger, commit: Commit) {
        let (task, epoch) = (commit.task, commit.epoch);
        let early = match ledger.admit(task, commit.generation, epoch) {
            Verdict::Commit => match self.stage(ledger, &commit) {
                Ok(()) => {
                    self.tasks.insert(task);
                    None
                }
                Err(e) => {
                    ledger.unstage(task, epoch);
                    Some(Err(CommitFailure::Abortable(e)))
                }
            },
            Verdict::Staged => None,
            Verdict::Committed => Some(Ok(Bytes::new())),
            Verdict::Refuse(failure) => Some(Err(failure)),
        };
        self.answers.push(Answer::Commit(commit.done, early));
    }

    /// Everything that can fail comes before the first thing that is put into the batch.
    fn stage(&mut self, ledger: &Ledger, commit: &Commit) -> Result<()> {
        let (store, task) = (self.store, commit.task);
        let outbox: Result<Vec<_>> = commit
            .outbox
            .iter()
            .map(|(name, part)| {
                let topic = store.topics.get(name)?;
                topic.partition(part.partition)?;
                Ok((topic, part))
            })
            .collect();
        let outbox = outbox?;
        let watermarks: Result<Vec<_>> =
            commit.watermarks.iter().map(|said| Ok((store.topics.get(said.topic.own_name()?)?, said))).collect();
        let watermarks = watermarks?;
        if let Some(delta) = &commit.delta {
            self.batch.put_cf(self.db.family(keys::DELTAS), keys::delta(task, commit.epoch), delta);
        }
        self.batch.put_cf(self.db.family(keys::META), keys::progress(task), &commit.progress);
        for (topic, part) in outbox {
            self.place(&topic, part);
        }
        for (topic, said) in watermarks {
            let known = self.writers.entry(topic.id).or_insert_with(|| (topic.clone(), topic.writers()));
            known.1.say(task, said, ledger.tasks_of(task.function));
        }
        self.awaited = true;
        Ok(())
    }

    /// Puts the watermarks that were emitted into the write, behind its records.
    fn raise(&mut self) -> Vec<Raised> {
        let mut raised = Vec::new();
        for (topic, writers) in std::mem::take(&mut self.writers).into_values() {
            let end = |partition: u32| match self.ends.get(&(topic.id, partition)) {
                Some((_, end)) => end.position,
                None => topic.partitions[partition as usize].marks().end.position,
            };
            raised.push(Raised::stage(&self.db, &mut self.batch, &topic, writers, end));
        }
        raised
    }

    fn add_append(&mut self, topic: &Arc<Topic>, parts: &[Part], done: AppendDone) {
        let checked: Result<Vec<_>> = parts.iter().map(|part| topic.partition(part.partition)).collect();
        let placed = checked
            .map(|_| parts.iter().map(|part| (part.partition, self.place(topic, part), part.records())).collect());
        self.awaited |= placed.is_ok();
        self.answers.push(Answer::Append(done, placed));
    }

    /// Everything that can fail comes before the first thing that is put into the batch.
    fn add_acks(&mut self, topic: &Topic, changes: Changes, letters: Option<(Arc<Topic>, Vec<Part>)>) -> Result<()> {
        topic.partition(0)?;
        if let Some((topic, parts)) = &letters {
            parts.iter().try_for_each(|part| topic.partition(part.partition).map(drop))?;
        }
        let meta = self.db.family(keys::META);
        for (key, value) in changes {
            match value {
                Some(value) => self.batch.put_cf(meta, key, value),
                None => self.batch.delete_cf(meta, key),
            }
        }
        if let Some((topic, parts)) = &letters {
            for part in parts {
                self.place(topic, part);
            }
        }
        self.awaited = true;
        Ok(())
    }

    /// Puts records at the next positions of a partition; answers the first.
    pub(super) fn place(&mut self, topic: &Arc<Topic>, part: &Part) -> Position {
        let (_, end) = self
            .ends
            .entry((topic.id, part.partition))
            .or_insert_with(|| (topic.clone(), topic.partitions[part.partition as usize].marks().end));
        let first = Position(end.position.into());
        for piece in &part.pieces {
            StoredBatch::encode(&mut self.value, end.bytes_before, self.now_ms, &piece.frame);
            let key = keys::batch(topic.id, part.partition, end.position);
            self.batch.put_cf(self.db.family(keys::TOPICS), key, &self.value);
            end.position += u64::from(piece.records);
            end.bytes_before += piece.frame.len() as u64;
        }
        first
    }

    fn add_trim(&mut self, ledger: &mut Ledger, task: TaskId, through: Epoch) {
        if let Some((from, end)) = ledger.trim(task, through) {
            self.trims.push((task, from));
            let range = keys::delta(task, from)..keys::delta(task, end);
            self.db.delete_range(&mut self.batch, keys::DELTAS, range);
        }
    }

    fn write(&mut self) -> Result<()> {
        let unsynced = self.store.options.durability == Durability::Os || !self.awaited;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        failpoint!("commit.before-write");
        crate::faults::write_group(&self.db, batch, if unsynced { Sync::No } else { Sync::Yes })?;
        failpoint!("commit.after-write");
        Ok(())
    }
}

/// Answers jobs that cannot be done while the database is closed. Epochs may be handed in again.
pub(super) fn put_off(store: &Inner, jobs: Vec<Job>, closed: &Error) {
    let failure = CommitFailure::Retriable(closed.clone());
    for job in jobs {
        if let Job::Commit(commit) = &job {
            store.ledger.lock().put_off(commit.task, commit.generation, &failure);
        }
        // As in a group, one who panics at an answer must not cost the others theirs.
        tell(|| match job {
            Job::Commit(commit) => (commit.done)(Err(failure.clone())),
            Job::Append { done, .. } => done(Err(closed.clone())),
            Job::Numbered(job) => (job.done)(Err(closed.clone())),
            Job::Acks { done, .. } => done(Err(closed.clone())),
            // Nobody waits for it, and the next one covers it.
            Job::Trim { .. } => {}
        });
    }
}

fn tell(answer: impl FnOnce()) {
    if let Err(panicked) = panics::catch(answer) {
        let message = panicked.to_error().message;
        tracing::error!(code = %ErrorCode::Panicked, "taking the answer of a commit {message}");
    }
}

impl Answer {
    fn give(self, written: &Result<()>) {
        match self {
            Answer::Commit(done, early) => done(early.unwrap_or_else(|| match written {
                Ok(()) => Ok(Bytes::new()),
                Err(e) => Err(CommitFailure::Retriable(e.clone())),
            })),
            Answer::Acks(done, staged) => done(staged.and_then(|()| written.clone())),
            Answer::Append(done, placed) => done(placed.and_then(|placed| written.clone().map(|()| placed))),
            Answer::Numbered(done, staged) => done(staged.and_then(|staged| written.clone().map(|()| staged))),
        }
    }
}
