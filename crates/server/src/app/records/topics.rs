// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics: made by hand, by a function that names them, or by the first who produces to or consumes from them.

use std::sync::Arc;
use std::time::Duration;

use fnstream_api::{PartitionInfo, TopicDescription, TopicRequest};
use fnstream_core::spec::{FunctionEntry, FunctionSpec, MAX_PARTITIONS};
use fnstream_core::topic::Topic;
use fnstream_core::topics::{Retention, TopicInfo};
use fnstream_core::{Error, ErrorCode, Result};

use super::Records;
use crate::app::ops::blocking;
use crate::app::places::named;

impl Records {
    /// The names of all topics in order.
    pub(crate) async fn topics(&self) -> Result<Vec<String>> {
        let topics = self.topics.topics.clone();
        blocking(move || {
            let mut names: Vec<_> = topics.list()?.into_iter().map(|topic| topic.topic.to_string()).collect();
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    /// What all topics are and how full they are, in the order of their names.
    pub(crate) async fn describe_topics(self: &Arc<Self>) -> Result<Vec<TopicDescription>> {
        let records = self.clone();
        blocking(move || {
            let functions = records.register.list()?;
            let all = records.topics.topics.list()?;
            let mut topics: Vec<_> = all.iter().map(|topic| records.told(topic, &functions)).collect();
            topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Ok(topics)
        })
        .await
    }

    /// Makes a topic.
    pub(crate) async fn create_topic(
        self: &Arc<Self>,
        name: String,
        request: TopicRequest,
    ) -> Result<TopicDescription> {
        let name = Topic::own(named(&name)?);
        let partitions = request.partitions.unwrap_or(1);
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                format!("partitions is {partitions}, not 1 to {MAX_PARTITIONS}"),
            ));
        }
        let retention = Retention {
            max_age: request.retention_ms.map(Duration::from_millis).or(self.retention.max_age),
            max_bytes: request.retention_bytes.or(self.retention.max_bytes),
        };
        let records = self.clone();
        self.ops
            .detached(|| {
                blocking(move || {
                    records.topics.topics.create(&name, partitions, retention)?;
                    records.describe_now(&name)
                })
            })
            .await
    }

    /// What a topic is and how full it is.
    pub(crate) async fn describe_topic(self: &Arc<Self>, name: String) -> Result<TopicDescription> {
        let name = Topic::own(named(&name)?);
        let records = self.clone();
        blocking(move || records.describe_now(&name)).await
    }

    /// Removes a topic with its events and its groups' places; refused while a function uses it.
    pub(crate) async fn delete_topic(self: &Arc<Self>, name: String) -> Result<()> {
        let name = Topic::own(named(&name)?);
        let records = self.clone();
        self.ops
            .detached(|| {
                blocking(move || {
                    let _unused = records.topics.unused();
                    records.topics.topics.describe(&name)?;
                    let (readers, writers) = users(&records.register.list()?, &name);
                    if let Some(user) = readers.first().or(writers.first()) {
                        return Err(Error::new(
                            ErrorCode::TopicInUse,
                            format!("topic '{name}' is used by function '{user}'"),
                        ));
                    }
                    records.topics.topics.delete(&name)
                })
            })
            .await
    }

    /// Makes a topic with one partition unless it is there.
    pub(super) async fn ensure_topic(&self, name: &Topic) -> Result<()> {
        let (topics, name) = (self.topics.clone(), name.clone());
        self.ops.detached(|| blocking(move || topics.ensure(&name, 1))).await
    }

    fn describe_now(&self, name: &Topic) -> Result<TopicDescription> {
        Ok(self.told(&self.topics.topics.describe(name)?, &self.register.list()?))
    }

    fn told(&self, topic: &TopicInfo, functions: &[FunctionEntry]) -> TopicDescription {
        let (read_by, written_by) = users(functions, &topic.topic);
        TopicDescription {
            waiting_consumers: self.waiting.count(&topic.topic.name),
            ..description(topic, read_by, written_by)
        }
    }
}

/// The functions that read and those that write a topic.
fn users(functions: &[FunctionEntry], topic: &Topic) -> (Vec<String>, Vec<String>) {
    let names = |uses: &dyn Fn(&FunctionSpec) -> bool| {
        functions.iter().filter(|f| uses(&f.spec)).map(|f| f.spec.name.clone()).collect::<Vec<_>>()
    };
    let readers = names(&|spec| spec.inputs.iter().flatten().any(|named| named.topic == *topic));
    let writes = |spec: &FunctionSpec| spec.outputs.iter().any(|named| named.topic == *topic);
    let writers = names(&|spec| writes(spec) || spec.dead_letter_topic().is_some_and(|named| named == *topic));
    (readers, writers)
}

fn description(topic: &TopicInfo, read_by: Vec<String>, written_by: Vec<String>) -> TopicDescription {
    TopicDescription {
        name: topic.topic.to_string(),
        created_ms: topic.created_ms,
        retention_ms: topic.retention.max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        retention_bytes: topic.retention.max_bytes,
        partitions: topic
            .partitions
            .iter()
            .map(|p| PartitionInfo {
                partition: p.partition,
                earliest: p.earliest.to_string(),
                end: p.end.to_string(),
                bytes: p.bytes,
            })
            .collect(),
        read_by,
        written_by,
        waiting_consumers: 0,
    }
}
