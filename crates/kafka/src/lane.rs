// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The thread that commits: it takes all that waits and makes one transaction of it.
//!
//! ```text
//!  begin ─► outputs ─► entries of the delta logs ─► all delivered ─► offsets of groups ─► commit ─► answers
//!  └────────── a failure here: aborted, nothing happened ──────────────────────────┘      └ it is not known: fatal
//! ```
//!
//! User code never runs within a transaction: everything that is in it was frozen before it began. A record that the broker
//! refuses for good is blamed on its epoch; the others are committed in a transaction without it.
//!
//! Two producers take turns: until the broker has written the marks of a transaction's end it has the producer's next one wait, which
//! librdkafka asks for again after 20 ms. What the one commits was decided before the other begins.
//!
//! Whoever is fenced by another producer of the same transactional id has lost all tasks of the lane. Since this process is
//! the only one that runs them, they fall to it again with a higher lease, after a wait that grows if that happens again.

mod plan;
mod transaction;

pub(crate) use transaction::{STATES, producers_of};

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use fnstream_core::committer::{CommitDone, CommitFailure, CommitResult};
use fnstream_core::epoch::{FrozenEpoch, Generation, TaskId};
use fnstream_core::error::internal;
use fnstream_core::topic::Topic;
use fnstream_core::{Error, ErrorCode, Result};

use self::transaction::Ended;
use crate::delta_log::Entry;
use crate::native::{Producer, TopicHandle};
use crate::place::{Function, Share, Shared};
use crate::state::Record;

/// How many producers of a lane take turns.
const TURNS: usize = 2;
/// How many commits are merged at most.
const MOST: usize = 1_000;
/// How long a broker that is away is waited for before what needs it is answered that it is away.
const INIT_MS: i32 = 20_000;

/// So many times a proof of membership that did not hold is replaced by the next one.
const UNPROVED: usize = 20;

/// What the thread is asked for.
pub(crate) enum Job {
    /// To commit an epoch.
    Commit { arrival: u64, epoch: Arc<FrozenEpoch>, done: CommitDone },
    /// To write an entry into a delta log. With a task it fences all owners before.
    Note { fences: Option<TaskId>, topic: String, partition: u32, value: Vec<u8>, reply: Sender<Result<i64>> },
    /// To write records with keys, and an entry into the delta log with them. With a task it has to be this process's.
    Write {
        task: Option<TaskId>,
        topic: String,
        partition: u32,
        records: Vec<Record>,
        entry: Option<(String, Vec<u8>)>,
        reply: Sender<Result<i64>>,
    },
    /// To drop the records of a partition below an offset.
    Trim { topic: String, partition: u32, below: i64 },
    /// To begin anew after this lane was fenced.
    Rejoin(Arc<Function>),
}

/// The way to the thread.
pub(crate) struct Lane {
    jobs: Sender<Job>,
}

impl Lane {
    /// The lane of that number; without one, that of the states, which commits no epochs.
    pub(crate) fn start(number: Option<usize>, shared: &Arc<Shared>) -> Result<Lane> {
        let (jobs, received) = unbounded();
        let thread = Thread {
            number,
            shared: Arc::downgrade(shared),
            jobs: received,
            again: jobs.clone(),
            producers: (0..number.map_or(1, |_| TURNS)).map(|_| None).collect(),
            turn: 0,
            ends: HashMap::new(),
            fenced: 0,
            moved: Instant::now(),
        };
        let spawned = thread::Builder::new().name("kafka-commit".into()).spawn(move || thread.run());
        spawned.map_err(|e| internal(format!("no thread for committing to Kafka: {e}")))?;
        Ok(Lane { jobs })
    }

