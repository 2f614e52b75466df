// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics: made by hand, by a function that names them, or by the first who produces to or consumes from them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use fnstream_api::{PartitionInfo, RetentionBy, TopicDescription, TopicRequest};
use fnstream_core::metadata::Metadata;
use fnstream_core::spec::FunctionEntry;
use fnstream_core::topic::Topic;
use fnstream_core::topics::{Retention, RetentionTime, TopicChange, TopicInfo, Topics, check_partitions};
use fnstream_core::{Error, ErrorCode, Result};

use super::Records;
use super::growth::Growth;
use crate::app::ops::blocking;
use crate::app::pages::{List, MOST_ROWS, Page, Wanted, stray};
use crate::app::places::check_embedded;

/// A page of descriptions is given when they have that many partitions together.
const MOST_PARTITIONS: usize = 20_000;

impl Records {
    /// The names of some topics in order.
    pub(crate) async fn topics(&self, wanted: Wanted) -> Result<Page<String>> {
        let topics = self.topics.topics.clone();
        blocking(move || Ok(topic_page(&*topics, &wanted)?.map(|topic| topic.to_string()))).await
    }

    /// What some topics are and how full they are, in the order of their names.
    pub(crate) async fn describe_topics(self: &Arc<Self>, wanted: Wanted) -> Result<Page<TopicDescription>> {
        let records = self.clone();
        blocking(move || {
            let page = topic_page(&*records.topics.topics, &wanted)?;
            let users = Users::of(&page.rows, &*records.register)?;
            let (mut rows, mut partitions, mut next) = (Vec::new(), 0, page.next);
            for topic in &page.rows {
                match records.topics.topics.describe(topic) {
                    Ok(info) => {
                        partitions += info.partitions.len();
                        rows.push(records.told(&info, &users));
                    }
                    // It was deleted meanwhile.
                    Err(error) if error.code == ErrorCode::TopicNotFound => {}
                    Err(error) => return Err(error),
                }
                if partitions >= MOST_PARTITIONS && Some(topic) != page.rows.last() {
                    next = Some(List::Topics.cursor(topic.to_string().as_bytes()));
                    break;
                }
            }
            Ok(Page { rows, next })
        })
        .await
    }

    /// Makes a topic.
    pub(crate) async fn create_topic(
        self: &Arc<Self>,
        name: String,
        request: TopicRequest,
    ) -> Result<TopicDescription> {
        let name = self.named(&name)?;
        if request.retention_by == Some(RetentionBy::Arrival) {
            let what = "ages are counted from the timestamps of events";
            check_embedded(&self.topics.clusters, &name, what, "leave 'retention_by' out")?;
        }
        let partitions = request.partitions.unwrap_or(1);
        check_partitions(partitions)?;
        let retention = Retention {
            max_age: request.retention_ms.map(Duration::from_millis),
            max_bytes: request.retention_bytes,
            time: retention_time(request.retention_by.unwrap_or_default()),
        };
        let records = self.clone();
        self.ops
            .detached(|| {
                blocking(move || {
                    records.topics.create(&name, partitions, retention)?;
                    records.describe_now(&name)
                })
            })
            .await
    }

    /// Changes a topic; answers what it is then, the functions that have to be started anew for it, and what is to be said of it. Refused if it would part
    /// keys from state, unless that is fine. Blocks.
    pub(in crate::app) fn alter_topic_now(
        &self,
        name: &Topic,
        change: &fnstream_api::TopicChange,
    ) -> Result<(TopicDescription, Growth, Vec<String>)> {
        // Who reads it is known until it has grown.
        let _unused = self.topics.unused();
        let before = self.topics.topics.describe(name)?;
        let grows = change.partitions.is_some_and(|wanted| wanted as usize > before.partitions.len());
        let growth = if grows { Growth::of(self, name)? } else { Growth::default() };
        if let (Some(function), false) = (growth.stateful.first(), change.accept_moved_keys) {
            return Err(Error::new(
                ErrorCode::KeysMove,
                format!(
                    "function '{function}' keeps state by the keys of topic '{name}', and with more partitions later records of a \
                     key may come to a task that does not have its state"
                ),
            ));
        }
        let change = TopicChange {
            partitions: change.partitions,
            max_age: change.retention_ms.map(|age| age.map(Duration::from_millis)),
            max_bytes: change.retention_bytes,
            time: change.retention_by.map(retention_time),
        };
        self.topics.topics.alter(name, change)?;
        let notes = growth.notes(&self.topics);
        Ok((self.describe_now(name)?, growth, notes))
    }

    /// What a topic is and how full it is.
    pub(crate) async fn describe_topic(self: &Arc<Self>, name: String) -> Result<TopicDescription> {
        let name = self.named(&name)?;
        let records = self.clone();
        blocking(move || records.describe_now(&name)).await
    }

