// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The topics of a Kafka cluster, for those who produce, consume and look on.
//!
//! What Kafka does otherwise than the embedded log:
//!
//! - **Appends** are not transactional. The records of one call are appended in their order, once, and all of them if the call
//!   succeeds. If it fails, the first of them may have been appended when they did not fit into one request.
//! - **Age** is counted from the timestamps of records ([`RetentionTime::Event`]), never from their arrival.
//! - **Timestamps** begin at 1 ms after the Unix epoch.
//! - **Sizes** of partitions and **times of creation** are not told.
//! - **Positions** are offsets. They have gaps where transactions ended, so the lag is known at the end only.

mod appender;
mod layouts;
mod reader;
mod watches;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::Topic;
use fnstream_core::topics::{
    Ahead, AppendDone, PartitionInfo, Retention, RetentionTime, TopicChange, TopicInfo, Topics, Watch, check_partitions,
};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};

use crate::admin::Admin;
use crate::place::Options;
use crate::source::{offset_of, position_of};
use appender::Appender;
use layouts::Layouts;
use reader::Readers;
use watches::Watches;

/// How long the cluster is given to do what it said that it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// What brokers answer that do not know yet what the controller has decided.
const NOT_YET: [ErrorCode; 3] = [ErrorCode::Unavailable, ErrorCode::TopicNotFound, ErrorCode::PartitionNotFound];

/// Topics beginning so belong to Kafka itself.
const OF_KAFKA: &str = "__";

const RETENTION_MS: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";

/// See the module. It waits for the cluster where it asks; `append` and `watch` do not.
pub struct KafkaTopics {
    options: Options,
    pub(crate) admin: Arc<Admin>,
    layouts: Arc<Layouts>,
    appender: Appender,
    readers: Readers,
    watches: Watches,
}

impl KafkaTopics {
    /// Connects to a cluster. It need not be reachable. The number of lanes does not matter here.
    pub fn connect(options: &Options) -> Result<Arc<KafkaTopics>> {
        let admin = Arc::new(Admin::new(&options.properties)?);
        let layouts = Arc::new(Layouts::new(admin.clone()));
        Ok(Arc::new(KafkaTopics {
            appender: Appender::start(&options.properties, layouts.clone())?,
            readers: Readers::new(&options.properties),
            watches: Watches::new(&options.properties)?,
            options: options.clone(),
            admin,
            layouts,
        }))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The name of a topic in Kafka.
    pub(crate) fn name(&self, topic: &Topic) -> Result<String> {
        self.options.name(topic)
    }

    /// The name in Kafka of the topic of a partition, which is there.
    pub(crate) fn place(&self, partition: &TopicPartition) -> Result<String> {
        let name = self.name(&partition.topic)?;
        self.layouts.check(&name, partition.partition)?;
        Ok(name)
    }

    /// The oldest offset of a partition and the one that comes next.
    pub(crate) fn bounds(&self, name: &str, partition: u32) -> Result<(i64, i64)> {
        self.admin.bounds(name, partition).inspect_err(|_| self.layouts.forget(name))
    }

    /// The number of partitions of a topic.
    pub(crate) fn partitions(&self, name: &str) -> Result<u32> {
        self.layouts.fresh(name)
    }

    /// The topic that has this name in Kafka, if it is one for users.
    fn topic(&self, name: &str) -> Option<Topic> {
        let rest = name.strip_prefix(self.options.namespace.as_str())?;
        (!self.options.is_hidden(name, rest))
            .then(|| Topic { cluster: self.options.cluster.clone(), name: rest.into() })
    }

    /// The name of a topic that users may make, change and write.
    fn writable(&self, topic: &Topic) -> Result<String> {
        self.options.writable(topic)
    }

    /// All topics with their partitions, by their names.
    fn all(&self) -> Result<BTreeMap<Topic, (String, u32)>> {
        let names = self.admin.names()?;
        Ok(names.into_iter().filter_map(|(name, count)| Some((self.topic(&name)?, (name, count)))).collect())
    }

    /// Describes topics that are there.
    fn describe_all(&self, topics: BTreeMap<Topic, (String, u32)>) -> Result<Vec<TopicInfo>> {
        let names: Vec<_> = topics.values().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let settings = self.admin.own_settings(&names)?;
        let partitions = topics.values().flat_map(|(name, count)| (0..*count).map(|number| (name.clone(), number)));
        let bounds = self.admin.all_bounds(&partitions.collect::<Vec<_>>())?;
        let nothing = BTreeMap::new();
        let describe = |(topic, (name, count)): (Topic, (String, u32))| {
            let partition = |partition| {
                let (earliest, end) = bounds.get(&(name.clone(), partition)).copied().unwrap_or_default();
                let (earliest, end) = (position_of(earliest), position_of(end));
                PartitionInfo { partition, earliest, end, bytes: None }
            };
            let partitions = (0..count).map(partition).collect();
            let retention = retention(settings.get(&name).unwrap_or(&nothing));
            TopicInfo { topic, partitions, retention, created_ms: None }
        };
        Ok(topics.into_iter().map(describe).collect())
    }

    /// Waits until the cluster's brokers know what its controller has decided. Each round is a question to the cluster.
    fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        loop {
            match is_so() {
                Ok(true) => return Ok(()),
                Err(error) if !NOT_YET.contains(&error.code) => return Err(error),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Ok(false) if begun.elapsed() > PATIENCE => {
                    let message = format!("{what}: the brokers do not know of it after {} s", PATIENCE.as_secs());
                    return Err(Error::new(ErrorCode::Unavailable, message));
                }
                _ => {}
            }
        }
    }

