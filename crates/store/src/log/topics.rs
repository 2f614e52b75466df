// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The register of topics: made, found, altered, deleted.
//!
//! A change is durable before it is seen: the descriptor is written, then the topic is entered here. Ids are never given
//! again, so what a deleted topic left behind can not show up in a new one of the same name.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use fnstream_core::topic::{self, check_topic_name};
use fnstream_core::topics::{PartitionInfo, Retention, RetentionTime, TopicChange, TopicInfo, check_partitions};
use fnstream_core::{Error, ErrorCode, Result, failpoint};
use parking_lot::RwLock;
use rocksdb::WriteBatch;

use super::partition::{Marks, Topic};
use super::watermarks::{Writers, mark_at};
use crate::db::{Db, Sync};
use crate::error::{corrupt, no_topic};
use crate::formats::{self, Floor, StoredBatch, TopicDescriptor};
use crate::keys;

/// All topics by name. The lock is held for writing while a topic is made or deleted, so what is written under the lock
/// for reading is never written to a deleted topic.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
}

impl Topics {
    /// Finds what is stored: one seek for each partition, whatever it holds.
    pub(crate) fn load(db: &Db) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        let mut iterator = db.iterate(keys::META, keys::after_prefix(keys::TOPIC_PREFIX));
        iterator.seek(keys::TOPIC_PREFIX);
        while let Some((_, value)) = iterator.item() {
            let descriptor = formats::decode_topic(value)?;
            let partitions = (0..descriptor.partitions).map(|partition| {
                let last = mark_at(db, descriptor.id, partition, u64::MAX)?;
                Ok((load_marks(db, descriptor.id, partition)?, last))
            });
            let partitions: Result<Vec<_>> = partitions.collect();
            let writers = Writers::load(db, descriptor.id)?;
            let topic = Arc::new(Topic::new(&descriptor, partitions?, writers));
            by_name.insert(topic.name.clone(), topic);
            iterator.next();
        }
        db.ended(&iterator)?;
        Ok(Topics { by_name: RwLock::new(by_name) })
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Topic>> {
        self.by_name.read().get(name).cloned().ok_or_else(|| no_topic(name))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.read().values().cloned().collect()
    }

    /// The first names after one, at most so many, in order.
    pub(crate) fn names_after(&self, after: Option<&str>, limit: usize) -> Vec<Arc<str>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let topics = self.by_name.read();
        topics.range::<str, _>((from, Bound::Unbounded)).take(limit).map(|(name, _)| name.clone()).collect()
    }

    /// Calls `write` with a topic that is not deleted meanwhile.
    pub(crate) fn with<T>(&self, name: &str, write: impl FnOnce(&Topic) -> Result<T>) -> Result<T> {
        let topics = self.by_name.read();
        write(topics.get(name).ok_or_else(|| no_topic(name))?)
    }

    pub(crate) fn create(&self, db: &Db, sync: Sync, new: NewTopic<'_>) -> Result<()> {
        let mut topics = self.by_name.write();
        if topics.contains_key(new.name) {
            return Err(Error::new(ErrorCode::TopicExists, format!("topic '{}' exists", new.name)));
        }
        let topic = new.write(db, sync)?;
        topics.insert(topic.name.clone(), Arc::new(topic));
        Ok(())
    }

    /// Changes a topic. The caller keeps the committer from appending meanwhile, and retention from running.
    pub(crate) fn alter(&self, db: &Db, sync: Sync, name: &str, change: TopicChange) -> Result<()> {
        let mut topics = self.by_name.write();
        let topic = topics.get(name).cloned().ok_or_else(|| no_topic(name))?;
        let partitions = change.partitions(&topic::Topic::own(name), topic.count())?;
        let descriptor =
            describe(topic.id, &topic.name, partitions, change.retention(topic.retention), topic.created_ms);
        let mut batch = WriteBatch::default();
        batch.put_cf(db.family(keys::META), keys::topic(name), formats::encode_topic(&descriptor));
        failpoint!("topic.before-write");
        db.write(batch, sync)?;
        failpoint!("topic.after-write");
        topics.insert(topic.name.clone(), Arc::new(topic.altered(&descriptor)));
        Ok(())
    }

    /// Removes a topic with its records and cursors. The caller keeps the committer from appending meanwhile.
    pub(crate) fn delete(&self, db: &Db, sync: Sync, name: &str) -> Result<()> {
        let mut topics = self.by_name.write();
        let topic = topics.get(name).cloned().ok_or_else(|| no_topic(name))?;
        let mut batch = WriteBatch::default();
        let meta = db.family(keys::META);
        batch.delete_cf(meta, keys::topic(name));
        db.delete_range(&mut batch, keys::TOPICS, keys::all_of(b"", topic.id));
        for tag in [b"c", b"f", b"g", b"s", b"w", b"W"] {
            db.delete_range(&mut batch, keys::META, keys::all_of(tag, topic.id));
        }
        failpoint!("topic.before-write");
        db.write(batch, sync)?;
        failpoint!("topic.after-write");
        topics.remove(name);
        drop(topics);
        topic.mark_deleted();
        Ok(())
    }
}

