// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The topics that a pattern stands for, on a real broker.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fnstream_core::topic::Topic;
use fnstream_core::topics::{Retention, TopicChange, Topics};
use fnstream_core::waker::Waker;
use fnstream_pulsar::PulsarTopics;

use crate::cluster::{Cluster, broker};

/// Longer than it takes until the broker tells, and less than it takes until it is asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until these match, as often as is told that there may be others.
fn until(topics: &PulsarTopics, pattern: &Topic, told: &Receiver<()>, wanted: &[(&str, u32)]) {
    let wanted: BTreeMap<Topic, u32> = wanted.iter().map(|(name, count)| (Topic::own(*name), *count)).collect();
    loop {
        told.recv_timeout(PATIENCE).expect("it is told that there are others");
        let found = topics.matching(pattern).unwrap();
        if found == wanted {
            return;
        }
    }
}

#[test]
fn topics_that_come_grow_and_go_are_told_of() {
    let Some(broker) = broker() else { return };
    let topics = PulsarTopics::connect(&Cluster::at(&broker).options()).unwrap();
    let create = |name: &str, count| topics.create(&name.into(), count, Retention::default()).unwrap();
    create("a-1", 3);
    create("b-1", 1);
    let pattern = Topic::own("a-.*");
    let (tell, told) = channel();
    let watch = topics.watch_matching(&pattern, Waker::new(move || _ = tell.send(()))).unwrap();
    until(&topics, &pattern, &told, &[("a-1", 3)]);
    create("a-2", 1);
    until(&topics, &pattern, &told, &[("a-1", 3), ("a-2", 1)]);
    topics.alter(&"a-1".into(), TopicChange { partitions: Some(5), ..TopicChange::default() }).unwrap();
    until(&topics, &pattern, &told, &[("a-1", 5), ("a-2", 1)]);
    topics.delete(&"a-2".into()).unwrap();
    until(&topics, &pattern, &told, &[("a-1", 5)]);
    drop(watch);
    while told.try_recv().is_ok() {}
    create("a-3", 1);
    assert!(told.recv_timeout(PATIENCE).is_err(), "nobody is told any more");
}
