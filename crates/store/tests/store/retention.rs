// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Retention by age and by size.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::ErrorCode;
use fnstream_core::broker::{PollLimit, Polled};
use fnstream_core::record::{Position, Positions};
use fnstream_core::test_util::clock::ManualClock;
use fnstream_core::topics::{Retention, RetentionTime, TopicChange};
use fnstream_core::waker::Waker;
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_store::{Dropped, Store, StoreOptions};

use crate::support::*;

fn aged(store: &Store, timestamps: &[i64]) {
    let mut frame = FrameBuilder::new();
    for &timestamp in timestamps {
        frame.push(RecordRef::new(b"x").at(timestamp));
    }
    append(store, "t", Some(0), &frame).unwrap();
}

#[test]
fn a_run_of_records_goes_when_its_newest_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let retention =
        Retention { max_age: Some(Duration::from_millis(100)), time: RetentionTime::Event, ..Retention::default() };
    store.create_topic("t", 1, retention).unwrap();
    store.ensure_topic("kept", 1).unwrap();
    append(&store, "kept", Some(0), &frame(["old"])).unwrap();
    aged(&store, &[10, 1000]);
    aged(&store, &[20]);
    assert_eq!(store.enforce_retention(1100).unwrap().records, 0);
    // The second run is old, but not the oldest: nothing is taken out of the middle.
    assert_eq!(store.enforce_retention(1101).unwrap().records, 3);
    assert_eq!(store.enforce_retention(1101).unwrap(), Dropped::default());
    assert_eq!(store.read(&at("t", 0), Position(2), ALL).unwrap_err().code, ErrorCode::PositionDropped);
    assert!(store.read(&at("t", 0), Position(3), ALL).unwrap().is_none());
    drop(store);

    // Positions go on although no record is left to count from.
    let store = open(dir.path());
    let info = store.topic("t").unwrap().partitions[0].clone();
    assert_eq!((info.earliest, info.end, info.bytes), (Position(3), Position(3), Some(0)));
    aged(&store, &[2000]);
    assert_eq!(store.topic("t").unwrap().partitions[0].end, Position(4));
    assert_eq!(values(&store, &at("kept", 0)), ["old"]);
}

/// A backfill: its events are old, and have just come.
#[test]
fn the_age_of_a_record_is_counted_from_its_arrival_unless_the_topic_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(1_000_000));
    let options = || StoreOptions { clock: clock.clone(), ..options() };
    let store = Store::open(dir.path(), options()).unwrap();
    let retention = Retention { max_age: Some(Duration::from_secs(60)), ..Retention::default() };
    store.create_topic("t", 1, retention).unwrap();
    aged(&store, &[5, -7]);
    clock.advance(Duration::from_secs(30));
    // One whose time is yet to come does not stay longer either.
    aged(&store, &[i64::MAX]);
    drop(store);
    let store = Store::open(dir.path(), options()).unwrap();
    let dropped = |now_ms| store.enforce_retention(now_ms).unwrap().records;
    assert_eq!((dropped(1_060_000), dropped(1_060_001)), (0, 2));
    assert_eq!((dropped(1_090_000), dropped(1_090_001)), (0, 1));

    aged(&store, &[5]);
    let by_event_time = TopicChange { time: Some(RetentionTime::Event), ..TopicChange::default() };
    store.topics().alter(&"t".into(), by_event_time).unwrap();
    assert_eq!(dropped(60_005), 0);
    assert_eq!(dropped(60_006), 1, "what is there already is judged anew");
}

#[test]
fn defaults_hold_for_every_topic_that_does_not_say_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let one = frame([[7; 1000]]).byte_len() as u64;
    for (topic, max_bytes) in [("old", None), ("own", Some(4 * one)), ("altered", Some(4 * one))] {
        store.create_topic(topic, 1, Retention { max_bytes, ..Retention::default() }).unwrap();
        (0..6).for_each(|_| drop(append(&store, topic, Some(0), &frame([[7; 1000]])).unwrap()));
    }
    let none = TopicChange { max_bytes: Some(None), ..TopicChange::default() };
    store.topics().alter(&"altered".into(), none).unwrap();
    drop(store);
    let store = open(dir.path());
    let upkeep = store.upkeep();
    let left = |topic| {
        let partition = &store.topic(topic).unwrap().partitions[0];
        partition.end.0 - partition.earliest.0
    };
    upkeep.tidy(0, &Retention::default()).unwrap();
    assert_eq!((left("old"), left("own"), left("altered")), (6, 4, 6));
    upkeep.tidy(0, &Retention { max_bytes: Some(2 * one), ..Retention::default() }).unwrap();
    assert_eq!((left("old"), left("own"), left("altered")), (2, 4, 2));
    assert_eq!(store.topic("old").unwrap().retention, Retention::default(), "a default is not the topic's own");
}

/// A reader that looked the topic up before keeps what it has; retention, deletion and watching work on what was added.
#[test]
fn a_topic_that_has_grown_is_the_same_topic() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create_topic("t", 1, Retention { max_bytes: Some(1), ..Retention::default() }).unwrap();
    append(&store, "t", Some(0), &frame(["a"])).unwrap();
    let mut input = assignment(task(1, 0));
    input.inputs.push(fnstream_core::broker::TaskInput { group: 0, partition: at("t", 0) });
    let mut source = store.broker().open_source(&input, &Positions::new(), Waker::noop()).unwrap();
    store.topics().alter(&"t".into(), TopicChange { partitions: Some(3), ..TopicChange::default() }).unwrap();
    append(&store, "t", Some(0), &frame(["b"])).unwrap();
    append(&store, "t", Some(2), &frame(["c"])).unwrap();
    append(&store, "t", Some(2), &frame(["d"])).unwrap();
    let polled = |source: &mut Box<dyn fnstream_core::broker::Source>| match source.poll(None, ALL).unwrap() {
        Polled::Batch(batch) => batch.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(polled(&mut source), 2);
    assert_eq!(store.broker().partitions(&"t".into()).unwrap(), 3);
    assert_eq!(store.enforce_retention(0).unwrap().records, 2);
    drop(source);
    drop(store);
    let store = open(dir.path());
    assert_eq!(values(&store, &at("t", 2)), ["d"]);
    store.topics().delete(&"t".into()).unwrap();
    store.create_topic("t", 3, Retention::default()).unwrap();
    assert!(store.read(&at("t", 2), Position(0), ALL).unwrap().is_none());
}

