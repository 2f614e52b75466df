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

use std::convert::Infallible;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DEFAULT_COLUMN_FAMILY_NAME, LogLevel, Options, ReadOptions, Snapshot, WriteBatch, WriteBufferManager, WriteOptions,
};

use crate::damage::Extent;
use crate::error::{is_full, recovering, rocks, stops_writes};
use crate::formats;
use crate::health::{Alarm, Health};
use crate::keys;
use crate::options::StoreOptions;
use crate::reach::Note;
use crate::walk::Walk;

/// The largest memtable of one column family: smaller than all of the budget, so that one busy family does not leave the
/// others with tiny flushes.
const MEMTABLE_SHARE: usize = 4;

/// The database from one opening to the next closing. Whoever has hold of it keeps it from being closed, so nobody keeps it
/// for longer than one operation.
pub(crate) struct Db {
    inner: DB,
    /// How far it reaches, beside it on the disk. Dropped after the database.
    note: Note,
    /// Why nothing is written any more: RocksDB does not go on by itself.
    broken: OnceLock<Error>,
    /// Set while the disk is full: RocksDB goes on by itself, or so it should.
    full: AtomicBool,
    /// Set when it is to be closed: walks over its keys end.
    ending: AtomicBool,
    health: Arc<Health>,
    closed: Receiver<Infallible>,
    /// Dropped last: the other end learns that the database is closed.
    _open: Sender<Infallible>,
}

/// The decision whether a write waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    Yes,
    No,
}

impl Db {
    /// A database that was opened, with its note.
    pub(crate) fn new((inner, note): (DB, Note), health: Arc<Health>) -> Self {
        let (open, closed) = bounded(0);
        let (full, ending) = (AtomicBool::new(false), AtomicBool::new(false));
        Db { inner, note, broken: OnceLock::new(), full, ending, health, closed, _open: open }
    }

    /// A column family. All of them are made when the database is opened.
    pub(crate) fn family(&self, name: &str) -> &ColumnFamily {
        self.inner.cf_handle(name).expect("every column family is opened with the database")
    }

    /// Writes all of a batch or nothing.
    pub(crate) fn write(&self, batch: WriteBatch, sync: Sync) -> Result<()> {
        let _not_stalled = self.health.hooks.pass()?;
        self.check_writable()?;
        let mut options = WriteOptions::default();
        options.set_sync(sync == Sync::Yes);
        // The write has the next numbers, or later ones if others write meanwhile. A sync reaches at least so far.
        let synced = self.inner.latest_sequence_number() + batch.len() as u64;
        self.inner.write_opt(batch, &options).map_err(|e| self.unwritten("cannot write", &e))?;
        // Writes that failed have no numbers.
        self.note.advance(self.inner.latest_sequence_number(), (sync == Sync::Yes).then_some(synced));
        Ok(())
    }

    /// The number of the last write.
    pub(crate) fn last_write(&self) -> u64 {
        self.inner.latest_sequence_number()
    }

