// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Topics`] keeps to.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use fnstream_frame::{FrameBuilder, RecordRef};

use super::log::{ALL, at, waker};
use super::{Check, checks, must};
use crate::broker::PollLimit;
use crate::error::{Error, ErrorCode, Result};
use crate::record::{Position, TopicPartition, partition_for_key};
use crate::spec::MAX_PARTITIONS;
use crate::topic::Topic;
use crate::topics::{Appended, Retention, RetentionTime, TopicChange, TopicInfo, Topics};

/// A fresh cluster.
pub trait TopicsHarness {
    /// Its topics.
    fn topics(&self) -> Arc<dyn Topics>;

    /// Kills the process and starts it anew, on what outlasts it. Whoever held the old one drops it.
    fn reopen(&mut self);

    /// Drops the records of a partition below a position, as retention does; `false` when this cannot be arranged.
    fn drop_before(&self, _at: &TopicPartition, _position: Position) -> bool {
        false
    }

    /// What the place counts the age of records from, if it knows only one thing.
    fn ages_by(&self) -> Option<RetentionTime> {
        None
    }

    /// What the place counts sizes in: bytes, or more.
    fn size_unit(&self) -> u64 {
        1
    }

    /// The least timestamp that a record may have.
    fn least_timestamp(&self) -> i64 {
        i64::MIN
    }

