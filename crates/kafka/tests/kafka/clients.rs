// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics and groups for clients, on a real broker.

use std::sync::Arc;

use fnstream_core::groups::Groups;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::test_util::suites::groups::{self, GroupsHarness};
use fnstream_core::test_util::suites::topics::{self, TopicsHarness};
use fnstream_core::test_util::suites::{self, Check};
use fnstream_core::topic::Cluster as Named;
use fnstream_core::topics::{RetentionTime, Topics};
use fnstream_kafka::{KafkaGroups, KafkaTopics, Options};

use crate::cluster::{Cluster, bootstrap, unique};

/// A process with clients, in a namespace of its own.
struct Process {
    cluster: Cluster,
    options: Options,
    topics: Arc<KafkaTopics>,
    groups: Arc<KafkaGroups>,
}

impl Process {
    fn new(bootstrap: &str) -> Process {
        let cluster = Cluster::at(bootstrap);
        let options = Options {
            cluster: Named::own(),
            properties: cluster.properties(),
            server: "server".into(),
            connection: String::new(),
            process: String::new(),
            sharing: None,
            incarnation: String::new(),
            namespace: format!("{}.", unique()),
            replication: Some(1),
            lanes: 1,
        };
        let topics = KafkaTopics::connect(&options).unwrap();
        let groups = KafkaGroups::new(&topics);
        Process { cluster, options, topics, groups }
    }
}

impl Drop for Process {
    /// Leaves nothing on the broker.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for topic in self.topics.page(None, usize::MAX).unwrap() {
                self.topics.delete(&topic).unwrap();
            }
        }
    }
}

impl TopicsHarness for Process {
    fn topics(&self) -> Arc<dyn Topics> {
        self.topics.clone()
    }

    fn reopen(&mut self) {
        self.topics = KafkaTopics::connect(&self.options).unwrap();
        self.groups = KafkaGroups::new(&self.topics);
    }

    fn drop_before(&self, at: &TopicPartition, position: Position) -> bool {
        let name = format!("{}{}", self.options.namespace, at.topic.name);
        self.cluster.delete_records(&name, at.partition, position.0 as i64);
        true
    }

    fn ages_by(&self) -> Option<RetentionTime> {
        Some(RetentionTime::Event)
    }

    fn least_timestamp(&self) -> i64 {
        1
    }
}

impl GroupsHarness for Process {
    fn groups(&self) -> Arc<dyn Groups> {
        self.groups.clone()
    }
}

fn run<H: ?Sized>(checks: &[Check<H>], make: impl Fn(&str) -> Box<H>) {
    let Some(bootstrap) = bootstrap() else { return };
    // One at a time, so that a test may be told what to look at.
    let only = std::env::var("FNSTREAM_CHECK").ok();
    for check in checks.iter().filter(|check| only.as_ref().is_none_or(|only| check.name.contains(only))) {
        let begun = std::time::Instant::now();
        suites::run(std::slice::from_ref(check), || make(&bootstrap));
        eprintln!("{} {:?}", check.name, begun.elapsed());
    }
}

#[test]
fn topics_keep_their_contract() {
    run::<dyn TopicsHarness>(topics::CHECKS, |bootstrap| Box::new(Process::new(bootstrap)));
}

#[test]
fn groups_keep_their_contract() {
    run::<dyn GroupsHarness>(groups::CHECKS, |bootstrap| Box::new(Process::new(bootstrap)));
}
