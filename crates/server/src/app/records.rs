// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records and topics, for clients: producing, consuming, and what topics there are.

mod consume;
mod group;
mod growth;
mod leases;
mod memory;
mod produce;
mod topics;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use fnstream_core::Result;
use fnstream_core::clock::Clock;
use fnstream_core::metadata::Metadata;
use fnstream_core::producers::Producers;
use fnstream_core::record::TopicPartition;
use fnstream_core::tasks::Tasks;
use fnstream_core::topic::Topic;
use fnstream_core::topics::{Retention, Watch};
use fnstream_core::waker::Waker;

use super::ops::{Ops, blocking};
use super::topic_maker::TopicMaker;
use crate::key_locks::KeyLocks;
use crate::metrics::ServerMeter;
use waiting::Waiting;

pub(crate) use consume::{Delivered, Outcome, Reading, Start};
pub(in crate::app) use leases::Leases;
pub(crate) use leases::{GroupSample, ResetTo, Settling, Skipped, Taken, TakenRecord, Taking};
pub(in crate::app) use memory::ReadingMemory;
pub(crate) use waiting::WaitingRoom;
pub(in crate::app) use waiting::at;

/// See the module.
pub(crate) struct Records {
    pub(super) ops: Arc<Ops>,
    pub(super) register: Arc<dyn Metadata>,
    pub(super) topics: Arc<TopicMaker>,
    /// None if the topics' cluster keeps no numbers.
    pub(super) producers: Option<Arc<dyn Producers>>,
    pub(super) tasks: Arc<dyn Tasks>,
    /// Groups that acknowledge.
    pub(super) leases: Leases,
    /// What holds for topics that don't say otherwise.
    pub(super) retention: Retention,
    pub(super) meter: ServerMeter,
    pub(super) clock: Arc<dyn Clock>,
    /// Deliveries of this process to one group of one topic go one after the other, in the order in which they were asked for.
    pub(super) turns: KeyLocks<(String, String)>,
    /// Which partition a group's next delivery tries first.
    pub(super) turn: AtomicU32,
    pub(super) waiting: Waiting,
    pub(super) room: Arc<WaitingRoom>,
    pub(super) memory: ReadingMemory,
}

impl Records {
    /// The topic that a request means by this text.
    fn named(&self, text: &str) -> Result<Topic> {
        self.topics.clusters.named(text)
    }

    /// Has the waker called when there is something to read in one of the partitions.
    async fn watch(&self, partitions: &[TopicPartition], waker: Waker) -> Result<Vec<Box<dyn Watch>>> {
        let topics = self.topics.topics.clone();
        let clusters = &self.topics.clusters;
        if partitions.iter().all(|partition| clusters.is_embedded(&partition.topic)) {
            return partitions.iter().map(|partition| topics.watch(partition, waker.clone())).collect();
        }
        // Another cluster is asked where its ends are.
        let partitions = partitions.to_vec();
        blocking(move || partitions.iter().map(|partition| topics.watch(partition, waker.clone())).collect()).await
    }

    /// The time that records get which come without one, in milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.unix_ms()
    }
}
