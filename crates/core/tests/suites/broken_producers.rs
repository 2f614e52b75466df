// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producers that are broken on purpose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::producers::{Numbered, NumberedAppend, NumberedDone, ProducerPlace, Producers};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::test_util::suites::producers::{self, ProducersHarness};
use fnstream_core::test_util::suites::topics::TopicsHarness;
use fnstream_core::topic::Topic;
use fnstream_core::topics::Topics;
use fnstream_core::{ErrorCode, Result};
use fnstream_frame::Frame;
use parking_lot::Mutex;

use crate::mem_clients::MemCluster;
use crate::rejects;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    AppendsAgain,
    AppendsAllOfAnOverlap,
    ForgetsPlaces,
    FillsGaps,
    BeginsAnywhere,
    MixesTopics,
    CountsWhatFailed,
    ForgetsOnRestart,
    KeepsNumbersOfDeletedTopics,
}

const FAULTS: [(Fault, &str); 10] = [
    (Fault::AppendsAgain, "what_is_sent_again_is_not_appended_again"),
    (Fault::AppendsAgain, "appends_under_way_at_once_count_once"),
    (Fault::AppendsAllOfAnOverlap, "only_what_lacks_is_appended"),
    (Fault::ForgetsPlaces, "the_last_appends_are_remembered"),
    (Fault::FillsGaps, "a_gap_is_refused_and_changes_nothing"),
    (Fault::BeginsAnywhere, "an_unknown_producer_begins_at_0"),
    (Fault::MixesTopics, "producers_and_topics_are_apart"),
    (Fault::CountsWhatFailed, "an_append_that_fails_takes_no_number"),
    (Fault::ForgetsOnRestart, "numbers_outlast_the_process"),
    (Fault::KeepsNumbersOfDeletedTopics, "numbers_go_with_the_topic"),
];

#[test]
fn every_broken_producer_is_rejected() {
    rejects(producers::CHECKS, &FAULTS, |fault| {
        Box::new(Broken { sound: MemCluster(MemBroker::new()), fault, memory: Arc::default() })
    });
}

struct Broken {
    sound: MemCluster,
    fault: Fault,
    memory: Arc<Mutex<Memory>>,
}

/// What a fault needs to remember.
#[derive(Default)]
struct Memory {
    failed: u64,
    restarted: bool,
    ends: BTreeMap<(Topic, Arc<str>), u64>,
}

impl TopicsHarness for Broken {
    fn topics(&self) -> Arc<dyn Topics> {
        self.sound.topics()
    }

    fn reopen(&mut self) {
        self.memory.lock().restarted = true;
        self.sound.reopen();
    }

    fn drop_before(&self, at: &TopicPartition, position: Position) -> bool {
        self.sound.drop_before(at, position)
    }

    fn patience(&self) -> Duration {
        // There are no threads that could answer later.
        Duration::ZERO
    }
}

impl ProducersHarness for Broken {
    fn producers(&self) -> Arc<dyn Producers> {
        Arc::new(BrokenProducers { sound: self.sound.0.clone(), fault: self.fault, memory: self.memory.clone() })
    }
}

struct BrokenProducers {
    sound: MemBroker,
    fault: Fault,
    memory: Arc<Mutex<Memory>>,
}

impl BrokenProducers {
    /// Appends without a look at the numbers.
    fn blindly(&self, topic: &Topic, next: u64, partition: Option<u32>, frame: Bytes, done: NumberedDone) {
        let done = move |appended: Result<_>| {
            done(appended.map(|appended| NumberedAppend { appended, duplicates: 0, next }));
        };
        Topics::append(&self.sound, topic, partition, frame, Box::new(done));
    }

    /// Whether it takes a topic for one that it is not, and believes that it has what comes.
    fn believes(&self, topic: &Topic, numbered: &Numbered, end: u64) -> bool {
        let others = self.fault == Fault::MixesTopics;
        let memory = self.memory.lock();
        let mut ends = memory.ends.iter().filter(|((of, _), _)| (of != topic) == others);
        Topics::describe(&self.sound, topic).is_ok()
            && ends.any(|((_, producer), known)| producer == numbered.producer() && *known >= end)
    }
}

impl Producers for BrokenProducers {
    fn append_numbered(
        &self,
        topic: &Topic,
        numbered: Numbered,
        partition: Option<u32>,
        frame: Bytes,
        done: NumberedDone,
    ) {
        let count = Frame::parse(&frame).unwrap().len() as u64;
        let (first, end) = (numbered.first(), numbered.first() + count);
        let place = self.sound.producer(topic, numbered.producer()).ok().flatten().map(|place| place.next);
        let next = place.unwrap_or_default();
        let is_overlap = first < next && end > next;
        match self.fault {
            Fault::AppendsAgain if end <= next => self.blindly(topic, next, partition, frame, done),
            Fault::AppendsAllOfAnOverlap if is_overlap => self.blindly(topic, end, partition, frame, done),
            Fault::ForgetsOnRestart if self.memory.lock().restarted => {
                self.blindly(topic, end, partition, frame, done);
            }
            Fault::FillsGaps if place.is_some() && first > next => self.blindly(topic, end, partition, frame, done),
            Fault::BeginsAnywhere if place.is_none() => self.blindly(topic, end, partition, frame, done),
            Fault::MixesTopics | Fault::KeepsNumbersOfDeletedTopics if self.believes(topic, &numbered, end) => {
                done(Ok(NumberedAppend { appended: Vec::new(), duplicates: count as u32, next: end }));
            }
            Fault::CountsWhatFailed => {
                let memory = self.memory.clone();
                let lost = std::mem::take(&mut memory.lock().failed);
                if lost > 0 {
                    return done(Ok(NumberedAppend { appended: Vec::new(), duplicates: count as u32, next: end }));
                }
                let noting = move |answer: Result<NumberedAppend>| {
                    if answer.as_ref().is_err_and(|e| e.code == ErrorCode::PartitionNotFound) {
                        memory.lock().failed = count;
                    }
                    done(answer);
                };
                self.sound.append_numbered(topic, numbered, partition, frame, Box::new(noting));
            }
            Fault::ForgetsPlaces => {
                let forgetting = move |answer: Result<NumberedAppend>| {
                    done(answer.map(|answer| {
                        match answer.duplicates > 0 && answer.next > u64::from(answer.duplicates) {
                            true => NumberedAppend { appended: Vec::new(), ..answer },
                            false => answer,
                        }
                    }));
                };
                self.sound.append_numbered(topic, numbered, partition, frame, Box::new(forgetting));
            }
            _ => {
                let (memory, key) = (self.memory.clone(), (topic.clone(), numbered.producer().clone()));
                let noting = move |answer: Result<NumberedAppend>| {
                    memory.lock().ends.extend(answer.as_ref().ok().map(|answer| (key, answer.next)));
                    done(answer);
                };
                self.sound.append_numbered(topic, numbered, partition, frame, Box::new(noting));
            }
        }
    }

    fn producer(&self, topic: &Topic, producer: &str) -> Result<Option<ProducerPlace>> {
        self.sound.producer(topic, producer)
    }
}