    /// How long to wait for what must come.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// The contract of [`Topics`].
pub const CHECKS: &[Check<dyn TopicsHarness>] = checks![
    a_topic_is_made_once,
    a_change_of_a_topic_leaves_what_it_does_not_name,
    partitions_are_added_and_never_removed,
    topics_are_listed_by_name,
    a_page_begins_behind_a_topic,
    what_is_not_there_is_not_found,
    a_topic_has_a_possible_number_of_partitions,
    records_are_read_as_they_were_appended,
    keyed_records_go_to_the_partition_of_their_key,
    keyless_records_of_one_call_stay_together,
    a_named_partition_gets_everything,
    reading_begins_anywhere_and_keeps_to_its_limit,
    a_place_without_records_is_no_silent_jump,
    every_append_wakes_every_watcher,
    a_deletion_takes_everything_and_wakes_who_waits,
    a_dropped_watch_is_not_woken,
    a_lag_is_right_or_unknown,
    topics_outlast_the_process,
];

pub(super) fn topic(name: &str) -> Topic {
    Topic::own(name)
}

pub(super) fn create(topics: &dyn Topics, name: &str, partitions: u32) {
    must("creating a topic", topics.create(&topic(name), partitions, Retention::default()));
}

/// Appends records and waits until they are readable.
pub(super) fn append(
    harness: &dyn TopicsHarness,
    (name, partition): (&str, Option<u32>),
    records: &[RecordRef<'_>],
) -> Result<Appended> {
    let mut frame = FrameBuilder::new();
    records.iter().for_each(|record| frame.push(record.at(record.timestamp.max(harness.least_timestamp()))));
    let (send, receive) = channel();
    let done = Box::new(move |appended| drop(send.send(appended)));
    harness.topics().append(&topic(name), partition, frame.to_bytes().into(), done);
    receive.recv_timeout(harness.patience()).unwrap_or_else(|e| panic!("an append was not answered: {e}"))
}

/// Appends values without keys to partition 0.
fn values(harness: &dyn TopicsHarness, name: &str, values: &[&[u8]]) -> Vec<Position> {
    let one = |value: &&[u8]| must("appending", append(harness, (name, Some(0)), &[RecordRef::new(value)]))[0].1;
    values.iter().map(one).collect()
}

/// The values from a position on, read to the end.
fn read(topics: &dyn Topics, partition: &TopicPartition, from: Position) -> Vec<(Position, Vec<u8>)> {
    let (mut all, mut next) = (Vec::new(), from);
    while let Some(batch) = must("reading", topics.read(partition, next, ALL)) {
        assert!(!batch.is_empty(), "a batch has at least one record");
        assert!(batch.position(0) >= next, "a batch begins at or after the place that was asked for");
        all.extend(batch.iter().map(|(position, record)| (position, record.bytes().to_vec())));
        next = batch.end().unwrap_or(next);
    }
    all
}

fn info(topics: &dyn Topics, name: &str) -> TopicInfo {
    must("describing a topic", topics.describe(&topic(name)))
}

/// The retention that a topic has when it was asked for this one.
fn kept(harness: &dyn TopicsHarness, retention: Retention) -> Retention {
    Retention { time: harness.ages_by().unwrap_or(retention.time), ..retention }
}

fn refused<T>(result: Result<T>, code: ErrorCode, what: &str) {
    assert_eq!(result.err().map(|e: Error| e.code), Some(code), "{what}");
}

fn a_topic_is_made_once(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    let retention =
        Retention { max_age: Some(Duration::from_secs(3600)), max_bytes: Some(1 << 30), ..Retention::default() };
    must("creating", topics.create(&topic("t"), 3, retention));
    let made = info(&*topics, "t");
    assert_eq!((&made.topic, made.partitions.len(), made.retention), (&topic("t"), 3, kept(harness, retention)));
    for (number, partition) in (0..).zip(&made.partitions) {
        assert_eq!((partition.partition, partition.earliest), (number, partition.end), "a new partition is empty");
    }
    refused(topics.create(&topic("t"), 1, Retention::default()), ErrorCode::TopicExists, "a second of the name");
    assert_eq!(info(&*topics, "t"), made, "a refused creation changes nothing");
}

fn a_change_of_a_topic_leaves_what_it_does_not_name(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    let retention = Retention { max_age: Some(Duration::from_secs(3600)), ..Retention::default() };
    must("creating", topics.create(&topic("t"), 2, retention));
    let (time, bytes) = (harness.ages_by().unwrap_or(RetentionTime::Event), 7 * harness.size_unit());
    let size = TopicChange { max_bytes: Some(Some(bytes)), time: Some(time), ..TopicChange::default() };
    must("altering", topics.alter(&topic("t"), size));
    let altered = info(&*topics, "t");
    let expected = Retention { max_bytes: Some(bytes), time, ..retention };
    assert_eq!((altered.retention, altered.partitions.len()), (expected, 2));
    let none = TopicChange { max_age: Some(None), ..TopicChange::default() };
    must("altering", topics.alter(&topic("t"), none));
    assert_eq!(info(&*topics, "t").retention, Retention { max_age: None, ..expected }, "a limit is taken away");
    must("altering", topics.alter(&topic("t"), TopicChange::default()));
    assert_eq!(info(&*topics, "t").retention, Retention { max_age: None, ..expected }, "nothing is changed");
    refused(topics.alter(&topic("none"), size), ErrorCode::TopicNotFound, "altering");
}

fn partitions_are_added_and_never_removed(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 2);
    must("appending", append(harness, ("t", Some(1)), &[RecordRef::new(b"before")]));
    let partitions = |count| TopicChange { partitions: Some(count), ..TopicChange::default() };
    let watch = waker();
    let _guard = must("watching", topics.watch(&at("t", 1), watch.0));
    must("growing", topics.alter(&topic("t"), partitions(4)));
    for (count, code) in [
        (3, ErrorCode::PartitionsShrink),
        (0, ErrorCode::InvalidRequest),
        (MAX_PARTITIONS + 1, ErrorCode::InvalidRequest),
    ] {
        let change = TopicChange { max_bytes: Some(Some(1)), ..partitions(count) };
        refused(topics.alter(&topic("t"), change), code, "a number of partitions");
    }
    let grown = info(&*topics, "t");
    assert_eq!(
        (grown.partitions.len(), grown.retention),
        (4, kept(harness, Retention::default())),
        "a refused change changes nothing"
    );
    must("appending", append(harness, ("t", Some(1)), &[RecordRef::new(b"after")]));
    must("appending", append(harness, ("t", Some(3)), &[RecordRef::new(b"new")]));
    let there = |number| read(&*topics, &at("t", number), Position::START).into_iter().map(|(_, value)| value);
    assert!(there(1).eq([b"before".to_vec(), b"after".to_vec()]), "records stay where they are");
    assert!(there(3).eq([b"new".to_vec()]));
    let keys: Vec<_> = (0..32).map(|key| format!("key-{key}").into_bytes()).collect();
    let records: Vec<_> = keys.iter().map(|key| RecordRef::new(b"x").with_key(Some(key))).collect();
    for (partition, _, count) in must("appending", append(harness, ("t", None), &records)) {
        let of_it = keys.iter().filter(|key| partition_for_key(key, 4) == partition).count();
        assert_eq!(count as usize, of_it, "keys are spread over all partitions");
    }
}

fn topics_are_listed_by_name(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    assert_eq!(must("listing", topics.list()), []);
    for name in ["b", "a-b", "a", "B", "a.b"] {
        create(&*topics, name, 1);
    }
    let listed: Vec<_> = must("listing", topics.list()).into_iter().map(|info| info.topic).collect();
    assert_eq!(listed, ["B", "a", "a-b", "a.b", "b"].map(topic));
}

fn a_page_begins_behind_a_topic(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    for name in ["b", "a-b", "a", "B", "a.b"] {
        create(&*topics, name, 1);
    }
    let page = |after: Option<&str>, limit| must("a page", topics.page(after.map(topic).as_ref(), limit));
    assert_eq!(page(None, 2), ["B", "a"].map(topic));
    assert_eq!(page(Some("a"), 2), ["a-b", "a.b"].map(topic));
    assert_eq!(page(Some("a.b"), 2), ["b"].map(topic));
    assert_eq!(page(Some("a.a"), 9), ["a.b", "b"].map(topic), "behind a name that is not there");
    assert_eq!(page(Some("b"), usize::MAX), []);
}

fn what_is_not_there_is_not_found(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 2);
    let (none, part) = (at("none", 0), at("t", 2));
    refused(topics.describe(&topic("none")), ErrorCode::TopicNotFound, "describing");
    refused(topics.delete(&topic("none")), ErrorCode::TopicNotFound, "deleting");
    let record = [RecordRef::new(b"x")];
    refused(append(harness, ("none", None), &record), ErrorCode::TopicNotFound, "appending");
    refused(append(harness, ("t", Some(2)), &record), ErrorCode::PartitionNotFound, "appending");
    for (at, code) in [(&none, ErrorCode::TopicNotFound), (&part, ErrorCode::PartitionNotFound)] {
        refused(topics.read(at, Position::START, ALL), code, "reading");
        refused(topics.watch(at, waker().0).map(drop), code, "watching");
        refused(topics.look(at, Position::START), code, "looking");
    }
}

