// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The topics of a Pulsar cluster, for those who produce, consume and look on.
//!
//! What Pulsar does otherwise than the embedded log:
//!
//! - **Retention** is a policy of the topic, which counts what all subscriptions have acknowledged. Age is counted from arrival, in whole
//!   minutes, size in whole megabytes.
//! - **Sizes** of partitions and **times of creation** are not told.
//! - **Positions** have gaps, so the lag is known at the end only.

mod appender;
pub(crate) mod patterns;
mod watches;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::Topic;
use fnstream_core::topics::{
    Ahead, AppendDone, PartitionInfo, Retention, RetentionTime, TopicChange, TopicInfo, TopicMatcher, Topics, Watch,
    check_partitions,
};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::FrameBuilder;
use fnstream_pulsar_client::{Reader, TopicsMode};
use parking_lot::Mutex;

use crate::admin::Made;
use crate::messages::{pack, size};
use crate::options::Options;
use crate::place::{Pulsar, Shared};
use crate::position::{id_of, position_of};
use crate::{error, names, runtime};
use appender::Appender;
use watches::Watches;

/// So many readers are kept where they are, for whoever reads on.
const READERS: usize = 16;

/// See the module. It waits for the cluster where it asks; `append` does not.
pub struct PulsarTopics {
    pub(crate) shared: Arc<Shared>,
    appender: Appender,
    watches: Watches,
    /// Readers with the positions that they give next; the latest last.
    readers: Mutex<Vec<(String, Position, Reader)>>,
}

impl PulsarTopics {
    /// Connects to a cluster. It need not be reachable.
    pub fn connect(options: &Options) -> Result<Arc<PulsarTopics>> {
        let shared = Pulsar::connect(options.clone())?.shared;
        Ok(Arc::new(PulsarTopics {
            appender: Appender::start(shared.clone()),
            watches: Watches::new(shared.clone()),
            shared,
            readers: Mutex::default(),
        }))
    }

    /// The topics that users see, with the number of their partitions, by their names.
    fn all(&self) -> Result<BTreeMap<Topic, u32>> {
        let options = &self.shared.options;
        let listed = runtime::wait(self.shared.client.topics(&options.namespace, TopicsMode::Persistent, None));
        let listed = listed.map_err(|e| error::of("listing topics", &e))?;
        let mut all: BTreeMap<Topic, u32> = BTreeMap::new();
        for name in listed {
            let (name, partition) = names::of_partition(&name).map_or((&*name, 0), |(topic, number)| (topic, number));
            if names::parts(name).is_none_or(|(_, local)| local.starts_with("__")) {
                continue;
            }
            let topic = Topic { cluster: options.cluster.clone(), name: names::short(name, &options.namespace).into() };
            let count = all.entry(topic).or_default();
            *count = (*count).max(partition + 1);
        }
        Ok(all)
    }

    fn describe_as(&self, topic: Topic, count: u32) -> Result<TopicInfo> {
        let partitions = (0..count.max(1)).map(|partition| {
            let at = TopicPartition::new(topic.clone(), partition);
            let (earliest, end) = self.bounds(&at)?;
            Ok(PartitionInfo { partition, earliest, end, bytes: None })
        });
        let partitions = partitions.collect::<Result<_>>()?;
        let retention = self.shared.admin.retention(&self.shared.options.name(&topic)?).unwrap_or_default();
        Ok(TopicInfo { topic, partitions, retention, created_ms: None })
    }

    /// The oldest position of a partition and its end.
    pub(crate) fn bounds(&self, at: &TopicPartition) -> Result<(Position, Position)> {
        runtime::wait(async {
            let name = self.shared.partition(&at.topic, at.partition).await?;
            self.shared.bounds(&name).await
        })
    }

