// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The commits of one task, under one generation.
//!
//! ```text
//!  commit ─► prepare: may it be published? ─► delta log ─┬─► outputs ─► watermarks ─► answer
//!               │ no                            │        │    └ again and again, until they are published
//!               └ refused, nothing happened     │        └ the commit point; the next epoch may go to the log meanwhile
//!                                               └ another owner has fenced this one: nothing happened
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::committer::{CommitDone, CommitFailure, CommitResult};
use fnstream_core::epoch::{Epoch, FrozenEpoch, Generation, Progress, TaskId};
use fnstream_core::record::Position;
use fnstream_core::{Error, ErrorCode, failpoint};
use fnstream_pulsar_client::{Error as Failure, Message, Producer, Receipt};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::delta_log::{Entry, Outbox, entries};
use crate::outputs::Outputs;
use crate::place::Shared;
use crate::position::{EntryId, entry_of, position_of, to_bytes};
use crate::{error, runtime};

/// A broker that has not answered for so long is away, for those who look on.
const SILENCE: Duration = Duration::from_secs(2);
const OUTPUTS: &str = "the outputs of the task";
/// How long after a failure to publish it is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// After so long without another commit it is noted that the last one was published.
const REST: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Lane {
    pub generation: Generation,
    jobs: UnboundedSender<Job>,
    shared: Arc<State>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    outputs: Arc<Outputs>,
    /// The producer of the delta log.
    pub log: Producer,
}

#[derive(Default)]
struct State {
    /// How many commits were handed in.
    arrivals: AtomicU64,
    /// Commits with lower numbers fail: one before them has.
    doomed: AtomicU64,
    trouble: Mutex<Option<Error>>,
    open: Open,
    /// Where the entries of commits are that the log still needs.
    places: Mutex<BTreeMap<Epoch, Position>>,
}

struct Job {
    arrival: u64,
    epoch: Arc<FrozenEpoch>,
}

/// Commits that are not answered yet, by their arrival.
type Open = Mutex<BTreeMap<u64, (Epoch, CommitDone)>>;

/// A commit that is in the log.
struct Logged {
    outbox: Outbox,
    progress: Progress,
    log_end: Bytes,
    arrival: u64,
}

/// What a lane begins with.
pub(crate) struct Begin {
    pub task: TaskId,
    pub generation: Generation,
    pub log: Producer,
    pub outputs: Outputs,
    /// The last commit, whose outbox is published.
    pub committed: Epoch,
    pub log_end: Bytes,
    pub places: BTreeMap<Epoch, Position>,
}

impl Lane {
    pub(crate) fn start(shared: &Arc<Shared>, begin: Begin) -> Lane {
        let state = Arc::new(State { places: Mutex::new(begin.places), ..State::default() });
        let (jobs, received) = unbounded_channel();
        let (logged, to_publish) = unbounded_channel();
        let (task, generation, log) = (begin.task, begin.generation, begin.log);
        let outputs = Arc::new(begin.outputs);
        let published = Arc::new(AtomicU64::new(begin.committed.0));
        let logger = Logger {
            shared: shared.clone(),
            state: state.clone(),
            task,
            generation,
            log: log.clone(),
            outputs: outputs.clone(),
            last: begin.committed,
            log_end: begin.log_end,
            published: published.clone(),
            logged,
        };
        let publisher = Publisher {
            shared: shared.clone(),
            state: state.clone(),
            task,
            log: log.clone(),
            outputs: outputs.clone(),
            published,
        };
        let (watched, of) = (log.clone(), shared.clone());
        // One that has nothing to commit would keep its outputs' producers from whoever has the task now.
        let watch = async move {
            if let Failure::ProducerFenced(_) = watched.closed().await {
                of.lose(task, generation);
            }
        };
        let threads = vec![
            runtime::spawn(logger.run(received)),
            runtime::spawn(publisher.run(to_publish)),
            runtime::spawn(watch),
        ];
        Lane { generation, jobs, shared: state, threads: Mutex::new(threads), outputs, log }
    }

