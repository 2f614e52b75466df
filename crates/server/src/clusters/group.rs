// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What differs from broker to broker of what the processes of a group share.

use std::collections::HashSet;
use std::sync::Arc;

use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::groups::Groups;
use fnstream_core::spec::FunctionEntry;
use fnstream_core::state::{StateStores, Visit};
use fnstream_core::tasks::{Standing, Tasks};
use fnstream_core::topic::{Cluster, TopicRef};
use fnstream_core::topics::{Retention, Topics};
use fnstream_core::upkeep::{Health, Upkeep};
use fnstream_core::{Error, Result};
use fnstream_engine::{Backend, EpochBounds};
use fnstream_group::{Log, Register, Removed};
use fnstream_kafka::{Kafka, KafkaGroups, KafkaLog, KafkaStates, KafkaTasks, KafkaTopics, Sharing};
use fnstream_pulsar::{Pulsar, PulsarGroups, PulsarLog, PulsarStates, PulsarTasks, PulsarTopics};
use fnstream_store::Store;
use parking_lot::Mutex;

use super::Abroad;
use super::kafka::SCHEME;
use crate::ServerConfig;
use crate::config::{Group, SharedCluster};

/// The cluster of a group, before it is known which group that is.
pub(super) enum Reached {
    Kafka(Box<fnstream_kafka::Options>),
    Pulsar(Pulsar),
}

/// What a group has of its cluster.
pub(super) struct Shared {
    pub(super) topics: Arc<dyn Topics>,
    pub(super) groups: Arc<dyn Groups>,
    pub(super) backend: Backend,
    /// How the cluster is called by who names it.
    pub(super) alias: Cluster,
    pub(super) place: Arc<dyn Place>,
    pub(super) foreign: Abroad,
}

/// Where the tasks of a group's functions commit.
pub(super) trait Place: Send + Sync {
    /// What the tasks of a function have committed.
    fn tasks(&self, function: FunctionId, name: &str, local: &Arc<dyn StateStores>) -> Arc<dyn Tasks>;

    /// Removes what the cluster keeps of a function that is gone, and its own subscriptions of these topics. Blocks.
    fn forget(&self, function: FunctionId, name: &str, reads: &[TopicRef]) -> Result<()>;

    /// Lets the other processes have the tasks of this one. Blocks for a moment.
    fn leave(&self);
}

impl Place for Arc<Kafka> {
    fn tasks(&self, function: FunctionId, name: &str, local: &Arc<dyn StateStores>) -> Arc<dyn Tasks> {
        Arc::new(KafkaTasks::new(self.clone(), function, name, local.clone()))
    }

    /// The cluster lets groups go by itself that nobody uses.
    fn forget(&self, function: FunctionId, name: &str, _reads: &[TopicRef]) -> Result<()> {
        Kafka::forget(self, function, name)
    }

    fn leave(&self) {
        Kafka::leave(self);
    }
}

impl Place for Arc<Pulsar> {
    fn tasks(&self, function: FunctionId, name: &str, local: &Arc<dyn StateStores>) -> Arc<dyn Tasks> {
        Arc::new(PulsarTasks::new(self.clone(), function, name, local.clone()))
    }

    fn forget(&self, function: FunctionId, name: &str, reads: &[TopicRef]) -> Result<()> {
        Pulsar::forget(self, function, name, reads)
    }

    fn leave(&self) {
        Pulsar::leave(self);
    }
}

impl Reached {
    /// Reaches the cluster of a group, as the process of that name. Speaks to nobody yet.
    pub(super) fn new(group: &Group, config: &ServerConfig, process: String, lanes: usize) -> Result<Reached> {
        Ok(match &group.cluster {
            SharedCluster::Kafka { bootstrap, properties } => Reached::Kafka(Box::new(fnstream_kafka::Options {
                cluster: Cluster::own(),
                properties: fnstream_kafka::Properties::new(bootstrap, properties)?,
                server: group.name.clone(),
                connection: String::new(),
                process,
                sharing: Some(Sharing { session_timeout: group.session_timeout }),
                incarnation: String::new(),
                namespace: String::new(),
                replication: config.kafka.replication,
                lanes,
            })),
            SharedCluster::Pulsar { service_url, properties, namespace, internal_namespace } => {
                Reached::Pulsar(Pulsar::connect(fnstream_pulsar::Options {
                    cluster: Cluster::own(),
                    properties: fnstream_pulsar::Properties::new(service_url, properties)?,
                    server: group.name.clone(),
                    process,
                    is_shared: true,
                    incarnation: String::new(),
                    namespace: namespace.clone(),
                    internal: internal_namespace.clone(),
                })?)
            }
        })
    }

