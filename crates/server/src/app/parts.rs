// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Puts the services together.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use fnstream_core::acks::Acks;
use fnstream_core::artifacts::Artifacts;
use fnstream_core::backups::Backups;
use fnstream_core::clock::Clock;
use fnstream_core::dir::Dir;
use fnstream_core::metadata::Metadata;
use fnstream_core::notes::Notes;
use fnstream_core::peers::{Desk, Peers};
use fnstream_core::runtime::Runtime;
use fnstream_core::upkeep::Upkeep;
use fnstream_engine::Engine;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::App;
use super::backups::{BackupDesk, LastBackup};
use super::dead_letters::DeadLetters;
use super::functions::Functions;
use super::group::{Fellows, Local, PeerDesk, SeenByAll};
use super::inspection::Inspection;
use super::instances::Instances;
use super::jobs::Jobs;
use super::logs::LocalLogs;
use super::maintenance::Maintenance;
use super::ops::Ops;
use super::programs::Programs;
use super::reconcile::{Reconciler, Runner};
use super::records::{Leases, ReadingMemory, Records, WaitingRoom};
use super::safe_start::SafeStart;
use super::shelf::Shelf;
use super::topic_maker::{Partitions, TopicMaker};
use super::triggers::Triggers;
use crate::ServerConfig;
use crate::clusters::{Clusters, Foreign, Leftovers, OwnCluster};
use crate::key_locks::KeyLocks;
use crate::logs::FunctionLogs;
use crate::logs::aside::Aside;
use crate::metrics::ServerMeter;
use crate::most::Most;
use crate::net::Net;

/// What an application works on: an implementation of each seam, and what is this process's own.
pub(crate) struct Parts {
    pub(crate) config: ServerConfig,
    pub(crate) register: Arc<dyn Metadata>,
    /// The server's own cluster.
    pub(crate) own: OwnCluster,
    /// All others.
    pub(crate) foreign: Arc<dyn Foreign>,
    /// None if the topics keep no acknowledgements.
    pub(crate) acks: Option<Arc<dyn Acks>>,
    pub(crate) artifacts: Arc<dyn Artifacts>,
    pub(crate) upkeep: Arc<dyn Upkeep>,
    pub(crate) notes: Arc<dyn Notes>,
    pub(crate) backups: Option<Arc<dyn Backups>>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) engine: Engine,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) logs: Arc<FunctionLogs>,
    /// The log that the runtime writes to.
    pub(crate) aside: Arc<Aside>,
    /// The data folder.
    pub(crate) data: Arc<Dir>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) net: Arc<Net>,
}

