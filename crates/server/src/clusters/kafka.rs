// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clusters of Apache Kafka, by their addresses.
//!
//! Functions that give their client the same properties share a connection: what they commit at one time is one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnstream_core::epoch::FunctionId;
use fnstream_core::groups::Groups;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::state::StateStores;
use fnstream_core::topic::Cluster;
use fnstream_core::topics::Topics;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_kafka::{
    AUTO_OFFSET_RESET, Kafka, KafkaGroups, KafkaStates, KafkaTasks, KafkaTopics, Options, Transactions,
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::identity::{Identity, SERVER, hex};
use super::kept::{Idle, Kept};
use super::{Follower, ForClients, ForFunction, Foreign, Properties};

/// How the addresses of such a cluster begin.
pub(super) const SCHEME: &str = "kafka://";

/// The note of what keeps others from finding out properties by the names of connections.
const SALT: &str = "kafka.salt";

/// What clusters are reached with.
pub(super) struct KafkaClusters {
    identity: Arc<Identity>,
    /// State on the local disk.
    local: Arc<dyn StateStores>,
    /// The server's own cluster, if it is one.
    own: Option<(Cluster, Arc<Kafka>)>,
    /// How many transactions of one connection may be under way at once.
    lanes: usize,
    /// How many copies topics have that are made.
    replication: Option<u16>,
    clients: Mutex<Kept<Connected>>,
    places: Mutex<Kept<Place>>,
}

/// A connection for clients.
struct Connected {
    topics: Arc<KafkaTopics>,
    groups: Arc<KafkaGroups>,
}

/// A connection for functions.
struct Place {
    kafka: Arc<Kafka>,
    states: Arc<KafkaStates>,
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
        Arc::strong_count(&self.states) == 1 && Arc::strong_count(&self.kafka) == 2
    }
}

impl KafkaClusters {
    /// Connects to nobody yet. `local` keeps the state of functions that commit to Kafka.
    pub(super) fn new(
        identity: Arc<Identity>,
        local: Arc<dyn StateStores>,
        lanes: usize,
        replication: Option<u16>,
    ) -> Self {
        let (clients, places) = (Kept::new(), Kept::new());
        KafkaClusters { identity, local, lanes, replication, own: None, clients, places }
    }

    /// Of a server that has a cluster of its own.
    pub(super) fn of_group(self, own: (Cluster, Arc<Kafka>)) -> Self {
        KafkaClusters { own: Some(own), ..self }
    }

    fn addresses(cluster: &Cluster) -> Result<&str> {
        cluster.as_str().strip_prefix(SCHEME).ok_or_else(|| {
            let message = format!("this server does not know the cluster '{cluster}'");
            Error::new(ErrorCode::ClusterUnknown, message)
        })
    }

    fn options(&self, cluster: &Cluster, properties: &Properties, server: String, lanes: usize) -> Result<Options> {
        Ok(Options {
            cluster: cluster.clone(),
            properties: fnstream_kafka::Properties::new(Self::addresses(cluster)?, properties)?,
            connection: connection(properties, &self.identity.drawn::<16>(SALT)?),
            process: String::new(),
            sharing: None,
            incarnation: String::new(),
            server,
            namespace: String::new(),
            replication: self.replication,
            lanes,
        })
    }

    /// The connection of a function.
    fn place(&self, cluster: &Cluster, spec: &FunctionSpec) -> Result<(Arc<Kafka>, Arc<KafkaStates>)> {
        let mut properties = super::home::properties(spec).remove(cluster).unwrap_or_default();
        // It is no property of the connection: each input is asked for its own.
        properties.remove(AUTO_OFFSET_RESET);
        let make = || {
            let kafka =
                Arc::new(Kafka::connect(self.options(cluster, &properties, self.identity.server()?, self.lanes)?)?);
            let states = Arc::new(KafkaStates::new(kafka.clone(), self.local.clone()));
            Ok(Place { kafka, states })
        };
        let take = |place: &Place| (place.kafka.clone(), place.states.clone());
        let reached = self.places.lock().reach((cluster.clone(), properties.clone()), make, take);
        // Connections end outside of the lock.
        let (place, surplus) = reached?;
        drop(surplus);
        Ok(place)
    }
}

