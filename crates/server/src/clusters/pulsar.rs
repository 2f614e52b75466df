// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clusters of Apache Pulsar, by their addresses.
//!
//! Functions that give their client the same options share its connections.

use std::sync::Arc;

use fnstream_core::epoch::FunctionId;
use fnstream_core::groups::Groups;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::state::StateStores;
use fnstream_core::topic::Cluster;
use fnstream_core::topics::Topics;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::EpochBounds;
use fnstream_pulsar::{INITIAL_POSITION, Options, Pulsar, PulsarGroups, PulsarStates, PulsarTasks, PulsarTopics};
use parking_lot::Mutex;

use super::identity::{Identity, SERVER};
use super::kept::{Idle, Kept};
use super::{Follower, ForClients, ForFunction, Foreign, Properties};

/// How the addresses of such a cluster begin, without and with TLS.
pub(super) const SCHEMES: [&str; 2] = ["pulsar://", "pulsar+ssl://"];

/// Tenant and namespace of topics that name none.
const NAMESPACE: &str = "public/default";
/// Tenant and namespace of what the server keeps for itself.
const INTERNAL: &str = "public/function-stream";

/// When epochs end. What is in flight is held several times over: as records, as an entry of the log, and as messages for the outputs. Epochs of
/// a mebibyte take less of it than larger ones, and cost no more.
pub(super) fn epochs() -> EpochBounds {
    EpochBounds { bytes: 1 << 20, ..EpochBounds::default() }
}

/// What clusters are reached with.
pub(super) struct PulsarClusters {
    identity: Arc<Identity>,
    /// State on the local disk.
    local: Arc<dyn StateStores>,
    /// The server's own cluster, if it is one.
    own: Option<(Cluster, Arc<Pulsar>)>,
    clients: Mutex<Kept<Connected>>,
    places: Mutex<Kept<Place>>,
}

/// A connection for clients.
struct Connected {
    topics: Arc<PulsarTopics>,
    groups: Arc<PulsarGroups>,
}

/// A connection for functions.
struct Place {
    pulsar: Arc<Pulsar>,
    states: Arc<PulsarStates>,
}

impl Idle for Connected {
    /// Whether nobody has taken something for a group and not given it yet.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.groups) == 1
    }
}

impl Idle for Place {
    /// Whether no function runs there.
    fn is_idle(&self) -> bool {
        // The stores have it too.
        Arc::strong_count(&self.states) == 1 && Arc::strong_count(&self.pulsar) == 2
    }
}

impl PulsarClusters {
    /// Connects to nobody yet. `local` keeps the state of functions that commit to Pulsar.
    pub(super) fn new(identity: Arc<Identity>, local: Arc<dyn StateStores>) -> Self {
        PulsarClusters { identity, local, own: None, clients: Kept::new(), places: Kept::new() }
    }

    /// Of a server that has a cluster of its own.
    pub(super) fn of_group(self, own: (Cluster, Arc<Pulsar>)) -> Self {
        PulsarClusters { own: Some(own), ..self }
    }

    fn options(cluster: &Cluster, properties: &Properties, server: String) -> Result<Options> {
        Ok(Options {
            cluster: cluster.clone(),
            properties: fnstream_pulsar::Properties::new(cluster.as_str(), properties)?,
            server,
            process: String::new(),
            is_shared: false,
            incarnation: String::new(),
            namespace: NAMESPACE.to_owned(),
            internal: INTERNAL.to_owned(),
        })
    }

    /// The connection of a function.
    fn place(&self, cluster: &Cluster, spec: &FunctionSpec) -> Result<(Arc<Pulsar>, Arc<PulsarStates>)> {
        let mut properties = super::home::properties(spec).remove(cluster).unwrap_or_default();
        // It is no option of the connection: each input is asked for its own.
        properties.remove(INITIAL_POSITION);
        let make = || {
            let pulsar = Arc::new(Pulsar::connect(Self::options(cluster, &properties, self.identity.server()?)?)?);
            let states = Arc::new(PulsarStates::new(pulsar.clone(), self.local.clone()));
            Ok(Place { pulsar, states })
        };
        let take = |place: &Place| (place.pulsar.clone(), place.states.clone());
        let reached = self.places.lock().reach((cluster.clone(), properties.clone()), make, take);
        // Connections end outside of the lock.
        let (place, surplus) = reached?;
        drop(surplus);
        Ok(place)
    }
}

impl Foreign for PulsarClusters {
    fn epoch(&self) -> EpochBounds {
        epochs()
    }

    fn check(&self, cluster: &Cluster) -> Result<()> {
        match SCHEMES.iter().any(|scheme| cluster.as_str().starts_with(scheme)) {
            true => Ok(()),
            false => {
                let message = format!("this server does not know the cluster '{cluster}'");
                Err(Error::new(ErrorCode::ClusterUnknown, message))
            }
        }
    }

    fn check_for_functions(&self, cluster: &Cluster, properties: &Properties) -> Result<()> {
        self.check(cluster)?;
        fnstream_pulsar::Properties::new(cluster.as_str(), properties).map(drop)
    }

    fn for_clients(&self, cluster: &Cluster, properties: &Properties) -> Result<ForClients> {
        let mut properties = properties.clone();
        // See [`Self::place`].
        properties.remove(INITIAL_POSITION);
        let make = || {
            let topics = PulsarTopics::connect(&Self::options(cluster, &properties, SERVER.to_owned())?)?;
            let groups = PulsarGroups::new(&topics);
            Ok(Connected { topics, groups })
        };
        let take = |of: &Connected| {
            let (topics, groups): (Arc<dyn Topics>, Arc<dyn Groups>) = (of.topics.clone(), of.groups.clone());
            ForClients { topics, groups }
        };
        let reached = self.clients.lock().reach((cluster.clone(), properties.clone()), make, take);
        // Connections end outside of the lock.
        let (of, surplus) = reached?;
        drop(surplus);
        Ok(of)
    }

    fn for_function(&self, cluster: &Cluster, entry: &FunctionEntry) -> Result<ForFunction> {
        let (pulsar, states) = self.place(cluster, &entry.spec)?;
        pulsar.read_for(entry.id, &entry.spec.name, &entry.spec.inputs);
        let tasks = PulsarTasks::new(pulsar.clone(), entry.id, &entry.spec.name, self.local.clone());
        Ok(ForFunction {
            broker: pulsar.clone(),
            follower: Arc::new(Following(pulsar.clone())),
            committer: pulsar,
            state_stores: states,
            tasks: Arc::new(tasks),
            epoch: self.epoch(),
        })
    }

    fn move_groups(
        &self,
        cluster: &Cluster,
        function: FunctionId,
        spec: &FunctionSpec,
        places: &[(TopicPartition, Position)],
    ) -> Result<()> {
        let pulsar = match &self.own {
            Some((own, pulsar)) if own == cluster => pulsar.clone(),
            _ => self.place(cluster, spec)?.0,
        };
        pulsar.move_groups(function, &spec.name, &spec.inputs, places)
    }

    fn forget(&self, cluster: &Cluster, entry: &FunctionEntry, has_heir: bool) -> Result<()> {
        let (pulsar, _) = self.place(cluster, &entry.spec)?;
        let reads = entry.spec.reads().filter(|of| !has_heir && of.topic.cluster == *cluster);
        pulsar.forget(entry.id, &entry.spec.name, &reads.collect::<Vec<_>>())
    }
}

/// Has subscriptions follow functions.
struct Following(Arc<Pulsar>);

impl Follower for Following {
    fn reached(&self, function: FunctionId, positions: &Positions) {
        self.0.follow(function, positions);
    }
}
