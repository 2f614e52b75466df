// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What clients ask about topics and groups.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use fnstream_core::{Error, Result};
use rdkafka::admin::{ConfigSource, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::{Admin, Telling, block_on, each};
use crate::error::Failure;
use crate::native::{End, Operations};

/// The oldest offset of a partition and the one that comes next, by topic and partition.
pub(crate) type Bounds = HashMap<(String, u32), (i64, i64)>;

impl Admin {
    /// The names of all topics with their partitions.
    pub(crate) fn names(&self) -> Result<BTreeMap<String, u32>> {
        let metadata =
            self.client.fetch_metadata(None, self.patience()).map_err(|e| self.failed("listing topics", &e))?;
        let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
        Ok(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len() as u32)).collect())
    }

    /// Removes a topic.
    pub(crate) fn remove(&self, topic: &str) -> Result<()> {
        let doing = format!("deleting topic '{topic}'");
        each(
            &doing,
            &block_on(self.admin.delete_topics(&[topic], &self.options())).map_err(|e| self.failed(&doing, &e))?,
        )
    }

    /// The ends of many partitions.
    pub(crate) fn all_bounds(&self, partitions: &[(String, u32)]) -> Result<Bounds> {
        let doing = "asking for the ends of partitions";
        let ends = |end| {
            let answer = self.operations().ends(partitions, end).map_err(|e| self.failed_with(doing, &e))?;
            let told = |(of, offset): (_, Result<i64, RDKafkaErrorCode>)| {
                offset.map(|offset| (of, offset)).map_err(|code| Failure::of(code).error(doing))
            };
            answer.into_iter().map(told).collect::<Result<HashMap<(String, u32), i64>>>()
        };
        let (mut earliest, latest) = (ends(End::Earliest)?, ends(End::Latest)?);
        Ok(latest
            .into_iter()
            .filter_map(|(of, end)| {
                let earliest = earliest.remove(&of)?;
                Some((of, (earliest, end)))
            })
            .collect())
    }

    /// What topics were given as their own settings, by topic.
    pub(crate) fn own_settings(&self, topics: &[&str]) -> Result<HashMap<String, BTreeMap<String, String>>> {
        let doing = "reading the settings of topics";
        let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let answer =
            block_on(self.admin.describe_configs(&resources, &self.options())).map_err(|e| self.failed(doing, &e))?;
        let mut all = HashMap::new();
        // Answers come in the order of the questions.
        for (topic, resource) in topics.iter().zip(answer) {
            let resource = resource.map_err(|code| Failure::of(code).error(doing))?;
            let own = resource.entries.into_iter().filter(|entry| matches!(entry.source, ConfigSource::DynamicTopic));
            all.insert((*topic).to_owned(), own.filter_map(|entry| Some((entry.name, entry.value?))).collect());
        }
        Ok(all)
    }

    /// Changes single settings of a topic; those without a value get that of the cluster's defaults.
    pub(crate) fn set(&self, topic: &str, settings: &[(&str, Option<&str>)]) -> Result<()> {
        let changed = self.operations().set(topic, settings);
        changed.map_err(|e| self.failed_with(&format!("changing the settings of topic '{topic}'"), &e))
    }

    /// The groups of the cluster.
    pub(crate) fn groups(&self) -> Result<Vec<String>> {
        self.operations().groups().map_err(|e| self.failed_with("listing groups", &e))
    }

    /// The offsets that a group has committed, as far as it has some.
    pub(crate) fn offsets(&self, group: &str, topic: &str, partitions: &[u32]) -> Result<HashMap<u32, i64>> {
        let doing = format!("asking for the offsets of group '{group}'");
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(topic, *partition as i32);
        }
        let begun = Instant::now();
        loop {
            let found = self.operations().committed(group, &list);
            let found = found.and_then(|found| {
                let told =
                    found.into_iter().map(|((_, partition), offset)| Ok((partition, offset.map_err(Failure::of)?)));
                told.filter(|told| !matches!(told, Ok((_, offset)) if *offset < 0))
                    .collect::<Result<HashMap<_, _>, Failure>>()
            });
            match found {
                // A transaction that has moved one of them is about to end. Each round is a question to the cluster.
                Err(failure)
                    if failure.code == RDKafkaErrorCode::UnstableOffsetCommit && begun.elapsed() < self.patience() => {}
                found => return found.map_err(|failure| self.failed_with(&doing, &failure)),
            }
        }
    }

    /// Commits an offset of a group that has no members.
    pub(crate) fn commit(&self, group: &str, topic: &str, partition: u32, offset: i64) -> Result<()> {
        let doing = format!("committing an offset of group '{group}'");
        let mut list = TopicPartitionList::with_capacity(1);
        let added = list.add_partition_offset(topic, partition as i32, Offset::Offset(offset));
        added.map_err(|e| self.failed(&doing, &e))?;
        self.operations().commit(group, &list).map_err(|e| self.failed_with(&doing, &e))
    }

    /// Through the client that looks topics up, which so knows what they are.
    fn operations(&self) -> Operations<'_, Telling> {
        Operations::of(self.client.client(), self.patience().as_millis() as i32)
    }

    /// See [`Self::failed`].
    fn failed_with(&self, doing: &str, failure: &Failure) -> Error {
        match failure.code {
            RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut => {
                self.failed(doing, &KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))
            }
            _ => failure.error(doing),
        }
    }
}
