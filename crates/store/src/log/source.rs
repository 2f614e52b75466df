// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The input of one task: its partitions, read in turn.
//!
//! A source keeps a position for each partition and a waker with each; it holds no iterator and no records, so a
//! thousand idle tasks cost a thousand small lists and nothing runs for them. The waker is registered for the life of the
//! source, before the first look at the ends: an append that comes after that look always wakes.

use std::sync::Arc;

use fnstream_core::broker::{Assignment, PollLimit, Polled, Source};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, Result};

use super::partition::{Topic, WatchGuard};
use super::read::{Reading, check};
use super::watermarks::mark_at;
use crate::db::Db;
use crate::inner::Inner;

pub(crate) struct LogSource {
    store: Arc<Inner>,
    inputs: Vec<Input>,
    /// The input that is asked first next time.
    turn: usize,
}

struct Input {
    topic: Arc<Topic>,
    partition: TopicPartition,
    group: u32,
    next: Position,
    /// The last watermark that was given.
    told: u64,
    _watch: WatchGuard,
}

impl LogSource {
    pub(crate) fn open(store: Arc<Inner>, assignment: &Assignment, from: &Positions, waker: &Waker) -> Result<Self> {
        let inputs = assignment.inputs.iter().map(|input| {
            let topic = store.topics.get(input.partition.topic.own_name()?)?;
            let number = input.partition.partition;
            let watch = WatchGuard::new(topic.clone(), number, waker.clone())?;
            let marks = topic.partition(number)?.marks();
            let next = from.get(&input.partition).copied().unwrap_or(marks.earliest());
            check(&input.partition, &marks, next)?;
            Ok(Input { topic, partition: input.partition.clone(), group: input.group, next, told: 0, _watch: watch })
        });
        let inputs: Result<Vec<_>> = inputs.collect();
        Ok(LogSource { inputs: inputs?, store, turn: 0 })
    }
}

impl Input {
    /// The watermark that holds where reading stands, when it was not given yet.
    fn risen(&mut self, db: &Db) -> Result<Option<u64>> {
        let number = self.partition.partition;
        let next = self.next.0 as u64;
        let mut mark = self.topic.partition(number)?.mark();
        if mark.watermark <= self.told {
            return Ok(None);
        }
        if mark.position > next {
            mark = mark_at(db, self.topic.id, number, next)?;
        }
        Ok((mark.watermark > self.told).then(|| {
            self.told = mark.watermark;
            mark.watermark
        }))
    }
}

impl Source for LogSource {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        let count = self.inputs.len();
        let db = &*self.store.db()?;
        for step in 0..count {
            let turn = (self.turn + step) % count;
            let input = &mut self.inputs[turn];
            if group.is_some_and(|group| group != input.group) {
                continue;
            }
            if let Some(watermark) = input.risen(db)? {
                return Ok(Polled::Watermark { from: input.partition.clone(), watermark });
            }
            let reading = Reading { db, topic: &input.topic, partition: &input.partition, group: input.group };
            if let Some(batch) = reading.read(input.next, limit)? {
                input.next = batch.end().unwrap_or(input.next);
                self.turn = (turn + 1) % count;
                return Ok(Polled::Batch(batch));
            }
        }
        Ok(Polled::Pending)
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        for input in &mut self.inputs {
            let Some(next) = to.get(&input.partition) else { continue };
            let marks = input.topic.partition(input.partition.partition)?.marks();
            check(&input.partition, &marks, *next)?;
            input.next = *next;
            input.told = 0;
        }
        Ok(())
    }

    fn ends(&self) -> Positions {
        self.inputs
            .iter()
            .filter_map(|input| {
                let partition = input.topic.partition(input.partition.partition).ok()?;
                Some((input.partition.clone(), partition.marks().end()))
            })
            .collect()
    }

    /// The log is in this process: what keeps it from being read is an error of the poll.
    fn trouble(&self) -> Option<Error> {
        None
    }
}
