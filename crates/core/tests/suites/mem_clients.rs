// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics and groups of consumers of the in-memory broker.

use std::sync::Arc;

use fnstream_core::groups::Groups;
use fnstream_core::producers::Producers;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::test_util::mem_broker::{MemBroker, MemGroups};
use fnstream_core::test_util::suites::groups::GroupsHarness;
use fnstream_core::test_util::suites::producers::ProducersHarness;
use fnstream_core::test_util::suites::topics::TopicsHarness;
use fnstream_core::test_util::suites::{groups, producers, run, topics};
use fnstream_core::topics::Topics;

/// One of two processes on an in-memory broker.
pub(crate) struct MemCluster(pub MemBroker);

impl TopicsHarness for MemCluster {
    fn topics(&self) -> Arc<dyn Topics> {
        Arc::new(self.0.clone())
    }

    fn reopen(&mut self) {
        MemGroups::new(&self.0, 1).kill();
    }

    fn drop_before(&self, at: &TopicPartition, position: Position) -> bool {
        self.0.drop_before(&at.topic.name, at.partition, position);
        true
    }
}

impl GroupsHarness for MemCluster {
    fn groups(&self) -> Arc<dyn Groups> {
        Arc::new(MemGroups::new(&self.0, 1))
    }

    fn another_process(&self) -> Option<Arc<dyn Groups>> {
        Some(Arc::new(MemGroups::new(&self.0, 2)))
    }
}

impl ProducersHarness for MemCluster {
    fn producers(&self) -> Arc<dyn Producers> {
        Arc::new(self.0.clone())
    }
}

#[test]
fn topics_in_memory_keep_to_the_contract() {
    run(topics::CHECKS, || Box::new(MemCluster(MemBroker::new())));
    run(topics::CHECKS, || Box::new(MemCluster(MemBroker::with_gaps())));
}

#[test]
fn groups_in_memory_keep_to_the_contract() {
    run(groups::CHECKS, || Box::new(MemCluster(MemBroker::new())));
}

#[test]
fn producers_in_memory_keep_to_the_contract() {
    run(producers::CHECKS, || Box::new(MemCluster(MemBroker::new())));
    run(producers::CHECKS, || Box::new(MemCluster(MemBroker::with_gaps())));
}
