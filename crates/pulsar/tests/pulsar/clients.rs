// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics and groups for clients, on a real broker.

use std::sync::Arc;

use fnstream_core::ErrorCode;
use fnstream_core::groups::Groups;
use fnstream_core::test_util::suites::groups::{self, GroupsHarness};
use fnstream_core::test_util::suites::topics::{self, TopicsHarness};
use fnstream_core::test_util::suites::{self, Check};
use fnstream_core::topics::{Retention, RetentionTime, Topics};
use fnstream_pulsar::{Options, Properties, PulsarGroups, PulsarTopics};

use crate::cluster::{Cluster, RUNTIME, broker};

/// A process with clients, in a namespace of its own.
struct Process {
    options: Options,
    topics: Arc<PulsarTopics>,
    groups: Arc<PulsarGroups>,
}

impl Process {
    fn new(broker: &(String, String)) -> Process {
        let options = Cluster::at(broker).options();
        let topics = PulsarTopics::connect(&options).unwrap();
        let groups = PulsarGroups::new(&topics);
        Process { options, topics, groups }
    }
}

impl TopicsHarness for Process {
    fn topics(&self) -> Arc<dyn Topics> {
        self.topics.clone()
    }

    fn reopen(&mut self) {
        self.topics = PulsarTopics::connect(&self.options).unwrap();
        self.groups = PulsarGroups::new(&self.topics);
    }

    fn ages_by(&self) -> Option<RetentionTime> {
        Some(RetentionTime::Arrival)
    }

    fn size_unit(&self) -> u64 {
        1 << 20
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

fn run<H: ?Sized>(checks: &[Check<H>], make: impl Fn(&(String, String)) -> Box<H>) {
    let Some(broker) = broker() else { return };
    // One at a time, so that a test may be told what to look at.
    let only = std::env::var("FNSTREAM_CHECK").ok();
    for check in checks.iter().filter(|check| only.as_ref().is_none_or(|only| check.name.contains(only))) {
        let begun = std::time::Instant::now();
        suites::run(std::slice::from_ref(check), || make(&broker));
        eprintln!("{} {:?}", check.name, begun.elapsed());
    }
}

#[test]
fn topics_keep_their_contract() {
    run::<dyn TopicsHarness>(topics::CHECKS, |broker| Box::new(Process::new(broker)));
}

#[test]
fn groups_keep_their_contract() {
    run::<dyn GroupsHarness>(groups::CHECKS, |broker| Box::new(Process::new(broker)));
}

/// Whoever writes a partition when its topic is deleted makes it anew.
#[test]
fn what_is_left_of_a_deleted_topic_is_told_and_can_be_deleted() {
    let Some(broker) = broker() else { return };
    let cluster = Cluster::at(&broker);
    let topics = PulsarTopics::connect(&cluster.options()).unwrap();
    let partition = format!("persistent://{}/t-partition-1", cluster.namespace);
    RUNTIME.block_on(async { cluster.client.producer(&partition).create().await.unwrap().close().await.unwrap() });
    let create = || topics.create(&"t".into(), 2, Retention::default());
    let refused = create().unwrap_err();
    assert_eq!(refused.code, ErrorCode::TopicExists);
    assert!(
        refused.message.contains(&partition) && refused.message.ends_with("delete the topic once more"),
        "{refused}"
    );
    topics.delete(&"t".into()).unwrap();
    assert_eq!(topics.delete(&"t".into()).unwrap_err().code, ErrorCode::TopicNotFound);
    create().unwrap();
    assert_eq!(create().unwrap_err().message, "topic 't' exists");
}

#[test]
fn a_cluster_with_tls_is_asked_over_https_too() {
    let Some(broker) = broker() else { return };
    let told = |name: &str| std::env::var(format!("FNSTREAM_PULSAR_{name}")).unwrap();
    let create = |authority: Option<String>, token: &str| {
        let given = [("admin_url", told("ADMIN_SSL")), ("auth_token", told(token))];
        let given = given.into_iter().chain(authority.map(|file| ("tls_ca_file", file)));
        let given = given.map(|(name, value)| (name.to_owned(), value)).collect();
        let properties = Properties::new(&told("SSL"), &given).unwrap();
        let topics = PulsarTopics::connect(&Options { properties, ..Cluster::at(&broker).options() })?;
        topics.create(&"t".into(), 2, Retention::default())?;
        assert_eq!(topics.describe(&"t".into())?.partitions.len(), 2);
        topics.delete(&"t".into())
    };
    let ca = Some(told("CA"));
    create(ca.clone(), "TOKEN").unwrap();
    assert_eq!(create(ca.clone(), "GUEST_TOKEN").unwrap_err().code, ErrorCode::BrokerForbidden);
    assert_eq!(create(ca, "EXPIRED_TOKEN").unwrap_err().code, ErrorCode::BrokerLogin);
    // The system trusts other authorities.
    let refused = create(None, "TOKEN").unwrap_err();
    assert!(refused.message.contains("certificate"), "{refused}");
}