impl Parts {
    /// The application. It takes questions of peers from now on, on that runtime, and does nothing by itself until
    /// [`App::background`].
    pub(crate) fn assemble(self, runtime: &Handle) -> Arc<App> {
        let Parts { config, register, own, foreign, clock, engine, net, .. } = self;
        let producers = own.producers.clone();
        let leftovers = Arc::new(Leftovers {
            notes: self.notes.clone(),
            foreign,
            register: register.clone(),
            deleted: Notify::new(),
        });
        let clusters = Clusters::new(own, leftovers.clone());
        let tasks = clusters.tasks();
        let seen = SeenByAll::new(tasks.clone(), runtime.clone());
        let (config, ops, meter) = (Arc::new(config), Ops::new(), ServerMeter::new());
        let room = WaitingRoom::new(net.files.waiting);
        let programs = Programs::new(self.artifacts.clone(), self.runtime, net.budget.compiling.clone(), clock.clone());
        let maker = TopicMaker::new(&clusters, config.auto_create, Partitions::new(&config));
        let triggers = Arc::new(Triggers {
            ops: ops.clone(),
            register: register.clone(),
            tasks: seen.clone(),
            clusters: clusters.clone(),
            programs: programs.clone(),
            engine: engine.clone(),
            aside: self.aside,
            clock: clock.clone(),
            files_dirs: config.files_dirs.clone(),
            memory: net.budget.lists.clone(),
            turns: Triggers::turns(),
        });
        let local = Local::new(engine.clone(), clusters.clone(), programs.clone());
        let runner = Runner {
            engine: engine.clone(),
            clusters: clusters.clone(),
            programs: programs.clone(),
            topics: maker.clone(),
            files_dirs: config.files_dirs.clone(),
            logs: self.logs.clone(),
            patterns: Default::default(),
        };
        let safe_start = Arc::new(SafeStart {
            dir: self.data.clone(),
            choice: config.safe_start,
            stable_after: config.stable_after,
            stage: Default::default(),
        });
        let (start, patience) = (safe_start.clone(), config.stop_timeout);
        let reconciler = Reconciler::new(register.clone(), self.peers.clone(), runner, ops.clone(), start, patience);
        let fellows = Fellows::new(self.peers.clone(), local.clone());
        seen.with(&fellows);
        let local_logs = Arc::new(LocalLogs { ops: ops.clone(), logs: self.logs.clone() });
        let desk: Arc<dyn Desk> = Arc::new(PeerDesk {
            runtime: runtime.clone(),
            local: Arc::downgrade(&local),
            logs: Arc::downgrade(&local_logs),
            reconciler: Arc::downgrade(&reconciler),
            tasks: tasks.clone(),
        });
        self.peers.serve(desk.clone());
        let shelf = Arc::new(Shelf {
            ops: ops.clone(),
            register: register.clone(),
            artifacts: self.artifacts,
            clock: clock.clone(),
            spool_dir: self.data,
            archive_dirs: config.archive_dirs.clone(),
            most: Most::artifact(&config, &net.budget),
            upload_grace: config.upload_grace,
            uploads: Default::default(),
        });
        let last_backup = Arc::new(LastBackup::new(self.notes.clone()));
        let inspection = Arc::new(Inspection {
            ops: ops.clone(),
            last_backup: self.backups.is_some().then(|| last_backup.clone()),
            register: register.clone(),
            tasks: seen,
            upkeep: self.upkeep.clone(),
            reconciler: reconciler.clone(),
            programs: programs.clone(),
            fellows: fellows.clone(),
            logs: local_logs,
            room: room.clone(),
            net: net.clone(),
            meter: meter.clone(),
            began: clock.now(),
            clock: clock.clone(),
        });
        let dead_letters =
            Arc::new(DeadLetters { register: register.clone(), clusters: clusters.clone(), tasks: tasks.clone() });
        Arc::new(App {
            me: self.peers.me(),
            desk,
            functions: Arc::new(Functions {
                groups: Mutex::default(),
                ops: ops.clone(),
                register: register.clone(),
                tasks: tasks.clone(),
                clusters,
                topics: maker.clone(),
                shelf: shelf.clone(),
                programs: programs.clone(),
                engine: engine.clone(),
                reconciler: reconciler.clone(),
                fellows: fellows.clone(),
                inspection: inspection.clone(),
                logs: self.logs,
                files_dirs: config.files_dirs.clone(),
                patience: config.stop_timeout,
            }),
            records: Arc::new(Records {
                ops: ops.clone(),
                register: register.clone(),
                topics: maker,
                tasks: tasks.clone(),
                producers,
                leases: Leases::new(self.acks, &*clock),
                retention: config.retention,
                meter,
                clock: clock.clone(),
                turns: KeyLocks::new(),
                turn: AtomicU32::new(0),
                waiting: Default::default(),
                room: room.clone(),
                memory: ReadingMemory::new(net.budget.clone(), Most::produced(&config, &net.budget).bytes),
            }),
            jobs: Arc::new(Jobs {
                ops: ops.clone(),
                dead_letters: dead_letters.clone(),
                fellows: fellows.clone(),
                programs,
                shelf: shelf.clone(),
                notes: self.notes,
                clock: clock.clone(),
                table: Default::default(),
                recalled: Default::default(),
            }),
            dead_letters,
            triggers,
            instances: Arc::new(Instances { ops: ops.clone(), register, fellows }),
            maintenance: Arc::new(Maintenance {
                ops: ops.clone(),
                upkeep: self.upkeep,
                shelf: shelf.clone(),
                clock,
                retention: config.retention,
                interval: config.maintenance_interval,
            }),
            backups: BackupDesk {
                ops: ops.clone(),
                backups: self.backups,
                last: last_backup,
                dirs: config.backup_dirs.clone(),
            },
            inspection,
            net,
            shelf,
            leftovers,
            reconciler,
            safe_start,
            ops,
            config,
        })
    }
}
