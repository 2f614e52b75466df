// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Producers`] keeps to.

use std::sync::Arc;
use std::sync::mpsc::channel;

use fnstream_frame::{FrameBuilder, RecordRef};

use super::log::{ALL, at};
use super::topics::{TopicsHarness, create, topic};
use super::{Check, checks, must};
use crate::error::{ErrorCode, Result};
use crate::producers::{Numbered, NumberedAppend, Producers, REMEMBERED};
use crate::record::Position;

/// A fresh cluster with producers that number their records.
pub trait ProducersHarness: TopicsHarness {
    /// The producers.
    fn producers(&self) -> Arc<dyn Producers>;
}

/// The contract of [`Producers`].
pub const CHECKS: &[Check<dyn ProducersHarness>] = checks![
    what_is_sent_again_is_not_appended_again,
    only_what_lacks_is_appended,
    the_last_appends_are_remembered,
    a_gap_is_refused_and_changes_nothing,
    an_unknown_producer_begins_at_0,
    producers_and_topics_are_apart,
    an_append_that_fails_takes_no_number,
    appends_under_way_at_once_count_once,
    numbers_outlast_the_process,
    numbers_go_with_the_topic,
];

/// The partitions of the topics here.
const PARTITIONS: u32 = 3;

/// Hands in records with these numbers as their values and keys; calls back when they are answered.
fn begin(
    producers: &dyn Producers,
    (name, producer): (&str, &str),
    numbers: std::ops::Range<u64>,
    partition: Option<u32>,
) -> std::sync::mpsc::Receiver<Result<NumberedAppend>> {
    let mut frame = FrameBuilder::new();
    for number in numbers.clone() {
        let text = format!("{producer} {number}");
        frame.push(RecordRef::new(text.as_bytes()).with_key(Some(text.as_bytes())));
    }
    let (send, receive) = channel();
    let done = Box::new(move |appended| drop(send.send(appended)));
    let numbered = must("numbering", Numbered::new(producer, numbers.start));
    producers.append_numbered(&topic(name), numbered, partition, frame.to_bytes().into(), done);
    receive
}

fn send(harness: &dyn ProducersHarness, to: (&str, &str), numbers: std::ops::Range<u64>) -> Result<NumberedAppend> {
    let answer = begin(&*harness.producers(), to, numbers, None);
    answer.recv_timeout(harness.patience()).unwrap_or_else(|e| panic!("an append was not answered: {e}"))
}

/// How many of the records were there already, and the next number.
fn sent(harness: &dyn ProducersHarness, to: (&str, &str), numbers: std::ops::Range<u64>) -> (u32, u64) {
    let answer = must("appending", send(harness, to, numbers));
    (answer.duplicates, answer.next)
}

/// The numbers of a producer that are in a topic, in order.
fn there(harness: &dyn ProducersHarness, (name, producer): (&str, &str)) -> Vec<u64> {
    let (topics, mut all) = (harness.topics(), Vec::new());
    for partition in 0..PARTITIONS {
        let mut next = Position::START;
        while let Some(batch) = must("reading", topics.read(&at(name, partition), next, ALL)) {
            let values = batch.iter().map(|(_, record)| String::from_utf8_lossy(record.bytes()).into_owned());
            all.extend(values.filter_map(|value| value.strip_prefix(producer)?.trim().parse::<u64>().ok()));
            next = batch.end().unwrap_or(next);
        }
    }
    all.sort_unstable();
    all
}

fn next(harness: &dyn ProducersHarness, (name, producer): (&str, &str)) -> Option<u64> {
    must("asking for a producer", harness.producers().producer(&topic(name), producer)).map(|place| place.next)
}

fn all(end: u64) -> Vec<u64> {
    (0..end).collect()
}

const P: (&str, &str) = ("t", "p");

fn what_is_sent_again_is_not_appended_again(harness: &mut dyn ProducersHarness) {
    create(&*harness.topics(), "t", PARTITIONS);
    let first = must("appending", send(harness, P, 0..10));
    assert_eq!((first.duplicates, first.next), (0, 10));
    assert_eq!(first.appended.iter().map(|(_, _, count)| count).sum::<u32>(), 10);
    for _ in 0..2 {
        let again = must("appending again", send(harness, P, 0..10));
        assert_eq!((again.duplicates, again.next), (10, 10));
        assert_eq!(again.appended, first.appended, "it says where they went");
        assert_eq!(there(harness, P), all(10));
    }
    assert_eq!(sent(harness, P, 10..12), (0, 12));
    assert_eq!(there(harness, P), all(12));
    assert_eq!(next(harness, P), Some(12));
}

fn only_what_lacks_is_appended(harness: &mut dyn ProducersHarness) {
    create(&*harness.topics(), "t", PARTITIONS);
    assert_eq!(sent(harness, P, 0..10), (0, 10));
    assert_eq!(sent(harness, P, 3..14), (7, 14));
    assert_eq!(there(harness, P), all(14));
    assert_eq!(sent(harness, P, 2..5), (3, 14), "what is within is there");
    assert_eq!(sent(harness, P, 0..14), (14, 14));
    assert_eq!(there(harness, P), all(14));
}

