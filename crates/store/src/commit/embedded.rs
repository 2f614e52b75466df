// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The embedded committer: the seam to the engine.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::broker::Assignment;
use fnstream_core::committer::{Acquired, CommitDone, CommitFailure, Committer, Replay};
use fnstream_core::delta::Delta;
use fnstream_core::epoch::{Epoch, FrozenEpoch, Generation, TaskId};
use fnstream_core::error::internal;
use fnstream_core::state::Marker;
use fnstream_core::{Error, Result, failpoint};
use rocksdb::WriteBatch;

use super::group::{Commit, Job};
use crate::db::Sync;
use crate::error::corrupt;
use crate::formats;
use crate::inner::Inner;
use crate::keys;
use crate::log::cut::{Part, for_partition};
use crate::store::Store;

/// Commits to the store's own log.
pub(crate) struct EmbeddedCommitter(pub Store);

impl Committer for EmbeddedCommitter {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        let store = self.0.inner();
        let acquired = store.take_over(assignment, applied)?;
        failpoint!("recover.acquired");
        // Nobody but the new owner changes the task's deltas from here on.
        let after = applied.map_or(Epoch(0), |marker| marker.epoch);
        store.replay(assignment.task, after, acquired.progress.epoch, replay)?;
        failpoint!("recover.replayed");
        Ok(acquired)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let store = self.0.inner();
        // Encoded here, on the task's own thread: the committer's only copies.
        let outbox = match outbox(&epoch) {
            Ok(outbox) => outbox,
            Err(e) => {
                drop(epoch);
                return done(Err(CommitFailure::Abortable(e)));
            }
        };
        let job = Commit {
            task: epoch.task,
            generation: epoch.generation,
            epoch: epoch.progress.epoch,
            outbox,
            progress: formats::encode_progress(epoch.generation, &epoch.progress),
            delta: (!epoch.delta.is_empty()).then(|| epoch.delta.encode()),
            watermarks: epoch.watermarks.clone(),
            done,
        };
        // Let go before it is handed over: the answer may come at once.
        drop(epoch);
        store.queue.send(Job::Commit(job));
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        failpoint!("trim.before");
        self.0.inner().queue.send(Job::Trim { task, through });
    }

    fn trouble(&self, task: TaskId) -> Option<Error> {
        self.0.inner().ledger.lock().trouble(task)
    }
}

impl Inner {
    /// Gives the task a new generation. The ledger's lock makes this come before or after a group, never within.
    fn take_over(&self, assignment: &Assignment, applied: Option<&Marker>) -> Result<Acquired> {
        let task = assignment.task;
        let db = self.db()?;
        let mut ledger = self.ledger.lock();
        ledger.check_acquire(task, assignment.lease, applied.map(|marker| marker.epoch))?;
        let (last, progress) = match db.get(keys::META, &keys::progress(task))? {
            Some(value) => formats::decode_progress(&value)?,
            None => Default::default(),
        };
        let generation = Generation(last.0 + 1);
        let mut batch = WriteBatch::default();
        let value = formats::encode_progress(generation, &progress);
        batch.put_cf(db.family(keys::META), keys::progress(task), value);
        // Unsynced: every owner before lives in this process, and a generation that a power cut takes back took all of
        // its commits with it, since they came after it in the same log.
        db.write(batch, Sync::No)?;
        ledger.acquired(task, assignment.lease, generation, progress.epoch);
        Ok(Acquired { generation, progress, log_end: Bytes::new() })
    }

    fn replay(&self, task: TaskId, after: Epoch, through: Epoch, replay: &mut Replay<'_>) -> Result<()> {
        let db = self.db()?;
        let mut iterator = db.iterate(keys::DELTAS, keys::delta(task, through.next()).to_vec());
        iterator.seek(keys::delta(task, after.next()));
        while let Some((key, value)) = iterator.item() {
            let epoch = keys::delta_epoch(key).ok_or_else(|| corrupt("the key of a delta is truncated"))?;
            let delta = Delta::decode(value).map_err(|e| e.context(format_args!("task {task}, epoch {}", epoch.0)))?;
            replay(Marker { epoch, log_end: Bytes::new() }, delta)?;
            iterator.next();
        }
        db.ended(&iterator)
    }
}

fn outbox(epoch: &FrozenEpoch) -> Result<Vec<(Arc<str>, Part)>> {
    let parts = epoch.outbox.iter().map(|batch| {
        let part = for_partition(batch.partition, batch.frame.clone())?;
        if part.records() != batch.records {
            return Err(internal(format!(
                "an outbox of task {} says {} records and holds {}",
                epoch.task,
                batch.records,
                part.records()
            )));
        }
        batch.topic.own_name()?;
        Ok((batch.topic.name.clone(), part))
    });
    parts.collect()
}