fn a_topic_has_a_possible_number_of_partitions(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    for partitions in [0, MAX_PARTITIONS + 1] {
        let made = topics.create(&topic("t"), partitions, Retention::default());
        assert!(made.is_err(), "{partitions} partitions");
        refused(topics.describe(&topic("t")), ErrorCode::TopicNotFound, "what was refused");
    }
    create(&*topics, "t", MAX_PARTITIONS);
    assert_eq!(info(&*topics, "t").partitions.len(), MAX_PARTITIONS as usize);
}

fn records_are_read_as_they_were_appended(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 1);
    let least = harness.least_timestamp();
    let records = [
        RecordRef::new(b"plain"),
        RecordRef::new(b"").with_key(Some(b"")).at(-5),
        RecordRef::new(b"\0\xff").with_key(Some(b"key")).at(7).on(3),
    ];
    let appended = must("appending", append(harness, ("t", None), &records));
    assert_eq!(appended.iter().map(|(partition, _, count)| (*partition, *count)).collect::<Vec<_>>(), [(0, 3)]);
    let batch = must("reading", topics.read(&at("t", 0), appended[0].1, ALL));
    let batch = batch.unwrap_or_else(|| panic!("appended records are readable at once"));
    let seen: Vec<_> =
        batch.iter().map(|(_, of)| (of.key.map(<[u8]>::to_vec), of.timestamp, of.bytes().to_vec())).collect();
    let wanted: Vec<_> =
        records.iter().map(|of| (of.key.map(<[u8]>::to_vec), of.timestamp.max(least), of.bytes().to_vec())).collect();
    assert_eq!(seen, wanted, "in their order, as they were");
    assert!(batch.iter().all(|(_, record)| record.channel == 0), "channels are the appender's own");
    assert_eq!(must("appending nothing", append(harness, ("t", None), &[])), []);
}

