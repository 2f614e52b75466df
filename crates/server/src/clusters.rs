// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The clusters that a server reaches: its own, and those that functions and requests name.
//!
//! A function has one *home*: the cluster where its outputs and its dead letters are. There its epochs are committed, and so its
//! progress is kept there. Its inputs may be in any cluster ([`broker`]). Whatever is asked about a topic goes to the topic's cluster
//! ([`topics`]).

mod abroad;
mod broker;
mod follow;
mod group;
mod home;
mod identity;
mod kafka;
mod kept;
mod leftovers;
mod own;
mod patterns;
mod pulsar;
mod source;
mod tasks;
mod topics;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::broker::Broker;
use fnstream_core::committer::Committer;
use fnstream_core::epoch::FunctionId;
use fnstream_core::forks::Forks;
use fnstream_core::groups::Groups;
use fnstream_core::metadata::Metadata;
use fnstream_core::producers::Producers;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::state::StateStores;
use fnstream_core::tasks::Tasks;
use fnstream_core::topic::{Cluster, Topic};
use fnstream_core::topics::Topics;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{Backend, EpochBounds};
use fnstream_kafka::Transactions;
use parking_lot::Mutex;

pub(crate) use abroad::Abroad;
use broker::SeveralBrokers;
use follow::Followed;
pub(crate) use follow::Follower;
pub(crate) use home::home;
pub(crate) use leftovers::Leftovers;
pub(crate) use own::{Membership, Own};
pub(crate) use patterns::{Found, reads};
use tasks::TasksOfAll;
use topics::TopicsOfAll;

/// Properties for the client of a cluster, by name.
pub(crate) type Properties = BTreeMap<String, String>;

/// What the server's own cluster gives: an implementation of each seam.
#[derive(Clone)]
pub(crate) struct OwnCluster {
    pub(crate) topics: Arc<dyn Topics>,
    pub(crate) groups: Arc<dyn Groups>,
    /// None if it keeps no numbers of producers.
    pub(crate) producers: Option<Arc<dyn Producers>>,
    pub(crate) tasks: Arc<dyn Tasks>,
    /// None if state cannot be copied there.
    pub(crate) forks: Option<Arc<dyn Forks>>,
    pub(crate) backend: Backend,
    /// What else it is called, where it is not the embedded log: its topics take options then.
    pub(crate) broker: Option<Cluster>,
}

/// What another cluster is for clients.
#[derive(Clone)]
pub(crate) struct ForClients {
    pub(crate) topics: Arc<dyn Topics>,
    pub(crate) groups: Arc<dyn Groups>,
}

/// What another cluster is for a function that reads or writes there.
#[derive(Clone)]
pub(crate) struct ForFunction {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) committer: Arc<dyn Committer>,
    pub(crate) state_stores: Arc<dyn StateStores>,
    pub(crate) tasks: Arc<dyn Tasks>,
    pub(crate) epoch: EpochBounds,
    /// Is told how far a function is that commits in another cluster.
    pub(crate) follower: Arc<dyn Follower>,
}

/// Reaches clusters that are not the server's own. Connections are kept for those who come next.
pub(crate) trait Foreign: Send + Sync {
    /// Refuses a cluster that this server cannot speak to. Asks nobody.
    fn check(&self, cluster: &Cluster) -> Result<()>;

    /// Refuses a cluster that functions of this server cannot use, or properties that its client does not take. Asks nobody.
    fn check_for_functions(&self, cluster: &Cluster, properties: &Properties) -> Result<()>;

    /// Reaches a cluster for clients. Does not wait for an answer of the cluster. Who is reached twice in one way is the same, since
    /// groups know who has taken what.
    fn for_clients(&self, cluster: &Cluster, properties: &Properties) -> Result<ForClients>;

    /// Reaches a cluster for a function. Does not wait for an answer of the cluster. All functions that reach it in one way are given
    /// the same.
    fn for_function(&self, cluster: &Cluster, entry: &FunctionEntry) -> Result<ForFunction>;

    /// When epochs of functions end that commit there.
    fn epoch(&self) -> EpochBounds {
        EpochBounds::default()
    }

    /// Moves the groups of a function that does not run and commits there; it goes on where they are. Blocks.
    fn move_groups(
        &self,
        cluster: &Cluster,
        _function: FunctionId,
        _spec: &FunctionSpec,
        _places: &[(TopicPartition, Position)],
    ) -> Result<()> {
        Err(Error::new(ErrorCode::StateNotKept, format!("functions of '{cluster}' cannot be moved")))
    }

    /// The transactions that were made for functions, by cluster; none where it is not done so.
    fn transactions(&self) -> BTreeMap<Cluster, Transactions> {
        BTreeMap::new()
    }

    /// Removes what a cluster keeps of a function that was deleted; what goes by its name alone stays for its heir, a function that has
    /// the name now. Blocks.
    fn forget(&self, cluster: &Cluster, entry: &FunctionEntry, has_heir: bool) -> Result<()>;
}

