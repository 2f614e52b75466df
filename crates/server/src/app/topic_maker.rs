// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics that somebody names and that are not there yet, and who uses them.
//!
//! Who writes makes a topic, as the setting [`AutoCreate`] allows; who reads waits for it. So a name that nobody ever writes
//! to leaves nothing behind.

use std::collections::HashMap;
use std::sync::Arc;

use fnstream_core::spec::{ErrorAction, FunctionSpec};
use fnstream_core::topic::{Cluster, Topic};
use fnstream_core::topics::{Retention, Topics};
use fnstream_core::units::counted;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::ServerConfig;
use crate::clusters::Clusters;
use crate::config::{AutoCreate, SharedCluster};

/// Makes topics. What does so blocks.
pub(crate) struct TopicMaker {
    /// For clients.
    pub(crate) topics: Arc<dyn Topics>,
    pub(crate) clusters: Arc<Clusters>,
    auto: AutoCreate,
    /// How many partitions topics of clusters get, if that is set.
    partitions: Partitions,
    /// Shared by those who register or start a function on topics, exclusive for who deletes a topic.
    in_use: RwLock<()>,
    /// Those who wait for a topic to be made.
    expected: Mutex<HashMap<Topic, Arc<Notify>>>,
}

/// How many partitions topics get that are made, by the broker that they are made in, where a number is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partitions {
    kafka: Option<u32>,
    pulsar: Option<u32>,
    /// Of topics of the server's own cluster.
    own: Option<u32>,
}

impl Partitions {
    pub(crate) fn new(config: &ServerConfig) -> Partitions {
        let (kafka, pulsar) = (config.kafka.partitions, config.pulsar.partitions);
        let own = match config.group.as_ref().map(|group| &group.cluster) {
            None => None,
            Some(SharedCluster::Kafka { .. }) => kafka,
            Some(SharedCluster::Pulsar { .. }) => pulsar,
        };
        Partitions { kafka, pulsar, own }
    }

    fn of(&self, cluster: &Cluster) -> Option<u32> {
        match cluster {
            cluster if cluster.is_own() => self.own,
            cluster if cluster.as_str().starts_with("pulsar") => self.pulsar,
            _ => self.kafka,
        }
    }
}

impl TopicMaker {
    pub(crate) fn new(clusters: &Arc<Clusters>, auto: AutoCreate, partitions: Partitions) -> Arc<Self> {
        Arc::new(TopicMaker {
            topics: clusters.topics(),
            clusters: clusters.clone(),
            auto,
            partitions,
            in_use: RwLock::new(()),
            expected: Mutex::default(),
        })
    }