fn keyed_records_go_to_the_partition_of_their_key(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 4);
    let keys: Vec<[u8; 2]> = (0..40u8).map(|n| [b'k', n]).collect();
    let records: Vec<_> = keys.iter().map(|key| RecordRef::new(key).with_key(Some(key))).collect();
    let appended = must("appending", append(harness, ("t", None), &records));
    assert_eq!(appended.iter().map(|(_, _, count)| count).sum::<u32>(), 40);
    for partition in 0..4 {
        let seen: Vec<_> = read(&*topics, &at("t", partition), Position::START).into_iter().map(|(_, v)| v).collect();
        let wanted: Vec<_> =
            keys.iter().filter(|key| partition_for_key(*key, 4) == partition).map(|k| k.to_vec()).collect();
        assert_eq!(seen, wanted, "partition {partition}");
    }
}

fn keyless_records_of_one_call_stay_together(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 4);
    for _ in 0..4 {
        let appended = must("appending", append(harness, ("t", None), &[b"a", b"b", b"c"].map(|v| RecordRef::new(v))));
        assert_eq!(appended.len(), 1, "one call, one partition: {appended:?}");
        let (partition, first, count) = appended[0];
        let seen: Vec<_> = read(&*topics, &at("t", partition), first).into_iter().map(|(_, value)| value).collect();
        assert_eq!((seen.as_slice(), count), (&[b"a".to_vec(), b"b".to_vec(), b"c".to_vec()][..], 3));
    }
}

fn a_named_partition_gets_everything(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 3);
    let keys = [b"a", b"b", b"c", b"d"];
    let records = keys.map(|key| RecordRef::new(key).with_key(Some(key)));
    let appended = must("appending", append(harness, ("t", Some(1)), &records));
    assert_eq!(appended.iter().map(|(partition, ..)| *partition).collect::<Vec<_>>(), [1]);
    assert_eq!(read(&*topics, &at("t", 1), Position::START).len(), 4);
    assert_eq!(read(&*topics, &at("t", 0), Position::START), []);
}

fn reading_begins_anywhere_and_keeps_to_its_limit(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 1);
    let names: Vec<Vec<u8>> = (0..10u8).map(|n| vec![b'0' + n]).collect();
    let records: Vec<_> = names.iter().map(|name| RecordRef::new(name)).collect();
    must("appending", append(harness, ("t", Some(0)), &records[..6]));
    must("appending", append(harness, ("t", Some(0)), &records[6..]));
    let all = read(&*topics, &at("t", 0), Position::START);
    assert_eq!(all.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>(), names);
    for (index, (position, _)) in all.iter().enumerate() {
        assert_eq!(read(&*topics, &at("t", 0), *position), all[index..], "from {position} on");
        let limit = PollLimit { records: 2, bytes: 1 << 20 };
        let few = must("reading", topics.read(&at("t", 0), *position, limit)).map_or(0, |batch| batch.len());
        assert!((1..=2).contains(&few), "2 records were asked for, {few} came");
        let narrow = PollLimit { records: 100, bytes: 1 };
        let one = must("reading", topics.read(&at("t", 0), *position, narrow)).map_or(0, |batch| batch.len());
        assert!(one >= 1, "one record is given however large it is");
    }
    let end = info(&*topics, "t").partitions[0].end;
    assert_eq!(must("reading at the end", topics.read(&at("t", 0), end, ALL)).map(|batch| batch.len()), None);
}

