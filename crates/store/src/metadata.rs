// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The register of functions.
//!
//! An entry is read from the database each time: there is one truth. Changes are serialized by a lock, durable before
//! they are seen, and watchers are woken after.
//!
//! The history of a function is in the same write as the change that adds to it. A function that was never described anew
//! has none stored: it is its entry.

use std::sync::Arc;

use fnstream_core::epoch::FunctionId;
use fnstream_core::metadata::{Metadata, Revision, succeed};
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result, error::internal, failpoint};
use rocksdb::WriteBatch;

use crate::db::Db;
use crate::fork::delete_tasks;
use crate::formats;
use crate::inner::Inner;
use crate::keys;
use crate::log::watermarks;
use crate::store::Store;

/// Keeps functions in the store.
pub(crate) struct RocksMetadata(pub Store);

impl Metadata for RocksMetadata {
    fn list(&self) -> Result<Vec<FunctionEntry>> {
        self.page(None, usize::MAX)
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<FunctionEntry>> {
        // Names are ASCII: nothing is at or above this key.
        let db = self.inner().db()?;
        let mut iterator = db.iterate(keys::FUNCTIONS, vec![u8::MAX]);
        match after {
            None => iterator.seek_to_first(),
            Some(name) => iterator.seek([name.as_bytes(), &[0]].concat()),
        }
        let mut entries = Vec::new();
        while entries.len() < limit
            && let Some((_, value)) = iterator.item()
        {
            entries.push(formats::decode_function(value)?);
            iterator.next();
        }
        db.ended(&iterator)?;
        Ok(entries)
    }

    fn get(&self, name: &str) -> Result<Option<FunctionEntry>> {
        let value = self.inner().db()?.get(keys::FUNCTIONS, name.as_bytes())?;
        value.map(|value| formats::decode_function(&value)).transpose()
    }

    fn revisions(&self, name: &str) -> Result<Vec<Revision>> {
        // An entry and its history of one moment.
        let _no_change = self.inner().functions.lock();
        self.get(name)?.map_or(Ok(Vec::new()), |entry| self.inner().history(&entry))
    }

    fn create_from(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        fork: Option<FunctionId>,
    ) -> Result<FunctionEntry> {
        spec.validate()?;
        let store = self.inner();
        let one_change = store.functions.lock();
        if self.get(&spec.name)?.is_some() {
            return Err(Error::new(ErrorCode::FunctionExists, format!("function '{}' exists", spec.name)));
        }
        let mut batch = WriteBatch::default();
        let id = match fork {
            Some(fork) => {
                store.claim(&mut batch, fork)?;
                fork
            }
            None => FunctionId(store.db()?.take_id(keys::NEXT_FUNCTION, &mut batch)?),
        };
        let created_ms = store.options.clock.unix_ms();
        let entry = FunctionEntry { id, revision: 1, desired, created_ms, spec };
        store.put_entry(batch, &entry)?;
        drop(one_change);
        store.functions_changed();
        Ok(entry)
    }

    fn update(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        based_on: u64,
        snapshot: Option<FunctionId>,
    ) -> Result<FunctionEntry> {
        spec.validate()?;
        let store = self.inner();
        let one_change = store.functions.lock();
        let current = self.expect(&spec.name, based_on)?;
        let mut batch = WriteBatch::default();
        let described_anew = current.spec != spec;
        let history = if described_anew { Some(store.history(&current)?) } else { None };
        let entry = FunctionEntry { revision: current.revision + 1, desired, spec, ..current };
        match (history, snapshot) {
            (Some(history), snapshot) => {
                if let Some(fork) = snapshot {
                    store.claim(&mut batch, fork)?;
                }
                store.put_revision(&*store.db()?, &mut batch, history, &entry, snapshot);
            }
            (None, Some(_)) => return Err(internal("a snapshot belongs to a change of the description")),
            (None, None) => {}
        }
        let no_group = store.ledger.lock();
        let raised = store.forget_writers(&*store.db()?, &mut batch, entry.id, &entry.spec.outputs);
        store.put_entry(batch, &entry)?;
        watermarks::done(&raised);
        drop(no_group);
        drop(one_change);
        store.functions_changed();
        Ok(entry)
    }

    fn switch(&self, spec: FunctionSpec, based_on: u64, to: FunctionId) -> Result<FunctionEntry> {
        spec.validate()?;
        let store = self.inner();
        let one_change = store.functions.lock();
        let current = self.expect(&spec.name, based_on)?;
        let (before, history) = (current.id, store.history(&current)?);
        let entry = FunctionEntry { id: to, revision: current.revision + 1, spec, ..current };
        store.switch_function(&entry, before, history)?;
        drop(one_change);
        store.functions_changed();
        Ok(entry)
    }

    fn remove(&self, name: &str, based_on: u64) -> Result<()> {
        let store = self.inner();
        let one_change = store.functions.lock();
        let entry = self.expect(name, based_on)?;
        store.remove_function(&entry)?;
        drop(one_change);
        store.functions_changed();
        Ok(())
    }

    fn watch(&self, waker: Waker) {
        self.inner().function_watchers.lock().push(waker);
    }
}

impl RocksMetadata {
    fn inner(&self) -> &Arc<Inner> {
        self.0.inner()
    }