    pub(crate) fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.inner.get_cf(self.family(family), key).map_err(|e| self.failed("cannot read", &e))
    }

    /// Checks a walk that came to an end: `Err` if there would have been more.
    pub(crate) fn ended(&self, walk: &Walk<'_>) -> Result<()> {
        if self.is_ending() {
            return Err(self.check_writable().err().unwrap_or_else(|| internal("the database is being closed")));
        }
        walk.status().map_err(|e| self.failed("cannot read", &e))
    }

    fn failed(&self, doing: &str, error: &rocksdb::Error) -> Error {
        let error = rocks(doing, error);
        if error.code == ErrorCode::DataCorrupt {
            self.health.damaged(&error, || self.extent_of(&error));
        }
        error
    }

    /// A write or a sync failed: RocksDB may refuse all that come after it.
    fn unwritten(&self, doing: &str, error: &rocksdb::Error) -> Error {
        let (kind, error) = (error, self.failed(doing, error));
        if is_full(kind) {
            if !self.full.swap(true, Ordering::AcqRel) {
                self.health.sound(Alarm::Full);
            }
        } else if stops_writes(kind) {
            self.give_up(error.clone());
        }
        error
    }

    /// Writes nothing any more.
    pub(crate) fn give_up(&self, error: Error) {
        if self.broken.set(error.clone()).is_ok() {
            self.health.sound(Alarm::Broken(error));
        }
    }

    /// Why nothing is written any more, if so.
    pub(crate) fn broken(&self) -> Option<&Error> {
        self.broken.get()
    }

    /// Whether writes are tried, and none has met a full disk since one succeeded.
    pub(crate) fn is_well(&self) -> bool {
        self.broken().is_none() && !self.full.load(Ordering::Acquire)
    }

    fn check_writable(&self) -> Result<()> {
        self.broken().map_or(Ok(()), |why| Err(recovering(why)))
    }

    /// Tries to write, after the disk was full.
    pub(crate) fn try_again(&self) -> Result<()> {
        self.measure_synced_write()?;
        self.full.store(false, Ordering::Release);
        Ok(())
    }

    /// Lets walks end. Answers what is disconnected when the last one who has hold of the database has let it go, and it is
    /// closed.
    pub(crate) fn end(&self) -> Receiver<Infallible> {
        self.ending.store(true, Ordering::Release);
        self.closed.clone()
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// A walk over the keys of a family below `end`, if there is one. It sees the moment at which it was made.
    pub(crate) fn iterate(&self, family: &str, end: impl Into<Option<Vec<u8>>>) -> Walk<'_> {
        let mut options = ReadOptions::default();
        if let Some(end) = end.into() {
            options.set_iterate_upper_bound(end);
        }
        Walk::new(self.inner.raw_iterator_cf_opt(self.family(family), options), self)
    }

    /// A walk over all keys of a family that leaves the cache to others.
    pub(crate) fn iterate_past_cache(&self, family: &str) -> Walk<'_> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        Walk::new(self.inner.raw_iterator_cf_opt(self.family(family), options), self)
    }

    /// The range of keys of the damaged file that an error names.
    pub(crate) fn extent_of(&self, error: &Error) -> Option<Extent> {
        Extent::find(&self.inner, &error.message)
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

    /// Makes a copy of the database as it is at one moment, in a folder that is not there yet, of links as far as it can. What was
    /// written before is in it.
    pub(crate) fn checkpoint(&self, folder: &Path) -> Result<()> {
        self.check_writable()?;
        let made = Checkpoint::new(&self.inner).and_then(|checkpoint| checkpoint.create_checkpoint(folder));
        made.map_err(|e| self.failed("cannot make a checkpoint", &e))
    }

    /// Waits until everything that was written is on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.check_writable()?;
        let written = self.inner.latest_sequence_number();
        self.inner.flush_wal(true).map_err(|e| self.unwritten("cannot sync", &e))?;
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
}

/// All operations have ended by now, so what was not written never will be.
impl Drop for Db {
    fn drop(&mut self) {
        self.health.closing_at(self.inner.latest_sequence_number());
        if self.broken.get().is_some() {
            self.note.leave();
        }
    }
}

/// The database as it was when this was made.
pub(crate) struct Moment<'a> {
    db: &'a Db,
    snapshot: Snapshot<'a>,
}

impl Moment<'_> {
    /// A walk over the keys of a family in a range, at its first key.
    pub(crate) fn iterate(&self, family: &str, range: Range<Vec<u8>>) -> Walk<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(range.end);
        let mut walk = Walk::new(self.snapshot.raw_iterator_cf_opt(self.db.family(family), options), self.db);
        walk.seek(range.start);
        walk
    }

    /// Checks a walk that came to an end, as [`Db::ended`] does.
    pub(crate) fn ended(&self, walk: &Walk<'_>) -> Result<()> {
        self.db.ended(walk)
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
        // A file's whole filter has megabytes. The cache is divided into shards of about half a megabyte at least: what is larger than a
        // shard is never kept, and was read anew for each key. So filter and index are kept in parts of one block each.
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_metadata_block_size(block_size);
        table.set_pin_top_level_index_and_filter(true);
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