    /// Removes a topic with its events and its groups' places; refused while a function uses it.
    pub(crate) async fn delete_topic(self: &Arc<Self>, name: String) -> Result<()> {
        let name = self.named(&name)?;
        let records = self.clone();
        self.ops
            .detached(|| {
                blocking(move || {
                    let _unused = records.topics.unused();
                    records.topics.topics.describe(&name)?;
                    let users = Users::of(std::slice::from_ref(&name), &*records.register)?;
                    if let Some(user) = users.readers(&name).first().or(users.writers(&name).first()) {
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

    /// Makes the topic that a client writes to, unless it is there.
    pub(super) async fn ensure_topic(&self, name: &Topic) -> Result<()> {
        let (topics, name) = (self.topics.clone(), name.clone());
        self.ops.detached(|| blocking(move || topics.ensure_for_client(&name))).await
    }

    fn describe_now(&self, name: &Topic) -> Result<TopicDescription> {
        let info = self.topics.topics.describe(name)?;
        Ok(self.told(&info, &Users::of(std::slice::from_ref(name), &*self.register)?))
    }

    fn told(&self, topic: &TopicInfo, users: &Users) -> TopicDescription {
        let (read_by, written_by) = (users.readers(&topic.topic).to_vec(), users.writers(&topic.topic).to_vec());
        TopicDescription {
            waiting_consumers: self.waiting.count(&topic.topic),
            ..description(topic, &self.retention, read_by, written_by)
        }
    }
}

/// Some topics in the order of their names. Blocks.
fn topic_page(topics: &dyn Topics, wanted: &Wanted) -> Result<Page<Topic>> {
    let after = wanted.after.as_ref().map(|cursor| List::Topics.text(cursor)).transpose()?;
    let after = after.map(|text| text.parse::<Topic>().map_err(|_| stray())).transpose()?;
    let rows = topics.page(after.as_ref(), wanted.rows() + 1)?;
    Ok(Page::of(List::Topics, rows, wanted.rows(), |topic| topic.to_string().into_bytes()))
}

/// The functions that use some topics.
#[derive(Default)]
pub(super) struct Users {
    readers: HashMap<Topic, Vec<String>>,
    writers: HashMap<Topic, Vec<String>>,
}

impl Users {
    /// Goes through the register once, however many topics there are. Blocks.
    pub(super) fn of(topics: &[Topic], register: &dyn Metadata) -> Result<Self> {
        let (topics, mut users, mut after) = (topics.iter().collect::<HashSet<_>>(), Users::default(), None);
        loop {
            let page = crate::app::function_page(register, &Wanted { max: MOST_ROWS, after })?;
            for FunctionEntry { spec, .. } in &page.rows {
                let reads =
                    spec.inputs.iter().flatten().map(|named| &named.topic).filter(|topic| topics.contains(topic));
                note(&mut users.readers, reads, &spec.name);
                let (outputs, letters) = (spec.outputs.iter().map(|named| &named.topic), spec.dead_letter_topic());
                let writes = outputs.chain(&letters).filter(|topic| topics.contains(topic));
                note(&mut users.writers, writes, &spec.name);
            }
            after = page.next;
            if after.is_none() {
                return Ok(users);
            }
        }
    }

    pub(super) fn readers(&self, topic: &Topic) -> &[String] {
        self.readers.get(topic).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn writers(&self, topic: &Topic) -> &[String] {
        self.writers.get(topic).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Notes a function once for each topic.
fn note<'a>(users: &mut HashMap<Topic, Vec<String>>, topics: impl Iterator<Item = &'a Topic>, function: &str) {
    for topic in topics {
        let of = users.entry(topic.clone()).or_default();
        if of.last().is_none_or(|last| last != function) {
            of.push(function.to_owned());
        }
    }
}

fn retention_time(by: RetentionBy) -> RetentionTime {
    match by {
        RetentionBy::Arrival => RetentionTime::Arrival,
        RetentionBy::EventTime => RetentionTime::Event,
    }
}

fn description(
    topic: &TopicInfo,
    defaults: &Retention,
    read_by: Vec<String>,
    written_by: Vec<String>,
) -> TopicDescription {
    // The defaults of another cluster are its own.
    let own = topic.retention;
    let retention = if topic.topic.cluster.is_own() { own.or(defaults) } else { own };
    TopicDescription {
        name: topic.topic.to_string(),
        created_ms: topic.created_ms,
        retention_ms: retention.max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        retention_ms_is_default: own.max_age.is_none(),
        retention_bytes: retention.max_bytes,
        retention_bytes_is_default: own.max_bytes.is_none(),
        retention_by: match retention.time {
            RetentionTime::Arrival => RetentionBy::Arrival,
            RetentionTime::Event => RetentionBy::EventTime,
        },
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
