// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics: made by hand, by a function that names them, or by the first who produces to or consumes from them.

use std::sync::Arc;
use std::time::Duration;

use fnstream_api::{PartitionInfo, TopicDescription, TopicRequest};
use fnstream_core::spec::{FunctionEntry, FunctionSpec, MAX_PARTITIONS};
use fnstream_core::topic::Topic;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_store::{Retention, TopicInfo};

use super::App;
use super::places::named;

impl App {
    /// The names of all topics in order.
    pub async fn topics(self: &Arc<Self>) -> Result<Vec<String>> {
        self.blocking(|app| {
            let mut names: Vec<_> = app.store.topics().into_iter().map(|topic| topic.name).collect();
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    /// What all topics are and how full they are, in the order of their names.
    pub async fn describe_topics(self: &Arc<Self>) -> Result<Vec<TopicDescription>> {
        self.blocking(|app| {
            let functions = app.metadata.list()?;
            let mut topics: Vec<_> = app.store.topics().iter().map(|topic| app.told(topic, &functions)).collect();
            topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Ok(topics)
        })
        .await
    }

    /// Makes a topic.
    pub async fn create_topic(self: &Arc<Self>, name: String, request: TopicRequest) -> Result<TopicDescription> {
        let name = named(&name)?;
        let partitions = request.partitions.unwrap_or(1);
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                format!("partitions is {partitions}, not 1 to {MAX_PARTITIONS}"),
            ));
        }
        let default = self.config.retention;
        let retention = Retention {
            max_age: request.retention_ms.map(Duration::from_millis).or(default.max_age),
            max_bytes: request.retention_bytes.or(default.max_bytes),
        };
        self.detached(|app| async move {
            app.blocking(move |app| {
                app.store.create_topic(&name, partitions, retention)?;
                app.describe_topic_now(&name)
            })
            .await
        })
        .await
    }

    /// What a topic is and how full it is.
    pub async fn describe_topic(self: &Arc<Self>, name: String) -> Result<TopicDescription> {
        let name = named(&name)?;
        self.blocking(move |app| app.describe_topic_now(&name)).await
    }

    /// Removes a topic with its events and its groups' places; refused while a function uses it.
    pub async fn delete_topic(self: &Arc<Self>, name: String) -> Result<()> {
        let name = named(&name)?;
        self.detached(|app| async move {
            app.blocking(move |app| {
                let _alone = app.topic_use.write();
                app.store.topic(&name)?;
                let (readers, writers) = users(&app.metadata.list()?, &name);
                if let Some(user) = readers.first().or(writers.first()) {
                    return Err(Error::new(
                        ErrorCode::TopicInUse,
                        format!("topic '{name}' is used by function '{user}'"),
                    ));
                }
                app.store.delete_topic(&name)
            })
            .await
        })
        .await
    }

    /// Makes the topic that a request names with one partition unless it is there; answers its name in the store.
    pub(super) async fn ensure_topic(self: &Arc<Self>, text: &str) -> Result<String> {
        let name = named(text)?;
        match self.store.topic(&name) {
            Err(error) if error.code == ErrorCode::TopicNotFound => {
                self.detached(|app| async move {
                    app.blocking(move |app| app.store.ensure_topic(&name, 1).map(|_| name)).await
                })
                .await
            }
            other => other.map(|topic| topic.name),
        }
    }

    fn describe_topic_now(&self, name: &str) -> Result<TopicDescription> {
        Ok(self.told(&self.store.topic(name)?, &self.metadata.list()?))
    }

    fn told(&self, topic: &TopicInfo, functions: &[FunctionEntry]) -> TopicDescription {
        let (read_by, written_by) = users(functions, &topic.name);
        let waiting = self.waiting.lock().get(topic.name.as_str()).copied().unwrap_or_default();
        TopicDescription { waiting_consumers: waiting, ..description(topic, read_by, written_by) }
    }
}

/// The functions that read and those that write a topic.
fn users(functions: &[FunctionEntry], topic: &str) -> (Vec<String>, Vec<String>) {
    let names = |uses: &dyn Fn(&FunctionSpec) -> bool| {
        functions.iter().filter(|f| uses(&f.spec)).map(|f| f.spec.name.clone()).collect::<Vec<_>>()
    };
    let topic = Topic::own(topic);
    let readers = names(&|spec| spec.inputs.iter().flatten().any(|named| named.topic == topic));
    let writes = |spec: &FunctionSpec| spec.outputs.iter().any(|named| named.topic == topic);
    let writers = names(&|spec| writes(spec) || spec.dead_letter_topic().is_some_and(|named| named == topic));
    (readers, writers)
}

fn description(topic: &TopicInfo, read_by: Vec<String>, written_by: Vec<String>) -> TopicDescription {
    TopicDescription {
        name: topic.name.clone(),
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
