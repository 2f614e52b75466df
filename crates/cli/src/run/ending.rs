// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The end of an input, told to the function as the end of event time.
//!
//! An input that ends has no later event, so its watermark is the latest time there is, once all of its events were read. The embedded
//! log says so by itself: it has nothing to give only when it was read to its end.

use std::collections::BTreeSet;
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
pub(super) const END_OF_TIME: u64 = i64::MAX as u64;

/// The inputs that have ended.
#[derive(Default)]
pub(super) struct Endings {
    ended: Mutex<BTreeSet<TopicPartition>>,
    sources: Mutex<Vec<Waker>>,
}

impl Endings {
    /// An input has ended, and all of its events are in the log.
    pub(super) fn end(&self, at: &TopicPartition) {
        if self.ended.lock().insert(at.clone()) {
            self.sources.lock().iter().for_each(Waker::wake);
        }
    }
}

/// A broker whose inputs may end.
pub(super) struct Ending {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) endings: Arc<Endings>,
}

impl Broker for Ending {
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>> {
        self.broker.join(subscription, listener)
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        let source = self.broker.open_source(assignment, from, waker.clone())?;
        self.endings.sources.lock().push(waker);
        let (endings, inputs) = (self.endings.clone(), assignment.inputs.clone());
        Ok(Box::new(EndingSource { source, endings, inputs, told: BTreeSet::new() }))
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
    told: BTreeSet<TopicPartition>,
}

impl Source for EndingSource {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        // Looked at first: what comes between the two is read next time.
        let ended = {
            let ended = self.endings.ended.lock();
            let asked = self.inputs.iter().filter(|input| group.is_none_or(|group| group == input.group));
            let mut news = asked.map(|input| &input.partition).filter(|at| !self.told.contains(at));
            news.find(|at| ended.contains(at)).cloned()
        };
        let polled = self.source.poll(group, limit)?;
        let (Polled::Pending, Some(from)) = (&polled, ended) else { return Ok(polled) };
        self.told.insert(from.clone());
        Ok(Polled::Watermark { from, watermark: END_OF_TIME })
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        self.told.retain(|at| !to.contains_key(at));
        self.source.seek(to)
    }

    fn ends(&self) -> Positions {
        self.source.ends()
    }

    fn trouble(&self) -> Option<Error> {
        self.source.trouble()
    }
}
