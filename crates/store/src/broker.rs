// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The embedded log as a broker: this process is the whole group, so every task is its own at once and for good.

use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::broker::{Assignment, AssignmentListener, Broker, Membership, Source, Subscription};
use fnstream_core::epoch::TaskId;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;

use crate::log::source::LogSource;
use crate::store::Store;

/// The store's log as the engine sees it.
pub(crate) struct EmbeddedBroker(pub Store);

/// Nobody waits for a member to leave: there is nothing to report.
struct Alone;

impl Membership for Alone {}

impl Broker for EmbeddedBroker {
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>> {
        let store = self.0.inner();
        let mut assignments = Vec::new();
        for (index, inputs) in subscription.tasks(|topic| Ok(store.topics.get(topic.own_name()?)?.count()))? {
            let task = TaskId::new(subscription.function, index);
            let lease = store.ledger.lock().lease(task)?;
            assignments.push(Assignment { task, lease, inputs });
        }
        // Told when all of them are known: the watermarks of a function are those of all its tasks.
        assignments.into_iter().for_each(|assignment| listener.assigned(assignment));
        Ok(Box::new(Alone))
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        Ok(Box::new(LogSource::open(self.0.inner().clone(), assignment, from, &waker)?))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32> {
        Ok(self.0.inner().topics.get(topic.own_name()?)?.count())
    }

    /// Functions may write what producers may.
    fn max_record_bytes(&self, _topic: &Topic) -> Option<usize> {
        Some(self.0.inner().options.max_record_bytes)
    }

    fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
        let topic = self.0.inner().topics.get(partition.topic.own_name()?)?;
        Ok(topic.partition(partition.partition)?.marks().earliest())
    }

    fn latest(&self, partition: &TopicPartition) -> Result<Position> {
        let topic = self.0.inner().topics.get(partition.topic.own_name()?)?;
        Ok(topic.partition(partition.partition)?.marks().end())
    }
}
