// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a server keeps, and where: all of it in its store, or what lasts in a cluster of Apache Kafka that it shares with other
//! processes. The store is a cache then, of the state of those tasks that have run here.

use std::collections::HashSet;
use std::sync::Arc;

use fnstream_core::acks::Acks;
use fnstream_core::artifacts::Artifacts;
use fnstream_core::backups::Backups;
use fnstream_core::clock::Clock;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::metadata::Metadata;
use fnstream_core::notes::Notes;
use fnstream_core::peers::{Alone, Peers};
use fnstream_core::spec::FunctionEntry;
use fnstream_core::state::{StateStores, Visit};
use fnstream_core::tasks::{Standing, Tasks};
use fnstream_core::topic::Cluster;
use fnstream_core::topics::Retention;
use fnstream_core::upkeep::{Health, Upkeep};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{Backend, EpochBounds};
use fnstream_kafka::{
    Kafka, KafkaArtifacts, KafkaGroups, KafkaPeers, KafkaRegister, KafkaStates, KafkaTasks, KafkaTopics, Options,
    Properties, Sharing,
};
use fnstream_store::Store;
use parking_lot::Mutex;

use super::identity::hex;
use super::kafka::SCHEME;
use super::{Abroad, OwnCluster};
use crate::ServerConfig;
use crate::config::KafkaGroup;
use crate::peers::HttpExchange;

/// The note of the process's name within its group.
const PROCESS: &str = "group.process";
/// The note of the register whose functions' state the store keeps.
const REGISTER: &str = "group.register";

/// See the module.
pub(crate) struct Own {
    pub(crate) register: Arc<dyn Metadata>,
    pub(crate) cluster: OwnCluster,
    pub(crate) foreign: Abroad,
    pub(crate) acks: Option<Arc<dyn Acks>>,
    pub(crate) artifacts: Arc<dyn Artifacts>,
    pub(crate) upkeep: Arc<dyn Upkeep>,
    pub(crate) backups: Option<Arc<dyn Backups>>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) membership: Option<Membership>,
}

/// What a process of a group leaves at its end.
pub(crate) struct Membership {
    kafka: Arc<Kafka>,
    peers: Arc<KafkaPeers>,
}

impl Membership {
    /// Says farewell to the other processes. Blocks for a moment.
    pub(crate) fn leave(&self) {
        self.kafka.leave();
        self.peers.leave();
    }
}

impl Own {
    /// All of it in the store.
    pub(crate) fn embedded(store: &Store, config: &ServerConfig, lanes: usize) -> Result<Own> {
        if let Some(register) = note(&*store.notes(), REGISTER)? {
            let message = format!(
                "the data folder belongs to a process of a server group on Apache Kafka (register {register}): start it with \
                 'function-stream server', or take another folder"
            );
            return Err(Error::new(ErrorCode::InvalidConfig, message));
        }
        Ok(Own {
            register: store.metadata(),
            cluster: OwnCluster {
                topics: store.topics(),
                groups: store.groups(),
                producers: Some(store.producers()),
                tasks: store.tasks(),
                forks: Some(store.forks()),
                backend: Backend {
                    broker: store.broker(),
                    committer: store.committer(),
                    state_stores: store.state_stores(),
                    epoch: EpochBounds::default(),
                },
                broker: None,
            },
            foreign: Abroad::new(store.notes(), None, &store.state_stores(), lanes, config.kafka.replication),
            acks: Some(store.acks()),
            artifacts: store.artifacts(),
            upkeep: store.upkeep(),
            backups: Some(store.backups()),
            peers: Arc::new(Alone::default()),
            membership: None,
        })
    }

    /// What lasts in the group's cluster. `address` is where other processes reach this one. Blocks, and waits for the cluster.
    pub(crate) fn in_group(
        group: &KafkaGroup,
        config: &ServerConfig,
        address: &str,
        store: &Store,
        lanes: usize,
        clock: &Arc<dyn Clock>,
        exchange: HttpExchange,
    ) -> Result<Own> {
        let notes = store.notes();
        let process = process(&*notes)?;
        let mut options = Options {
            cluster: Cluster::own(),
            properties: Properties::new(&group.bootstrap, &group.properties)?,
            server: group.name.clone(),
            connection: String::new(),
            process,
            sharing: Some(Sharing { session_timeout: group.session_timeout }),
            incarnation: String::new(),
            namespace: String::new(),
            replication: config.kafka.replication,
            lanes,
        };
        let register = Arc::new(KafkaRegister::open(&options, clock.clone())?);
        options.incarnation = register.incarnation();
        adopt(store, &options.incarnation)?;
        let artifacts = KafkaArtifacts::open(&options, store.artifacts(), config.upload_grace, clock.clone())?;
        let peers = Arc::new(KafkaPeers::join(&options, address, group.session_timeout, Arc::new(exchange))?);
        let topics = KafkaTopics::connect(&options)?;
        let kafka = Arc::new(Kafka::connect(options)?);
        let local = store.state_stores();
        let backend = Backend {
            broker: kafka.clone(),
            committer: kafka.clone(),
            state_stores: Arc::new(KafkaStates::new(kafka.clone(), local.clone())),
            epoch: EpochBounds::default(),
        };
        let alias: Cluster = format!("{SCHEME}{}", group.bootstrap).parse()?;
        let tasks = GroupTasks { register: register.clone(), kafka: kafka.clone(), local: local.clone() };
        let upkeep = GroupUpkeep {
            store: store.clone(),
            upkeep: store.upkeep(),
            register: register.clone(),
            kafka: kafka.clone(),
            gone: Mutex::default(),
        };
        let foreign = Abroad::new(notes, Some(&group.name), &local, lanes, config.kafka.replication);
        Ok(Own {
            register,
            foreign: foreign.of_kafka((alias.clone(), kafka.clone())),
            cluster: OwnCluster {
                groups: KafkaGroups::shared(&topics),
                topics,
                producers: None,
                tasks: Arc::new(tasks),
                forks: None,
                backend,
                broker: Some(alias),
            },
            acks: None,
            artifacts: Arc::new(artifacts),
            upkeep: Arc::new(upkeep),
            backups: None,
            peers: peers.clone(),
            membership: Some(Membership { kafka, peers }),
        })
    }
}