    /// Whether each partition of a topic has a leader.
    fn is_served(&self, name: &str, partitions: u32) -> Result<bool> {
        if self.admin.describe(name)?.is_none_or(|layout| layout.partitions != partitions) {
            return Ok(false);
        }
        let all: Vec<_> = (0..partitions).map(|number| (name.to_owned(), number)).collect();
        Ok(self.admin.all_bounds(&all)?.len() == all.len())
    }
}

impl Topics for KafkaTopics {
    /// Ages are counted as Kafka does whatever is asked for.
    fn create(&self, topic: &Topic, partitions: u32, retention: Retention) -> Result<()> {
        let name = self.writable(topic)?;
        check_partitions(partitions)?;
        let settings = [
            (RETENTION_MS, retention.max_age.map(|age| age.as_millis().to_string())),
            (RETENTION_BYTES, retention.max_bytes.map(|bytes| bytes.to_string())),
        ];
        let settings: Vec<_> = settings.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        self.admin.create(&name, partitions, self.options.replication, &settings)?;
        self.layouts.forget(&name);
        self.wait_until(&format!("making topic '{name}'"), || self.is_served(&name, partitions))
    }

    fn list(&self) -> Result<Vec<TopicInfo>> {
        self.describe_all(self.all()?)
    }

    fn page(&self, after: Option<&Topic>, limit: usize) -> Result<Vec<Topic>> {
        let all = self.all()?.into_keys();
        Ok(all.filter(|topic| after.is_none_or(|after| topic > after)).take(limit).collect())
    }

    fn describe(&self, topic: &Topic) -> Result<TopicInfo> {
        let name = self.name(topic)?;
        let count = self.layouts.fresh(&name)?;
        let mut all = self.describe_all(BTreeMap::from([(topic.clone(), (name.clone(), count))]))?;
        all.pop().ok_or_else(|| layouts::not_found(&name))
    }

    fn alter(&self, topic: &Topic, change: TopicChange) -> Result<()> {
        let name = self.writable(topic)?;
        let before = self.layouts.fresh(&name)?;
        let after = change.partitions(topic, before)?;
        if change.time == Some(RetentionTime::Arrival) {
            let message = format!("Kafka counts the age of the records of topic '{topic}' from their own timestamps");
            return Err(Error::new(ErrorCode::InvalidRequest, message));
        }
        let age = change.max_age.map(|age| age.map(|age| age.as_millis().to_string()));
        let size = change.max_bytes.map(|size| size.map(|size| size.to_string()));
        let settings = [(RETENTION_MS, &age), (RETENTION_BYTES, &size)];
        let settings: Vec<_> =
            settings.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?.as_deref()))).collect();
        if !settings.is_empty() {
            self.admin.set(&name, &settings)?;
        }
        if after > before {
            self.admin.grow(&name, after)?;
            self.layouts.forget(&name);
            self.wait_until(&format!("growing topic '{name}'"), || self.is_served(&name, after))?;
        }
        let is_set = || {
            let found = self.admin.own_settings(&[&name])?;
            let found = found.get(&name);
            Ok(settings.iter().all(|(name, value)| found.and_then(|of| of.get(*name)).map(String::as_str) == *value))
        };
        self.wait_until(&format!("changing topic '{name}'"), is_set)
    }

    fn delete(&self, topic: &Topic) -> Result<()> {
        let name = self.writable(topic)?;
        let deleted = self.admin.remove(&name);
        self.layouts.forget(&name);
        deleted?;
        self.readers.forget(&name);
        let gone = self.wait_until(&format!("deleting topic '{name}'"), || {
            // The controller may know of it while the broker does not, and the other way round.
            match self.admin.describe(&name) {
                Err(error) if error.code == ErrorCode::Unavailable => Ok(false),
                found => Ok(found?.is_none()),
            }
        });
        self.watches.wake(&name);
        gone
    }

    fn append(&self, topic: &Topic, partition: Option<u32>, frame: Bytes, done: AppendDone) {
        match self.writable(topic) {
            Ok(name) => self.appender.append(name, partition, frame, done),
            Err(error) => done(Err(error)),
        }
    }

    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        let name = self.place(partition)?;
        let (earliest, end) = self.bounds(&name, partition.partition)?;
        let offset = offset_of(from)?;
        if let Some(error) = crate::feed::out_of_range(partition, offset, earliest, end) {
            return Err(error);
        }
        if offset == end {
            return Ok(None);
        }
        self.readers.read(&name, partition, offset..end, limit)
    }

    fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>> {
        let name = self.place(partition)?;
        self.watches
            .watch((name, partition.partition), partition, waker, |name| Ok(self.bounds(name, partition.partition)?.1))
    }

    fn look(&self, partition: &TopicPartition, from: Position) -> Result<Ahead> {
        let name = self.place(partition)?;
        let (_, end) = self.bounds(&name, partition.partition)?;
        // The difference counts the marks of transactions, and what was compacted away.
        Ok(Ahead { end: position_of(end), lag: (offset_of(from)? >= end).then_some(0) })
    }
}

