// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Outputs are appended and nothing else is kept: what a system without commits would write.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::broker::Assignment;
use fnstream_core::committer::{Acquired, CommitDone, CommitFailure, Committer, Replay};
use fnstream_core::epoch::{Epoch, FrozenEpoch, TaskId};
use fnstream_core::state::Marker;
use fnstream_core::topics::Topics;
use fnstream_core::{Error, Result};
use fnstream_store::Store;
use parking_lot::Mutex;

/// Forgets positions and state with the process. The store is to be opened with [`fnstream_store::Durability::Os`], so that
/// its appends are not synced.
pub(super) struct NoCommit {
    inner: Arc<dyn Committer>,
    topics: Arc<dyn Topics>,
}

impl NoCommit {
    pub(super) fn new(store: &Store) -> Self {
        NoCommit { inner: store.committer(), topics: store.topics() }
    }
}

impl Committer for NoCommit {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        self.inner.acquire(assignment, applied, replay)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let outbox = epoch.outbox.clone();
        drop(epoch);
        if outbox.is_empty() {
            return done(Ok(Bytes::new()));
        }
        let answers = Arc::new(Answers(Mutex::new((outbox.len(), Ok(()), Some(done)))));
        for batch in outbox {
            let answers = answers.clone();
            let note = move |answer: Result<_>| answers.note(answer.map(|_| ()));
            self.topics.append(&batch.topic, Some(batch.partition), batch.frame, Box::new(note));
        }
    }

    /// There are no deltas.
    fn trim(&self, _: TaskId, _: Epoch) {}

    fn trouble(&self, task: TaskId) -> Option<Error> {
        self.inner.trouble(task)
    }
}

/// The appends of an epoch that are not answered yet, the first failure among those that are, and who waits.
struct Answers(Mutex<(usize, Result<(), Error>, Option<CommitDone>)>);

impl Answers {
    fn note(&self, answer: Result<()>) {
        let last = {
            let (left, so_far, done) = &mut *self.0.lock();
            *left -= 1;
            if so_far.is_ok() {
                *so_far = answer;
            }
            if *left > 0 {
                return;
            }
            done.take().map(|done| (done, so_far.clone()))
        };
        if let Some((done, result)) = last {
            done(result.map(|()| Bytes::new()).map_err(CommitFailure::Fatal));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fnstream_core::epoch::Progress;
    use fnstream_core::topics::Retention;

    use super::super::tests::{acquire, commit, epoch, outbox, put, store, task};
    use super::*;

    #[test]
    fn appends_and_forgets() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        store.topics().create(&"out".into(), 2, Retention::default()).unwrap();
        let committer = NoCommit::new(&store);
        let acquired = acquire(&committer, None);
        let one = epoch(acquired.generation, 1, put("k", "v"), vec![outbox(0, "x"), outbox(1, "y")]);
        commit(&committer, one).unwrap();
        let ends: Vec<_> = store.topics().describe(&"out".into()).unwrap().partitions.iter().map(|p| p.end.0).collect();
        assert_eq!(ends, [1, 1]);
        assert_eq!(acquire(&committer, None).progress, Progress::default());
        assert_eq!(store.state_stores().open(task()).unwrap().get(b"k").unwrap(), None);
    }
}
