// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The one RocksDB: how it is tuned, and the few calls that everything else goes through.
//!
//! Every write goes to the write-ahead log, so what reaches the disk is always a prefix of what was written: an unsynced
//! write is never there without those before it. That order is what lets `trim`, `apply` and the taking over of a task
//! be unsynced.
//!
//! # Memory
//!
//! One block cache holds data, index and filter blocks of all column families; one write buffer manager bounds all
//! memtables together; the number of open files and of the log's bytes are bounded too. Nothing grows with the number of
//! records.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRawIterator,
    DEFAULT_COLUMN_FAMILY_NAME, LogLevel, Options, ReadOptions, Snapshot, WriteBatch, WriteBufferManager, WriteOptions,
};

use crate::dir::DataDir;
use crate::error::rocks;
use crate::formats;
use crate::keys;
use crate::opening;
use crate::options::StoreOptions;
use crate::reach::Note;

/// The largest memtable of one column family: smaller than all of the budget, so that one busy family does not leave the
/// others with tiny flushes.
const MEMTABLE_SHARE: usize = 4;

pub(crate) struct Db {
    inner: DB,
    /// How far it reaches, beside it on the disk. Dropped after the database.
    note: Note,
    /// The first damage that was met since it was opened.
    damage: OnceLock<Error>,
    /// Set by tests: what every write answers, after so many that succeed.
    fault: Mutex<Option<(u32, ErrorCode)>>,
    /// Held by tests: writes wait meanwhile.
    stalled: RwLock<()>,
}

/// The decision whether a write waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    Yes,
    No,
}

impl Db {
    /// Opens the database of a data folder, or makes it.
    pub(crate) fn open(dir: &DataDir, options: &StoreOptions) -> Result<Self> {
        let (inner, note) = opening::open(dir, options)?;
        Ok(Db { inner, note, damage: OnceLock::new(), fault: Mutex::new(None), stalled: RwLock::new(()) })
    }

    /// A column family. All of them are made when the database is opened.
    pub(crate) fn family(&self, name: &str) -> &ColumnFamily {
        self.inner.cf_handle(name).expect("every column family is opened with the database")
    }

    /// Writes all of a batch or nothing.
    pub(crate) fn write(&self, batch: WriteBatch, sync: Sync) -> Result<()> {
        let _not_stalled = self.stalled.read();
        match &mut *self.fault.lock() {
            Some((0, code)) => return Err(Error::new(*code, "cannot write: a fault was injected")),
            Some((left, _)) => *left -= 1,
            None => {}
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync == Sync::Yes);
        // The write has the next numbers, or later ones if others write meanwhile. A sync reaches at least so far.
        let synced = self.inner.latest_sequence_number() + batch.len() as u64;
        self.inner.write_opt(batch, &options).map_err(|e| self.failed("cannot write", &e))?;
        self.note.advance(self.inner.latest_sequence_number(), (sync == Sync::Yes).then_some(synced));
        Ok(())
    }

    pub(crate) fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.inner.get_cf(self.family(family), key).map_err(|e| self.failed("cannot read", &e))
    }

    /// Checks an iterator that ran out: `Err` if it was not really the end.
    pub(crate) fn ended(&self, iterator: &DBRawIterator<'_>) -> Result<()> {
        iterator.status().map_err(|e| self.failed("cannot read", &e))
    }

    /// Checks that no damage was met since the database was opened. Whoever met it was told; this is for everybody else.
    pub(crate) fn check_undamaged(&self) -> Result<()> {
        self.damage.get().map_or(Ok(()), |damage| Err(damage.clone()))
    }

    fn failed(&self, doing: &str, error: &rocksdb::Error) -> Error {
        let error = rocks(doing, error);
        if error.code == ErrorCode::DataCorrupt && self.damage.set(error.clone()).is_ok() {
            tracing::error!(%error, "the database is damaged");
        }
        error
    }

    /// An iterator over the keys of a family below `end`, if there is one. It sees the moment at which it was made.
    pub(crate) fn iterate(&self, family: &str, end: impl Into<Option<Vec<u8>>>) -> DBRawIterator<'_> {
        let mut options = ReadOptions::default();
        if let Some(end) = end.into() {
            options.set_iterate_upper_bound(end);
        }
        self.inner.raw_iterator_cf_opt(self.family(family), options)
    }

    /// This moment, for reading several families as they are at it.
    pub(crate) fn moment(&self) -> Moment<'_> {
        Moment { db: self, snapshot: self.inner.snapshot() }
    }

    /// Lets a write delete a range of keys. An empty one is left out: RocksDB counts it when it writes and not when it recovers,
    /// so that a write would seem to be missing.
    pub(crate) fn delete_range<K: AsRef<[u8]>>(&self, batch: &mut WriteBatch, family: &str, range: Range<K>) {
        if range.start.as_ref() < range.end.as_ref() {
            batch.delete_range_cf(self.family(family), range.start, range.end);
        }
    }

    /// The next id of a kind, counted from 1; the batch says that it is taken.
    pub(crate) fn take_id(&self, counter: &[u8], batch: &mut WriteBatch) -> Result<u32> {
        let id = self.get(keys::META, counter)?.map_or(Ok(1), |value| formats::decode_counter(&value))?;
        let next = id.checked_add(1).ok_or_else(|| internal("all ids of this data folder were given out"))?;
        batch.put_cf(self.family(keys::META), counter, formats::encode_counter(next));
        Ok(id)
    }

    /// Removes files that hold nothing but keys of a range, both ends included, without waiting for a compaction.
    pub(crate) fn drop_files(&self, family: &str, first: &[u8], last: &[u8]) -> Result<()> {
        self.inner.delete_file_in_range_cf(self.family(family), first, last).map_err(|e| rocks("cannot drop files", &e))
    }

    /// Waits until everything that was written is on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        let written = self.inner.latest_sequence_number();
        self.inner.flush_wal(true).map_err(|e| rocks("cannot sync", &e))?;
        self.note.advance(written, Some(written));
        self.note.sync();
        Ok(())
    }

    /// The time of one small synced write.
    pub(crate) fn measure_synced_write(&self) -> Result<Duration> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(keys::META), keys::PROBE, [1]);
        let start = Instant::now();
        self.write(batch, Sync::Yes)?;
        Ok(start.elapsed())
    }

    pub(crate) fn stall(&self) -> RwLockWriteGuard<'_, ()> {
        self.stalled.write()
    }

    pub(crate) fn inject_fault(&self, fault: Option<(u32, ErrorCode)>) {
        *self.fault.lock() = fault;
    }
}

