// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The in-memory broker keeps to the contracts of sources and committers.

use std::cell::Cell;
use std::sync::Arc;

use fnstream_core::broker::Broker;
use fnstream_core::committer::Committer;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::test_util::mem_broker::{Manners, MemBroker, MemClient, Outcome};
use fnstream_core::test_util::suites::log::{FUNCTION, Failing, LogHarness};
use fnstream_core::test_util::suites::{committer, run, source};
use fnstream_frame::RecordRef;

/// One process on an in-memory broker.
pub(crate) struct MemLog {
    pub broker: MemBroker,
    pub client: Arc<MemClient>,
    next: Cell<Outcome>,
}

impl MemLog {
    pub(crate) fn on(broker: MemBroker) -> Self {
        let client = broker.connect(1);
        MemLog { broker, client, next: Cell::new(Outcome::Commit) }
    }

    pub(crate) fn new() -> Self {
        Self::on(MemBroker::new())
    }
}

impl LogHarness for MemLog {
    fn broker(&self) -> Arc<dyn Broker> {
        self.client.clone()
    }

    fn committer(&self) -> Arc<dyn Committer> {
        self.client.clone()
    }

    fn create_topic(&self, topic: &str, partitions: u32) {
        self.broker.create_topic(topic, partitions);
    }

    fn append(&self, at: &TopicPartition, records: &[RecordRef<'_>]) {
        for record in records {
            self.broker.append_record(&at.topic.name, at.partition, *record);
        }
    }

    fn read_all(&self, at: &TopicPartition) -> Vec<Vec<u8>> {
        self.broker.values(&at.topic.name, at.partition)
    }

    fn settle(&self) {
        for process in self.broker.members(FUNCTION) {
            self.broker.assign_free(FUNCTION, process);
        }
        while !self.broker.is_away() && !self.broker.pending_commits().is_empty() {
            self.broker.resolve_next(self.client.process(), self.next.replace(Outcome::Commit));
        }
        self.broker.deliver_all();
        self.broker.land_state(usize::MAX);
    }

    fn reopen(&mut self) {
        self.broker.crash(self.client.process(), |_| true);
        self.client = self.broker.connect(self.client.process());
    }

    fn patience(&self) -> std::time::Duration {
        // There are no threads: what does not happen while settling never happens.
        std::time::Duration::ZERO
    }

    fn fail_next(&self, how: Failing) -> bool {
        self.next.set(match how {
            Failing::Retriable => Outcome::Retriable,
            Failing::Abortable => Outcome::Abortable,
            Failing::Rejected => Outcome::Rejected,
            Failing::Fenced => Outcome::Fenced,
            Failing::FatalNotCommitted => Outcome::FatalNotCommitted,
            Failing::FatalCommitted => Outcome::FatalCommitted,
        });
        true
    }

    fn set_away(&self, away: bool) -> bool {
        self.broker.set_away(away);
        true
    }

    fn drop_before(&self, at: &TopicPartition, position: Position) -> bool {
        self.broker.drop_before(&at.topic.name, at.partition, position);
        true
    }
}

/// Manners that the suites must stand.
fn manners() -> [Manners; 4] {
    let prefetch = Manners { prefetch: true, ..Manners::default() };
    let strange = Manners { gaps: true, stale_lookups: 3, strict_restores: true, ..prefetch };
    [Manners::default(), Manners { gaps: true, ..Manners::default() }, prefetch, strange]
}

#[test]
fn the_in_memory_broker_keeps_to_the_contract_of_sources() {
    for manners in manners() {
        run(source::CHECKS, || Box::new(MemLog::on(MemBroker::with(manners))));
    }
}

#[test]
fn the_in_memory_broker_keeps_to_the_contract_of_committers() {
    for manners in manners() {
        run(committer::CHECKS, || Box::new(MemLog::on(MemBroker::with(manners))));
    }
}
