// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the servers of a test share, and one server.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fnstream_api::{Client, FunctionDescription};
use fnstream_core::artifacts::Artifacts;
use fnstream_core::budget::Budget;
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::delta::Write;
use fnstream_core::dir::{Access, Dir};
use fnstream_core::forks::Forks;
use fnstream_core::groups::Groups;
use fnstream_core::metadata::Metadata;
use fnstream_core::notes::Notes;
use fnstream_core::peers::Peers;
use fnstream_core::producers::Producers;
use fnstream_core::runtime::{Program, Runtime};
use fnstream_core::spec::FunctionEntry;
use fnstream_core::state_key::{put_simple, store_prefix};
use fnstream_core::tasks::Tasks;
use fnstream_core::test_util::mem_artifacts::MemArtifacts;
use fnstream_core::test_util::mem_broker::{MemBroker, MemForks, MemGroups};
use fnstream_core::test_util::mem_metadata::MemMetadata;
use fnstream_core::test_util::mem_notes::MemNotes;
use fnstream_core::test_util::mem_peers::{MemPeerGroup, MemPeers};
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::topics::Retention;
use fnstream_core::upkeep::{Health, Upkeep};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::native::NativeProgram;
use fnstream_engine::{Backend, Engine, EngineConfig, EngineDeps, EpochBounds};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::abroad::Abroad;
use super::guarded::{Guarded, Happening, Happens};
use super::stuck::stuck;
use crate::ServerConfig;
use crate::app::pages::Wanted;
use crate::app::{App, Parts, StateEntry};
use crate::clusters::OwnCluster;
use crate::descriptors::{self, Descriptors};
use crate::gate::Gate;
use crate::logs::FunctionLogs;
use crate::net::{self, Net};

/// How long a test waits for what must come.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// What outlives each server.
pub(super) struct Cluster {
    pub(super) broker: MemBroker,
    /// What happens to the topics.
    pub(super) happens: Arc<Happens>,
    /// Another cluster, named `abroad`.
    pub(super) abroad: MemBroker,
    register: Arc<MemMetadata>,
    artifacts: MemArtifacts,
    peers: MemPeerGroup,
}

/// One server.
pub(super) struct Process {
    pub(super) app: Arc<App>,
    pub(super) client: Client,
    pub(super) engine: Engine,
    number: u32,
    peers: Arc<MemPeers>,
    artifacts: MemArtifacts,
    groups: MemGroups,
    logs: Arc<FunctionLogs>,
    tasks: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

/// Runs what the name of the artifact says.
struct ByName;

impl Runtime for ByName {
    fn load(&self, artifact: &[u8]) -> Result<Arc<dyn Program>> {
        match artifact {
            b"count" | b"count again" => Ok(NativeProgram::new(|| {
                Box::new(|record, host| {
                    if record.bytes().starts_with(b"poison") {
                        return Err(Error::new(ErrorCode::GuestError, "it is poison"));
                    }
                    let mut key = store_prefix("seen")?;
                    put_simple(&mut key, record.bytes());
                    let count = host.get(&key)?.map_or(0, |count| count.len()) + 1;
                    host.write(&key, Write::Put(Bytes::from(vec![b'1'; count])))?;
                    host.emit(record)
                })
            })),
            b"stuck" => Ok(Arc::new(stuck(false))),
            b"stuck for good" => Ok(Arc::new(stuck(true))),
            _ => Err(Error::new(ErrorCode::ArtifactInvalid, "not an artifact of this test")),
        }
    }
}

/// Memory that is always in order.
struct NoUpkeep;

impl Upkeep for NoUpkeep {
    fn tidy(&self, _: i64, _: &Retention) -> Result<()> {
        Ok(())
    }

    fn probe(&self) -> Result<()> {
        Ok(())
    }