/// A topic that is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewTopic<'a> {
    pub name: &'a str,
    pub partitions: u32,
    pub retention: Retention,
    pub now_ms: i64,
}

impl NewTopic<'_> {
    fn write(&self, db: &Db, sync: Sync) -> Result<Topic> {
        check_topic_name("topic", self.name)?;
        check_partitions(self.partitions)?;
        let mut batch = WriteBatch::default();
        let id = db.take_id(keys::NEXT_TOPIC, &mut batch)?;
        let descriptor = describe(id, self.name, self.partitions, self.retention, self.now_ms);
        batch.put_cf(db.family(keys::META), keys::topic(self.name), formats::encode_topic(&descriptor));
        failpoint!("topic.before-write");
        db.write(batch, sync)?;
        failpoint!("topic.after-write");
        Ok(Topic::new(&descriptor, vec![Default::default(); self.partitions as usize], Writers::default()))
    }
}

impl Topic {
    pub(crate) fn info(&self) -> TopicInfo {
        let partitions = self.partitions.iter().enumerate().map(|(number, partition)| {
            let marks = partition.marks();
            PartitionInfo {
                partition: number as u32,
                earliest: marks.earliest(),
                end: marks.end(),
                bytes: Some(marks.end.bytes_before - marks.floor.bytes_before),
            }
        });
        TopicInfo {
            topic: topic::Topic::own(self.name.clone()),
            partitions: partitions.collect(),
            retention: self.retention,
            created_ms: Some(self.created_ms),
        }
    }
}

fn describe(id: u32, name: &str, partitions: u32, retention: Retention, created_ms: i64) -> TopicDescriptor {
    TopicDescriptor {
        id,
        name: name.to_owned(),
        partitions,
        max_age_ms: retention.max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        max_bytes: retention.max_bytes,
        created_ms,
        by_event_time: retention.time == RetentionTime::Event,
    }
}

fn load_marks(db: &Db, topic: u32, partition: u32) -> Result<Marks> {
    let floor = match db.get(keys::META, &keys::floor(topic, partition))? {
        Some(value) => Floor::decode(&value)?,
        None => Floor::default(),
    };
    // The keys of a partition end where those of the next begin.
    let end = keys::after_prefix(&keys::batch(topic, partition, 0)[..8]);
    let mut iterator = db.iterate(keys::TOPICS, end);
    iterator.seek_for_prev(keys::batch(topic, partition, u64::MAX));
    let last = match iterator.item() {
        Some((key, value)) if key[..8] == keys::batch(topic, partition, 0)[..8] => {
            let base = keys::batch_base(key).ok_or_else(|| corrupt("a key of the log is truncated"))?;
            let stored = StoredBatch::decode(value)?;
            Floor {
                position: base + stored.frame.len() as u64,
                bytes_before: stored.bytes_before + stored.bytes.len() as u64,
            }
        }
        _ => floor,
    };
    db.ended(&iterator)?;
    Ok(Marks { floor, end: if last.position < floor.position { floor } else { last } })
}