impl Foreign for KafkaClusters {
    fn check(&self, cluster: &Cluster) -> Result<()> {
        Self::addresses(cluster).map(drop)
    }

    fn check_for_functions(&self, cluster: &Cluster, properties: &Properties) -> Result<()> {
        fnstream_kafka::Properties::new(Self::addresses(cluster)?, properties).map(drop)
    }

    fn for_clients(&self, cluster: &Cluster, properties: &Properties) -> Result<ForClients> {
        let make = || {
            let topics = KafkaTopics::connect(&self.options(cluster, properties, SERVER.to_owned(), 1)?)?;
            let groups = KafkaGroups::new(&topics);
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
        let (kafka, states) = self.place(cluster, &entry.spec)?;
        kafka.read_for(entry.id, &entry.spec.name, &entry.spec.inputs);
        let tasks = KafkaTasks::new(kafka.clone(), entry.id, &entry.spec.name, self.local.clone());
        Ok(ForFunction {
            broker: kafka.clone(),
            follower: Arc::new(Following(kafka.clone())),
            committer: kafka,
            state_stores: states,
            tasks: Arc::new(tasks),
            epoch: self.epoch(),
        })
    }

    fn move_groups(
        &self,
        cluster: &Cluster,
        _function: FunctionId,
        spec: &FunctionSpec,
        places: &[(TopicPartition, Position)],
    ) -> Result<()> {
        let kafka = match &self.own {
            Some((own, kafka)) if own == cluster => kafka.clone(),
            _ => self.place(cluster, spec)?.0,
        };
        kafka.move_groups(&spec.name, &spec.inputs, places)
    }

    fn transactions(&self) -> BTreeMap<Cluster, Transactions> {
        let own = self.own.iter().map(|(cluster, kafka)| (cluster.clone(), kafka.transactions()));
        let mut all: BTreeMap<Cluster, Transactions> = own.collect();
        for ((cluster, _), (place, _)) in &self.places.lock().all {
            let of = all.entry(cluster.clone()).or_default();
            *of = of.with(place.kafka.transactions());
        }
        all
    }

    /// The cluster lets groups go by itself that nobody uses.
    fn forget(&self, cluster: &Cluster, entry: &FunctionEntry, _has_heir: bool) -> Result<()> {
        let (kafka, _) = self.place(cluster, &entry.spec)?;
        kafka.forget(entry.id, &entry.spec.name)
    }
}

/// Has groups follow functions.
struct Following(Arc<Kafka>);

impl Follower for Following {
    fn reached(&self, function: FunctionId, positions: &Positions) {
        self.0.follow(function, positions);
    }
}

/// Tells connections to one cluster apart that are there at the same time. It is a part of names that others see in the cluster, and some
/// properties are secrets: whoever does not know the salt cannot try passwords until the name fits.
fn connection(properties: &BTreeMap<String, String>, salt: &str) -> String {
    if properties.is_empty() {
        return String::new();
    }
    let mut hasher = Sha256::new();
    for part in properties.iter().flat_map(|(name, value)| [name, value]).map(String::as_str).chain([salt]) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_connections_say_nothing_of_secrets_to_who_does_not_know_the_salt() {
        let with = |password: &str| BTreeMap::from([("sasl.password".to_owned(), password.to_owned())]);
        assert_eq!(connection(&with("a"), "salt"), connection(&with("a"), "salt"));
        assert_ne!(connection(&with("a"), "salt"), connection(&with("b"), "salt"));
        assert_ne!(connection(&with("a"), "salt"), connection(&with("a"), "pepper"));
        assert_eq!(connection(&BTreeMap::new(), "salt"), "");
    }
}
