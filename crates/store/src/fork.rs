// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Forks: what a function's tasks have committed, copied to an id of its own.
//!
//! ```text
//! tasks fenced ──► id taken, noted as unclaimed ──► copied, batch by batch ──► claimed by a change of the register, in its own write
//!                └────────── a crash or a failure ──────────► swept: at the next opening, or when it is discarded
//! ```
//!
//! A fork is copied in batches of bounded size, so it is no single write; that it is whole is known by its being claimed:
//! the claim is written after the last batch, in the same write-ahead log. The copy reads a snapshot, so that state, marker,
//! what is unfinished, deltas and progress are those of one moment.

use fnstream_core::epoch::{Epoch, FunctionId, TaskId};
use fnstream_core::error::internal;
use fnstream_core::forks::Forks;
use fnstream_core::state_key::prefix_end;
use fnstream_core::tasks::Standing;
use fnstream_core::{Result, failpoint};
use rocksdb::WriteBatch;

use crate::db::{Db, Moment, Sync};
use crate::error::corrupt;
use crate::formats;
use crate::inner::Inner;
use crate::keys;
use crate::store::Store;

/// About how much is copied in one write.
const COPY_BYTES: usize = 1 << 20;

/// Where the keys of a function's tasks are, and what stands before its id in them.
const OF_TASKS: [(&str, &[u8]); 5] =
    [(keys::META, b"p"), (keys::META, b"m"), (keys::META, b"i"), (keys::DELTAS, b""), (keys::STATE, b"")];

impl Inner {
    /// See [`Store::forget_tasks_but`].
    pub(crate) fn forget_tasks_but(&self, keep: &dyn Fn(FunctionId) -> bool) -> Result<usize> {
        // Nobody applies meanwhile, and nobody does later.
        let mut removed = self.removed.write();
        let db = &*self.db()?;
        let mut batch = WriteBatch::default();
        let mut forgotten = 0;
        // Whoever has state has a marker, or is about to.
        for tag in [b"m", b"i"] {
            let mut next = Some(0);
            while let Some(from) = next.take() {
                let all = keys::all_of(tag, from).start..prefix_end(tag).unwrap_or_default();
                let mut iterator = db.iterate(keys::META, all.end);
                iterator.seek(all.start);
                let found = iterator.item().and_then(|(key, _)| Some(u32::from_be_bytes(*key.get(1..5)?.as_array()?)));
                db.ended(&iterator)?;
                let Some(found) = found else { break };
                next = found.checked_add(1);
                if !keep(FunctionId(found)) {
                    delete_tasks(db, &mut batch, FunctionId(found));
                    removed.insert(FunctionId(found));
                    forgotten += 1;
                }
            }
        }
        db.write(batch, Sync::No)?;
        Ok(forgotten)
    }
}

/// Forks within the store.
pub(crate) struct StoreForks(pub Store);

impl Forks for StoreForks {
    fn fork(&self, from: FunctionId) -> Result<FunctionId> {
        self.0.inner().fork(from)
    }

    fn place(&self, fork: FunctionId, standing: &Standing) -> Result<()> {
        self.0.inner().place_fork(fork, standing)
    }

    fn discard(&self, fork: FunctionId) -> Result<()> {
        self.0.inner().discard_fork(fork)
    }
}

impl Inner {
    pub(crate) fn fork(&self, from: FunctionId) -> Result<FunctionId> {
        let db = &*self.db()?;
        let moment = {
            // Waits for the group that is being written; what is in the queue behind it is refused from now on.
            let mut ledger = self.ledger.lock();
            ledger.fence(from);
            db.moment()
        };
        let fork = self.begin_fork()?;
        let copied = self.copy(db, &moment, from, fork);
        if copied.is_err() {
            // The disk may be full: then the next opening sweeps it.
            let _ = self.discard_fork(fork);
        }
        copied?;
        failpoint!("fork.copied");
        Ok(fork)
    }

    fn begin_fork(&self) -> Result<FunctionId> {
        // Ids of functions are given under the same lock.
        let _one_id = self.functions.lock();
        let db = self.db()?;
        let mut batch = WriteBatch::default();
        let fork = FunctionId(db.take_id(keys::NEXT_FUNCTION, &mut batch)?);
        batch.put_cf(db.family(keys::META), keys::unclaimed(fork), formats::encode_unclaimed());
        // Unsynced like the copies: a power cut that takes it back takes all that comes after it too.
        db.write(batch, Sync::No)?;
        failpoint!("fork.begun");
        Ok(fork)
    }

