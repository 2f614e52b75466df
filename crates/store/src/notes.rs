// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The process's notes: entries of `meta`, as they are given.

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::notes::Notes;
use rocksdb::WriteBatch;

use crate::error::corrupt;
use crate::keys;
use crate::store::Store;

/// Keeps notes in the store.
pub(crate) struct StoreNotes(pub Store);

impl Notes for StoreNotes {
    fn list(&self) -> Result<Vec<(String, Bytes)>> {
        let db = self.0.inner().db()?;
        let mut iterator = db.iterate(keys::META, keys::after_prefix(keys::NOTE_PREFIX));
        iterator.seek(keys::NOTE_PREFIX);
        let mut notes = Vec::new();
        while let Some((key, note)) = iterator.item() {
            let name = std::str::from_utf8(&key[keys::NOTE_PREFIX.len()..]);
            let name = name.map_err(|_| corrupt("the name of a note is not utf-8"))?;
            notes.push((name.to_owned(), Bytes::copy_from_slice(note)));
            iterator.next();
        }
        db.ended(&iterator)?;
        Ok(notes)
    }

    fn put(&self, name: &str, note: &[u8]) -> Result<()> {
        let store = self.0.inner();
        let db = store.db()?;
        let mut batch = WriteBatch::default();
        batch.put_cf(db.family(keys::META), keys::note(name), note);
        db.write(batch, store.sync())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let store = self.0.inner();
        let db = store.db()?;
        let mut batch = WriteBatch::default();
        batch.delete_cf(db.family(keys::META), keys::note(name));
        db.write(batch, store.sync())
    }
}
