// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Watermarks that functions emit: they travel with a topic and are never in it.
//!
//! A topic remembers the last watermark of each task that has emitted one to it, and its own is the least of them. When that
//! rises, each partition notes at which position it did: a reader that has come so far knows it.
//!
//! ```text
//! partition   r r r | r r r r | r r               task A   5      9    12
//!                   5         8                   task B        8
//!                   the watermark from there on   topic    5    8     8
//! ```
//!
//! All of it is in the same write as the epoch that emitted the watermark.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::epoch::{FunctionId, TaskId};
use rocksdb::WriteBatch;

use super::partition::{Mark, Topic};
use crate::db::{Db, ended};
use crate::error::corrupt;
use crate::formats;
use crate::inner::Inner;
use crate::keys;

/// What a topic knows of the functions that write to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writers {
    /// The last watermark of each task that has emitted any.
    tasks: BTreeMap<TaskId, u64>,
    /// The highest that the least of them ever was.
    watermark: u64,
}

/// What a write makes of a topic's writers, and of its partitions: in memory once the write is done.
pub(crate) struct Raised {
    topic: Arc<Topic>,
    writers: Writers,
    marks: Vec<Mark>,
}

impl Writers {
    pub(crate) fn load(db: &Db, topic: u32) -> Result<Self> {
        let mut writers = Writers::default();
        let range = keys::all_of(b"W", topic);
        let mut iterator = db.iterate(keys::META, range.end);
        iterator.seek(&range.start);
        while let Some((key, value)) = iterator.item() {
            let task = keys::writer_task(key).ok_or_else(|| corrupt("the key of a writer is truncated"))?;
            writers.tasks.insert(task, formats::decode_watermark(value)?);
            iterator.next();
        }
        ended(&iterator)?;
        writers.watermark = writers.least();
        Ok(writers)
    }

    fn least(&self) -> u64 {
        self.tasks.values().copied().min().unwrap_or(0)
    }

    /// Takes a task's watermark; answers whether that changes anything.
    pub(crate) fn emitted(&mut self, task: TaskId, watermark: u64) -> bool {
        let own = self.tasks.entry(task).or_default();
        let rises = watermark > *own;
        *own = watermark.max(*own);
        rises
    }
}

impl Raised {
    /// Puts what has changed into a write. `end` tells where a partition will end after it.
    pub(crate) fn stage(
        db: &Db,
        batch: &mut WriteBatch,
        topic: &Arc<Topic>,
        mut writers: Writers,
        end: impl Fn(u32) -> u64,
    ) -> Self {
        let meta = db.family(keys::META);
        let before = topic.writers();
        for (task, watermark) in &writers.tasks {
            if before.tasks.get(task) != Some(watermark) {
                batch.put_cf(meta, keys::writer(topic.id, *task), formats::encode_watermark(*watermark));
            }
        }
        for task in before.tasks.keys().filter(|task| !writers.tasks.contains_key(task)) {
            batch.delete_cf(meta, keys::writer(topic.id, *task));
        }
        let mut marks = Vec::new();
        if writers.least() > before.watermark {
            writers.watermark = writers.least();
            for partition in 0..topic.count() {
                let position = end(partition);
                let value = formats::encode_watermark(writers.watermark);
                batch.put_cf(meta, keys::mark(topic.id, partition, position), value);
                marks.push(Mark { position, watermark: writers.watermark });
            }
        }
        Raised { topic: topic.clone(), writers, marks }
    }

    /// The write is done.
    pub(crate) fn written(&self) {
        self.topic.set_writers(self.writers.clone());
        for (partition, mark) in self.topic.partitions.iter().zip(&self.marks) {
            partition.set_mark(*mark);
        }
    }

    /// Wakes who reads the partitions whose watermark rose.
    pub(crate) fn wake(&self) {
        for (partition, _) in self.topic.partitions.iter().zip(&self.marks) {
            partition.wake();
        }
    }
}

impl Inner {
    /// Forgets what the tasks of a function have emitted: they emit no more, and must not hold others back. The caller has
    /// the ledger's lock, so that no group is written meanwhile.
    pub(crate) fn forget_writers(&self, batch: &mut WriteBatch, function: FunctionId) -> Vec<Raised> {
        let mut raised = Vec::new();
        for topic in self.topics.all() {
            let mut writers = topic.writers();
            let count = writers.tasks.len();
            writers.tasks.retain(|task, _| task.function != function);
            if writers.tasks.len() < count {
                let end = |partition: u32| topic.partitions[partition as usize].marks().end.position;
                raised.push(Raised::stage(&self.db, batch, &topic, writers, end));
            }
        }
        raised
    }
}

/// The last mark at or before a position.
pub(crate) fn mark_at(db: &Db, topic: u32, partition: u32, position: u64) -> Result<Mark> {
    let first = keys::mark(topic, partition, 0);
    let mut iterator = db.iterate(keys::META, keys::after_prefix(&first[..9]));
    iterator.seek_for_prev(keys::mark(topic, partition, position));
    let mark = match iterator.item() {
        Some((key, value)) if key.starts_with(&first[..9]) => {
            let position = keys::mark_position(key).ok_or_else(|| corrupt("the key of a watermark is truncated"))?;
            Mark { position, watermark: formats::decode_watermark(value)? }
        }
        _ => Mark::default(),
    };
    ended(&iterator)?;
    Ok(mark)
}