    fn copy(&self, db: &Db, moment: &Moment<'_>, from: FunctionId, fork: FunctionId) -> Result<()> {
        let mut batch = WriteBatch::default();
        for (family, tag) in OF_TASKS {
            let mut iterator = moment.iterate(family, keys::all_of(tag, from.0));
            let id = tag.len()..tag.len() + size_of::<u32>();
            while let Some((key, value)) = iterator.item() {
                let mut key = key.to_vec();
                key[id.clone()].copy_from_slice(&fork.0.to_be_bytes());
                batch.put_cf(db.family(family), key, value);
                if batch.size_in_bytes() >= COPY_BYTES {
                    db.write(std::mem::take(&mut batch), Sync::No)?;
                    failpoint!("fork.copying");
                }
                iterator.next();
            }
            moment.ended(&iterator)?;
        }
        db.write(batch, Sync::No)?;
        failpoint!("fork.copying");
        Ok(())
    }

    /// The fork belongs to what the batch says, once it is written.
    pub(crate) fn claim(&self, batch: &mut WriteBatch, fork: FunctionId) -> Result<()> {
        self.check_unclaimed(fork)?;
        batch.delete_cf(self.db()?.family(keys::META), keys::unclaimed(fork));
        Ok(())
    }

    pub(crate) fn discard_fork(&self, fork: FunctionId) -> Result<()> {
        let _no_claim = self.functions.lock();
        if self.is_unclaimed(fork)? { self.delete_fork(fork) } else { Ok(()) }
    }

    /// Removes the forks that nobody has claimed: whoever made them is gone.
    pub(crate) fn sweep_forks(&self) -> Result<()> {
        let db = self.db()?;
        let mut iterator = db.iterate(keys::META, keys::after_prefix(keys::UNCLAIMED_PREFIX));
        iterator.seek(keys::UNCLAIMED_PREFIX);
        while let Some(key) = iterator.key() {
            let fork = keys::unclaimed_id(key).ok_or_else(|| corrupt("the key of a fork is truncated"))?;
            self.delete_fork(fork)?;
            iterator.next();
        }
        db.ended(&iterator)
    }

    fn delete_fork(&self, fork: FunctionId) -> Result<()> {
        let db = &*self.db()?;
        let mut batch = WriteBatch::default();
        delete_tasks(db, &mut batch, fork);
        batch.delete_cf(db.family(keys::META), keys::unclaimed(fork));
        db.write(batch, Sync::No)
    }

    pub(crate) fn place_fork(&self, fork: FunctionId, progress: &Standing) -> Result<()> {
        self.check_unclaimed(fork)?;
        let db = self.db()?;
        let mut batch = WriteBatch::default();
        for (&index, progress) in progress {
            let task = TaskId::new(fork, index);
            let (generation, epoch) = match db.get(keys::META, &keys::progress(task))? {
                Some(value) => formats::decode_progress(&value).map(|(of, there)| (of, there.epoch))?,
                None => (Default::default(), Epoch(0)),
            };
            // The deltas that are replayed at a take-over end there, and the next commit follows it.
            if progress.epoch != epoch {
                let wanted = progress.epoch.0;
                return Err(internal(format!("the state of task {task} is at epoch {}, not {wanted}", epoch.0)));
            }
            let value = formats::encode_progress(generation, progress);
            batch.put_cf(db.family(keys::META), keys::progress(task), value);
        }
        db.write(batch, Sync::No)
    }

    fn check_unclaimed(&self, fork: FunctionId) -> Result<()> {
        match self.is_unclaimed(fork)? {
            true => Ok(()),
            false => Err(internal(format!("{} is not the id of a fork that is free", fork.0))),
        }
    }

    fn is_unclaimed(&self, fork: FunctionId) -> Result<bool> {
        Ok(self.db()?.get(keys::META, &keys::unclaimed(fork))?.is_some())
    }
}

/// Removes all that belongs to the tasks of a function or a fork.
pub(crate) fn delete_tasks(db: &Db, batch: &mut WriteBatch, function: FunctionId) {
    for (family, tag) in OF_TASKS {
        let range = keys::all_of(tag, function.0);
        db.delete_range(batch, family, range);
    }
}