    fn damage_to(&self, _: &FunctionEntry) -> Option<Error> {
        None
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

impl Cluster {
    pub(super) fn new() -> Self {
        Cluster {
            broker: MemBroker::on_autopilot(),
            abroad: MemBroker::on_autopilot().of("abroad".parse().unwrap()),
            happens: Arc::default(),
            register: Arc::default(),
            artifacts: MemArtifacts::default(),
            peers: MemPeerGroup::default(),
        }
    }

    pub(super) async fn start(&self, number: u32) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(folder.path());
        config.stop_timeout = Duration::from_millis(500);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let data = Arc::new(Dir::open(folder.path(), Access::Owner).unwrap());
        let logs = FunctionLogs::open(data.clone(), clock.clone(), HashSet::new()).unwrap();
        let client = self.broker.connect(number);
        let backend = Backend {
            broker: client.clone(),
            committer: client,
            state_stores: Arc::new(MemStateStores::new()),
            epoch: EpochBounds::default(),
        };
        let states = backend.state_stores.clone();
        let deps = EngineDeps { clock: clock.clone(), log: logs.clone() };
        let engine = Engine::start(EngineConfig { workers: 2, ..EngineConfig::default() }, deps).unwrap();
        let peers = self.peers.join(&format!("server-{number}"));
        let artifacts = self.artifacts.other();
        let forks = MemForks::new(&self.broker, &self.register);
        let files = Descriptors::divide(descriptors::limit(), config.memory, None, None);
        let net = Net::new(config.network.clone(), &files, Budget::new(config.memory));
        let parts = Parts {
            config,
            register: Arc::new(Guarded::<dyn Metadata>(self.register.clone())),
            own: OwnCluster {
                topics: Arc::new(Happening(Guarded(Arc::new(self.broker.clone())), self.happens.clone())),
                producers: Some(Arc::new(Guarded::<dyn Producers>(Arc::new(self.broker.clone())))),
                broker: None,
                groups: Arc::new(Guarded::<dyn Groups>(Arc::new(MemGroups::new(&self.broker, number)))),
                tasks: Arc::new(Guarded::<dyn Tasks>(Arc::new(self.broker.clone()))),
                forks: Some(Arc::new(Guarded::<dyn Forks>(Arc::new(forks)))),
                backend,
            },
            foreign: Arc::new(Abroad {
                broker: self.abroad.clone(),
                client: self.abroad.connect(number),
                number,
                states,
            }),
            acks: None,
            backups: None,
            artifacts: Arc::new(Guarded::<dyn Artifacts>(Arc::new(artifacts.clone()))),
            upkeep: Arc::new(NoUpkeep),
            notes: Arc::new(Guarded::<dyn Notes>(Arc::new(MemNotes::default()))),
            peers: peers.clone(),
            engine: engine.clone(),
            runtime: Arc::new(ByName),
            logs: logs.clone(),
            aside: crate::logs::aside::Aside::new(logs.clone()),
            data,
            clock,
            net: net.clone(),
        };
        let app = parts.assemble(&Handle::current());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = Client::new(&format!("http://{address}")).unwrap();
        let gate = Arc::new(Gate::new(&app.config, "127.0.0.1:0", address).unwrap());
        let rest = crate::rest::Rest::new(&app, gate.clone(), false);
        let one_port = crate::one_port::OnePort::new(rest, crate::grpc::Grpc::new(&app, gate).unwrap());
        let mut tasks = app.background();
        tasks.push(tokio::spawn(net::serve(net, listener, one_port, CancellationToken::new()).unwrap()));
        let groups = MemGroups::new(&self.broker, number);
        app.inspection.booted().wait_for(|booted| *booted).await.unwrap();
        Process { app, client, engine, number, peers, artifacts, groups, logs, tasks, _folder: folder }
    }

    /// Kills a server: nothing of it says farewell.
    pub(super) fn kill(&self, process: &Process) {
        self.broker.crash(process.number, |_| true);
        self.abroad.crash(process.number, |_| true);
        self.peers.kill(&process.peers.me());
        process.artifacts.kill();
        process.groups.kill();
        process.tasks.iter().for_each(JoinHandle::abort);
        process.app.close();
    }
}

impl Process {
    /// Describes a function until it is as it must become.
    pub(super) async fn described(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&FunctionDescription) -> bool,
    ) -> FunctionDescription {
        let until = Instant::now() + LONG;
        loop {
            let described = self.client.describe_function(name).await.unwrap();
            if wanted(&described) {
                return described;
            }
            assert!(Instant::now() < until, "server {} does not see: {what}: {described:?}", self.number);
        }
    }

    /// The tasks of its own engine.
    pub(super) async fn own_tasks(&self, name: &str) -> Vec<u32> {
        let entry = self.app.entry_of(name).await;
        self.engine.tasks(entry.id)
    }

    /// The first entries of a function's state.
    pub(super) async fn state(&self, name: &str) -> Vec<StateEntry> {
        let wanted = Wanted { max: 100, after: None };
        self.app.inspection.state(name.to_owned(), Arc::new(|_| true), wanted).await.unwrap().rows
    }

    pub(super) async fn end(self) {
        self.app.close();
        self.tasks.iter().for_each(JoinHandle::abort);
        let (engine, logs) = (self.engine, self.logs);
        tokio::task::spawn_blocking(move || {
            engine.shutdown(LONG);
            logs.close();
        })
        .await
        .unwrap();
    }
}

impl App {
    pub(super) async fn entry_of(&self, name: &str) -> fnstream_core::spec::FunctionEntry {
        let (functions, name) = (self.functions.clone(), name.to_owned());
        crate::app::ops::blocking(move || crate::app::entry(&*functions.register, &name)).await.unwrap()
    }
}
