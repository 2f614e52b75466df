// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The register of functions.
//!
//! An entry is read from the database each time: there is one truth. Changes are serialized by a lock, durable before
//! they are seen, and watchers are woken after.

use std::sync::Arc;

use fnstream_core::epoch::FunctionId;
use fnstream_core::metadata::Metadata;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result, failpoint};
use rocksdb::WriteBatch;

use crate::db::ended;
use crate::formats;
use crate::inner::Inner;
use crate::keys;
use crate::store::Store;

/// Keeps functions in the store.
pub(crate) struct RocksMetadata(pub Store);

impl Metadata for RocksMetadata {
    fn list(&self) -> Result<Vec<FunctionEntry>> {
        // Names are ASCII: nothing is at or above this key.
        let mut iterator = self.inner().db.iterate(keys::FUNCTIONS, vec![u8::MAX]);
        iterator.seek_to_first();
        let mut entries = Vec::new();
        while let Some((_, value)) = iterator.item() {
            entries.push(formats::decode_function(value)?);
            iterator.next();
        }
        ended(&iterator)?;
        Ok(entries)
    }

    fn get(&self, name: &str) -> Result<Option<FunctionEntry>> {
        let value = self.inner().db.get(keys::FUNCTIONS, name.as_bytes())?;
        value.map(|value| formats::decode_function(&value)).transpose()
    }

    fn create(&self, spec: FunctionSpec, desired: DesiredState) -> Result<FunctionEntry> {
        spec.validate()?;
        let store = self.inner();
        let one_change = store.functions.lock();
        if self.get(&spec.name)?.is_some() {
            return Err(Error::new(ErrorCode::FunctionExists, format!("function '{}' exists", spec.name)));
        }
        let mut batch = WriteBatch::default();
        let id = store.db.take_id(keys::NEXT_FUNCTION, &mut batch)?;
        let created_ms = store.options.clock.unix_ms();
        let entry = FunctionEntry { id: FunctionId(id), revision: 1, desired, created_ms, spec };
        store.put_entry(batch, &entry)?;
        drop(one_change);
        store.functions_changed();
        Ok(entry)
    }

    fn update(&self, spec: FunctionSpec, desired: DesiredState, based_on: u64) -> Result<FunctionEntry> {
        spec.validate()?;
        let store = self.inner();
        let one_change = store.functions.lock();
        let current = self.expect(&spec.name, based_on)?;
        let entry = FunctionEntry { revision: current.revision + 1, desired, spec, ..current };
        store.put_entry(WriteBatch::default(), &entry)?;
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
        batch.put_cf(self.db.family(keys::FUNCTIONS), key, formats::encode_function(entry));
        self.write_metadata(batch)
    }

    /// The entry, progress, state and deltas go in one write, and the function's tasks are fenced: the committer and the
    /// appliers wait outside meanwhile.
    fn remove_function(&self, entry: &FunctionEntry) -> Result<()> {
        let mut ledger = self.ledger.lock();
        let mut removed = self.removed.write();
        let mut batch = WriteBatch::default();
        batch.delete_cf(self.db.family(keys::FUNCTIONS), entry.spec.name.as_bytes());
        let of_function = [(keys::META, "p"), (keys::META, "m"), (keys::STATE, ""), (keys::DELTAS, "")];
        for (family, tag) in of_function {
            let range = keys::all_of(tag.as_bytes(), entry.id.0);
            batch.delete_range_cf(self.db.family(family), range.start, range.end);
        }
        self.write_metadata(batch)?;
        ledger.remove(entry.id);
        removed.insert(entry.id);
        Ok(())
    }

    fn write_metadata(&self, batch: WriteBatch) -> Result<()> {
        failpoint!("metadata.before-write");
        self.db.write(batch, self.sync())?;
        failpoint!("metadata.after-write");
        Ok(())
    }

    fn functions_changed(&self) {
        let watchers = self.function_watchers.lock().clone();
        watchers.iter().for_each(Waker::wake);
    }
}
