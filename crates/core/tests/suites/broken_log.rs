// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The harness of broken logs: one process on a sound broker, seen through a client that has a fault.

use std::sync::Arc;

use fnstream_core::broker::Broker;
use fnstream_core::committer::Committer;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::test_util::mem_broker::{Manners, MemBroker, MemClient};
use fnstream_core::test_util::suites::log::{Failing, LogHarness};
use fnstream_frame::RecordRef;

use crate::mem_log::MemLog;

/// Puts a faulty client before a sound one.
pub(crate) type Wrap<C> = Box<dyn Fn(MemBroker, Arc<MemClient>) -> Arc<C>>;

pub(crate) struct BrokenLog<C> {
    sound: MemLog,
    client: Arc<C>,
    wrap: Wrap<C>,
    forgets_on_restart: bool,
}

impl<C> BrokenLog<C> {
    pub(crate) fn new(wrap: Wrap<C>, forgets_on_restart: bool) -> Self {
        Self::with(Manners::default(), wrap, forgets_on_restart)
    }

    pub(crate) fn with(manners: Manners, wrap: Wrap<C>, forgets_on_restart: bool) -> Self {
        let sound = MemLog::on(MemBroker::with(manners));
        let client = wrap(sound.broker.clone(), sound.client.clone());
        BrokenLog { sound, client, wrap, forgets_on_restart }
    }
}

/// A client that may leave one of its two sides sound.
pub(crate) trait Client {
    fn broker(self: Arc<Self>) -> Arc<dyn Broker>;
    fn committer(self: Arc<Self>) -> Arc<dyn Committer>;
}

impl<C: Client> LogHarness for BrokenLog<C> {
    fn broker(&self) -> Arc<dyn Broker> {
        self.client.clone().broker()
    }

    fn committer(&self) -> Arc<dyn Committer> {
        self.client.clone().committer()
    }

    fn create_topic(&self, topic: &str, partitions: u32) {
        self.sound.create_topic(topic, partitions);
    }

    fn append(&self, at: &TopicPartition, records: &[RecordRef<'_>]) {
        self.sound.append(at, records);
    }

    fn read_all(&self, at: &TopicPartition) -> Vec<Vec<u8>> {
        self.sound.read_all(at)
    }

    fn settle(&self) {
        self.sound.settle();
    }

    fn reopen(&mut self) {
        if self.forgets_on_restart {
            self.sound = MemLog::new();
            self.sound.create_topic("in", 2);
            self.sound.create_topic("out", 2);
        } else {
            self.sound.reopen();
        }
        self.client = (self.wrap)(self.sound.broker.clone(), self.sound.client.clone());
    }

    fn patience(&self) -> std::time::Duration {
        self.sound.patience()
    }

    fn fail_next(&self, how: Failing) -> bool {
        self.sound.fail_next(how)
    }

    fn set_away(&self, away: bool) -> bool {
        self.sound.set_away(away)
    }

    fn drop_before(&self, at: &TopicPartition, position: Position) -> bool {
        self.sound.drop_before(at, position)
    }
}