    /// A reader that gives what is at a position next; none if nothing is there now.
    fn reader(&self, at: &TopicPartition, name: &str, from: Position) -> Result<Option<Reader>> {
        {
            let mut readers = self.readers.lock();
            if let Some(index) = readers.iter().position(|(of, next, _)| of == name && *next == from) {
                return Ok(Some(readers.remove(index).2));
            }
        }
        let (earliest, end) = runtime::wait(self.shared.bounds(name))?;
        if from < earliest && from > Position::START {
            let message = format!("position {from} of {at} was dropped: its oldest record is at {earliest}");
            return Err(Error::new(ErrorCode::PositionDropped, message));
        }
        if from > end {
            let message = format!("position {from} of {at} is past its end, {end}");
            return Err(Error::new(ErrorCode::PositionUnknown, message));
        }
        if from == end {
            return Ok(None);
        }
        let mut builder = self.shared.client.reader(name).force_topic_creation(false);
        if from > Position::START {
            builder = builder.from(id_of(from));
        }
        let made = runtime::wait(builder.open());
        made.map(Some).map_err(|e| error::of(format!("reading {at}"), &e))
    }

    /// The partitions that are there under the name of a topic.
    fn remains(&self, name: &str) -> Result<Vec<String>> {
        let namespace = names::parts(name).map_or(&*self.shared.options.namespace, |(namespace, _)| namespace);
        let listed = runtime::wait(self.shared.client.topics(namespace, TopicsMode::Persistent, None));
        let mut listed = listed.map_err(|e| error::of(format!("looking for partitions of '{name}'"), &e))?;
        listed.retain(|listed| names::of_partition(listed).is_some_and(|(of, _)| of == name));
        Ok(listed)
    }

    /// Deletes partitions of a topic that is not there any more: whoever used it when it was deleted may have made them anew.
    fn delete_remains(&self, name: &str, not_found: Error) -> Result<()> {
        let remains = self.remains(name)?;
        if remains.is_empty() {
            return Err(not_found);
        }
        remains.iter().try_for_each(|partition| self.shared.admin.delete(partition, false))
    }

    fn set_retention(&self, name: &str, retention: &Retention) -> Result<()> {
        match self.shared.admin.retain(name, retention) {
            // Whoever may not set policies, or whose cluster has none of topics, keeps what the namespace keeps.
            Err(error) if matches!(error.code, ErrorCode::BrokerForbidden | ErrorCode::InvalidConfig) => {
                tracing::warn!(topic = name, %error, "the topic keeps what its namespace keeps");
                Ok(())
            }
            set => set,
        }
    }
}

impl Topics for PulsarTopics {
    fn create(&self, topic: &Topic, partitions: u32, retention: Retention) -> Result<()> {
        let name = self.shared.options.writable(topic)?;
        check_partitions(partitions)?;
        let exists = || Error::new(ErrorCode::TopicExists, format!("topic '{topic}' exists"));
        match runtime::wait(self.shared.count(&name)) {
            Ok(_) => return Err(exists()),
            Err(error) if error.code == ErrorCode::TopicNotFound => {}
            Err(error) => return Err(error),
        }
        let made = self.shared.admin.create(&name, partitions)?;
        self.shared.forget_count(&name);
        if made == Made::There {
            return match self.remains(&name)?.first() {
                Some(remains) if runtime::wait(self.shared.count(&name)).is_err() => {
                    let message = format!(
                        "topic '{topic}' was deleted while somebody used it, who made '{remains}' of it anew: delete the topic once more"
                    );
                    Err(Error::new(ErrorCode::TopicExists, message))
                }
                _ => Err(exists()),
            };
        }
        self.set_retention(&name, &retention)
    }

    fn list(&self) -> Result<Vec<TopicInfo>> {
        let all = self.all()?.into_iter();
        let described = all.filter_map(|(topic, count)| match self.describe_as(topic, count) {
            // It was deleted meanwhile.
            Err(error) if matches!(error.code, ErrorCode::TopicNotFound | ErrorCode::PartitionNotFound) => None,
            described => Some(described),
        });
        described.collect()
    }

    fn page(&self, after: Option<&Topic>, limit: usize) -> Result<Vec<Topic>> {
        let all = self.all()?.into_keys();
        Ok(all.filter(|topic| after.is_none_or(|after| topic > after)).take(limit).collect())
    }

    fn describe(&self, topic: &Topic) -> Result<TopicInfo> {
        let name = self.shared.options.name(topic)?;
        let count = runtime::wait(self.shared.count(&name))?;
        self.describe_as(topic.clone(), count)
    }

