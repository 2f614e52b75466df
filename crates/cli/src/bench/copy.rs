// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The log copied from topic to topic without any function or engine: what is left of the costs when nothing is processed.
//!
//! One thread for each partition reads a batch as large as an epoch may be and commits it, outbox and position in one
//! write as the engine would, while it reads the next one (depth one, as the engine has).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use fnstream_core::broker::{Assignment, AssignmentListener, Membership, PollLimit, Polled, RevokeDone, Subscription};
use fnstream_core::committer::{Acquired, CommitResult, Committer};
use fnstream_core::delta::Delta;
use fnstream_core::epoch::{FrozenEpoch, OutboxBatch, Progress, TaskId};
use fnstream_core::spec::FunctionEntry;
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_engine::EpochBounds;
use fnstream_store::Store;
use parking_lot::Mutex;

use crate::failure::{Failure, Result};

/// The copying threads.
pub(super) struct Copier {
    threads: Vec<(Sender<Event>, JoinHandle<Result>)>,
    _membership: Box<dyn Membership>,
}

/// What a copying thread waits for.
enum Event {
    Input,
    Committed(CommitResult),
    Stop,
}

/// Keeps what is assigned.
#[derive(Default)]
struct Assignments(Mutex<Vec<Assignment>>);

impl AssignmentListener for Assignments {
    fn assigned(&self, assignment: Assignment) {
        self.0.lock().push(assignment);
    }

    fn revoked(&self, _task: TaskId, _done: RevokeDone) {}

    fn lost(&self, _task: TaskId) {}
}

impl Copier {
    pub(super) fn start(store: &Store, entry: &FunctionEntry, output: &str, epoch: &EpochBounds) -> Result<Self> {
        let listener = Arc::new(Assignments::default());
        let subscription = Subscription::new(entry.id, &entry.spec);
        let membership = store.broker().join(subscription, listener.clone())?;
        let limit = PollLimit { records: epoch.records as usize, bytes: epoch.bytes };
        let mut threads = Vec::new();
        for assignment in std::mem::take(&mut *listener.0.lock()) {
            let (sender, events) = channel();
            let (store, output, stop) = (store.clone(), Topic::own(output), sender.clone());
            threads
                .push((stop, std::thread::spawn(move || copy(&store, &assignment, output, limit, &sender, &events))));
        }
        Ok(Copier { threads, _membership: membership })
    }

    /// Stops the threads when they have copied all there is.
    pub(super) fn join(self) -> Result {
        for (stop, thread) in self.threads {
            drop(stop.send(Event::Stop));
            thread.join().map_err(|_| Failure::Plain("a copying thread ended abnormally".into()))??;
        }
        Ok(())
    }
}

fn copy(
    store: &Store,
    assignment: &Assignment,
    output: Topic,
    limit: PollLimit,
    sender: &Sender<Event>,
    events: &Receiver<Event>,
) -> Result {
    let committer = store.committer();
    let Acquired { generation, mut progress, .. } = committer.acquire(assignment, None, &mut |_, _| Ok(()))?;
    let waker = sender.clone();
    let waker = Waker::new(move || drop(waker.send(Event::Input)));
    let mut source = store.broker().open_source(assignment, &progress.positions, waker)?;
    let mut in_flight = false;
    let mut next = None;
    loop {
        if next.is_none()
            && let Polled::Batch(batch) = source.poll(None, limit)?
        {
            let partition = batch.from().partition;
            progress = Progress {
                epoch: progress.epoch.next(),
                records_in: progress.records_in + batch.len() as u64,
                records_out: progress.records_out + batch.len() as u64,
                ..progress
            };
            if let Some(end) = batch.end() {
                progress.positions.insert(batch.from().clone(), end);
            }
            let outbox = OutboxBatch {
                topic: output.clone(),
                partition,
                frame: batch.bytes().clone(),
                records: batch.len() as u32,
            };
            next = Some(Arc::new(FrozenEpoch {
                task: assignment.task,
                generation,
                progress: progress.clone(),
                delta: Delta::new(),
                outbox: vec![outbox],
                watermarks: Vec::new(),
            }));
        }
        if !in_flight && let Some(epoch) = next.take() {
            commit(&*committer, epoch, sender);
            in_flight = true;
            continue;
        }
        match events.recv() {
            Ok(Event::Committed(Ok(_))) => in_flight = false,
            Ok(Event::Committed(Err(failure))) => return Err(failure.error().clone().into()),
            Ok(Event::Input) => {}
            Ok(Event::Stop) | Err(_) => return Ok(()),
        }
    }
}

fn commit(committer: &dyn Committer, epoch: Arc<FrozenEpoch>, sender: &Sender<Event>) {
    let sender = sender.clone();
    committer.commit(epoch, Box::new(move |done| drop(sender.send(Event::Committed(done)))));
}
