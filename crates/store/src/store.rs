// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The store's handle: what implements each seam.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::acks::Acks;
use fnstream_core::artifacts::Artifacts;
use fnstream_core::backups::Backups;
use fnstream_core::broker::Broker;
use fnstream_core::committer::Committer;
use fnstream_core::epoch::FunctionId;
use fnstream_core::forks::Forks;
use fnstream_core::groups::Groups;
use fnstream_core::metadata::Metadata;
use fnstream_core::notes::Notes;
use fnstream_core::producers::Producers;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::FunctionEntry;
use fnstream_core::state::StateStores;
use fnstream_core::tasks::Tasks;
use fnstream_core::topics::{Retention, Topics};
use fnstream_core::upkeep::{Health, Upkeep};
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::{Mutex, RwLock};
use rocksdb::WriteBatch;

use crate::artifacts::StoreArtifacts;
use crate::backup::StoreBackups;
use crate::base::Base;
use crate::broker::EmbeddedBroker;
use crate::commit::embedded::EmbeddedCommitter;
use crate::commit::ledger::Ledger;
use crate::commit::thread::{Committing, Queue};
use crate::db::Sync;
use crate::dir::DataDir;
use crate::error::recovering;
use crate::fork::StoreForks;
use crate::inner::Inner;
use crate::keys;
use crate::log::acks::LogAcks;
use crate::log::claims::LogGroups;
use crate::log::clients::LogTopics;
use crate::log::producers::{LogProducers, Looked};
use crate::log::retention::Dropped;
use crate::log::topics::Topics as LoadedTopics;
use crate::metadata::RocksMetadata;
use crate::notes::StoreNotes;
use crate::options::StoreOptions;
use crate::standing::CommittedTasks;
use crate::state::RocksStates;

/// An open data folder. Cheap to clone; the folder is given up when the last clone is dropped, and so are those that the
/// seams hold.
#[derive(Debug, Clone)]
pub struct Store {
    committing: Arc<Committing>,
}

impl Store {
    /// Opens a data folder, or makes one where there is nothing. A folder that has less in it than was written is refused, with
    /// [`ErrorCode::DataCorrupt`]; links in it are, with [`ErrorCode::StrangeFile`].
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Store> {
        let dir = DataDir::open(dir, options.access)?;
        let base = Base::open(dir, &options)?;
        let db = base.db()?;
        let topics = LoadedTopics::load(&db)?;
        let mut batch = WriteBatch::default();
        let opening = db.take_id(keys::NEXT_OPENING, &mut batch)?;
        // Unsynced: a power cut takes it back only with all that this process did.
        db.write(batch, Sync::No)?;
        drop(db);
        let (queue, jobs) = Queue::new();
        let inner = Arc::new(Inner {
            options,
            backup: Mutex::new(()),
            retention: Mutex::new(()),
            functions: Mutex::new(()),
            ledger: Mutex::new(Ledger::new(opening)),
            topics,
            claims: Mutex::default(),
            producers: Looked::default(),
            removed: RwLock::default(),
            function_watchers: Mutex::default(),
            queue,
            base,
        });
        inner.sweep_forks()?;
        Ok(Store { committing: Arc::new(Committing::start(inner, jobs)?) })
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        self.committing.store()
    }

    /// The topics of the log.
    pub fn topics(&self) -> Arc<dyn Topics> {
        Arc::new(LogTopics(self.clone()))
    }

    /// The groups of consumers of its topics.
    pub fn groups(&self) -> Arc<dyn Groups> {
        Arc::new(LogGroups(self.clone()))
    }

    /// The producers of its topics that number their records.
    pub fn producers(&self) -> Arc<dyn Producers> {
        Arc::new(LogProducers(self.clone()))
    }

    /// Forgets producers that are silent for too long at that moment, or too many; answers how many.
    pub fn forget_producers(&self, now_unix_ms: i64) -> Result<u64> {
        self.inner().forget_producers(now_unix_ms)
    }

    /// What the groups of its topics have acknowledged.
    pub fn acks(&self) -> Arc<dyn Acks> {
        Arc::new(LogAcks(self.clone()))
    }

    /// Drops what the topics' own retention does not keep at that moment, in milliseconds since the Unix epoch.
    pub fn enforce_retention(&self, now_unix_ms: i64) -> Result<Dropped> {
        self.inner().enforce_retention(now_unix_ms, &Retention::default())
    }