    /// Keeps topics from being deleted.
    pub(crate) fn in_use(&self) -> RwLockReadGuard<'_, ()> {
        self.in_use.read()
    }

    /// Keeps functions from being registered or started.
    pub(crate) fn unused(&self) -> RwLockWriteGuard<'_, ()> {
        self.in_use.write()
    }

    /// Makes a topic that somebody asks for.
    pub(crate) fn create(&self, topic: &Topic, partitions: u32, retention: Retention) -> Result<()> {
        self.create_in(&*self.topics, topic, partitions, retention)
    }

    fn create_in(&self, topics: &dyn Topics, topic: &Topic, partitions: u32, retention: Retention) -> Result<()> {
        topics.create(topic, partitions, retention)?;
        if let Some(waiting) = self.expected.lock().get(topic) {
            waiting.notify_waiters();
        }
        Ok(())
    }

    /// Refuses a client that names a topic which is not there, unless it is made for clients.
    pub(crate) fn check_client(&self, topic: &Topic) -> Result<()> {
        if self.auto == AutoCreate::On { Ok(()) } else { Err(not_made(topic, "clients")) }
    }

    /// Makes the topic that a client writes to, with one partition, unless there is one.
    pub(crate) fn ensure_for_client(&self, topic: &Topic) -> Result<()> {
        if is_there(&*self.topics, topic)? {
            return Ok(());
        }
        self.check_client(topic)?;
        self.make(&*self.topics, topic, self.partitions_of(topic, 1))
    }

    /// Makes the topics of a function that are not there yet.
    pub(crate) fn ensure_all(&self, spec: &FunctionSpec) -> Result<()> {
        let dead_letters = spec.dead_letter_topic();
        // One that nobody named belongs to the function as its state does.
        let is_named = matches!(spec.on_error.action, ErrorAction::DeadLetter { topic: Some(_) });
        let topics = self.clusters.topics_of(spec);
        let mut missing = Vec::new();
        for topic in spec.topics() {
            let is_letters = dead_letters.as_ref() == Some(&topic);
            if is_there(&*topics, &topic)? {
                continue;
            }
            if self.auto == AutoCreate::Off && (!is_letters || is_named) {
                return Err(not_made(&topic, "functions"));
            }
            // Dead letters are few, and one partition keeps them in the order in which they came.
            let partitions = if is_letters { 1 } else { self.partitions_of(&topic, spec.replicas) };
            missing.push((topic, partitions));
        }
        missing.iter().try_for_each(|(topic, partitions)| self.make(&*topics, topic, *partitions))
    }

    /// Refuses a function whose tasks would read inputs of different numbers of partitions: records of one key that are in two of them
    /// may come to two tasks, and never meet. An input of which one partition is named is as it was meant.
    pub(crate) fn check_join(&self, spec: &FunctionSpec) -> Result<()> {
        if spec.no_join {
            return Ok(());
        }
        let topics = self.clusters.topics_of(spec);
        let mut first: HashMap<u32, (&Topic, u32)> = HashMap::new();
        for (group, named) in
            (0..).zip(&spec.inputs).flat_map(|(group, topics)| topics.iter().map(move |of| (group, of)))
        {
            // Topics that match a pattern are one input, and have the partitions that they have.
            if named.partition().is_some() || named.is_pattern() {
                continue;
            }
            let partitions = match topics.describe(&named.topic) {
                // It is made with so many.
                Err(error) if error.code == ErrorCode::TopicNotFound => self.partitions_of(&named.topic, spec.replicas),
                there => there?.partitions.len() as u32,
            };
            // Inputs that share their first task share all of them.
            let (other, of_other) = *first.entry(spec.task_of(group, 0)).or_insert((&named.topic, partitions));
            if partitions != of_other {
                let message = format!(
                    "input '{other}' has {} and input '{}' {partitions}: records of one key would not meet in one task",
                    counted(of_other, "partition"),
                    named.topic
                );
                return Err(Error::new(ErrorCode::UnequalInputs, message));
            }
        }
        Ok(())
    }

    /// How many partitions a topic gets that is made.
    fn partitions_of(&self, topic: &Topic, wanted: u32) -> u32 {
        self.partitions.of(&topic.cluster).unwrap_or(wanted)
    }

    /// Becomes one who waits for a topic to be made.
    pub(crate) fn expect(self: &Arc<Self>, topic: &Topic) -> Expecting {
        let made = self.expected.lock().entry(topic.clone()).or_default().clone();
        Expecting { maker: self.clone(), topic: topic.clone(), made }
    }

    fn make(&self, topics: &dyn Topics, topic: &Topic, partitions: u32) -> Result<()> {
        match self.create_in(topics, topic, partitions, Retention::default()) {
            Err(error) if error.code == ErrorCode::TopicExists => Ok(()),
            made => made,
        }
    }
}

fn is_there(topics: &dyn Topics, topic: &Topic) -> Result<bool> {
    match topics.describe(topic) {
        Err(error) if error.code == ErrorCode::TopicNotFound => Ok(false),
        there => there.map(|_| true),
    }
}

fn not_made(topic: &Topic, whom: &str) -> Error {
    let message = format!("there is no topic '{topic}', and the server makes none for {whom}");
    Error::new(ErrorCode::TopicNotMade, message)
}

/// One who waits for a topic to be made, for as long as this lives.
pub(crate) struct Expecting {
    maker: Arc<TopicMaker>,
    topic: Topic,
    made: Arc<Notify>,
}

impl Expecting {
    /// Ends when the topic is made after this was called.
    pub(crate) fn made(&self) -> Notified<'_> {
        self.made.notified()
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        let mut expected = self.maker.expected.lock();
        // The map's own and this one: nobody else waits, and nobody can begin to while the lock is held.
        if Arc::strong_count(&self.made) == 2 {
            expected.remove(&self.topic);
        }
    }
}
