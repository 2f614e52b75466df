// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The log for those who produce, consume and look on.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::Topic;
use fnstream_core::topics::{Ahead, AppendDone, Retention, TopicChange, TopicInfo, Topics, Watch};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};

use super::cut::{Part, by_key, for_partition, largest_record};
use super::partition::{self, WatchGuard};
use super::read::Reading;
use super::topics::NewTopic;
use crate::commit::group::Job;
use crate::store::Store;

/// The topics of the store.
pub(crate) struct LogTopics(pub Store);

impl Topics for LogTopics {
    fn create(&self, topic: &Topic, partitions: u32, retention: Retention) -> Result<()> {
        let store = self.0.inner();
        let now_ms = store.options.clock.unix_ms();
        store.topics.create(
            &*store.db()?,
            store.sync(),
            NewTopic { name: topic.own_name()?, partitions, retention, now_ms },
        )
    }

    fn list(&self) -> Result<Vec<TopicInfo>> {
        Ok(self.0.inner().topics.all().iter().map(|topic| topic.info()).collect())
    }

    fn page(&self, after: Option<&Topic>, limit: usize) -> Result<Vec<Topic>> {
        let after = after.map(Topic::own_name).transpose()?;
        Ok(self.0.inner().topics.names_after(after, limit).into_iter().map(Topic::own).collect())
    }

    fn describe(&self, topic: &Topic) -> Result<TopicInfo> {
        self.0.inner().topics.get(topic.own_name()?).map(|topic| topic.info())
    }

    fn alter(&self, topic: &Topic, change: TopicChange) -> Result<()> {
        let store = self.0.inner();
        // A run of retention looks at the topic as it was; and no group that is being written ends in between.
        let _no_run = store.retention.lock();
        let _no_group = store.ledger.lock();
        store.topics.alter(&*store.db()?, store.sync(), topic.own_name()?, change)
    }

    fn delete(&self, topic: &Topic) -> Result<()> {
        let store = self.0.inner();
        // Held so that no group that is being written appends to it.
        let _no_group = store.ledger.lock();
        store.topics.delete(&*store.db()?, store.sync(), topic.own_name()?)
    }

    fn append(&self, topic: &Topic, partition: Option<u32>, frame: Bytes, done: AppendDone) {
        match prepare(&self.0, topic, partition, frame) {
            Ok((topic, parts)) => self.0.inner().queue.send(Job::Append { topic, parts, done }),
            Err(e) => done(Err(e)),
        }
    }

    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        let store = self.0.inner();
        let topic = store.topics.get(partition.topic.own_name()?)?;
        Reading { db: &*store.db()?, topic: &topic, partition, group: 0 }.read(from, limit)
    }

    fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>> {
        let topic = self.0.inner().topics.get(partition.topic.own_name()?)?;
        Ok(Box::new(WatchGuard::new(topic, partition.partition, waker)?))
    }

    fn look(&self, partition: &TopicPartition, from: Position) -> Result<Ahead> {
        let topic = self.0.inner().topics.get(partition.topic.own_name()?)?;
        let end = topic.partition(partition.partition)?.marks().end();
        // This log counts records without gaps.
        Ok(Ahead { end, lag: u64::try_from(end.0.saturating_sub(from.0)).ok() })
    }
}

/// Looks a topic up and cuts records for its partitions.
pub(super) fn prepare(
    store: &Store,
    topic: &Topic,
    partition: Option<u32>,
    frame: Bytes,
) -> Result<(Arc<partition::Topic>, Vec<Part>)> {
    let store = store.inner();
    let topic = store.topics.get(topic.own_name()?)?;
    let malformed = |e: Error| Error::new(ErrorCode::InvalidRequest, e.message);
    let largest = largest_record(&frame).map_err(malformed)?;
    if largest > store.options.max_record_bytes {
        return Err(Error::new(
            ErrorCode::RecordTooLarge,
            format!("a record has {largest} bytes, more than {}", store.options.max_record_bytes),
        ));
    }
    let parts = parts(&topic, partition, frame).map_err(|e| match e.code {
        ErrorCode::DataCorrupt => malformed(e),
        _ => e,
    })?;
    Ok((topic, parts))
}

/// Cuts records for the partitions of a topic. Keyless ones go to the next partition.
pub(crate) fn parts(topic: &partition::Topic, partition: Option<u32>, frame: Bytes) -> Result<Vec<Part>> {
    let mut parts = match partition {
        Some(number) => {
            topic.partition(number)?;
            vec![for_partition(number, frame)?]
        }
        None => by_key(frame, topic.count(), topic.next_keyless())?,
    };
    parts.retain(|part| !part.pieces.is_empty());
    Ok(parts)
}
