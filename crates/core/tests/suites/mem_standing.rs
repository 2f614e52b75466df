// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What tasks have committed to the in-memory broker, and copies of it.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::broker::Broker;
use fnstream_core::committer::Committer;
use fnstream_core::epoch::FunctionId;
use fnstream_core::forks::Forks;
use fnstream_core::metadata::Metadata;
use fnstream_core::record::TopicPartition;
use fnstream_core::tasks::Tasks;
use fnstream_core::test_util::mem_broker::MemForks;
use fnstream_core::test_util::mem_metadata::MemMetadata;
use fnstream_core::test_util::suites::forks::ForksHarness;
use fnstream_core::test_util::suites::log::LogHarness;
use fnstream_core::test_util::suites::tasks::TasksHarness;
use fnstream_core::test_util::suites::{forks, run, tasks};
use fnstream_frame::RecordRef;

use crate::mem_log::MemLog;

/// One process on an in-memory broker with a register in memory.
pub(crate) struct MemStanding {
    pub log: MemLog,
    pub register: Arc<MemMetadata>,
    pub forks: Arc<MemForks>,
}

impl MemStanding {
    pub(crate) fn new() -> Self {
        let (log, register) = (MemLog::new(), Arc::new(MemMetadata::new()));
        let forks = Arc::new(MemForks::new(&log.broker, &register));
        MemStanding { log, register, forks }
    }
}

impl LogHarness for MemStanding {
    fn broker(&self) -> Arc<dyn Broker> {
        self.log.broker()
    }

    fn committer(&self) -> Arc<dyn Committer> {
        self.log.committer()
    }

    fn create_topic(&self, topic: &str, partitions: u32) {
        self.log.create_topic(topic, partitions);
    }

    fn append(&self, at: &TopicPartition, records: &[RecordRef<'_>]) {
        self.log.append(at, records);
    }

    fn read_all(&self, at: &TopicPartition) -> Vec<Vec<u8>> {
        self.log.read_all(at)
    }

    fn settle(&self) {
        self.log.settle();
    }

    fn reopen(&mut self) {
        self.log.reopen();
        self.forks.sweep();
        self.register = Arc::new(self.register.reopened());
        self.forks = Arc::new(MemForks::new(&self.log.broker, &self.register));
    }

    fn patience(&self) -> Duration {
        self.log.patience()
    }
}

impl TasksHarness for MemStanding {
    fn tasks(&self) -> Arc<dyn Tasks> {
        Arc::new(self.log.broker.clone())
    }
}

impl ForksHarness for MemStanding {
    fn forks(&self) -> Arc<dyn Forks> {
        self.forks.clone()
    }

    fn metadata(&self) -> Arc<dyn Metadata> {
        self.register.clone()
    }

    fn assign(&self, function: FunctionId) {
        for process in self.log.broker.members(function) {
            self.log.broker.assign_free(function, process);
        }
    }
}

#[test]
fn what_is_committed_in_memory_keeps_to_the_contract() {
    run(tasks::CHECKS, || Box::new(MemStanding::new()));
}

#[test]
fn forks_in_memory_keep_to_the_contract() {
    run(forks::CHECKS, || Box::new(MemStanding::new()));
}