#[test]
fn the_oldest_records_go_while_a_partition_is_too_large() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let one = frame([[7; 1000]]).byte_len() as u64;
    store.create_topic("t", 2, Retention { max_age: None, max_bytes: Some(3 * one), ..Retention::default() }).unwrap();
    for _ in 0..5 {
        append(&store, "t", Some(0), &frame([[7; 1000]])).unwrap();
    }
    append(&store, "t", Some(1), &frame([[7; 1000]])).unwrap();
    assert_eq!(store.topic("t").unwrap().partitions[0].bytes, Some(5 * one));
    assert_eq!(store.enforce_retention(0).unwrap(), Dropped { records: 2, bytes: 2 * one });
    drop(store);
    let store = open(dir.path());
    let info = store.topic("t").unwrap().partitions[0].clone();
    assert_eq!((info.earliest, info.end, info.bytes), (Position(2), Position(5), Some(3 * one)));
    assert_eq!(read_all(&store, &at("t", 0), ALL).len(), 3);
    assert_eq!(read_all(&store, &at("t", 1), ALL).len(), 1);
}

#[test]
fn a_source_at_a_dropped_position_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create_topic("t", 1, Retention { max_age: None, max_bytes: Some(200), ..Retention::default() }).unwrap();
    for _ in 0..10 {
        append(&store, "t", Some(0), &frame([[7; 50]])).unwrap();
    }
    let mut input = assignment(task(1, 0));
    input.inputs.push(fnstream_core::broker::TaskInput { group: 0, partition: at("t", 0) });
    let broker = store.broker();
    let mut source = broker.open_source(&input, &Positions::new(), Waker::noop()).unwrap();
    source.poll(None, PollLimit { records: 1, bytes: 1000 }).unwrap();
    store.enforce_retention(0).unwrap();
    let error = source.poll(None, PollLimit { records: 1, bytes: 1000 }).unwrap_err();
    assert_eq!(error.code, ErrorCode::PositionDropped);
    let from = Positions::from([(at("t", 0), Position(1))]);
    let refused = broker.open_source(&input, &from, Waker::noop()).map(drop).unwrap_err();
    assert_eq!(refused.code, ErrorCode::PositionDropped);
    // Two of them are less than what is to be kept.
    assert_eq!(broker.earliest(&at("t", 0)).unwrap(), Position(7));
    assert!(broker.open_source(&input, &Positions::new(), Waker::noop()).is_ok());
}

/// What was just acknowledged is not dropped for being large.
#[test]
fn the_newest_batch_is_kept_whatever_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create_topic("t", 1, Retention { max_age: None, max_bytes: Some(10), ..Retention::default() }).unwrap();
    append(&store, "t", Some(0), &frame([[7; 50]])).unwrap();
    append(&store, "t", Some(0), &frame([[8; 50], [9; 50]])).unwrap();
    store.enforce_retention(0).unwrap();
    assert_eq!(broker_earliest(&store), Position(1));
    store.enforce_retention(0).unwrap();
    assert_eq!(broker_earliest(&store), Position(1));
}

fn broker_earliest(store: &fnstream_store::Store) -> Position {
    store.broker().earliest(&at("t", 0)).unwrap()
}

/// Enough data that whole files are dropped, and that a wrong bound of that would take living records with it.
#[test]
fn dropping_files_spares_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create_topic("t", 1, Retention { max_age: None, max_bytes: Some(10 << 20), ..Retention::default() }).unwrap();
    let mut noise = 1_u64;
    let mut appended = 0_u32;
    while store.topic("t").unwrap().partitions[0].bytes.unwrap() < 90 << 20 {
        let mut builder = FrameBuilder::new();
        for _ in 0..8 {
            // Incompressible, so that there are many files.
            let mut value = Vec::with_capacity(8 << 10);
            while value.len() < 8 << 10 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                value.extend_from_slice(&(noise >> 16).to_le_bytes());
            }
            value[..4].copy_from_slice(&appended.to_le_bytes());
            builder.push(RecordRef::new(&value));
            appended += 1;
        }
        append(&store, "t", Some(0), &builder).unwrap();
    }
    let dropped = store.enforce_retention(0).unwrap();
    assert!(dropped.bytes > 79 << 20, "{dropped:?}");
    for store in [store, { open_later(dir.path()) }] {
        let kept = read_all(&store, &at("t", 0), PollLimit { records: 100, bytes: 1 << 20 });
        assert_eq!(kept.len() as u64, u64::from(appended) - dropped.records);
        for (position, value) in kept {
            assert_eq!(position, u128::from(u32::from_le_bytes(value[..4].try_into().unwrap())));
        }
    }
}

fn open_later(dir: &std::path::Path) -> Store {
    // A copy: the folder itself is still held.
    let copy = dir.with_extension("copy");
    copy_folder(dir, &copy);
    let store = open(&copy);
    std::fs::remove_dir_all(&copy).unwrap();
    store
}
