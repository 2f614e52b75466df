// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Retention: old records go, from the old end only.
//!
//! Each run looks at the stored batches from the oldest on until one is to be kept; since those before it are deleted,
//! every batch is looked at about once in its life. The floor moves first in memory (a reader gets an error at once), then in
//! one write with the deletion. Files are dropped only after that write is synced: a file is gone for good, and the
//! floor in the log would otherwise come back lower than the records after a power cut.

use fnstream_core::Result;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topics::{Retention, RetentionTime};
use rocksdb::WriteBatch;

use super::partition::{Marks, Topic};
use super::watermarks::mark_at;
use crate::db::Sync;
use crate::error::corrupt;
use crate::formats::{Floor, StoredBatch};
use crate::inner::Inner;
use crate::keys;

/// From how many dropped bytes on it is worth to sync and drop whole files.
const DROP_FILES_FROM: u64 = 64 << 20;

/// The records that a run of retention dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Records.
    pub records: u64,
    /// Their bytes before compression.
    pub bytes: u64,
}

/// Whether a batch is to be dropped; see [`Inner::drop_oldest`].
type IsToDrop<'a> = dyn Fn(&StoredBatch<'_>, u64, u64) -> bool + 'a;

impl Inner {
    pub(crate) fn enforce_retention(&self, now_ms: i64, defaults: &Retention) -> Result<Dropped> {
        // Two runs at once would delete the same ranges twice.
        let _one_run = self.retention.lock();
        let mut dropped = Dropped::default();
        for topic in self.topics.all() {
            let retention = topic.retention.or(defaults);
            if (retention.max_age, retention.max_bytes) == (None, None) {
                continue;
            }
            for number in 0..topic.count() {
                let drop = |stored: &StoredBatch<'_>, _, kept| is_to_drop(&retention, stored, kept, now_ms);
                let of_partition = self.drop_oldest(&topic, number, &drop)?;
                dropped.records += of_partition.records;
                dropped.bytes += of_partition.bytes;
            }
        }
        Ok(dropped)
    }

    /// Drops the batches of a partition that end at or before a position.
    pub(crate) fn trim(&self, partition: &TopicPartition, before: Position) -> Result<Dropped> {
        let _one_run = self.retention.lock();
        let topic = self.topics.get(partition.topic.own_name()?)?;
        self.drop_oldest(&topic, partition.partition, &|_, end, _| u128::from(end) <= before.0)
    }

    /// Drops the oldest batches of a partition, as long as `is_to_drop` says so of the next one, of the position after it, and of
    /// the bytes of it and of all that come after it.
    fn drop_oldest(&self, topic: &Topic, number: u32, is_to_drop: &IsToDrop<'_>) -> Result<Dropped> {
        let Ok(partition) = topic.partition(number) else {
            return Ok(Dropped::default());
        };
        let marks = partition.marks();
        let before = marks.floor;
        let floor = self.new_floor(topic, number, marks, is_to_drop)?;
        let dropped =
            Dropped { records: floor.position - before.position, bytes: floor.bytes_before - before.bytes_before };
        if dropped.records == 0 {
            return Ok(dropped);
        }
        partition.set_floor(floor);
        if let Err(e) = self.write_floor(topic, number, before, floor) {
            partition.set_floor(before);
            return Err(e);
        }
        if dropped.bytes >= DROP_FILES_FROM {
            let (first, last) = (keys::batch(topic.id, number, 0), keys::batch(topic.id, number, floor.position - 1));
            self.db()?.drop_files(keys::TOPICS, &first, &last)?;
        }
        Ok(dropped)
    }

    /// The floor of the first batch that is to be kept.
    fn new_floor(&self, topic: &Topic, number: u32, marks: Marks, is_to_drop: &IsToDrop<'_>) -> Result<Floor> {
        let mut floor = marks.floor;
        let db = self.db()?;
        let mut iterator = db.iterate(keys::TOPICS, keys::batch(topic.id, number, marks.end.position).to_vec());
        iterator.seek(keys::batch(topic.id, number, floor.position));
        while let Some((key, value)) = iterator.item() {
            let base = keys::batch_base(key).ok_or_else(|| corrupt("a key of the log is truncated"))?;
            let stored = StoredBatch::decode(value)?;
            let kept = marks.end.bytes_before - stored.bytes_before;
            let end = base + stored.frame.len() as u64;
            if !is_to_drop(&stored, end, kept) {
                break;
            }
            floor.position = end;
            floor.bytes_before = stored.bytes_before + stored.bytes.len() as u64;
            iterator.next();
        }
        db.ended(&iterator)?;
        Ok(floor)
    }

    fn write_floor(&self, topic: &Topic, number: u32, before: Floor, floor: Floor) -> Result<()> {
        let db = &*self.db()?;
        let mut batch = WriteBatch::default();
        let (first, end) =
            (keys::batch(topic.id, number, before.position), keys::batch(topic.id, number, floor.position));
        db.delete_range(&mut batch, keys::TOPICS, first..end);
        let meta = db.family(keys::META);
        batch.put_cf(meta, keys::floor(topic.id, number), floor.encode());
        // The watermark that holds at the floor stays.
        let holds = mark_at(db, topic.id, number, floor.position)?;
        let marks = keys::mark(topic.id, number, 0)..keys::mark(topic.id, number, holds.position);
        db.delete_range(&mut batch, keys::META, marks);
        let drops_files = floor.bytes_before - before.bytes_before >= DROP_FILES_FROM;
        let sync = if drops_files { Sync::Yes } else { Sync::No };
        // A deletion of the topic waits, or has been: then there is nothing to write.
        match self.topics.with(
            &topic.name,
            |current| {
                if current.id == topic.id { db.write(batch, sync) } else { Ok(()) }
            },
        ) {
            Err(_) if topic.is_deleted() => Ok(()),
            result => result,
        }
    }
}

fn is_to_drop(retention: &Retention, stored: &StoredBatch<'_>, kept: u64, now_ms: i64) -> bool {
    // As long as what comes after it is enough: at least so many bytes are kept, and never is the newest batch dropped.
    let too_many = retention.max_bytes.is_some_and(|max| kept - stored.bytes.len() as u64 >= max.max(1));
    let too_old = retention.max_age.is_some_and(|max| {
        // Of one that an earlier version stored it is not known when it arrived.
        let arrived = stored.arrived_ms.filter(|_| retention.time == RetentionTime::Arrival);
        let since = arrived.unwrap_or_else(|| newest(stored));
        i128::from(now_ms) - i128::from(since) > max.as_millis() as i128
    });
    too_many || too_old
}

/// The newest of the records' own timestamps.
fn newest(stored: &StoredBatch<'_>) -> i64 {
    (0..stored.frame.len()).map(|i| stored.frame.timestamp(i)).max().unwrap_or(i64::MAX)
}