/// See the module.
pub(crate) struct Clusters {
    own: OwnCluster,
    foreign: Arc<dyn Foreign>,
    register: Arc<dyn Metadata>,
    leftovers: Arc<Leftovers>,
    /// The functions that were asked about; none for one that uses the server's own cluster alone, and for the state of a revision.
    known: Mutex<HashMap<FunctionId, Option<Arc<FunctionEntry>>>>,
}

impl Clusters {
    pub(crate) fn new(own: OwnCluster, leftovers: Arc<Leftovers>) -> Arc<Self> {
        let (foreign, register) = (leftovers.foreign.clone(), leftovers.register.clone());
        Arc::new(Clusters { own, foreign, register, leftovers, known: Mutex::default() })
    }

    /// The topic that a request means by this text.
    pub(crate) fn named(&self, text: &str) -> Result<Topic> {
        let mut topic: Topic = text.parse()?;
        topic.check("topic")?;
        self.adopt(&mut topic);
        if !topic.cluster.is_own() {
            self.foreign.check(&topic.cluster).or_else(|error| match error.code {
                // Says which topic it is.
                ErrorCode::ClusterUnknown => topic.own_name().map(drop),
                _ => Err(error),
            })?;
        }
        Ok(topic)
    }

    /// The groups of consumers of a topic.
    pub(crate) fn groups(&self, topic: &Topic) -> Result<Arc<dyn Groups>> {
        if topic.cluster.is_own() {
            return Ok(self.own.groups.clone());
        }
        Ok(self.foreign.for_clients(&topic.cluster, &Properties::new())?.groups)
    }

    /// Refuses a description of which this server cannot reach a topic, or whose outputs are not in one cluster.
    pub(crate) fn check(&self, spec: &FunctionSpec) -> Result<()> {
        let foreign = spec.places().filter(|topic| !topic.cluster.is_own());
        let (all, none) = (home::properties(spec), Properties::new());
        let unknown: Vec<_> = foreign
            .filter_map(|topic| {
                let properties = all.get(&topic.cluster).unwrap_or(&none);
                self.foreign.check_for_functions(&topic.cluster, properties).err().map(|e| (topic, e))
            })
            .collect();
        if let Some((_, first)) = unknown.first() {
            // What is wrong with a cluster is told once.
            let mut told: Vec<(String, &str)> = Vec::new();
            for (topic, error) in &unknown {
                match told.iter_mut().find(|(_, message)| *message == error.message) {
                    Some((topics, _)) => topics.push_str(&format!(", '{topic}'")),
                    None => told.push((format!("topic '{topic}'"), &error.message)),
                }
            }
            let told: Vec<_> = told.into_iter().map(|(topics, message)| format!("{topics}: {message}")).collect();
            return Err(Error::new(first.code, told.join("; ")));
        }
        let home = home(spec)?;
        match &self.own.broker {
            None => home::check_options(spec)?,
            Some(broker) if home.is_own() => home::check_broker_options(spec, broker)?,
            Some(_) => {
                let message = format!(
                    "outputs are in '{home}', but the processes of a server group commit in the cluster that they share: name its topics \
                     without a cluster"
                );
                return Err(Error::new(ErrorCode::SeveralHomes, message));
            }
        }
        self.check_patterns(spec)?;
        self.check_schemas(spec)
    }

    /// Whether a topic is one of the embedded log.
    pub(crate) fn is_embedded(&self, topic: &Topic) -> bool {
        self.own.broker.is_none() && topic.cluster.is_own()
    }

    /// A topic of the server's own cluster may be named by its addresses, too.
    fn adopt(&self, topic: &mut Topic) {
        if self.own.broker.as_ref() == Some(&topic.cluster) {
            topic.cluster = Cluster::own();
        }
    }

    /// The same of all topics of a description.
    pub(crate) fn adopt_all(&self, spec: &mut FunctionSpec) {
        for named in spec.inputs.iter_mut().flatten().chain(&mut spec.outputs) {
            self.adopt(&mut named.topic);
        }
    }

    /// Where a function commits, and how it reads.
    pub(crate) fn backend(&self, entry: &FunctionEntry) -> Result<Backend> {
        let home = home(&entry.spec)?;
        self.know(entry);
        let mut brokers: BTreeMap<Cluster, Arc<dyn Broker>> = BTreeMap::new();
        let mut backend = self.own.backend.clone();
        brokers.insert(Cluster::own(), backend.broker.clone());
        let mut followers = Vec::new();
        for topic in entry.spec.places() {
            if brokers.contains_key(&topic.cluster) {
                continue;
            }
            let there = self.foreign.for_function(&topic.cluster, entry)?;
            if topic.cluster == home {
                (backend.committer, backend.epoch) = (there.committer, there.epoch);
                backend.state_stores = there.state_stores;
            } else {
                followers.push(there.follower);
            }
            brokers.insert(topic.cluster, there.broker);
        }
        if !followers.is_empty() {
            backend.committer = Arc::new(Followed { home: backend.committer, followers: followers.into() });
        }
        // Whoever uses the server's own cluster alone needs nobody in between.
        if brokers.len() > 1 {
            backend.broker = Arc::new(SeveralBrokers::new(home, brokers));
        }
        Ok(backend)
    }

