// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Watermarks that functions emit: they travel with a topic and are never in it.
//!
//! A topic remembers the last watermark of each task that writes to it, and its own is the least of them, as
//! [`fnstream_core::epoch::OutboxWatermark`] says. When that rises, each partition notes at which position it did: a reader that
//! has come so far knows it.
//!
//! ```text
//! partition   r r r | r r r r | r r               task A   5      9    12
//!                   5         8                   task B        8
//!                   the watermark from there on   topic    5    8     8
//! ```
//!
//! All of it is in the same write as the epoch that emitted the watermark.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::epoch::{FunctionId, OutboxWatermark, TaskId};
use fnstream_core::topic::TopicRef;
use rocksdb::WriteBatch;

use super::partition::{Mark, Topic};
use crate::db::Db;
use crate::error::corrupt;
use crate::formats;
use crate::inner::Inner;
use crate::keys;

/// A topic's knowledge of the functions that write to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writers {
    tasks: BTreeMap<TaskId, Writer>,
    /// The topic's own, which never falls.
    watermark: u64,
}

/// The last watermark of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Writer {
    pub watermark: u64,
    pub idle: bool,
}

/// The change that a write makes to a topic's writers, and to its partitions: in memory once the write is done.
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
            writers.tasks.insert(task, formats::decode_writer(value)?);
            iterator.next();
        }
        db.ended(&iterator)?;
        // What was reached is noted in every partition.
        writers.watermark = mark_at(db, topic, 0, u64::MAX)?.watermark;
        Ok(writers)
    }

    fn least(&self) -> u64 {
        let emitting: BTreeSet<_> =
            self.tasks.iter().filter(|(_, writer)| writer.watermark > 0).map(|(task, _)| task.function).collect();
        let counting =
            || self.tasks.iter().filter(|(task, _)| emitting.contains(&task.function)).map(|(_, writer)| writer);
        let active = counting().filter(|writer| !writer.idle).map(|writer| writer.watermark).min();
        active.or_else(|| counting().map(|writer| writer.watermark).max()).unwrap_or(0)
    }

    fn of(&self, function: FunctionId) -> impl Iterator<Item = (&TaskId, &Writer)> {
        self.tasks.range(TaskId::new(function, 0)..=TaskId::new(function, u32::MAX))
    }

    /// Takes what a task says; `all` are the tasks of its function, which count from its first watermark on.
    pub(crate) fn say(&mut self, task: TaskId, said: &OutboxWatermark, all: impl IntoIterator<Item = TaskId>) {
        let own = self.tasks.entry(task).or_default();
        let is_first = own.watermark == 0 && said.watermark > 0;
        own.watermark = said.watermark.max(own.watermark);
        own.idle = said.idle;
        if is_first {
            for task in all {
                self.tasks.entry(task).or_default();
            }
        }
    }
}

impl Raised {
    /// Puts what has changed into a write. `end` returns the end that a partition will have after it.
    pub(crate) fn stage(
        db: &Db,
        batch: &mut WriteBatch,
        topic: &Arc<Topic>,
        mut writers: Writers,
        end: impl Fn(u32) -> u64,
    ) -> Self {
        let meta = db.family(keys::META);
        let before = topic.writers();
        for (task, writer) in &writers.tasks {
            if before.tasks.get(task) != Some(writer) {
                batch.put_cf(meta, keys::writer(topic.id, *task), formats::encode_writer(*writer));
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
    /// Forgets what the tasks of a function have said to topics that it does not write to any more: they must not hold others
    /// back. The caller has the ledger's lock, so that no group is written meanwhile.
    pub(crate) fn forget_writers(
        &self,
        db: &Db,
        batch: &mut WriteBatch,
        function: FunctionId,
        outputs: &[TopicRef],
    ) -> Vec<Raised> {
        self.change_writers(db, batch, function, |topic, writers| {
            if !names(outputs, topic) {
                writers.tasks.retain(|task, _| task.function != function);
            }
        })
    }

    /// The tasks of a function go on under another id: what they have said still holds their readers back.
    pub(crate) fn rename_writers(
        &self,
        db: &Db,
        batch: &mut WriteBatch,
        before: FunctionId,
        after: FunctionId,
        outputs: &[TopicRef],
    ) -> Vec<Raised> {
        self.change_writers(db, batch, before, |topic, writers| {
            let own: Vec<_> = writers.of(before).map(|(task, writer)| (*task, *writer)).collect();
            for (task, writer) in own {
                writers.tasks.remove(&task);
                if names(outputs, topic) {
                    writers.tasks.insert(TaskId::new(after, task.index), writer);
                }
            }
        })
    }

    fn change_writers(
        &self,
        db: &Db,
        batch: &mut WriteBatch,
        function: FunctionId,
        change: impl Fn(&Topic, &mut Writers),
    ) -> Vec<Raised> {
        let mut raised = Vec::new();
        for topic in self.topics.all() {
            let mut writers = topic.writers();
            if writers.of(function).next().is_some() {
                change(&topic, &mut writers);
                let end = |partition: u32| topic.partitions[partition as usize].marks().end.position;
                raised.push(Raised::stage(db, batch, &topic, writers, end));
            }
        }
        raised
    }
}

/// Whether the outputs of a function name a topic.
fn names(outputs: &[TopicRef], topic: &Topic) -> bool {
    outputs.iter().any(|output| output.topic.cluster.is_own() && output.topic.name == topic.name)
}

/// A write that changed what writers have said is done.
pub(crate) fn done(raised: &[Raised]) {
    raised.iter().for_each(Raised::written);
    raised.iter().for_each(Raised::wake);
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
    db.ended(&iterator)?;
    Ok(mark)
}