    /// Drops the records of a partition before a position, whatever its topic's retention says and whoever still wants them;
    /// those that were stored together with later ones stay.
    pub fn trim(&self, partition: &TopicPartition, before: Position) -> Result<Dropped> {
        self.inner().trim(partition, before)
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

    /// What tasks have committed.
    pub fn tasks(&self) -> Arc<dyn Tasks> {
        Arc::new(CommittedTasks(self.clone()))
    }

    /// The register of functions.
    pub fn metadata(&self) -> Arc<dyn Metadata> {
        Arc::new(RocksMetadata(self.clone()))
    }

    /// Copies of what tasks have committed.
    pub fn forks(&self) -> Arc<dyn Forks> {
        Arc::new(StoreForks(self.clone()))
    }

    /// The artifacts.
    pub fn artifacts(&self) -> Arc<dyn Artifacts> {
        Arc::new(StoreArtifacts(self.inner().base.artifacts().clone()))
    }

    /// Backups of all of it.
    pub fn backups(&self) -> Arc<dyn Backups> {
        Arc::new(StoreBackups(self.clone()))
    }

    /// The process's notes.
    pub fn notes(&self) -> Arc<dyn Notes> {
        Arc::new(StoreNotes(self.clone()))
    }

    /// Removes the state of the tasks of all functions but those: for a store that keeps state of functions that are registered
    /// elsewhere. Answers of how many functions there was some.
    pub fn forget_tasks_but(&self, keep: &dyn Fn(FunctionId) -> bool) -> Result<usize> {
        self.inner().forget_tasks_but(keep)
    }

    /// Its upkeep.
    pub fn upkeep(&self) -> Arc<dyn Upkeep> {
        Arc::new(StoreUpkeep(self.clone()))
    }

    /// Waits until everything that was written is on the disk, whatever the durability.
    pub fn flush(&self) -> Result<()> {
        self.inner().db()?.sync()
    }

    /// Answers everything that was handed in, ends the committer and waits for the disk. Reading still works; commits and
    /// appends are refused from now on. Dropping the last handle does the same without the wait for the disk.
    pub fn close(&self) -> Result<()> {
        self.committing.end();
        self.flush()
    }

    /// Has it called, once, when the store could not recover from an error of the disk within [`StoreOptions::recovery_timeout`].
    pub fn on_give_up(&self, told: impl FnOnce(Error) + Send + 'static) {
        self.inner().base.health().on_give_up(Box::new(told));
    }

    /// The time of one small synced write: what a commit at least costs on this disk.
    pub fn measure_synced_write(&self) -> Result<Duration> {
        self.inner().db()?.measure_synced_write()
    }

    /// For tests: reads everything once to look for damage, at once.
    #[doc(hidden)]
    pub fn scrub(&self) {
        self.inner().base.scrub();
    }

    /// For tests: while the answer lives, whoever writes waits, as at a disk that does not answer.
    #[doc(hidden)]
    pub fn stall(&self) -> impl Sized + '_ {
        self.inner().base.health().hooks.stall()
    }

    /// For tests: lets every write fail with that code until it is called with `None`.
    #[doc(hidden)]
    pub fn inject_fault(&self, code: Option<ErrorCode>) {
        self.inner().base.health().hooks.inject_fault(code.map(|code| (0, code)));
    }

    /// For tests: lets every write after the next `writes` fail, until [`Store::inject_fault`] is called with `None`.
    #[doc(hidden)]
    pub fn inject_fault_after(&self, writes: u32, code: ErrorCode) {
        self.inner().base.health().hooks.inject_fault(Some((writes, code)));
    }
}

/// The upkeep of the store.
struct StoreUpkeep(Store);

impl Upkeep for StoreUpkeep {
    fn tidy(&self, now_unix_ms: i64, defaults: &Retention) -> Result<()> {
        self.0.inner().enforce_retention(now_unix_ms, defaults)?;
        self.0.forget_producers(now_unix_ms).map(drop)
    }

    fn probe(&self) -> Result<()> {
        self.0.inner().base.health().check_undamaged()?;
        self.0.inner().base.check_in_place()?;
        self.0.inner().base.artifacts().check_in_place().map_err(|why| recovering(&why))?;
        self.0.measure_synced_write().map(drop)
    }

    fn damage_to(&self, function: &FunctionEntry) -> Option<Error> {
        let store = self.0.inner();
        let damages = store.base.health().damages();
        let damage = damages.into_iter().find(|damage| damage.concerns(function, &store.topics));
        damage.map(|damage| damage.error).or_else(|| store.base.artifacts().damage_to(&function.spec.artifact))
    }

    fn health(&self) -> Health {
        self.0.inner().base.fares()
    }
}