    pub(crate) fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let arrival = self.shared.arrivals.fetch_add(1, Ordering::SeqCst);
        self.shared.open.lock().insert(arrival, (epoch.progress.epoch, done));
        if self.jobs.send(Job { arrival, epoch }).is_err() {
            let error = Error::new(ErrorCode::Fenced, "the task was taken over");
            self.shared.answer(arrival, Err(CommitFailure::Fenced(error)));
        }
    }

    pub(crate) fn trouble(&self) -> Option<Error> {
        self.shared.trouble.lock().clone()
    }

    /// The last entry that is needed no more once everything up to an epoch is elsewhere: the one before that epoch's own, which says
    /// where the task stands. None at the beginning of a ledger: it is found out with a later epoch.
    pub(crate) fn droppable(&self, through: Epoch) -> Option<EntryId> {
        let mut places = self.shared.places.lock();
        let kept = places.split_off(&through);
        *places = kept;
        let (ledger, entry) = entry_of(*places.first_key_value()?.1);
        Some((ledger, entry.checked_sub(1)?))
    }

    /// Ends it: nothing is written any more, and producers are closed, so that others may begin at once. Gives the commits that are not
    /// answered yet: whether they were made the log says.
    pub(crate) async fn stop(&self) -> Vec<(Epoch, CommitDone)> {
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in &threads {
            thread.abort();
        }
        for thread in threads {
            // It was aborted.
            drop(thread.await);
        }
        self.outputs.begin_anew().await;
        crate::outputs::end(&self.log).await;
        std::mem::take(&mut *self.shared.open.lock()).into_values().collect()
    }
}

/// Writes the delta log.
struct Logger {
    shared: Arc<Shared>,
    state: Arc<State>,
    task: TaskId,
    generation: Generation,
    log: Producer,
    outputs: Arc<Outputs>,
    /// The last epoch that is in the log.
    last: Epoch,
    log_end: Bytes,
    published: Arc<AtomicU64>,
    logged: UnboundedSender<Logged>,
}

impl Logger {
    async fn run(mut self, mut jobs: UnboundedReceiver<Job>) {
        while let Some(Job { arrival, epoch }) = jobs.recv().await {
            if arrival < self.state.doomed.load(Ordering::SeqCst) {
                let error = Error::new(ErrorCode::CommitAborted, "an epoch before it was not committed");
                drop(epoch);
                self.state.answer(arrival, Err(CommitFailure::Abortable(error)));
                continue;
            }
            let number = epoch.progress.epoch;
            if number <= self.last {
                let again = Logged {
                    outbox: Outbox::default(),
                    progress: Progress::default(),
                    log_end: self.log_end.clone(),
                    arrival,
                };
                drop(epoch);
                drop(self.logged.send(again));
                continue;
            }
            match self.log(&epoch).await {
                Ok((log_end, outbox)) => {
                    self.last = number;
                    self.log_end = log_end.clone();
                    let progress = epoch.progress.clone();
                    // The committer keeps no reference to an epoch that it answers.
                    drop(epoch);
                    drop(self.logged.send(Logged { outbox, progress, log_end, arrival }));
                }
                Err(failure) => {
                    self.state.doomed.store(self.state.arrivals.load(Ordering::SeqCst), Ordering::SeqCst);
                    let is_over = matches!(failure, CommitFailure::Fenced(_) | CommitFailure::Fatal(_));
                    let is_fenced = matches!(failure, CommitFailure::Fenced(_));
                    drop(epoch);
                    self.state.answer(arrival, Err(failure));
                    if is_fenced {
                        self.shared.lose(self.task, self.generation);
                    }
                    if is_over {
                        return;
                    }
                }
            }
        }
    }

    /// Makes an epoch durable. Gives where it is, and how its outbox is to be published.
    async fn log(&mut self, epoch: &FrozenEpoch) -> std::result::Result<(Bytes, Outbox), CommitFailure> {
        failpoint!("pulsar.commit.begin");
        let mut outbox = Outbox::of(epoch);
        if !outbox.batches.is_empty() {
            let prepared = self.state.watch(OUTPUTS, || self.outputs.obstacle(), self.outputs.prepare(&outbox)).await;
            outbox.schemas = prepared.map_err(|refused| match refused.is_final {
                true => CommitFailure::Rejected { error: refused.error, output: Some(refused.output) },
                false => CommitFailure::Retriable(refused.error),
            })?;
        }
        let published = Epoch(self.published.load(Ordering::SeqCst));
        let encoded = entries(epoch, &outbox, published);
        let encoded = encoded.map_err(|error| CommitFailure::Rejected { error, output: None })?;
        failpoint!("pulsar.commit.before-log");
        let mut first: Option<Receipt> = None;
        let mut sent = Vec::new();
        for entry in encoded {
            self.log.ready().await.map_err(|failure| self.failed(&failure))?;
            sent.push(self.log.send(Message::new(entry)));
        }
        for receipt in sent {
            let received = self.state.watch("the delta log", || self.log.obstacle(), receipt).await;
            let received = received.map_err(|failure| self.failed(&failure))?;
            first.get_or_insert(received);
        }
        failpoint!("pulsar.commit.after-log");
        let place = first.map_or(Position::START, |receipt| position_of(&receipt.message_id));
        self.state.places.lock().insert(epoch.progress.epoch, place);
        Ok((Bytes::copy_from_slice(&to_bytes(place)), outbox))
    }