fn the_last_appends_are_remembered(harness: &mut dyn ProducersHarness) {
    create(&*harness.topics(), "t", PARTITIONS);
    let count = REMEMBERED as u64;
    let places: Vec<_> = (0..count).map(|n| must("appending", send(harness, P, n..n + 1)).appended).collect();
    for (number, place) in (0..count).zip(places) {
        let again = must("appending again", send(harness, P, number..number + 1));
        assert_eq!((again.appended, again.next), (place, count), "number {number}");
    }
}

fn a_gap_is_refused_and_changes_nothing(harness: &mut dyn ProducersHarness) {
    create(&*harness.topics(), "t", PARTITIONS);
    assert_eq!(sent(harness, P, 0..2), (0, 2));
    assert_eq!(send(harness, P, 3..5).map_err(|e| e.code), Err(ErrorCode::SequenceGap));
    assert_eq!((there(harness, P), next(harness, P)), (all(2), Some(2)));
    assert_eq!(sent(harness, P, 2..5), (0, 5));
    assert_eq!(there(harness, P), all(5));
}

fn an_unknown_producer_begins_at_0(harness: &mut dyn ProducersHarness) {
    create(&*harness.topics(), "t", PARTITIONS);
    assert_eq!(send(harness, P, 1..2).map_err(|e| e.code), Err(ErrorCode::ProducerUnknown));
    assert_eq!((there(harness, P), next(harness, P)), (all(0), None));
    assert_eq!(sent(harness, P, 0..1), (0, 1));
    assert_eq!(next(harness, P), Some(1));
}

fn producers_and_topics_are_apart(harness: &mut dyn ProducersHarness) {
    create(&*harness.topics(), "t", PARTITIONS);
    create(&*harness.topics(), "u", PARTITIONS);
    for to in [P, ("t", "q"), ("t", "pp"), ("u", "p")] {
        assert_eq!(sent(harness, to, 0..3), (0, 3), "{to:?}");
        assert_eq!(there(harness, to), all(3), "{to:?}");
    }
    let nowhere = send(harness, ("none", "p"), 0..3);
    assert_eq!(nowhere.map_err(|e| e.code), Err(ErrorCode::TopicNotFound));
    let asked = harness.producers().producer(&topic("none"), "p");
    assert_eq!(asked.map_err(|e| e.code), Err(ErrorCode::TopicNotFound));
}

fn an_append_that_fails_takes_no_number(harness: &mut dyn ProducersHarness) {
    create(&*harness.topics(), "t", PARTITIONS);
    assert_eq!(sent(harness, P, 0..2), (0, 2));
    let answer = begin(&*harness.producers(), P, 2..4, Some(PARTITIONS));
    let answer = answer.recv_timeout(harness.patience()).unwrap_or_else(|e| panic!("it was not answered: {e}"));
    assert_eq!(answer.map_err(|e| e.code), Err(ErrorCode::PartitionNotFound));
    assert_eq!((next(harness, P), sent(harness, P, 2..4)), (Some(2), (0, 4)));
    assert_eq!(there(harness, P), all(4));
}

fn appends_under_way_at_once_count_once(harness: &mut dyn ProducersHarness) {
    create(&*harness.topics(), "t", PARTITIONS);
    for round in 0..20 {
        let numbers = round * 5..round * 5 + 5;
        let producers = harness.producers();
        let answers = [(); 4].map(|()| begin(&*producers, P, numbers.clone(), None));
        let appended = answers.map(|answer| {
            let answer = answer.recv_timeout(harness.patience());
            let answer = must("appending", answer.unwrap_or_else(|e| panic!("it was not answered: {e}")));
            assert_eq!(answer.next, numbers.end);
            5 - answer.duplicates
        });
        assert_eq!(appended.iter().sum::<u32>(), 5, "{appended:?}");
    }
    assert_eq!(there(harness, P), all(100));
}

fn numbers_outlast_the_process(harness: &mut dyn ProducersHarness) {
    create(&*harness.topics(), "t", PARTITIONS);
    let first = must("appending", send(harness, P, 0..7));
    harness.reopen();
    assert_eq!(next(harness, P), Some(7));
    let again = must("appending again", send(harness, P, 0..7));
    assert_eq!((again.duplicates, again.appended), (7, first.appended));
    assert_eq!(sent(harness, P, 5..9), (2, 9));
    assert_eq!(there(harness, P), all(9));
}

fn numbers_go_with_the_topic(harness: &mut dyn ProducersHarness) {
    let topics = harness.topics();
    create(&*topics, "t", PARTITIONS);
    assert_eq!(sent(harness, P, 0..5), (0, 5));
    must("deleting", topics.delete(&topic("t")));
    create(&*topics, "t", PARTITIONS);
    assert_eq!(next(harness, P), None);
    assert_eq!(send(harness, P, 5..6).map_err(|e| e.code), Err(ErrorCode::ProducerUnknown));
    assert_eq!(sent(harness, P, 0..5), (0, 5));
    assert_eq!(there(harness, P), all(5));
}
