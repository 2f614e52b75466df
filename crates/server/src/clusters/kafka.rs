// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clusters of Apache Kafka, by their addresses.
//!
//! Functions that give their client the same properties share a connection: what they commit at one time is one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fnstream_core::epoch::FunctionId;
use fnstream_core::groups::Groups;
use fnstream_core::notes::Notes;
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

use super::{Follower, ForClients, ForFunction, Foreign, Properties};

/// How the addresses of such a cluster begin.
pub(super) const SCHEME: &str = "kafka://";

/// So many clusters stay connected when nobody uses them.
const KEPT: usize = 16;

/// What the names of the server's own topics, groups and transactional ids begin with.
const SERVER: &str = "function-stream";

/// The note of what tells this server from others.
const ID: &str = "kafka.server-id";

/// The note of what keeps others from finding out properties by the names of connections.
const SALT: &str = "kafka.salt";

/// What clusters are reached with.
pub(crate) struct KafkaClusters {
    /// Keeps the server's id, where it has no name.
    notes: Arc<dyn Notes>,
    /// State on the local disk.
    local: Arc<dyn StateStores>,
    /// The name of the server, if it was given one.
    name: Option<String>,
    /// The server's own cluster, if it is one.
    own: Option<(Cluster, Arc<Kafka>)>,
    /// How many transactions of one connection may be under way at once.
    lanes: usize,
    /// How many copies topics have that are made.
    replication: Option<u16>,
    drawn: Mutex<HashMap<&'static str, String>>,
    clients: Mutex<Kept<Connected>>,
    places: Mutex<Kept<Place>>,
}

/// Connections by the cluster and the properties of the client. Some are kept that nobody uses.
struct Kept<T> {
    all: HashMap<(Cluster, Properties), (T, u64)>,
    /// Counts the times that a cluster was reached.
    turn: u64,
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

/// What is used by others, or not.
trait Idle {
    fn is_idle(&self) -> bool;
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

impl<T: Idle> Kept<T> {
    fn new() -> Mutex<Self> {
        Mutex::new(Kept { all: HashMap::new(), turn: 0 })
    }

    /// What there is of that key, made if there is none. Answers what is not kept any more, to be dropped without the lock.
    fn reach<R>(
        &mut self,
        key: (Cluster, Properties),
        make: impl FnOnce() -> Result<T>,
        take: impl FnOnce(&T) -> R,
    ) -> Result<(R, Vec<T>)> {
        self.turn += 1;
        if !self.all.contains_key(&key) {
            self.all.insert(key.clone(), (make()?, 0));
        }
        let Some((kept, turn)) = self.all.get_mut(&key) else {
            return Err(fnstream_core::error::internal("a cluster that was just reached is none"));
        };
        *turn = self.turn;
        let taken = take(kept);
        Ok((taken, self.surplus()))
    }

    /// Those that were not reached for the longest time and that nobody uses: they are connected to anew for whoever names them again.
    fn surplus(&mut self) -> Vec<T> {
        let mut surplus = Vec::new();
        while self.all.len() > KEPT {
            let idle = self.all.iter().filter(|(_, (kept, _))| kept.is_idle());
            let Some(oldest) = idle.min_by_key(|(_, (_, turn))| *turn).map(|(key, _)| key.clone()) else { break };
            surplus.extend(self.all.remove(&oldest).map(|(kept, _)| kept));
        }
        surplus
    }
}

impl KafkaClusters {
    /// Connects to nobody yet. `notes` keep what tells this server from others; `local` keeps the state of functions that commit to
    /// Kafka.
    pub(crate) fn new(
        notes: Arc<dyn Notes>,
        local: Arc<dyn StateStores>,
        lanes: usize,
        replication: Option<u16>,
    ) -> Self {
        let (drawn, clients, places) = (Mutex::default(), Kept::new(), Kept::new());
        KafkaClusters { notes, local, lanes, replication, name: None, own: None, drawn, clients, places }
    }

    /// Of a server that has that name on all clusters, and one of its own.
    pub(crate) fn of_group(self, name: &str, own: (Cluster, Arc<Kafka>)) -> Self {
        KafkaClusters { name: Some(name.to_owned()), own: Some(own), ..self }
    }

    fn addresses(cluster: &Cluster) -> Result<&str> {
        cluster.as_str().strip_prefix(SCHEME).ok_or_else(|| {
            let message = format!("this server does not know the cluster '{cluster}'");
            Error::new(ErrorCode::ClusterUnknown, message)
        })
    }

    /// The name of this server, which no other has on a cluster: it stays as long as the data folder.
    fn server(&self) -> Result<String> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => Ok(format!("{SERVER}-{}", self.drawn::<6>(ID)?)),
        }
    }

    /// So many random bytes that were drawn once, in hexadecimal digits; noted under that name.
    fn drawn<const N: usize>(&self, name: &'static str) -> Result<String> {
        let mut drawn = self.drawn.lock();
        if let Some(known) = drawn.get(name) {
            return Ok(known.clone());
        }
        let noted = self.notes.list()?.into_iter().find(|(noted, _)| noted == name);
        let text = match noted {
            Some((_, noted)) => String::from_utf8_lossy(&noted).into_owned(),
            None => {
                let mut random = [0; N];
                let filled = getrandom::fill(&mut random);
                filled.map_err(|e| fnstream_core::error::internal(format!("no random number for '{name}': {e}")))?;
                let text = hex(&random);
                self.notes.put(name, text.as_bytes())?;
                text
            }
        };
        Ok(drawn.entry(name).insert_entry(text).get().clone())
    }

    fn options(&self, cluster: &Cluster, properties: &Properties, server: String, lanes: usize) -> Result<Options> {
        Ok(Options {
            cluster: cluster.clone(),
            properties: fnstream_kafka::Properties::new(Self::addresses(cluster)?, properties)?,
            connection: connection(properties, &self.drawn::<16>(SALT)?),
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
            let kafka = Arc::new(Kafka::connect(self.options(cluster, &properties, self.server()?, self.lanes)?)?);
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

    fn move_groups(&self, cluster: &Cluster, spec: &FunctionSpec, places: &[(TopicPartition, Position)]) -> Result<()> {
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

    fn forget(&self, cluster: &Cluster, entry: &FunctionEntry) -> Result<()> {
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

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
