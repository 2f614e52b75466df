// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics of the in-memory broker: what is committed, and the gaps between.
//!
//! ```text
//! position   0   1   2   3   4   5   6
//! gaps off   r   r   r   r   r   r
//! gaps on    r   r   |   r   x   |   r      | = end of a transaction, x = a record of an aborted one
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use fnstream_frame::{Frame, FrameBuilder, Headers, RecordRef, RecordView};

use crate::batch::{Batch, BatchPositions};
use crate::broker::{PollLimit, TaskInput};
use crate::epoch::{FunctionId, OutboxWatermark, TaskId};
use crate::error::{Error, ErrorCode, Result};
use crate::record::{Position, TopicPartition};
use crate::topic::{Cluster, Topic};

/// A committed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Where it is.
    pub position: Position,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The key, which may be empty.
    pub key: Option<Bytes>,
    /// The encoded headers.
    pub headers: Bytes,
    /// The payload; `None` is a null value.
    pub value: Option<Bytes>,
}

impl StoredRecord {
    fn new(position: Position, record: RecordView<'_>) -> Self {
        StoredRecord {
            position,
            timestamp: record.timestamp,
            key: record.key.map(Bytes::copy_from_slice),
            headers: Bytes::copy_from_slice(record.headers.as_bytes()),
            value: record.value.map(Bytes::copy_from_slice),
        }
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.view(0).packed_len()
    }

    fn view(&self, channel: u32) -> RecordRef<'_> {
        RecordRef {
            channel,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            headers: Headers::parse(&self.headers).expect("checked when the record was appended"),
            value: self.value.as_deref(),
        }
    }

    /// The bytes of the payload: none for a null value, as for an empty one.
    pub fn bytes(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    pub records: Vec<StoredRecord>,
    pub end: Position,
    /// Just behind the last record that retention dropped: nothing is missing from here on.
    complete_from: Position,
    /// Watermarks with the position from which on each holds.
    watermarks: Vec<(Position, u64)>,
}

impl Partition {
    pub(super) fn append(&mut self, record: RecordView<'_>) -> Position {
        let position = self.end;
        self.records.push(StoredRecord::new(position, record));
        self.end = position.next();
        position
    }

    /// From here on that watermark holds, unless a higher one does.
    pub(super) fn raise(&mut self, watermark: u64) {
        if self.watermarks.last().is_none_or(|(_, last)| watermark > *last) {
            self.watermarks.push((self.end, watermark));
        }
    }

    /// The watermark that holds before the next record from a position on, as far as a reader sees; 0 when none does.
    pub(super) fn watermark_at(&self, position: Position, visible: Position) -> u64 {
        // A gap before that record has nothing that the watermark could be waited for.
        let next = self.records.partition_point(|r| r.position < position);
        let next = self.records.get(next).map_or(self.end, |record| record.position).min(visible);
        let holding = self.watermarks.partition_point(|(from, _)| *from <= next);
        holding.checked_sub(1).map_or(0, |last| self.watermarks[last].1)
    }

    /// Where so many records from a position on end; where the gap after them ends, when they are the last.
    pub(super) fn after(&self, position: Position, records: usize) -> Position {
        let from = self.records.partition_point(|r| r.position < position);
        let last = from.saturating_add(records);
        if last < self.records.len() { self.records[last - 1].position.next() } else { self.end }
    }

    pub(super) fn skip(&mut self, positions: u128) {
        self.end = Position(self.end.0 + positions);
    }

    pub(super) fn drop_before(&mut self, position: Position) {
        let kept = self.records.partition_point(|r| r.position < position);
        if let Some(last) = self.records.drain(..kept).last() {
            self.complete_from = last.position.next();
        }
    }

    /// The oldest record's position, or the end.
    pub(super) fn earliest(&self) -> Position {
        self.records.first().map_or(self.end, |oldest| oldest.position)
    }

    /// Whether reading may begin at a position.
    pub(super) fn check(&self, at: &TopicPartition, position: Position) -> Result<()> {
        if position < self.complete_from {
            return Err(Error::new(
                ErrorCode::PositionDropped,
                format!("position {position} of {at} was dropped by retention"),
            ));
        }
        if position > self.end {
            let why = format!("position {position} of {at} is past its end {}", self.end);
            return Err(Error::new(ErrorCode::PositionUnknown, why));
        }
        Ok(())
    }

    /// The records within a range, as many as the limit takes; `None` when there are none.
    pub(super) fn read(&self, input: &TaskInput, within: Range<Position>, limit: PollLimit) -> Result<Option<Batch>> {
        let mut frame = FrameBuilder::new();
        let mut positions = Vec::new();
        let mut bytes = 0;
        let first = self.records.partition_point(|r| r.position < within.start);
        for record in self.records[first..].iter().take_while(|record| record.position < within.end) {
            let view = record.view(input.group);
            bytes += view.packed_len();
            if !positions.is_empty() && (positions.len() >= limit.records || bytes > limit.bytes) {
                break;
            }
            frame.push(view);
            positions.push(record.position);
        }
        let Some(&first) = positions.first() else { return Ok(None) };
        let contiguous = positions.iter().zip(first.0..).all(|(p, at)| p.0 == at);
        let positions = if contiguous { BatchPositions::Contiguous(first) } else { BatchPositions::Each(positions) };
        Batch::new(input.partition.clone(), positions, Bytes::from(frame.to_bytes())).map(Some)
    }
}