    fn failed(&self, failure: &Failure) -> CommitFailure {
        let error = error::of(format!("committing an epoch of task {}", self.task), failure);
        match failure {
            Failure::ProducerFenced(_) => CommitFailure::Fenced(error),
            _ => CommitFailure::Fatal(Error::new(ErrorCode::CommitFatal, error.message)),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.threads.lock().iter().for_each(JoinHandle::abort);
        for (_, done) in std::mem::take(&mut *self.shared.open.lock()).into_values() {
            unknown(done);
        }
    }
}

/// Answers a commit of which it is not known whether it was made.
pub(crate) fn unknown(done: CommitDone) {
    let error = Error::new(ErrorCode::CommitFatal, "the task was let go of while the epoch was committed");
    done(Err(CommitFailure::Fatal(error)));
}

/// Answers a commit of a task that is another owner's: whether it was made counts for nobody here.
pub(crate) fn fenced(done: CommitDone) {
    let error = Error::new(ErrorCode::Fenced, "the task was taken over while the epoch was committed");
    done(Err(CommitFailure::Fenced(error)));
}

impl State {
    fn answer(&self, arrival: u64, result: CommitResult) {
        let open = self.open.lock().remove(&arrival);
        if let Some((_, done)) = open {
            done(result);
        }
    }

    /// Waits for something that is written, and says why it does not come if that takes long.
    async fn watch<F: Future>(&self, what: &str, obstacle: impl Fn() -> Option<Failure>, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let mut is_late = false;
        loop {
            if let Ok(ready) = timeout(SILENCE, &mut future).await {
                if is_late {
                    *self.trouble.lock() = None;
                }
                return ready;
            }
            is_late = true;
            *self.trouble.lock() = Some(match obstacle() {
                Some(obstacle) => error::of(format!("{what} cannot be written at present"), &obstacle),
                None => {
                    let message = format!("the broker has not answered for {} s about {what}", SILENCE.as_secs());
                    Error::new(ErrorCode::Unavailable, message)
                }
            });
        }
    }
}

/// Publishes outboxes.
struct Publisher {
    shared: Arc<Shared>,
    state: Arc<State>,
    task: TaskId,
    log: Producer,
    outputs: Arc<Outputs>,
    published: Arc<AtomicU64>,
}

impl Publisher {
    async fn run(self, mut logged: UnboundedReceiver<Logged>) {
        let mut is_noted = true;
        loop {
            let next = match is_noted {
                true => logged.recv().await,
                false => match timeout(REST, logged.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        let published = Epoch(self.published.load(Ordering::SeqCst));
                        // Should it not arrive, what was published is published again, and dropped by the broker.
                        drop(self.log.send(Message::new(Entry::Published(published).encode())).await);
                        is_noted = true;
                        continue;
                    }
                },
            };
            let Some(Logged { outbox, progress, log_end, arrival }) = next else { return };
            if progress.epoch > Epoch(0) {
                failpoint!("pulsar.commit.before-outputs");
                self.publish(&outbox, progress.records_out).await;
                failpoint!("pulsar.commit.after-outputs");
                self.published.store(progress.epoch.0, Ordering::SeqCst);
                is_noted &= outbox.batches.is_empty() && outbox.watermarks.is_empty();
                self.shared.committed(self.task, &progress.positions);
            }
            drop(outbox);
            self.state.answer(arrival, Ok(log_end));
        }
    }

    /// It is committed: whatever is in the way has to go.
    async fn publish(&self, outbox: &Outbox, next: u64) {
        let mut wait = AGAIN.0;
        while let Err(error) =
            self.state.watch(OUTPUTS, || self.outputs.obstacle(), self.outputs.publish(outbox, next)).await
        {
            tracing::warn!(task = %self.task, %error, "what is committed cannot be published yet");
            *self.state.trouble.lock() = Some(error);
            self.outputs.begin_anew().await;
            runtime::pause(wait).await;
            wait = (wait * 2).min(AGAIN.1);
        }
        *self.state.trouble.lock() = None;
    }
}