    /// The longest that an epoch of a function goes on before it is committed.
    pub(crate) fn commit_interval(&self, spec: &FunctionSpec) -> Duration {
        let is_own = home(spec).is_ok_and(|home| home.is_own());
        if is_own { self.own.backend.epoch.age } else { self.foreign.epoch().age }
    }

    /// The transactions of other clusters that were made for functions.
    pub(crate) fn transactions(&self) -> BTreeMap<Cluster, Transactions> {
        self.foreign.transactions()
    }

    /// What the tasks of all functions have committed.
    pub(crate) fn tasks(self: &Arc<Self>) -> Arc<dyn Tasks> {
        Arc::new(TasksOfAll(self.clone()))
    }

    /// Copies of a function's state, if there are any where it commits.
    pub(crate) fn forks(&self, spec: &FunctionSpec) -> Result<&Arc<dyn Forks>> {
        let home = home(spec)?;
        self.own.forks.as_ref().filter(|_| home.is_own()).ok_or_else(|| {
            let why = "no state is kept with the revisions of a function that commits to a broker";
            Error::new(ErrorCode::StateNotKept, why)
        })
    }

    /// Refuses to move a function in its inputs where that cannot be done. It goes on from a copy of its state; or, where it commits to
    /// Apache Kafka, at the offsets of its groups, which then have to be all that says where it stands.
    pub(crate) fn check_moving(&self, spec: &FunctionSpec) -> Result<()> {
        if self.forks(spec).is_ok() {
            return Ok(());
        }
        let home = home(spec)?;
        let apart =
            spec.inputs.iter().flatten().find(|input| input.topic.cluster != home || input.partition().is_some());
        apart.map_or(Ok(()), |input| {
            let topic = &input.topic;
            let why = match input.partition() {
                Some(_) => "of which one partition is named, so that the function's own progress counts",
                None => "which is not in the cluster of its outputs",
            };
            Err(Error::new(
                ErrorCode::StateNotKept,
                format!("the function cannot be moved in its input '{topic}', {why}"),
            ))
        })
    }

    /// Has a function that commits to Apache Kafka, and does not run, go on at these places. Blocks.
    pub(crate) fn move_groups(
        &self,
        function: FunctionId,
        spec: &FunctionSpec,
        places: &[(TopicPartition, Position)],
    ) -> Result<()> {
        let home = home(spec)?;
        let cluster = self.own.broker.as_ref().filter(|_| home.is_own()).unwrap_or(&home);
        self.foreign.move_groups(cluster, function, spec, places)
    }

    /// The topics of all clusters, for clients.
    pub(crate) fn topics(self: &Arc<Self>) -> Arc<dyn Topics> {
        Arc::new(TopicsOfAll { clusters: self.clone(), properties: BTreeMap::new() })
    }

    /// The topics of all clusters, reached as a function reaches them.
    pub(crate) fn topics_of(self: &Arc<Self>, spec: &FunctionSpec) -> Arc<dyn Topics> {
        if spec.places().all(|topic| topic.cluster.is_own()) {
            return self.own.topics.clone();
        }
        Arc::new(TopicsOfAll { clusters: self.clone(), properties: home::properties(spec) })
    }

    /// The same, of a function of that id. Blocks.
    pub(crate) fn topics_of_id(self: &Arc<Self>, id: FunctionId) -> Result<Arc<dyn Topics>> {
        Ok(self.abroad(id)?.map_or_else(|| self.own.topics.clone(), |entry| self.topics_of(&entry.spec)))
    }

    /// The function of that id, if it uses other clusters. Its topics never change their clusters. Blocks.
    fn abroad(&self, id: FunctionId) -> Result<Option<Arc<FunctionEntry>>> {
        if let Some(known) = self.known.lock().get(&id) {
            return Ok(known.clone());
        }
        let Some(entry) = self.register.list()?.into_iter().find(|entry| entry.id == id) else {
            // State that is kept of a revision is in the own cluster alone, whoever gets its id.
            self.known.lock().insert(id, None);
            return Ok(None);
        };
        Ok(self.know(&entry))
    }

    /// Keeps where a function is that is about to be deleted, also beyond the end of the process. Blocks.
    pub(crate) fn remember(&self, entry: &FunctionEntry) -> Result<()> {
        self.know(entry).map_or(Ok(()), |entry| self.leftovers.note(&entry))
    }

    /// Keeps what a function is, if it uses other clusters.
    fn know(&self, entry: &FunctionEntry) -> Option<Arc<FunctionEntry>> {
        let is_own = entry.spec.places().all(|topic| topic.cluster.is_own());
        let known = (!is_own).then(|| Arc::new(entry.clone()));
        self.known.lock().insert(entry.id, known.clone());
        known
    }

    /// A function was deleted: what other clusters keep of it is removed, now or later.
    pub(crate) fn forget(&self, id: FunctionId) {
        if let Some(Some(_)) = self.known.lock().remove(&id) {
            self.leftovers.deleted.notify_one();
        }
    }
}