    /// Writes records in a transaction; answers the offset of the last of them.
    pub(crate) fn write(
        &self,
        task: Option<TaskId>,
        topic: &str,
        partition: u32,
        records: Vec<Record>,
        entry: Option<(String, Vec<u8>)>,
    ) -> Result<i64> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.hand_in(Job::Write { task, topic: topic.to_owned(), partition, records, entry, reply });
        answer.recv().unwrap_or_else(|_| Err(Error::new(ErrorCode::ShuttingDown, "the connection to Kafka was closed")))
    }

    pub(crate) fn hand_in(&self, job: Job) {
        if let Err(unsent) = self.jobs.send(job) {
            refuse(unsent.into_inner(), &Error::new(ErrorCode::ShuttingDown, "the connection to Kafka was closed"));
        }
    }

    /// Writes an entry in a transaction; answers its offset.
    pub(crate) fn note_of(&self, fences: Option<TaskId>, topic: &str, partition: u32, value: Vec<u8>) -> Result<i64> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.hand_in(Job::Note { fences, topic: topic.to_owned(), partition, value, reply });
        answer.recv().unwrap_or_else(|_| Err(Error::new(ErrorCode::ShuttingDown, "the connection to Kafka was closed")))
    }
}

fn refuse(job: Job, error: &Error) {
    match job {
        Job::Commit { epoch, done, .. } => {
            drop(epoch);
            done(Err(CommitFailure::Retriable(error.clone())));
        }
        // Whoever asked may have gone.
        Job::Note { reply, .. } | Job::Write { reply, .. } => drop(reply.send(Err(error.clone()))),
        Job::Trim { .. } | Job::Rejoin(_) => {}
    }
}

/// A producer that may begin a transaction.
struct Beginner {
    producer: Producer,
    topics: HashMap<String, TopicHandle>,
}

struct Thread {
    number: Option<usize>,
    /// Ends when nobody has the place any more.
    shared: Weak<Shared>,
    jobs: Receiver<Job>,
    again: Sender<Job>,
    /// They make transactions by turns: a broker that is still ending one of a producer has the next of the same producer wait.
    producers: Vec<Option<Beginner>>,
    turn: usize,
    /// For what emits watermarks: behind a task's records in each partition of a topic, and how often it has said something.
    ends: HashMap<(TaskId, Topic), (BTreeMap<u32, i64>, u64)>,
    /// How often it was fenced since it has committed something.
    fenced: u32,
    /// When groups were moved last that follow functions.
    moved: Instant,
}

/// The end of a delta log after an offset.
pub(crate) fn log_end(offset: i64) -> Bytes {
    Bytes::copy_from_slice(&offset.to_be_bytes())
}

