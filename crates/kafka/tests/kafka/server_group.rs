// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the processes of a server group share.

use std::sync::Arc;

use fnstream_core::ErrorCode;
use fnstream_core::broker::PollLimit;
use fnstream_core::groups::{Groups, Taking};
use fnstream_core::record::TopicPartition;
use fnstream_core::topic::Cluster as Named;
use fnstream_core::waker::Waker;
use fnstream_frame::RecordRef;
use fnstream_group::Log;
use fnstream_group::test_util::{self, Logs};
use fnstream_kafka::{KafkaGroups, KafkaLog, KafkaTopics, Options};

use crate::cluster::{Cluster, bootstrap, unique};

fn options(bootstrap: &str, namespace: &str, process: &str) -> Options {
    Options {
        cluster: Named::own(),
        properties: Cluster::at(bootstrap).properties(),
        server: "server".into(),
        connection: String::new(),
        process: process.to_owned(),
        sharing: None,
        incarnation: String::new(),
        namespace: format!("{namespace}."),
        replication: Some(1),
        lanes: 1,
    }
}

/// Runs a check with the logs of new groups.
fn check(check: fn(&dyn Fn() -> Logs)) {
    let Some(bootstrap) = bootstrap() else { return };
    check(&|| {
        let options = options(&bootstrap, &unique(), "a");
        Arc::new(move |name: &str| -> Arc<dyn Log> { Arc::new(KafkaLog::open(&options, name).unwrap()) })
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

/// Of processes that take for one group at the same time each is given other records, and together they are given all.
#[test]
fn no_two_processes_give_a_group_the_same_record() {
    const RECORDS: usize = 60;
    let Some(bootstrap) = bootstrap() else { return };
    let (namespace, cluster) = (unique(), Cluster::at(&bootstrap));
    cluster.create(&format!("{namespace}.in"), 1);
    let at = TopicPartition::new("in", 0);
    for n in 0..RECORDS {
        cluster.append(&format!("{namespace}.in"), 0, &[RecordRef::new(n.to_string().as_bytes())]);
    }
    let process = |name: &str| {
        let topics = KafkaTopics::connect(&options(&bootstrap, &namespace, name)).unwrap();
        KafkaGroups::shared(&topics)
    };
    let processes = [process("a"), process("b"), process("c")];
    let limit = PollLimit { records: 1, bytes: 1 << 20 };
    let mut given: Vec<i64> = std::thread::scope(|scope| {
        let take = |groups: &Arc<KafkaGroups>| {
            let (groups, at) = (groups.clone(), at.clone());
            scope.spawn(move || {
                let mut given = Vec::new();
                loop {
                    let taking = match groups.take("g", std::slice::from_ref(&at), limit, Waker::noop()) {
                        // The broker does not say whether it has moved the group: nothing is given, and all the same nothing is lost.
                        Err(error) if error.code == ErrorCode::Unavailable => continue,
                        taking => taking.unwrap(),
                    };
                    match taking {
                        Taking::Taken(taken) => {
                            given.extend(taken.batch.iter().map(|(position, _)| position.0 as i64));
                            groups.accept(taken.claim);
                        }
                        Taking::Nothing => return given,
                        Taking::Busy => panic!("each process has one consumer"),
                    }
                }
            })
        };
        let takers: Vec<_> = processes.iter().map(take).collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    });
    given.sort_unstable();
    assert_eq!(given, (0..RECORDS as i64).collect::<Vec<_>>());
    // One that nobody has overtaken is put back.
    cluster.append(&format!("{namespace}.in"), 0, &[RecordRef::new(b"last")]);
    for _ in 0..2 {
        match processes[0].take("g", std::slice::from_ref(&at), limit, Waker::noop()).unwrap() {
            Taking::Taken(taken) => {
                assert_eq!(taken.batch.iter().next().map(|(position, _)| position.0 as usize), Some(RECORDS));
                processes[0].put_back(taken.claim).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}