    fn alter(&self, topic: &Topic, change: TopicChange) -> Result<()> {
        let name = self.shared.options.writable(topic)?;
        self.shared.forget_count(&name);
        let count = runtime::wait(self.shared.count(&name))?;
        let after = change.partitions(topic, count.max(1))?;
        if change.time == Some(RetentionTime::Event) {
            let message = format!("Pulsar counts the age of the records of topic '{topic}' from their arrival");
            return Err(Error::new(ErrorCode::InvalidRequest, message));
        }
        if after > count.max(1) {
            if count == 0 {
                let message = format!("topic '{topic}' is not partitioned, and Pulsar cannot give it partitions");
                return Err(Error::new(ErrorCode::InvalidRequest, message));
            }
            self.shared.admin.grow(&name, after)?;
            self.shared.forget_count(&name);
        }
        if change.max_age.is_some() || change.max_bytes.is_some() {
            let before = self.shared.admin.retention(&name)?;
            self.shared.admin.retain(&name, &change.retention(before))?;
        }
        Ok(())
    }

    fn delete(&self, topic: &Topic) -> Result<()> {
        let name = self.shared.options.writable(topic)?;
        self.shared.forget_count(&name);
        let deleted = match runtime::wait(self.shared.count(&name)) {
            Err(error) if error.code == ErrorCode::TopicNotFound => self.delete_remains(&name, error),
            count => self.shared.admin.delete(&name, count? > 0),
        };
        self.shared.forget_count(&name);
        deleted?;
        self.readers.lock().retain(|(of, ..)| *of != name && names::of_partition(of).is_none_or(|(of, _)| of != name));
        self.appender.forget(&name);
        self.watches.wake(&name);
        Ok(())
    }

    fn append(&self, topic: &Topic, partition: Option<u32>, frame: Bytes, done: AppendDone) {
        match self.shared.options.writable(topic) {
            Ok(_) => self.appender.append(topic.clone(), partition, frame, done),
            Err(error) => done(Err(error)),
        }
    }

    fn read(&self, at: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        let name = runtime::wait(self.shared.partition(&at.topic, at.partition))?;
        let Some(reader) = self.reader(at, &name, from)? else { return Ok(None) };
        let failed = |e| error::of(format!("reading {at}"), &e);
        let mut frame = FrameBuilder::new();
        let (mut positions, mut bytes): (Vec<Position>, usize) = (Vec::new(), 0);
        let mut next = from;
        while positions.len() < limit.records.max(1) && (bytes == 0 || bytes < limit.bytes) {
            if !runtime::wait(reader.has_more()).map_err(failed)? {
                break;
            }
            let message = runtime::wait(reader.next()).map_err(failed)?;
            let position = position_of(&message.id);
            if position < from {
                continue;
            }
            next = position.next();
            bytes += size(&message);
            pack(&message, 0, None, &mut frame)?;
            positions.push(position);
        }
        let mut readers = self.readers.lock();
        if readers.len() >= READERS {
            readers.remove(0);
        }
        readers.push((name, next, reader));
        drop(readers);
        if positions.is_empty() {
            return Ok(None);
        }
        Batch::new(at.clone(), BatchPositions::Each(positions), frame.to_bytes().into()).map(Some)
    }

    fn watch(&self, at: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>> {
        let name = runtime::wait(self.shared.partition(&at.topic, at.partition))?;
        self.watches.watch(name, waker)
    }

    fn look(&self, at: &TopicPartition, from: Position) -> Result<Ahead> {
        let end = runtime::soon(format_args!("looking at {at}"), self.shared.end_of(&at.topic, at.partition))?;
        Ok(Ahead { end, lag: (from >= end).then_some(0) })
    }

    fn matcher(&self, pattern: &Topic) -> Result<TopicMatcher> {
        patterns::matcher(&self.shared.options, pattern)
    }

    fn matching(&self, pattern: &Topic) -> Result<BTreeMap<Topic, u32>> {
        patterns::matching(&self.shared, pattern)
    }

    fn watch_matching(&self, pattern: &Topic, waker: Waker) -> Result<Box<dyn Watch>> {
        patterns::watch(&self.shared, pattern, waker)
    }
}

impl std::fmt::Debug for PulsarTopics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PulsarTopics").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
