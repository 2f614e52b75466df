// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The store's handle.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::batch::Batch;
use fnstream_core::broker::{Broker, PollLimit};
use fnstream_core::committer::Committer;
use fnstream_core::epoch::{FunctionId, Progress, TaskId};
use fnstream_core::metadata::Metadata;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::state::{StateStores, Visit};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::{Mutex, RwLock};
use rocksdb::WriteBatch;

use crate::artifacts::Artifacts;
use crate::broker::EmbeddedBroker;
use crate::commit::embedded::EmbeddedCommitter;
use crate::commit::group::{AppendDone, Job};
use crate::commit::ledger::Ledger;
use crate::commit::thread::{Committing, Queue};
use crate::db::{Db, Sync};
use crate::dir::DataDir;
use crate::inner::Inner;
use crate::keys;
use crate::log::cursor::CursorInfo;
use crate::log::cut::{by_key, for_partition, largest_record};
use crate::log::partition::WatchGuard;
use crate::log::read::Reading;
use crate::log::retention::Dropped;
use crate::log::topics::{NewTopic, TopicInfo, Topics};
use crate::metadata::RocksMetadata;
use crate::options::{Retention, StoreOptions};
use crate::state::RocksStates;

/// An open data folder. Cheap to clone; the folder is given up when the last clone is dropped, and so are those that the
/// seams hold.
#[derive(Debug, Clone)]
pub struct Store {
    committing: Arc<Committing>,
}

