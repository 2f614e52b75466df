// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The topics of all clusters as those of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::{Cluster, Topic};
use fnstream_core::topics::{Ahead, AppendDone, Retention, TopicChange, TopicInfo, TopicMatcher, Topics, Watch};
use fnstream_core::waker::Waker;

use super::{Clusters, Properties};

/// Passes what concerns a topic on to the topic's cluster.
pub(super) struct TopicsOfAll {
    pub(super) clusters: Arc<Clusters>,
    /// How the clusters are reached.
    pub(super) properties: BTreeMap<Cluster, Properties>,
}

impl TopicsOfAll {
    fn at(&self, topic: &Topic) -> Result<Arc<dyn Topics>> {
        if topic.cluster.is_own() {
            return Ok(self.clusters.own.topics.clone());
        }
        let none = Properties::new();
        let properties = self.properties.get(&topic.cluster).unwrap_or(&none);
        Ok(self.clusters.foreign.for_clients(&topic.cluster, properties)?.topics)
    }
}

impl Topics for TopicsOfAll {
    fn create(&self, topic: &Topic, partitions: u32, retention: Retention) -> Result<()> {
        self.at(topic)?.create(topic, partitions, retention)
    }

    /// Those of the own cluster: nobody asks for what others have.
    fn list(&self) -> Result<Vec<TopicInfo>> {
        self.clusters.own.topics.list()
    }

    /// See [`Self::list`].
    fn page(&self, after: Option<&Topic>, limit: usize) -> Result<Vec<Topic>> {
        self.clusters.own.topics.page(after, limit)
    }

    fn describe(&self, topic: &Topic) -> Result<TopicInfo> {
        self.at(topic)?.describe(topic)
    }

    fn alter(&self, topic: &Topic, change: TopicChange) -> Result<()> {
        self.at(topic)?.alter(topic, change)
    }

    fn delete(&self, topic: &Topic) -> Result<()> {
        self.at(topic)?.delete(topic)
    }

    fn append(&self, topic: &Topic, partition: Option<u32>, frame: Bytes, done: AppendDone) {
        match self.at(topic) {
            Ok(topics) => topics.append(topic, partition, frame, done),
            Err(error) => done(Err(error)),
        }
    }

    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        self.at(&partition.topic)?.read(partition, from, limit)
    }

    fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>> {
        self.at(&partition.topic)?.watch(partition, waker)
    }

    fn look(&self, partition: &TopicPartition, from: Position) -> Result<Ahead> {
        self.at(&partition.topic)?.look(partition, from)
    }

    fn matcher(&self, pattern: &Topic) -> Result<TopicMatcher> {
        self.at(pattern)?.matcher(pattern)
    }

    fn matching(&self, pattern: &Topic) -> Result<BTreeMap<Topic, u32>> {
        self.at(pattern)?.matching(pattern)
    }

    fn watch_matching(&self, pattern: &Topic, waker: Waker) -> Result<Box<dyn Watch>> {
        self.at(pattern)?.watch_matching(pattern, waker)
    }
}