    fn expect(&self, name: &str, revision: u64) -> Result<FunctionEntry> {
        let entry = self
            .get(name)?
            .ok_or_else(|| Error::new(ErrorCode::FunctionNotFound, format!("function '{name}' does not exist")))?;
        if entry.revision != revision {
            return Err(Error::new(
                ErrorCode::FunctionChanged,
                format!("function '{name}' is at revision {}, not {revision}", entry.revision),
            ));
        }
        Ok(entry)
    }
}

impl Inner {
    fn put_entry(&self, mut batch: WriteBatch, entry: &FunctionEntry) -> Result<()> {
        let key = entry.spec.name.as_bytes();
        batch.put_cf(self.db()?.family(keys::FUNCTIONS), key, formats::encode_function(entry));
        self.write_metadata(batch)
    }

    /// The revisions of a function. The caller holds the lock of the register.
    fn history(&self, entry: &FunctionEntry) -> Result<Vec<Revision>> {
        let stored = self.db()?.get(keys::META, &keys::revisions(&entry.spec.name))?;
        stored.map_or_else(|| Ok(vec![Revision::first(entry)]), |value| formats::decode_revisions(&value))
    }

    /// Notes an entry's description as the newest revision; the one that it replaces keeps `state`. What those had that are
    /// not kept any more goes.
    fn put_revision(
        &self,
        db: &Db,
        batch: &mut WriteBatch,
        mut history: Vec<Revision>,
        entry: &FunctionEntry,
        state: Option<FunctionId>,
    ) {
        let created_ms = self.options.clock.unix_ms();
        let next = Revision { revision: entry.revision, spec: entry.spec.clone(), created_ms, state: None };
        for let_go in succeed(&mut history, next, state) {
            delete_tasks(db, batch, let_go);
        }
        let key = keys::revisions(&entry.spec.name);
        batch.put_cf(db.family(keys::META), key, formats::encode_revisions(&history));
    }

    /// The entry has another id. Tasks of the one before are fenced: the committer and the appliers wait outside meanwhile,
    /// and what they find afterwards is a past that does not change any more.
    fn switch_function(&self, entry: &FunctionEntry, before: FunctionId, history: Vec<Revision>) -> Result<()> {
        let mut ledger = self.ledger.lock();
        let mut removed = self.removed.write();
        let db = &*self.db()?;
        let mut batch = WriteBatch::default();
        self.claim(&mut batch, entry.id)?;
        self.put_revision(db, &mut batch, history, entry, Some(before));
        let raised = self.rename_writers(db, &mut batch, before, entry.id, &entry.spec.outputs);
        self.put_entry(batch, entry)?;
        watermarks::done(&raised);
        ledger.remove(before);
        removed.insert(before);
        Ok(())
    }

    /// The entry, its history, and progress, state and deltas of both go in one write, and the function's tasks are fenced:
    /// the committer and the appliers wait outside meanwhile.
    fn remove_function(&self, entry: &FunctionEntry) -> Result<()> {
        let mut ledger = self.ledger.lock();
        let mut removed = self.removed.write();
        let db = &*self.db()?;
        let mut batch = WriteBatch::default();
        batch.delete_cf(db.family(keys::FUNCTIONS), entry.spec.name.as_bytes());
        batch.delete_cf(db.family(keys::META), keys::revisions(&entry.spec.name));
        let past = self.history(entry)?.into_iter().filter_map(|revision| revision.state);
        for id in past.chain([entry.id]) {
            delete_tasks(db, &mut batch, id);
        }
        let raised = self.forget_writers(db, &mut batch, entry.id, &[]);
        self.write_metadata(batch)?;
        watermarks::done(&raised);
        ledger.remove(entry.id);
        removed.insert(entry.id);
        Ok(())
    }

    fn write_metadata(&self, batch: WriteBatch) -> Result<()> {
        failpoint!("metadata.before-write");
        self.db()?.write(batch, self.sync())?;
        failpoint!("metadata.after-write");
        Ok(())
    }

    fn functions_changed(&self) {
        let watchers = self.function_watchers.lock().clone();
        watchers.iter().for_each(Waker::wake);
    }
}