impl Store {
    /// Opens a data folder, or makes one where there is nothing.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Store> {
        let dir = DataDir::open(dir)?;
        let artifacts = Artifacts::open(dir.artifacts())?;
        let db = Db::open(&dir.db(), &options)?;
        let topics = Topics::load(&db)?;
        let mut batch = WriteBatch::default();
        let opening = db.take_id(keys::NEXT_OPENING, &mut batch)?;
        // Unsynced: a power cut takes it back only with all that this process did.
        db.write(batch, Sync::No)?;
        let (queue, jobs) = Queue::new();
        let inner = Arc::new(Inner {
            options,
            retention: Mutex::new(()),
            functions: Mutex::new(()),
            ledger: Mutex::new(Ledger::new(opening)),
            topics,
            removed: RwLock::default(),
            function_watchers: Mutex::default(),
            queue,
            artifacts,
            db,
            _dir: dir,
        });
        inner.sweep_forks()?;
        Ok(Store { committing: Arc::new(Committing::start(inner, jobs)?) })
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        self.committing.store()
    }

    /// Makes a topic; `Err` when there is one of that name.
    pub fn create_topic(&self, name: &str, partitions: u32, retention: Retention) -> Result<()> {
        let inner = self.inner();
        inner.topics.create(&inner.db, inner.sync(), self.new_topic(name, partitions, retention))
    }

    /// Makes a topic with the default retention unless there is one, with any number of partitions; answers whether it
    /// was made.
    pub fn ensure_topic(&self, name: &str, partitions: u32) -> Result<bool> {
        let inner = self.inner();
        let new = self.new_topic(name, partitions, inner.options.default_retention);
        inner.topics.ensure(&inner.db, inner.sync(), new)
    }

    fn new_topic<'a>(&self, name: &'a str, partitions: u32, retention: Retention) -> NewTopic<'a> {
        NewTopic { name, partitions, retention, now_ms: self.inner().options.clock.unix_ms() }
    }

    /// Removes a topic with its records and cursors. Whether somebody uses it is the caller's to know.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let inner = self.inner();
        // Held so that no group that is being written appends to it.
        let _no_group = inner.ledger.lock();
        inner.topics.delete(&inner.db, inner.sync(), name)
    }

    /// All topics in the order of their names.
    pub fn topics(&self) -> Vec<TopicInfo> {
        self.inner().topics.all().iter().map(|topic| topic.info()).collect()
    }

    /// The topic of a name.
    pub fn topic(&self, name: &str) -> Result<TopicInfo> {
        self.inner().topics.get(name).map(|topic| topic.info())
    }

    /// Appends the records of a packed frame, whatever their channels. `done` is told where they are when they are
    /// durable and readable; either all of them are, or none.
    ///
    /// Without a partition, keyed records go to the partition of their key and keyless ones, all of this call, to the next
    /// partition in turn.
    pub fn append(&self, topic: &str, partition: Option<u32>, frame: impl Into<Bytes>, done: AppendDone) {
        match self.prepare_append(topic, partition, frame.into()) {
            Ok((topic, parts)) => self.inner().queue.send(Job::Append { topic, parts, done }),
            Err(e) => done(Err(e)),
        }
    }

    fn prepare_append(&self, topic: &str, partition: Option<u32>, frame: Bytes) -> Result<Prepared> {
        let inner = self.inner();
        let topic = inner.topics.get(topic)?;
        let malformed = |e: Error| Error::new(ErrorCode::InvalidRequest, e.message);
        let largest = largest_record(&frame).map_err(malformed)?;
        if largest > inner.options.max_record_bytes {
            return Err(Error::new(
                ErrorCode::RecordTooLarge,
                format!("a record has {largest} bytes, more than {}", inner.options.max_record_bytes),
            ));
        }
        let mut parts = match partition {
            Some(number) => {
                topic.partition(number)?;
                vec![for_partition(number, frame).map_err(malformed)?]
            }
            None => by_key(frame, topic.count(), topic.next_keyless()).map_err(malformed)?,
        };
        parts.retain(|part| !part.pieces.is_empty());
        Ok((topic, parts))
    }

    /// At most `limit` records from a position on; `None` at the end.
    pub fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        let inner = self.inner();
        let topic = inner.topics.get(partition.topic.own_name()?)?;
        Reading { db: &inner.db, topic: &topic, partition, group: 0 }.read(from, limit)
    }

    /// Has the waker called after each append to a partition that became readable, and when its topic is deleted, for as
    /// long as the guard lives.
    pub fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<WatchGuard> {
        WatchGuard::new(self.inner().topics.get(partition.topic.own_name()?)?, partition.partition, waker)
    }

    /// The next record that a group of consumers reads; `None` when it has no cursor.
    pub fn cursor(&self, group: &str, partition: &TopicPartition) -> Result<Option<Position>> {
        self.inner().cursor(group, partition)
    }

    /// Moves a cursor, durably. It may go back, but not past the end.
    pub fn set_cursor(&self, group: &str, partition: &TopicPartition, position: Position) -> Result<()> {
        self.inner().set_cursor(group, partition, position)
    }

    /// The cursors of a topic, by partition and group.
    pub fn cursors(&self, topic: &str) -> Result<Vec<CursorInfo>> {
        self.inner().cursors(topic)
    }

    /// Drops what the topics' retention does not keep at that moment, in milliseconds since the Unix epoch.
    pub fn enforce_retention(&self, now_unix_ms: i64) -> Result<Dropped> {
        self.inner().enforce_retention(now_unix_ms)
    }

    /// The log as the engine's broker.
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(EmbeddedBroker(self.clone()))
    }

    /// The committer.
    pub fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(EmbeddedCommitter(self.clone()))
    }

    /// The committed state of tasks.
    pub fn state_stores(&self) -> Arc<dyn StateStores> {
        Arc::new(RocksStates(self.clone()))
    }

    /// Visits what a task has committed, in the order of the keys, from `start` inclusive on: its state at one moment,
    /// whether or not the task runs.
    pub fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        self.inner().peek(task, start, visit)
    }

    /// The register of functions.
    pub fn metadata(&self) -> Arc<dyn Metadata> {
        Arc::new(RocksMetadata(self.clone()))
    }

    /// Copies what a function's tasks have committed, state and progress, to a new id, and answers it. The copy is of one
    /// moment; to be of the function's last one, none of its tasks may run.
    ///
    /// It is nobody's until the register names it ([`Metadata::update`], [`Metadata::switch`]): until then it is gone when
    /// the store is opened anew.
    pub fn fork(&self, from: FunctionId) -> Result<FunctionId> {
        self.inner().fork(from)
    }

    /// Removes a fork that nobody has claimed; one that was claimed is left alone.
    pub fn discard_fork(&self, fork: FunctionId) -> Result<()> {
        self.inner().discard_fork(fork)
    }

    /// Where the tasks of a function or a fork stand, by their index.
    pub fn progress(&self, function: FunctionId) -> Result<BTreeMap<u32, Progress>> {
        self.inner().progress(function)
    }

    /// Says where the tasks of a fork stand that nobody has claimed yet. A task's epoch belongs to its state and stays; for
    /// one without any state it is 0.
    pub fn place_fork(&self, fork: FunctionId, progress: &BTreeMap<u32, Progress>) -> Result<()> {
        self.inner().place_fork(fork, progress)
    }

    /// The artifacts.
    pub fn artifacts(&self) -> &Artifacts {
        &self.inner().artifacts
    }

    /// Waits until everything that was written is on the disk, whatever the durability.
    pub fn flush(&self) -> Result<()> {
        self.inner().db.sync()
    }

    /// Answers everything that was handed in, ends the committer and waits for the disk. Reading still works; commits and
    /// appends are refused from now on. Dropping the last handle does the same without the wait for the disk.
    pub fn close(&self) -> Result<()> {
        self.committing.end();
        self.flush()
    }

    /// The time of one small synced write: what a commit at least costs on this disk.
    pub fn measure_synced_write(&self) -> Result<Duration> {
        self.inner().db.measure_synced_write()
    }

    /// For tests: lets every write fail with that code until it is called with `None`.
    #[doc(hidden)]
    pub fn inject_fault(&self, code: Option<ErrorCode>) {
        self.inner().db.inject_fault(code);
    }
}

type Prepared = (Arc<crate::log::partition::Topic>, Vec<crate::log::cut::Part>);
