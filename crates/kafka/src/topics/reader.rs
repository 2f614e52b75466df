// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Reading from any place, for clients: consumers are kept, so that whoever goes on where a read ended finds the next records
//! fetched already.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::PollLimit;
use fnstream_core::record::TopicPartition;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::FrameBuilder;
use parking_lot::Mutex;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::error::Failure;
use crate::feed::Health;
use crate::native::{Consumed, Consumer, Message};
use crate::properties::Properties;
use crate::source::{pack, position_of};

/// How long records are waited for that are known to be there.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long one wait for the client is.
const WAIT_MS: i32 = 500;
/// How many consumers are kept for whoever comes next.
const KEPT: usize = 8;

/// See the module.
pub(super) struct Readers {
    properties: Properties,
    /// Those that nobody has; the one that was used last at the end.
    idle: Mutex<VecDeque<Reader>>,
}

struct Reader {
    consumer: Consumer,
    health: Arc<Health>,
    /// What it reads.
    at: Option<(String, u32)>,
    /// What comes next of it: from what was fetched already, or from the consumer.
    next: i64,
    ahead: VecDeque<Message>,
    /// The end that the consumer has told last, perhaps together with records: it does not tell one twice.
    end: i64,
}

impl Readers {
    pub(super) fn new(properties: &Properties) -> Readers {
        Readers { properties: properties.clone(), idle: Mutex::default() }
    }

    /// The records of a part of a partition, as far as the limit allows. `None` if it has no record: what a transaction left that
    /// was aborted, or what was compacted.
    pub(super) fn read(
        &self,
        name: &str,
        partition: &TopicPartition,
        range: Range<i64>,
        limit: PollLimit,
    ) -> Result<Option<Batch>> {
        let at = (name.to_owned(), partition.partition);
        let mut reader = self.take(&at, range.start)?;
        let batch = reader.read(partition, range, limit);
        // One that failed may have anything under way.
        if batch.is_ok() {
            let mut idle = self.idle.lock();
            idle.push_back(reader);
            let least_used = if idle.len() > KEPT { idle.pop_front() } else { None };
            drop(idle);
            drop(least_used);
        }
        batch
    }

    /// Lets consumers of a topic go.
    pub(super) fn forget(&self, name: &str) {
        let mut idle = self.idle.lock();
        let of_it = |reader: &Reader| reader.at.as_ref().is_some_and(|(topic, _)| topic == name);
        let (gone, kept): (VecDeque<_>, VecDeque<_>) = idle.drain(..).partition(of_it);
        *idle = kept;
        drop(idle);
        drop(gone);
    }

    /// A consumer that goes on at an offset.
    fn take(&self, at: &(String, u32), offset: i64) -> Result<Reader> {
        let found = {
            let mut idle = self.idle.lock();
            let is_there = |reader: &Reader| reader.at.as_ref() == Some(at) && reader.next == offset;
            let index = idle.iter().rposition(is_there).or(if idle.len() < KEPT { None } else { Some(0) });
            index.and_then(|index| idle.remove(index))
        };
        let mut reader = found.map_or_else(|| Reader::new(&self.properties), Ok)?;
        reader.go(at, offset).map_err(|failure| failure.error(format_args!("reading {}-{}", at.0, at.1)))?;
        Ok(reader)
    }
}

impl Reader {
    fn new(properties: &Properties) -> Result<Reader> {
        let health = Arc::new(Health::default());
        let noted = health.clone();
        let consumer = Consumer::new(&properties.reading("function-stream"), move |failure| noted.note(&failure))?;
        Ok(Reader { consumer, health, at: None, next: 0, ahead: VecDeque::new(), end: 0 })
    }

    fn go(&mut self, at: &(String, u32), offset: i64) -> Result<(), Failure> {
        if self.at.as_ref() == Some(at) && self.next == offset {
            return Ok(());
        }
        self.ahead.clear();
        self.end = 0;
        if let Some(before) = self.at.take() {
            self.consumer.unassign(&list(&before, None))?;
        }
        self.consumer.assign(&list(at, Some(offset)))?;
        (self.at, self.next) = (Some(at.clone()), offset);
        Ok(())
    }

    fn read(&mut self, partition: &TopicPartition, range: Range<i64>, limit: PollLimit) -> Result<Option<Batch>> {
        let most = limit.records.clamp(1, 10_000);
        if !self.fetch(partition, range.end, most)? {
            return Ok(None);
        }
        let mut frame = FrameBuilder::new();
        let (mut offsets, mut bytes): (Vec<i64>, usize) = (Vec::new(), 0);
        while offsets.len() < most {
            let has_room = |message: &mut Message| bytes == 0 || bytes + message.weight() <= limit.bytes;
            let Some(message) = self.ahead.pop_front_if(has_room) else { break };
            bytes += message.weight();
            pack(&message, 0, &mut frame)?;
            offsets.push(message.offset());
        }
        self.next = offsets.last().map_or(self.next, |last| last + 1);
        let positions = BatchPositions::Each(offsets.into_iter().map(position_of).collect());
        Batch::new(partition.clone(), positions, frame.to_bytes().into()).map(Some)
    }

    /// Waits for records; `false` when there is none before the end.
    fn fetch(&mut self, partition: &TopicPartition, end: i64, most: usize) -> Result<bool> {
        let begun = Instant::now();
        while self.ahead.is_empty() && self.end < end {
            let (mut failed, ahead, told) = (None, &mut self.ahead, &mut self.end);
            self.consumer.consume(WAIT_MS, most, |consumed| match consumed {
                Consumed::Record(message) => ahead.push_back(message),
                // One that was told before more came is lower.
                Consumed::End { offset, .. } => *told = (*told).max(offset),
                Consumed::Failed { failure, .. } => failed = Some(failure),
                Consumed::Trouble(failure) => self.health.note(&failure),
            });
            let doing = format_args!("reading {partition}");
            if let Some(failure) = failed {
                return Err(failure.error(doing));
            }
            if self.ahead.is_empty() && self.end < end {
                if let Some(trouble) = self.health.trouble() {
                    return Err(trouble);
                }
                if begun.elapsed() > PATIENCE {
                    let message = format!("{doing}: no answer within {} s", PATIENCE.as_secs());
                    return Err(Error::new(ErrorCode::Unavailable, message));
                }
            }
        }
        Ok(!self.ahead.is_empty())
    }
}

fn list((topic, partition): &(String, u32), offset: Option<i64>) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    let mut element = list.add_partition(topic, *partition as i32);
    if let Some(offset) = offset {
        // Offsets of partitions are never below 0.
        let set = element.set_offset(Offset::Offset(offset));
        debug_assert!(set.is_ok(), "offset {offset}");
    }
    list
}