fn a_place_without_records_is_no_silent_jump(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 1);
    let positions = values(harness, "t", &[b"a", b"b", b"c"]);
    let end = info(&*topics, "t").partitions[0].end;
    let past = topics.read(&at("t", 0), Position(end.0 + 1000), ALL);
    refused(past.map(drop), ErrorCode::PositionUnknown, "past the end");
    if harness.drop_before(&at("t", 0), positions[2]) {
        refused(topics.read(&at("t", 0), positions[0], ALL).map(drop), ErrorCode::PositionDropped, "what was dropped");
        assert_eq!(info(&*topics, "t").partitions[0].earliest, positions[2]);
        assert_eq!(read(&*topics, &at("t", 0), positions[2]).len(), 1);
    }
}

fn every_append_wakes_every_watcher(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 2);
    let watchers: Vec<_> = (0..2)
        .map(|_| {
            let (waker, woken) = waker();
            (must("watching", topics.watch(&at("t", 0), waker)), woken)
        })
        .collect();
    for round in 0..3 {
        values(harness, "t", &[b"x"]);
        for (i, (_, woken)) in watchers.iter().enumerate() {
            assert!(woken.recv_timeout(harness.patience()).is_ok(), "watcher {i} was not woken in round {round}");
            while woken.try_recv().is_ok() {}
        }
    }
}

fn a_deletion_takes_everything_and_wakes_who_waits(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 1);
    create(&*topics, "other", 1);
    values(harness, "t", &[b"a"]);
    values(harness, "other", &[b"b"]);
    let (waker, woken) = waker();
    let _watch = must("watching", topics.watch(&at("t", 0), waker));
    must("deleting", topics.delete(&topic("t")));
    assert!(woken.recv_timeout(harness.patience()).is_ok(), "who waits for a deleted topic was not woken");
    refused(topics.describe(&topic("t")), ErrorCode::TopicNotFound, "what was deleted");
    refused(topics.read(&at("t", 0), Position::START, ALL).map(drop), ErrorCode::TopicNotFound, "what was deleted");
    create(&*topics, "t", 2);
    assert_eq!(read(&*topics, &at("t", 0), info(&*topics, "t").partitions[0].earliest), [], "a new one is empty");
    assert_eq!(read(&*topics, &at("other", 0), Position::START).len(), 1, "others are left alone");
}

fn a_dropped_watch_is_not_woken(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 1);
    let ((first, first_woken), (second, second_woken)) = (waker(), waker());
    let dropped = must("watching", topics.watch(&at("t", 0), first));
    let _kept = must("watching", topics.watch(&at("t", 0), second));
    drop(dropped);
    while first_woken.try_recv().is_ok() {}
    values(harness, "t", &[b"x"]);
    assert!(second_woken.recv_timeout(harness.patience()).is_ok());
    assert!(first_woken.try_recv().is_err(), "a watch that was dropped was woken");
}

fn a_lag_is_right_or_unknown(harness: &mut dyn TopicsHarness) {
    let topics = harness.topics();
    create(&*topics, "t", 1);
    let positions = values(harness, "t", &[b"a", b"b", b"c"]);
    let end = info(&*topics, "t").partitions[0].end;
    for (left, position) in [(3, positions[0]), (2, positions[1]), (1, positions[2]), (0, end)] {
        let ahead = must("looking", topics.look(&at("t", 0), position));
        assert_eq!(ahead.end, end, "the end is that of the description");
        let lag = ahead.lag;
        assert!(lag.is_none_or(|lag| lag == left), "{left} records are left, not {lag:?}");
    }
}

fn topics_outlast_the_process(harness: &mut dyn TopicsHarness) {
    create(&*harness.topics(), "t", 2);
    values(harness, "t", &[b"a", b"b"]);
    let (before, records) = {
        let topics = harness.topics();
        (must("listing", topics.list()), read(&*topics, &at("t", 0), Position::START))
    };
    harness.reopen();
    let topics = harness.topics();
    assert_eq!(must("listing", topics.list()), before);
    assert_eq!(read(&*topics, &at("t", 0), Position::START), records);
    assert!(
        values(harness, "t", &[b"c"])[0] >= before[0].partitions[0].end,
        "it goes on where it ended, or behind a gap"
    );
}