/// The database as it was when this was made.
pub(crate) struct Moment<'a> {
    db: &'a Db,
    snapshot: Snapshot<'a>,
}

impl Moment<'_> {
    /// An iterator over the keys of a family in a range, at its first key.
    pub(crate) fn iterate(&self, family: &str, range: Range<Vec<u8>>) -> DBRawIterator<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(range.end);
        let mut iterator = self.snapshot.raw_iterator_cf_opt(self.db.family(family), options);
        iterator.seek(range.start);
        iterator
    }

    /// Checks an iterator that ran out, as [`Db::ended`] does.
    pub(crate) fn ended(&self, iterator: &DBRawIterator<'_>) -> Result<()> {
        self.db.ended(iterator)
    }
}

/// All column families, with how each is kept.
pub(crate) fn descriptors(options: &StoreOptions) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(options.block_cache_bytes);
    let families = [
        // Never written. Named all the same, because RocksDB would give it a large memtable, and after a full disk waits
        // until there is space for the largest.
        (DEFAULT_COLUMN_FAMILY_NAME, DBCompressionType::None, 4 << 10),
        (keys::TOPICS, DBCompressionType::Lz4, 16 << 10),
        (keys::DELTAS, DBCompressionType::None, 16 << 10),
        (keys::STATE, DBCompressionType::Lz4, 4 << 10),
        (keys::META, DBCompressionType::None, 4 << 10),
        (keys::FUNCTIONS, DBCompressionType::None, 4 << 10),
    ];
    let family = |(name, compression, block_size)| {
        ColumnFamilyDescriptor::new(name, family_options(name, options, &cache, compression, block_size))
    };
    families.map(family).into()
}

/// How the database is kept, whoever opens it.
pub(crate) fn db_options(options: &StoreOptions) -> Options {
    let mut db = Options::default();
    // Logs that are not written to any more are noted with their sizes, so that a missing one is noticed.
    db.set_track_and_verify_wals_in_manifest(true);
    db.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(options.write_buffer_bytes, false));
    // What a start after a crash has to replay.
    db.set_max_total_wal_size(options.write_buffer_bytes as u64);
    db.set_max_open_files(i32::try_from(options.max_open_files).unwrap_or(i32::MAX));
    db.set_max_background_jobs(2);
    db.set_max_manifest_file_size(4 << 20);
    db.set_bytes_per_sync(1 << 20);
    db.set_log_level(LogLevel::Warn);
    db.set_max_log_file_size(1 << 20);
    db.set_keep_log_file_num(2);
    db.set_stats_dump_period_sec(0);
    // Reading every file's statistics would make the start slower with every gigabyte.
    db.set_skip_stats_update_on_db_open(true);
    db
}

fn family_options(
    name: &str,
    options: &StoreOptions,
    cache: &Cache,
    compression: DBCompressionType,
    block_size: usize,
) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(block_size);
    table.set_format_version(5);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if name == keys::STATE {
        // The one family where absent keys are asked for.
        table.set_bloom_filter(10.0, false);
    }
    let mut family = Options::default();
    if name == keys::STATE {
        family.set_memtable_prefix_bloom_ratio(0.1);
        family.set_memtable_whole_key_filtering(true);
    }
    family.set_block_based_table_factory(&table);
    family.set_compression_type(compression);
    family.set_write_buffer_size(options.write_buffer_bytes / MEMTABLE_SHARE);
    family.set_max_write_buffer_number(3);
    family.set_target_file_size_base(64 << 20);
    family.set_max_bytes_for_level_base(256 << 20);
    family.set_level_compaction_dynamic_level_bytes(true);
    family
}
