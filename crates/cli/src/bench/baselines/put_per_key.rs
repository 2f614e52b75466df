// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State as one put for each key of an epoch, written with its commit: what a system without lazily applied deltas does.
//!
//! The state is written unsynced just before the rest of the epoch, whose write then syncs both, since they are in one
//! write-ahead log. That costs one small write for each epoch more than a single write would.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use fnstream_core::broker::Assignment;
use fnstream_core::committer::{Acquired, CommitDone, CommitFailure, Committer, Replay};
use fnstream_core::delta::Delta;
use fnstream_core::epoch::{Epoch, FrozenEpoch, TaskId};
use fnstream_core::error::internal;
use fnstream_core::state::{Marker, StateStore, StateStores, Unfinished, Visit};
use fnstream_core::{Result, error::Error};
use fnstream_store::Store;
use parking_lot::Mutex;

type Seams = (Arc<dyn Committer>, Arc<dyn StateStores>);

pub(super) fn seams(store: &Store) -> crate::failure::Result<Seams> {
    let (queue, epochs) = channel();
    let writer = Writer { committer: store.committer(), stores: store.state_stores() };
    let thread = thread::Builder::new().name("put-per-key".to_owned()).spawn(move || writer.run(&epochs))?;
    let thread = Mutex::new(Some(thread));
    let committer = PutPerKey { inner: store.committer(), queue: Mutex::new(Some(queue)), thread };
    Ok((Arc::new(committer), Arc::new(Written(store.state_stores()))))
}

/// An epoch and whom to tell.
type HandedIn = (Arc<FrozenEpoch>, CommitDone);

/// A committer that writes state itself, on a thread of its own as the store's commits are.
struct PutPerKey {
    inner: Arc<dyn Committer>,
    queue: Mutex<Option<Sender<HandedIn>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer for PutPerKey {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        self.inner.acquire(assignment, applied, replay)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let unsent = match &*self.queue.lock() {
            Some(queue) => queue.send((epoch, done)).err().map(|unsent| unsent.0.1),
            None => Some(done),
        };
        if let Some(done) = unsent {
            done(Err(CommitFailure::Fatal(internal("the thread that writes state has ended"))));
        }
    }

    /// There are no deltas.
    fn trim(&self, _: TaskId, _: Epoch) {}

    fn trouble(&self, task: TaskId) -> Option<Error> {
        self.inner.trouble(task)
    }
}

impl Drop for PutPerKey {
    fn drop(&mut self) {
        *self.queue.lock() = None;
        // Dropped by the last answer, it would wait for itself.
        if let Some(thread) = self.thread.lock().take().filter(|thread| thread.thread().id() != thread::current().id())
        {
            drop(thread.join());
        }
    }
}

struct Writer {
    committer: Arc<dyn Committer>,
    stores: Arc<dyn StateStores>,
}

impl Writer {
    fn run(&self, epochs: &Receiver<(Arc<FrozenEpoch>, CommitDone)>) {
        while let Ok((epoch, done)) = epochs.recv() {
            if let Err(error) = self.write_state(&epoch) {
                drop(epoch);
                done(Err(CommitFailure::Fatal(error)));
                continue;
            }
            let rest = FrozenEpoch {
                task: epoch.task,
                generation: epoch.generation,
                progress: epoch.progress.clone(),
                delta: Delta::new(),
                outbox: epoch.outbox.clone(),
                watermarks: epoch.watermarks.clone(),
            };
            drop(epoch);
            self.committer.commit(Arc::new(rest), done);
        }
    }

    fn write_state(&self, epoch: &FrozenEpoch) -> Result<(), Error> {
        if epoch.delta.has_merges() {
            return Err(internal("the baseline of one put per key knows no merges"));
        }
        if epoch.delta.is_empty() {
            return Ok(());
        }
        let marker = Marker { epoch: epoch.progress.epoch, log_end: Bytes::new() };
        self.stores.open(epoch.task)?.apply(&epoch.delta, &marker)
    }
}

/// Stores in which everything is that was committed, so that applying it later is nothing to do.
struct Written(Arc<dyn StateStores>);

impl StateStores for Written {
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>> {
        Ok(Arc::new(WrittenStore(self.0.open(task)?)))
    }
}

struct WrittenStore(Arc<dyn StateStore>);

impl StateStore for WrittenStore {
    fn marker(&self) -> Result<Option<Marker>> {
        self.0.marker()
    }

    fn unfinished(&self) -> Result<Option<Unfinished>> {
        self.0.unfinished()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.0.get(key)
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.0.scan(start, end, visit)
    }

    fn apply(&self, _: &Delta, _: &Marker) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fnstream_core::delta::Write;
    use fnstream_core::topics::Retention;

    use super::super::tests::{acquire, commit, epoch, outbox, put, store, task};
    use super::*;

    #[test]
    fn each_epoch_is_in_the_store_when_it_is_committed_and_leaves_no_delta() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        store.topics().create(&"out".into(), 1, Retention::default()).unwrap();
        let (committer, states) = seams(&store).unwrap();
        let generation = acquire(&*committer, None).generation;
        for n in 1..=5 {
            commit(&*committer, epoch(generation, n, put("k", &n.to_string()), vec![outbox(0, "x")])).unwrap();
        }
        let state = states.open(task()).unwrap();
        let marker = state.marker().unwrap().unwrap();
        assert_eq!(marker.epoch, Epoch(5));
        // What the engine does with a committed delta.
        state.apply(&put("k", "late"), &marker).unwrap();
        assert_eq!(state.get(b"k").unwrap().unwrap(), "5");
        assert_eq!(store.topics().describe(&"out".into()).unwrap().partitions[0].end.0, 5);
        let mut replayed = 0;
        let count = &mut |_, _| {
            replayed += 1;
            Ok(())
        };
        committer.acquire(&super::super::tests::assignment(), None, count).unwrap();
        assert_eq!(replayed, 0);
    }

    #[test]
    fn a_merge_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (committer, _states) = seams(&store(dir.path())).unwrap();
        let generation = acquire(&*committer, None).generation;
        let mut delta = Delta::new();
        delta.write(b"k", Write::Merge(Bytes::from_static(b"+")));
        assert!(matches!(commit(&*committer, epoch(generation, 1, delta, Vec::new())), Err(CommitFailure::Fatal(_))));
    }
}