impl std::fmt::Debug for KafkaTopics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaTopics").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Options {
    /// The name of a topic in Kafka.
    pub(crate) fn name(&self, topic: &Topic) -> Result<String> {
        if topic.cluster != self.cluster {
            let message =
                format!("topic '{topic}' is of the cluster '{}', which this place does not serve", topic.cluster);
            return Err(Error::new(ErrorCode::ClusterUnknown, message));
        }
        let name = format!("{}{}", self.namespace, topic.name);
        crate::properties::check_name(&name)?;
        Ok(name)
    }

    /// The same of a topic that users and functions may write.
    pub(crate) fn writable(&self, topic: &Topic) -> Result<String> {
        let name = self.name(topic)?;
        if self.is_hidden(&name, &topic.name) {
            let message = format!(
                "topic '{topic}' is one that Kafka or the server keeps for itself: nobody else writes or changes it"
            );
            return Err(Error::new(ErrorCode::InvalidRequest, message));
        }
        Ok(name)
    }

    /// Whether that name in Kafka, which is `rest` without the namespace, is of a topic that is none of the users'.
    fn is_hidden(&self, name: &str, rest: &str) -> bool {
        name.starts_with(OF_KAFKA) || is_internal(rest, &self.server)
    }
}

/// Whether a topic is one of those that a server keeps for itself, whose name `server` begins: `server-ab12.watermarks`, or
/// `server-ab12.ID.FUNCTION.log` and `.state`, and those of a server group.
fn is_internal(name: &str, server: &str) -> bool {
    let Some((of, rest)) = name.strip_prefix(server).and_then(|rest| rest.split_once('.')) else { return false };
    if !(of.is_empty() || of.starts_with('-')) {
        return false;
    }
    let is_of_function = || {
        let (id, what) = rest.split_once('.')?;
        let is_known = what.ends_with(".log") || what.ends_with(".state");
        let number = id.rsplit_once('-').map_or(id, |(_, number)| number);
        Some(!number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()) && is_known)
    };
    ["watermarks", "functions", "artifacts", "peers"].contains(&rest) || is_of_function().unwrap_or(false)
}

/// What a topic was asked to keep.
fn retention(settings: &BTreeMap<String, String>) -> Retention {
    // Kafka writes -1 for no limit.
    let number = |name| settings.get(name).and_then(|value| value.parse::<u64>().ok());
    Retention {
        max_age: number(RETENTION_MS).map(Duration::from_millis),
        max_bytes: number(RETENTION_BYTES),
        time: RetentionTime::Event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_topics_are_told_from_those_of_users() {
        for (name, is) in [
            ("orders.7.count.log", true),
            ("orders-ab12.7.count.state", true),
            ("orders-ab12.watermarks", true),
            ("ordersab.watermarks", false),
            ("orders.7.a.b.log", true),
            ("orders.watermarks", true),
            ("orders.7.count", false),
            ("orders.seven.count.log", false),
            ("orders..count.log", false),
            ("orders", false),
            ("other.7.count.log", false),
        ] {
            assert_eq!(is_internal(name, "orders"), is, "{name}");
        }
    }
}
