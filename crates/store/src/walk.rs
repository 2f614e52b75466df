// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A walk over keys, which ends early when the database is to be closed.

use rocksdb::DBRawIterator;

use crate::db::Db;

/// An iterator of RocksDB, as long as the database is not to be closed. Whoever comes to an end asks [`Db::ended`] whether it
/// was one.
pub(crate) struct Walk<'a> {
    iterator: DBRawIterator<'a>,
    db: &'a Db,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(iterator: DBRawIterator<'a>, db: &'a Db) -> Self {
        Walk { iterator, db }
    }

    pub(crate) fn seek_to_first(&mut self) {
        self.iterator.seek_to_first();
    }

    pub(crate) fn seek(&mut self, key: impl AsRef<[u8]>) {
        self.iterator.seek(key);
    }

    pub(crate) fn seek_for_prev(&mut self, key: impl AsRef<[u8]>) {
        self.iterator.seek_for_prev(key);
    }

    pub(crate) fn next(&mut self) {
        self.iterator.next();
    }

    pub(crate) fn item(&self) -> Option<(&[u8], &[u8])> {
        self.iterator.item().filter(|_| !self.db.is_ending())
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.item().map(|(key, _)| key)
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.item().map(|(_, value)| value)
    }

    pub(crate) fn status(&self) -> Result<(), rocksdb::Error> {
        self.iterator.status()
    }
}
