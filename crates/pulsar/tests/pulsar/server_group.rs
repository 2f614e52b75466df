// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the processes of a server group share.

use std::sync::Arc;

use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::epoch::FunctionId;
use fnstream_core::groups::{Groups, Taking};
use fnstream_core::record::TopicPartition;
use fnstream_core::topic::{TOPICS_PATTERN, Topic, TopicRef};
use fnstream_core::topics::{Retention, Topics};
use fnstream_core::waker::Waker;
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_group::Log;
use fnstream_group::test_util::{self, Logs};
use fnstream_pulsar::{Options, Pulsar, PulsarGroups, PulsarLog, PulsarTopics};

use crate::cluster::{Cluster, RUNTIME, broker};

/// Runs a check with the logs of new groups.
fn check(check: fn(&dyn Fn() -> Logs)) {
    let Some(broker) = broker() else { return };
    check(&|| {
        let options = Cluster::of(&broker, "public/default").options();
        Arc::new(move |name: &str| -> Arc<dyn Log> {
            let pulsar = Pulsar::connect(options.clone()).unwrap();
            Arc::new(PulsarLog::open(&pulsar, name).unwrap())
        })
    });
}

#[test]
fn the_register_keeps_its_contract() {
    check(test_util::the_register_keeps_its_contract);
}

#[test]
fn processes_that_change_the_register_at_once_lose_nothing() {
    check(test_util::processes_that_change_the_register_at_once_lose_nothing);
}

#[test]
fn what_is_left_of_a_removed_function_is_known_until_it_is_tidied() {
    check(test_util::what_is_left_of_a_removed_function_is_known_until_it_is_tidied);
}

#[test]
fn artifacts_keep_their_contract() {
    check(test_util::artifacts_keep_their_contract);
}

#[test]
fn an_artifact_reaches_every_process_and_heals_every_disk() {
    check(test_util::an_artifact_reaches_every_process_and_heals_every_disk);
}

#[test]
fn processes_find_and_ask_each_other() {
    check(test_util::processes_find_and_ask_each_other);
}

#[test]
fn a_writer_that_was_fenced_writes_nothing() {
    check(test_util::a_writer_that_was_fenced_writes_nothing);
}

#[test]
fn a_log_keeps_what_is_needed_and_little_else() {
    check(test_util::a_log_keeps_what_is_needed_and_little_else);
}

/// Of processes that take for one group at the same time each is given other records, and together they are given all.
#[test]
fn no_two_processes_give_a_group_the_same_record() {
    const RECORDS: usize = 30;
    let Some(broker) = broker() else { return };
    let cluster = Cluster::at(&broker);
    let process = |name: &str| {
        let options = Options { process: name.to_owned(), is_shared: true, ..cluster.options() };
        let topics = PulsarTopics::connect(&options).unwrap();
        (topics.clone(), PulsarGroups::new(&topics))
    };
    let processes = [process("a"), process("b"), process("c")];
    let at = TopicPartition::new("in", 0);
    let topics = &processes[0].0;
    topics.create(&at.topic, 1, Retention::default()).unwrap();
    let append = |value: &str| {
        let mut frame = FrameBuilder::new();
        frame.push(RecordRef::new(value.as_bytes()));
        let (done, appended) = std::sync::mpsc::channel();
        topics.append(&at.topic, Some(0), frame.to_bytes().into(), Box::new(move |end| done.send(end).unwrap()));
        appended.recv().unwrap().unwrap();
    };
    (0..RECORDS).for_each(|n| append(&n.to_string()));
    let limit = PollLimit { records: 1, bytes: 1 << 20 };
    let value = |batch: &Batch| {
        let value = batch.iter().next().and_then(|(_, record)| record.value.map(<[u8]>::to_vec)).unwrap();
        String::from_utf8(value).unwrap().parse::<usize>().unwrap()
    };
    let mut given: Vec<usize> = std::thread::scope(|scope| {
        let takers: Vec<_> = processes
            .iter()
            .map(|(_, groups)| {
                let at = at.clone();
                scope.spawn(move || {
                    let mut given = Vec::new();
                    loop {
                        match groups.take("g", std::slice::from_ref(&at), limit, Waker::noop()).unwrap() {
                            Taking::Taken(taken) => {
                                given.push(value(&taken.batch));
                                groups.accept(taken.claim);
                            }
                            Taking::Nothing => return given,
                            Taking::Busy => panic!("each process has one consumer"),
                        }
                    }
                })
            })
            .collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    });
    given.sort_unstable();
    assert_eq!(given, (0..RECORDS).collect::<Vec<_>>());
    // One that nobody has overtaken is put back, and may be taken by another process.
    append(&RECORDS.to_string());
    for (_, groups) in &processes[..2] {
        match groups.take("g", std::slice::from_ref(&at), limit, Waker::noop()).unwrap() {
            Taking::Taken(taken) => {
                assert_eq!(value(&taken.batch), RECORDS);
                groups.put_back(taken.claim).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A subscription that nobody uses holds the records of its topic for ever.
#[test]
fn a_function_that_is_gone_leaves_no_subscription_of_its_own() {
    let Some(broker) = broker() else { return };
    let cluster = Cluster::at(&broker);
    let options = cluster.options();
    let topics = PulsarTopics::connect(&options).unwrap();
    let groups = PulsarGroups::new(&topics);
    let (own, others) = (format!("{}.f", cluster.server), "others".to_owned());
    let subscribe = |topic: &str, partition: u32, subscription: &str| {
        let name = format!("persistent://{}/{topic}-partition-{partition}", cluster.namespace);
        RUNTIME.block_on(cluster.client.consumer(name).subscription(subscription).subscribe()).unwrap()
    };
    let left = |topic: &str| {
        let places = groups.places(&topic.into()).unwrap();
        places.into_iter().map(|place| (place.partition, place.group)).collect::<Vec<_>>()
    };
    for topic in ["a", "b", "c"] {
        topics.create(&topic.into(), 2, Retention::default()).unwrap();
    }
    let mut pattern = TopicRef::from(Topic::own("b.*"));
    pattern.options.insert(TOPICS_PATTERN.to_owned(), "true".to_owned());
    let reads = [TopicRef::from(Topic::own("a")), pattern, TopicRef::from(Topic::own("gone"))];
    for (topic, partition, subscription) in
        [("a", 0, &own), ("a", 1, &own), ("a", 1, &others), ("b", 0, &own), ("c", 0, &own)]
    {
        RUNTIME.block_on(subscribe(topic, partition, subscription).close()).unwrap();
    }
    let used = subscribe("b", 1, &own);
    let pulsar = Pulsar::connect(options).unwrap();
    pulsar.forget(FunctionId(1), "f", &reads).unwrap();
    assert_eq!(left("a"), [(1, others)]);
    assert!(left("b").contains(&(1, own.clone())), "somebody uses it");
    assert_eq!(left("c"), [(0, own.clone())], "of a topic that the function did not read");
    RUNTIME.block_on(used.close()).unwrap();
    pulsar.forget(FunctionId(1), "f", &reads).unwrap();
    assert_eq!(left("b"), []);
}