impl Thread {
    fn run(mut self) {
        let mut waiting: Vec<Job> = Vec::new();
        if let Some(shared) = self.shared.upgrade().filter(|shared| shared.options.sharing.is_some())
            && let Err(error) = self.ready(&shared)
        {
            // What this process has left open in an earlier life is aborted at once where that is possible, for others wait for it.
            tracing::debug!(lane = ?self.number, %error, "nobody is fenced yet");
        }
        loop {
            // `again` keeps the channel open, so the place's end is looked for.
            let first = match self.jobs.recv_timeout(Duration::from_secs(1)) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) if self.shared.strong_count() > 0 => {
                    // What it says by itself meanwhile.
                    self.producers.iter().flatten().for_each(|beginner| beginner.producer.poll(0));
                    self.move_groups();
                    continue;
                }
                Err(_) => return,
            };
            waiting.push(first);
            waiting.extend(self.jobs.try_iter().take(MOST));
            let Some(shared) = self.shared.upgrade() else { return };
            self.perform(&shared, std::mem::take(&mut waiting));
            drop(shared);
            self.move_groups();
        }
    }

    /// The lane of the states does so, which nobody waits for.
    fn move_groups(&mut self) {
        if self.number.is_some() || self.moved.elapsed() < Duration::from_millis(900) {
            return;
        }
        self.moved = Instant::now();
        if let Some(shared) = self.shared.upgrade() {
            shared.move_groups();
        }
    }

    /// Makes transactions until everything is answered.
    fn perform(&mut self, shared: &Arc<Shared>, mut jobs: Vec<Job>) {
        for job in jobs.extract_if(.., |job| matches!(job, Job::Trim { .. })) {
            let Job::Trim { topic, partition, below } = job else { continue };
            // A hint: the next one drops more.
            if let Err(error) = shared.admin.delete_records(&topic, partition, below) {
                tracing::debug!(topic, partition, error = %error, "a delta log was not trimmed");
            }
        }
        let mut unproved = 0;
        while !jobs.is_empty() {
            // Before it is looked at whose the tasks are.
            let proof = match shared.share().map(Share::proof).transpose() {
                Ok(proof) => proof,
                Err(error) => {
                    plan::doom(&mut shared.owners.lock(), &jobs);
                    jobs.drain(..).for_each(|job| refuse_again(job, &error, &self.again));
                    return;
                }
            };
            let planned = plan::plan(&mut shared.owners.lock(), jobs, &|job| shared.is_lost(job));
            for (epoch, done, result) in planned.decided {
                drop(epoch);
                done(result);
            }
            jobs = planned.jobs;
            if jobs.is_empty() {
                return;
            }
            let begun = Instant::now();
            let ended = self.transact(shared, &jobs, proof.as_ref().map(|(proof, _)| proof));
            match &ended {
                Ended::Committed(_) => shared.meter.committed(begun.elapsed()),
                Ended::Nothing(_) | Ended::Unproved(_) | Ended::Blamed { .. } => shared.meter.aborted(),
                Ended::Fenced(_) => shared.meter.fenced(),
                Ended::Unknown(_) => shared.meter.unknown(),
            }
            match ended {
                Ended::Committed(offsets) => {
                    self.fenced = 0;
                    self.finish(shared, std::mem::take(&mut jobs), &offsets);
                }
                Ended::Nothing(error) => {
                    plan::doom(&mut shared.owners.lock(), &jobs);
                    jobs.drain(..).for_each(|job| refuse_again(job, &error, &self.again));
                }
                Ended::Unproved(error) => {
                    tracing::debug!(lane = ?self.number, %error, "the group of processes has another generation");
                    unproved += 1;
                    if unproved < UNPROVED
                        && let Some((share, (_, version))) = shared.share().zip(proof)
                    {
                        // Tasks that stay here go on with the next proof.
                        share.await_news(version);
                        continue;
                    }
                    plan::doom(&mut shared.owners.lock(), &jobs);
                    jobs.drain(..).for_each(|job| refuse_again(job, &error, &self.again));
                }
                Ended::Blamed { job, output, error } => self.reject(shared, jobs.remove(job), output, error),
                // Whoever has taken a task over has aborted what this process had left open. What it writes of its own tasks since then is
                // another matter, and writing state twice changes nothing.
                Ended::Fenced(_) if self.number.is_none() && shared.share().is_some() && unproved < UNPROVED => {
                    unproved += 1;
                }
                Ended::Fenced(error) => self.fence(shared, std::mem::take(&mut jobs), &error),
                Ended::Unknown(error) => {
                    plan::doom(&mut shared.owners.lock(), &jobs);
                    for job in jobs.drain(..) {
                        match job {
                            Job::Commit { epoch, done, .. } => {
                                drop(epoch);
                                done(Err(CommitFailure::Fatal(Error::new(
                                    ErrorCode::CommitFatal,
                                    error.message.clone(),
                                ))));
                            }
                            other => refuse_again(other, &error, &self.again),
                        }
                    }
                }
            }
        }
    }

    fn finish(&self, shared: &Arc<Shared>, jobs: Vec<Job>, offsets: &[i64]) {
        for (job, offset) in jobs.into_iter().zip(offsets) {
            match job {
                Job::Commit { epoch, done, .. } => {
                    let below = plan::committed(&mut shared.owners.lock(), &epoch, *offset);
                    if let Some((below, function)) = below.zip(shared.function(epoch.task.function).ok()) {
                        let trim = Job::Trim { topic: function.log.clone(), partition: epoch.task.index, below };
                        // The receiver is this thread's own.
                        drop(self.again.send(trim));
                    }
                    drop(epoch);
                    done(Ok(log_end(*offset)));
                }
                Job::Note { reply, fences, .. } => {
                    if let Some(task) = fences {
                        shared.owners.lock().entry(task).or_default().generation = Some(Generation(*offset as u64 + 1));
                    }
                    // Whoever asked may have gone.
                    drop(reply.send(Ok(*offset)));
                }
                // Whoever asked may have gone.
                Job::Write { reply, .. } => drop(reply.send(Ok(*offset))),
                Job::Trim { .. } => {}
                Job::Rejoin(function) => shared.assign(&function, *offset as u64 + 1, self.runs()),
            }
        }
    }

    /// Which tasks are committed here.
    fn runs(&self) -> impl Fn(TaskId) -> bool + use<> {
        let (number, shared) = (self.number, self.shared.clone());
        move |task| {
            let lanes = shared.upgrade().map_or(1, |shared| shared.options.lanes.max(1));
            number == Some(lane_of(task, lanes))
        }
    }

    fn reject(&self, shared: &Arc<Shared>, job: Job, output: Option<u32>, error: Error) {
        plan::doom(&mut shared.owners.lock(), std::slice::from_ref(&job));
        match job {
            Job::Commit { epoch, done, .. } => {
                drop(epoch);
                // What is not the epoch's own fault, such as rights that are missing, can be cured.
                done(Err(match error.code {
                    ErrorCode::CommitRejected => CommitFailure::Rejected { error, output },
                    _ => CommitFailure::Retriable(error),
                }));
            }
            other => refuse_again(other, &error, &self.again),
        }
    }

    fn fence(&mut self, shared: &Arc<Shared>, jobs: Vec<Job>, error: &Error) {
        match shared.share() {
            None => {
                tracing::warn!(lane = ?self.number, %error, "another process commits under the name of this server")
            }
            Some(_) => {
                tracing::info!(lane = ?self.number, %error, "another process has aborted what this one had left open")
            }
        }
        let functions = shared.lose(&self.runs());
        for job in jobs {
            match job {
                Job::Commit { epoch, done, .. } => {
                    drop(epoch);
                    done(Err(CommitFailure::Fenced(error.clone())));
                }
                other => refuse(other, error),
            }
        }
        if let Some(share) = shared.share() {
            // What it still has is its own: its membership says so, and no transactional id.
            let runs = self.runs();
            for function in functions {
                let is_held = |task: TaskId| runs(task) && share.holds(&function.log, task.index);
                shared.assign(&function, share.next_lease(), is_held);
            }
            return;
        }
        self.fenced += 1;
        if self.fenced > 1 {
            let wait = Duration::from_secs(1 << self.fenced.min(6));
            tracing::error!(?wait, "two processes run under one name, and take their tasks from each other");
            pause(wait);
        }
        for function in functions.into_iter().filter(|_| self.number.is_some()) {
            // The receiver is this thread's own.
            drop(self.again.send(Job::Rejoin(function)));
        }
    }
}