#[derive(Debug, Default)]
pub(super) struct Topics {
    pub gaps: bool,
    /// The cluster that they are of.
    pub cluster: Cluster,
    topics: BTreeMap<Topic, Vec<Partition>>,
    /// What each task has said last, by topic: its watermark, and whether it is idle.
    writers: BTreeMap<Topic, BTreeMap<TaskId, (u64, bool)>>,
}

impl Topics {
    pub(super) fn create(&mut self, topic: &Topic, partitions: u32) -> bool {
        if self.topics.contains_key(topic) {
            return false;
        }
        self.topics.insert(topic.clone(), (0..partitions.max(1)).map(|_| Partition::default()).collect());
        true
    }

    /// Gives a topic this many partitions, if it has fewer.
    pub(super) fn grow(&mut self, topic: &Topic, partitions: u32) {
        let all = self.topics.get_mut(topic).into_iter();
        all.filter(|all| all.len() < partitions as usize)
            .for_each(|all| all.resize_with(partitions as usize, Partition::default));
    }

    /// All topics in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &Topic> {
        self.topics.keys()
    }

    /// Removes a topic with all that was said of it.
    pub(super) fn remove(&mut self, topic: &Topic) {
        self.topics.remove(topic);
        self.writers.remove(topic);
    }

    pub(super) fn partitions(&self, topic: &Topic) -> Result<u32> {
        if topic.cluster != self.cluster {
            let message = format!("topic '{topic}' is not of the cluster '{}'", self.cluster);
            return Err(Error::new(ErrorCode::ClusterUnknown, message));
        }
        let found = self.topics.get(topic).map(|p| p.len() as u32);
        found.ok_or_else(|| Error::new(ErrorCode::TopicNotFound, format!("there is no topic '{topic}'")))
    }

    pub(super) fn get(&self, at: &TopicPartition) -> Result<&Partition> {
        self.partitions(&at.topic)?;
        self.topics[&at.topic].get(at.partition as usize).ok_or_else(|| no_partition(at))
    }

    pub(super) fn get_mut(&mut self, at: &TopicPartition) -> Result<&mut Partition> {
        self.partitions(&at.topic)?;
        self.topics
            .get_mut(&at.topic)
            .and_then(|partitions| partitions.get_mut(at.partition as usize))
            .ok_or_else(|| no_partition(at))
    }

    /// A task says something of event time to a topic, as one of these tasks of its function; answers the partitions whose
    /// readers are to look.
    pub(super) fn say(&mut self, task: TaskId, said: &OutboxWatermark, all: &[TaskId]) -> Result<Vec<TopicPartition>> {
        let topic = &said.topic;
        self.partitions(topic)?;
        let writers = self.writers.entry(topic.clone()).or_default();
        let own = writers.entry(task).or_default();
        *own = (said.watermark.max(own.0), said.idle);
        if said.watermark > 0 {
            for task in all {
                writers.entry(*task).or_default();
            }
        }
        let emits = |f: FunctionId| writers.iter().any(|(task, writer)| task.function == f && writer.0 > 0);
        let counting: Vec<_> = writers.iter().filter(|(task, _)| emits(task.function)).map(|(_, w)| *w).collect();
        let active = counting.iter().filter(|writer| !writer.1).map(|writer| writer.0).min();
        let least = active.or_else(|| counting.iter().map(|writer| writer.0).max()).unwrap_or(0);
        let partitions = self.topics.get_mut(topic).map_or(&mut [][..], |partitions| partitions);
        partitions.iter_mut().for_each(|partition| partition.raise(least));
        Ok((0..partitions.len() as u32).map(|number| TopicPartition::new(topic.clone(), number)).collect())
    }

    /// Appends the records of one transaction to one partition.
    pub(super) fn append_frame(&mut self, at: &TopicPartition, frame: &Frame<'_>) -> Result<()> {
        let partition = self.get_mut(at)?;
        for record in frame.iter() {
            partition.append(record);
        }
        Ok(())
    }

    /// Leaves what ends a transaction in a partition, where transactions leave something.
    pub(super) fn end_transaction(&mut self, at: &TopicPartition, aborted_records: u32) -> Result<()> {
        if self.gaps {
            self.get_mut(at)?.skip(u128::from(aborted_records) + 1);
        }
        Ok(())
    }
}

fn no_partition(at: &TopicPartition) -> Error {
    Error::new(ErrorCode::PartitionNotFound, format!("topic '{}' has no partition {}", at.topic, at.partition))
}