fn note(notes: &dyn Notes, name: &str) -> Result<Option<String>> {
    let found = notes.list()?.into_iter().find(|(noted, _)| noted == name);
    Ok(found.map(|(_, note)| String::from_utf8_lossy(&note).into_owned()))
}

/// The name of this process within its group, which it keeps as long as its data folder.
fn process(notes: &dyn Notes) -> Result<String> {
    if let Some(process) = note(notes, PROCESS)? {
        return Ok(process);
    }
    let mut random = [0; 6];
    let filled = getrandom::fill(&mut random);
    filled.map_err(|e| fnstream_core::error::internal(format!("no random number for the name of a process: {e}")))?;
    let process = hex(&random);
    notes.put(PROCESS, process.as_bytes())?;
    Ok(process)
}

/// Has the store keep state of that register's functions, and refuses one that keeps something else.
fn adopt(store: &Store, register: &str) -> Result<()> {
    let notes = store.notes();
    match note(&*notes, REGISTER)? {
        Some(known) if known == register => Ok(()),
        Some(known) => {
            let message = format!(
                "the data folder belongs to a process of another server group (register {known}, and this one's is {register}): take \
                 another folder, since state of the one is none of the other's"
            );
            Err(Error::new(ErrorCode::InvalidConfig, message))
        }
        None if store.metadata().list()?.is_empty() && store.topics().list()?.is_empty() => {
            notes.put(REGISTER, register.as_bytes())
        }
        None => {
            let message = "the data folder is that of a standalone server, with topics or functions of its own: take another folder";
            Err(Error::new(ErrorCode::InvalidConfig, message))
        }
    }
}

/// What the tasks of the group's functions have committed.
struct GroupTasks {
    register: Arc<KafkaRegister>,
    kafka: Arc<Kafka>,
    local: Arc<dyn StateStores>,
}

impl GroupTasks {
    fn of(&self, function: FunctionId) -> Option<KafkaTasks> {
        let name = self.register.name_of(function)?;
        Some(KafkaTasks::new(self.kafka.clone(), function, &name, self.local.clone()))
    }
}

impl Tasks for GroupTasks {
    fn fence(&self, function: FunctionId) -> Result<Standing> {
        self.of(function).map_or_else(|| Ok(Standing::new()), |tasks| tasks.fence(function))
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        self.of(function).map_or_else(|| Ok(Standing::new()), |tasks| tasks.progress(function))
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        self.of(task.function).map_or(Ok(()), |tasks| tasks.peek(task, start, visit))
    }
}

/// Keeps the store in order, and removes what is left of functions that are gone.
struct GroupUpkeep {
    store: Store,
    upkeep: Arc<dyn Upkeep>,
    register: Arc<KafkaRegister>,
    kafka: Arc<Kafka>,
    /// Functions that were gone the last time: their tasks have ended by now, in all processes.
    gone: Mutex<HashSet<FunctionId>>,
}

impl GroupUpkeep {
    fn remove_what_is_left(&self) -> Result<()> {
        let mut still: HashSet<FunctionId> = HashSet::new();
        let before = std::mem::take(&mut *self.gone.lock());
        let removed = self.register.tidy(|id, name| {
            if !before.contains(&id) {
                still.insert(id);
                return Ok(false);
            }
            self.kafka.forget(id, name).map(|()| true)
        });
        *self.gone.lock() = still;
        removed?;
        // Looked up one by one: what the store has was in the register as it is here before it ran.
        self.store.forget_tasks_but(&|id| self.register.name_of(id).is_some()).map(drop)
    }
}

impl Upkeep for GroupUpkeep {
    fn tidy(&self, now_ms: i64, retention: &Retention) -> Result<()> {
        self.upkeep.tidy(now_ms, retention)?;
        self.remove_what_is_left()
    }

    fn probe(&self) -> Result<()> {
        self.upkeep.probe()
    }

    fn damage_to(&self, entry: &FunctionEntry) -> Option<Error> {
        self.upkeep.damage_to(entry)
    }

    fn health(&self) -> Health {
        self.upkeep.health()
    }
}