/// Who else is there gets its turn before this process fences it once more.
#[expect(clippy::disallowed_methods, reason = "nothing tells when a misconfigured process has given up")]
fn pause(wait: Duration) {
    thread::sleep(wait);
}

fn refuse_again(job: Job, error: &Error, again: &Sender<Job>) {
    match job {
        // The receiver is the sender's own thread.
        Job::Rejoin(_) => drop(again.send(job)),
        job => refuse(job, error),
    }
}

/// The lane of a task.
pub(crate) fn lane_of(task: TaskId, lanes: usize) -> usize {
    (task.function.0 as usize + task.index as usize) % lanes
}

/// What a commit is answered without a transaction.
pub(crate) type Decided = (Arc<FrozenEpoch>, CommitDone, CommitResult);

impl Shared {
    /// Whether a task that is to be taken over has fallen to another process meanwhile.
    fn is_lost(&self, job: &Job) -> bool {
        match (self.share(), job) {
            (Some(share), Job::Note { fences: Some(_), topic, partition, .. }) => !share.holds(topic, *partition),
            _ => false,
        }
    }
}

impl Job {
    /// The function whose epoch it commits.
    fn function(&self, shared: &Shared) -> Option<Arc<Function>> {
        let Job::Commit { epoch, .. } = self else { return None };
        shared.function(epoch.task.function).ok()
    }

    /// The entry that it writes into a delta log beside what else it does.
    fn rejoins(&self) -> Option<Result<Vec<u8>>> {
        matches!(self, Job::Rejoin(_)).then(|| Entry::Join.encode())
    }
}