    /// Waits until a cluster answers that may just be starting. Blocks.
    pub(super) fn greet(&self) -> Result<()> {
        match self {
            // Its clients wait, and say so.
            Reached::Kafka(_) => Ok(()),
            Reached::Pulsar(pulsar) => pulsar.greet(),
        }
    }

    /// A log that all processes of the group have. Blocks.
    pub(super) fn log(&self, what: &str) -> Result<Arc<dyn Log>> {
        Ok(match self {
            Reached::Kafka(options) => Arc::new(KafkaLog::open(options, what)?),
            Reached::Pulsar(pulsar) => Arc::new(PulsarLog::open(pulsar, what)?),
        })
    }

    /// All else, for the functions of a register. `abroad` reaches other clusters.
    pub(super) fn join(
        self,
        group: &Group,
        incarnation: String,
        local: &Arc<dyn StateStores>,
        abroad: Abroad,
    ) -> Result<Shared> {
        match self {
            Reached::Kafka(mut options) => {
                options.incarnation = incarnation;
                let topics = KafkaTopics::connect(&options)?;
                let alias: Cluster = format!("{SCHEME}{}", group.cluster.addresses()).parse()?;
                let kafka = Arc::new(Kafka::connect(*options)?);
                let backend = Backend {
                    broker: kafka.clone(),
                    committer: kafka.clone(),
                    state_stores: Arc::new(KafkaStates::new(kafka.clone(), local.clone())),
                    epoch: EpochBounds::default(),
                };
                let groups = KafkaGroups::shared(&topics);
                let foreign = abroad.of_kafka((alias.clone(), kafka.clone()));
                Ok(Shared { topics, groups, backend, alias, place: Arc::new(kafka), foreign })
            }
            Reached::Pulsar(pulsar) => {
                let pulsar = Arc::new(pulsar.reborn(incarnation));
                // A broker cuts the connection of a task that was taken over amid a message, and what was being produced on it would be
                // sent once more.
                let topics = PulsarTopics::connect(pulsar.options())?;
                let alias: Cluster = group.cluster.addresses().parse()?;
                let backend = Backend {
                    broker: pulsar.clone(),
                    committer: pulsar.clone(),
                    state_stores: Arc::new(PulsarStates::new(pulsar.clone(), local.clone())),
                    epoch: super::pulsar::epochs(),
                };
                let groups = PulsarGroups::new(&topics);
                let foreign = abroad.of_pulsar((alias.clone(), pulsar.clone()));
                Ok(Shared { topics, groups, backend, alias, place: Arc::new(pulsar), foreign })
            }
        }
    }
}

/// What the tasks of the group's functions have committed.
pub(super) struct GroupTasks {
    pub(super) register: Arc<Register>,
    pub(super) place: Arc<dyn Place>,
    pub(super) local: Arc<dyn StateStores>,
}

impl GroupTasks {
    fn of(&self, function: FunctionId) -> Option<Arc<dyn Tasks>> {
        let name = self.register.name_of(function)?;
        Some(self.place.tasks(function, &name, &self.local))
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
pub(super) struct GroupUpkeep {
    store: Store,
    upkeep: Arc<dyn Upkeep>,
    register: Arc<Register>,
    place: Arc<dyn Place>,
    /// Functions that were gone the last time: their tasks have ended by now, in all processes.
    gone: Mutex<HashSet<FunctionId>>,
}

impl GroupUpkeep {
    pub(super) fn new(store: &Store, register: &Arc<Register>, place: &Arc<dyn Place>) -> Self {
        GroupUpkeep {
            store: store.clone(),
            upkeep: store.upkeep(),
            register: register.clone(),
            place: place.clone(),
            gone: Mutex::default(),
        }
    }

    fn remove_what_is_left(&self) -> Result<()> {
        let mut still: HashSet<FunctionId> = HashSet::new();
        let before = std::mem::take(&mut *self.gone.lock());
        let removed = self.register.tidy(|id, Removed { name, reads }| {
            if !before.contains(&id) {
                still.insert(id);
                return Ok(false);
            }
            // One that has the name now has the subscriptions too.
            let reads = if self.register.has(name) { &[] } else { &reads[..] };
            self.place.forget(id, name, reads).map(|()| true)
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
