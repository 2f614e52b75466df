// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Event time of an input, told to the function from outside: at its end, or when a scenario says so.
//!
//! An input that ends has no later event, so its watermark is the latest time there is, once all of its events were read. The embedded
//! log says so by itself: it has nothing to give only when it was read to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnstream_core::broker::{
    Assignment, AssignmentListener, Broker, Membership, PollLimit, Polled, Source, Subscription, TaskInput,
};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, Result};
use parking_lot::Mutex;

/// The watermark after which nothing comes, in milliseconds since the Unix epoch.
pub(crate) const END_OF_TIME: u64 = i64::MAX as u64;

/// How far event time of the inputs has come.
#[derive(Default)]
pub(crate) struct Endings {
    reached: Mutex<BTreeMap<TopicPartition, u64>>,
    sources: Mutex<Vec<Waker>>,
}

impl Endings {
    /// An input has ended, and all of its events are in the log.
    pub(super) fn end(&self, at: &TopicPartition) {
        self.reach(at, END_OF_TIME);
    }

    /// No older event of an input comes any more; those that are in the log are read first.
    pub(crate) fn reach(&self, at: &TopicPartition, watermark: u64) {
        let before = self.reached.lock().get(at).copied();
        if before < Some(watermark) {
            self.reached.lock().insert(at.clone(), watermark);
            self.sources.lock().iter().for_each(Waker::wake);
        }
    }
}

/// A broker whose inputs' event time is told from outside.
pub(crate) struct Ending {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) endings: Arc<Endings>,
}

impl Broker for Ending {
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>> {
        self.broker.join(subscription, listener)
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        let source = self.broker.open_source(assignment, from, waker.clone())?;
        self.endings.sources.lock().push(waker);
        let (endings, inputs) = (self.endings.clone(), assignment.inputs.clone());
        Ok(Box::new(EndingSource { source, endings, inputs, told: BTreeMap::new() }))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32> {
        self.broker.partitions(topic)
    }

    fn max_record_bytes(&self, topic: &Topic) -> Option<usize> {
        self.broker.max_record_bytes(topic)
    }

    fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
        self.broker.earliest(partition)
    }

    fn latest(&self, partition: &TopicPartition) -> Result<Position> {
        self.broker.latest(partition)
    }
}

struct EndingSource {
    source: Box<dyn Source>,
    endings: Arc<Endings>,
    inputs: Vec<TaskInput>,
    told: BTreeMap<TopicPartition, u64>,
}

impl Source for EndingSource {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        // Looked at first: what comes between the two is read next time.
        let news = {
            let reached = self.endings.reached.lock();
            let asked = self.inputs.iter().filter(|input| group.is_none_or(|group| group == input.group));
            let mut reached = asked.filter_map(|input| reached.get_key_value(&input.partition));
            reached.find(|(at, watermark)| self.told.get(*at) < Some(watermark)).map(|(at, w)| (at.clone(), *w))
        };
        let polled = self.source.poll(group, limit)?;
        let (Polled::Pending, Some((from, watermark))) = (&polled, news) else { return Ok(polled) };
        self.told.insert(from.clone(), watermark);
        Ok(Polled::Watermark { from, watermark })
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        self.told.retain(|at, _| !to.contains_key(at));
        self.source.seek(to)
    }

    fn ends(&self) -> Positions {
        self.source.ends()
    }

    fn trouble(&self) -> Option<Error> {
        self.source.trouble()
    }
}
