// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The brokers of several clusters as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnstream_core::broker::{Assignment, AssignmentListener, Broker, Membership, Source, Subscription, TaskInput};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::topic::{Cluster, Topic};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};

use super::source::SeveralSources;

/// Reads each topic where it lives. Tasks are assigned by the home's broker, since their epochs are committed there.
pub(crate) struct SeveralBrokers {
    home: Cluster,
    of: BTreeMap<Cluster, Arc<dyn Broker>>,
}

impl SeveralBrokers {
    /// `home` is one of the clusters.
    pub(crate) fn new(home: Cluster, of: BTreeMap<Cluster, Arc<dyn Broker>>) -> Self {
        SeveralBrokers { home, of }
    }

    fn broker(&self, cluster: &Cluster) -> Result<&Arc<dyn Broker>> {
        self.of.get(cluster).ok_or_else(|| {
            Error::new(ErrorCode::ClusterUnknown, format!("this function does not reach the cluster '{cluster}'"))
        })
    }
}

impl Broker for SeveralBrokers {
    fn join(
        &self,
        mut subscription: Subscription,
        listener: Arc<dyn AssignmentListener>,
    ) -> Result<Box<dyn Membership>> {
        for topic in subscription.groups.iter().flatten().map(|named| &named.topic) {
            if topic.cluster != self.home && !subscription.elsewhere.contains_key(topic) {
                let count = self.partitions(topic)?;
                subscription.elsewhere.insert(topic.clone(), count);
            }
        }
        self.broker(&self.home)?.join(subscription, listener)
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        let mut sources = Vec::new();
        for (cluster, part) in by_cluster(assignment) {
            sources.push(self.broker(&cluster)?.open_source(&part, from, waker.clone())?);
        }
        match sources.pop() {
            Some(only) if sources.is_empty() => Ok(only),
            last => Ok(Box::new(SeveralSources::new(sources.into_iter().chain(last).collect()))),
        }
    }

    fn partitions(&self, topic: &Topic) -> Result<u32> {
        self.broker(&topic.cluster)?.partitions(topic)
    }

    fn max_record_bytes(&self, topic: &Topic) -> Option<usize> {
        self.of.get(&topic.cluster)?.max_record_bytes(topic)
    }

    fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
        self.broker(&partition.topic.cluster)?.earliest(partition)
    }

    fn latest(&self, partition: &TopicPartition) -> Result<Position> {
        self.broker(&partition.topic.cluster)?.latest(partition)
    }

    fn begin(&self, assignment: &Assignment, known: &Positions) -> Result<Positions> {
        let mut all = Positions::new();
        for (cluster, part) in by_cluster(assignment) {
            all.extend(self.broker(&cluster)?.begin(&part, known)?);
        }
        Ok(all)
    }
}

/// What a task reads in each cluster.
fn by_cluster(assignment: &Assignment) -> BTreeMap<Cluster, Assignment> {
    let mut inputs: BTreeMap<Cluster, Vec<TaskInput>> = BTreeMap::new();
    for input in &assignment.inputs {
        inputs.entry(input.partition.topic.cluster.clone()).or_default().push(input.clone());
    }
    inputs.into_iter().map(|(cluster, inputs)| (cluster, Assignment { inputs, ..*assignment })).collect()
}
