// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics, appending, reading, watching, places of groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fnstream_core::ErrorCode;
use fnstream_core::broker::{Assignment, AssignmentListener, RevokeDone};
use fnstream_core::broker::{PollLimit, Polled, Subscription};
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::record::{Position, Positions, partition_for_key};
use fnstream_core::spec::InputSelector;
use fnstream_core::topics::Retention;
use fnstream_core::waker::Waker;
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_store::{Durability, Store, StoreOptions};
use parking_lot::Mutex;

use crate::support::*;

#[test]
fn what_was_answered_is_read_after_reopening_with_every_durability() {
    for durability in [Durability::Sync, Durability::Group, Durability::Os] {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions { durability, ..options() };
        let store = Store::open(dir.path(), options.clone()).unwrap();
        assert!(store.ensure_topic("t", 2).unwrap());
        assert!(!store.ensure_topic("t", 7).unwrap());
        assert_eq!(append(&store, "t", Some(1), &frame(["a", "b"])).unwrap(), [(1, Position(0), 2)]);
        assert_eq!(append(&store, "t", Some(1), &frame(["c"])).unwrap(), [(1, Position(2), 1)]);
        drop(store);
        let store = Store::open(dir.path(), options).unwrap();
        assert_eq!(values(&store, &at("t", 1)), ["a", "b", "c"]);
        assert_eq!(append(&store, "t", Some(1), &frame(["d"])).unwrap(), [(1, Position(3), 1)]);
        assert!(values(&store, &at("t", 0)).is_empty());
    }
}

#[test]
fn any_limit_gives_every_record_once_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("t", 1).unwrap();
    let all: Vec<String> = (0..500).map(|i| format!("{i}{}", "x".repeat(i))).collect();
    let mut rest = &all[..];
    for size in [1, 1, 2, 3, 100, 7, 1, 250, 1, 134] {
        let (now, later) = rest.split_at(size);
        append(&store, "t", Some(0), &frame(now)).unwrap();
        rest = later;
    }
    for records in [1, 2, 3, 10, 99, 100, 101, 10_000] {
        for bytes in [0, 40, 1000, 70_000, 1 << 20] {
            let read = read_all(&store, &at("t", 0), PollLimit { records, bytes });
            let expected: Vec<_> = all.iter().enumerate().map(|(i, v)| (i as u128, v.clone().into_bytes())).collect();
            assert_eq!(read, expected, "{records} records, {bytes} bytes");
        }
    }
    // From every position, as after a restart of a reader.
    for (from, value) in all.iter().enumerate() {
        let batch = store.read(&at("t", 0), Position(from as u128), PollLimit { records: 3, bytes: 1 << 20 });
        assert_eq!(batch.unwrap().unwrap().frame().record(0).bytes(), value.as_bytes());
    }
}

#[test]
fn positions_outside_of_a_partition_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("t", 1).unwrap();
    append(&store, "t", None, &frame(["a"])).unwrap();
    assert!(store.read(&at("t", 0), Position(1), ALL).unwrap().is_none());
    assert_eq!(store.read(&at("t", 0), Position(2), ALL).unwrap_err().code, ErrorCode::PositionUnknown);
    assert_eq!(store.read(&at("t", 1), Position(0), ALL).unwrap_err().code, ErrorCode::PartitionNotFound);
    assert_eq!(store.read(&at("u", 0), Position(0), ALL).unwrap_err().code, ErrorCode::TopicNotFound);
}

#[test]
fn keys_choose_the_partition_and_keyless_appends_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("t", 3).unwrap();
    let mut keyed = FrameBuilder::new();
    for key in ["a", "b", "c", "d", "e", "f"] {
        keyed.push(RecordRef::new(key.as_bytes()).with_key(Some(key.as_bytes())).on(9));
    }
    append(&store, "t", None, &keyed).unwrap();
    for partition in 0..3 {
        for value in values(&store, &at("t", partition)) {
            assert_eq!(partition_for_key(value.as_bytes(), 3), partition);
        }
    }
    let turns: Vec<u32> = (0..6).map(|_| append(&store, "t", None, &frame(["x", "y"])).unwrap()[0].0).collect();
    let mut sorted = turns[..3].to_vec();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2]);
    assert_eq!(turns[..3], turns[3..]);
}

#[test]
fn appends_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions { max_record_bytes: 100, ..options() }).unwrap();
    store.ensure_topic("t", 1).unwrap();
    let code = |result: fnstream_core::Result<_>| result.map(|_: fnstream_core::topics::Appended| ()).unwrap_err().code;
    assert_eq!(code(append(&store, "u", None, &frame(["a"]))), ErrorCode::TopicNotFound);
    assert_eq!(code(append(&store, "t", Some(1), &frame(["a"]))), ErrorCode::PartitionNotFound);
    assert_eq!(code(append(&store, "t", None, &frame(["a".repeat(73)]))), ErrorCode::RecordTooLarge);
    assert!(append(&store, "t", None, &frame(["a".repeat(72)])).is_ok());
    assert_eq!(store.broker().max_record_bytes(&"t".into()), Some(100), "functions have the same limit");
    assert_eq!(append(&store, "t", None, &FrameBuilder::new()).unwrap(), []);
    store.close().unwrap();
    assert_eq!(code(append(&store, "t", None, &frame(["a"]))), ErrorCode::ShuttingDown);
    assert_eq!(values(&store, &at("t", 0)).len(), 1);
}

#[test]
fn topics_are_made_once_listed_and_deleted_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create_topic("b", 2, Retention::default()).unwrap();
    store.create_topic("a", 1, Retention { max_bytes: Some(7), ..Retention::default() }).unwrap();
    let again = store.create_topic("a", 1, Retention::default()).unwrap_err();
    assert_eq!(again.code, ErrorCode::TopicExists);
    assert_eq!(store.create_topic("../x", 1, Retention::default()).unwrap_err().code, ErrorCode::InvalidName);
    assert_eq!(store.create_topic("c", 0, Retention::default()).unwrap_err().code, ErrorCode::InvalidRequest);
    append(&store, "b", Some(1), &frame(["x"])).unwrap();
    assert_eq!(give(&store, "g", &at("b", 1), 1).unwrap(), Some(Position(1)));
    drop(store);

    let store = open(dir.path());
    let topics = store.topics().list().unwrap();
    assert_eq!(topics.iter().map(|t| (&*t.topic.name, t.partitions.len())).collect::<Vec<_>>(), [("a", 1), ("b", 2)]);
    assert_eq!(topics[0].retention.max_bytes, Some(7));
    assert_eq!(topics[1].partitions[1].end, Position(1));
    store.delete_topic("b").unwrap();
    assert_eq!(store.delete_topic("b").unwrap_err().code, ErrorCode::TopicNotFound);
    store.ensure_topic("b", 2).unwrap();
    drop(store);

    let store = open(dir.path());
    assert!(values(&store, &at("b", 1)).is_empty());
    assert_eq!(store.places("b").unwrap(), []);
    assert_eq!(append(&store, "b", Some(1), &frame(["y"])).unwrap(), [(1, Position(0), 1)]);
}

#[test]
fn places_of_groups_are_durable_and_have_names_that_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("t", 2).unwrap();
    append(&store, "t", Some(0), &frame(["a", "b"])).unwrap();
    assert_eq!(give(&store, "g", &at("t", 0), 2).unwrap(), Some(Position(2)));
    assert_eq!(give(&store, "h", &at("t", 0), 1).unwrap(), Some(Position(1)));
    assert_eq!(give(&store, "g/../x", &at("t", 0), 1).unwrap_err().code, ErrorCode::InvalidName);
    drop(store);
    let store = open(dir.path());
    let listed: Vec<_> =
        store.places("t").unwrap().into_iter().map(|of| (of.group, of.partition, of.position.0)).collect();
    assert_eq!(listed, [("g".to_owned(), 0, 2), ("h".to_owned(), 0, 1)]);
}

#[test]
fn a_watch_is_told_of_appends_and_of_deletion_until_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("t", 2).unwrap();
    let woken = Arc::new(AtomicUsize::new(0));
    let counted = woken.clone();
    // The waker looks for itself: what it is woken for is readable.
    let (seen, reader) = (Arc::new(Mutex::new(Vec::new())), store.clone());
    let sees = seen.clone();
    let guard = store
        .watch(
            &at("t", 0),
            Waker::new(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                if let Ok(topic) = reader.topic("t") {
                    sees.lock().push(topic.partitions[0].end);
                }
            }),
        )
        .unwrap();
    append(&store, "t", Some(1), &frame(["other partition"])).unwrap();
    append(&store, "t", Some(0), &frame(["a"])).unwrap();
    // Wake-ups follow answers: the next answer on the same thread comes after them.
    append(&store, "t", Some(1), &frame(["other partition"])).unwrap();
    assert_eq!(*seen.lock(), [Position(1)]);
    store.delete_topic("t").unwrap();
    assert_eq!(woken.load(Ordering::SeqCst), 2);
    drop(guard);
    store.ensure_topic("t", 2).unwrap();
    append(&store, "t", Some(0), &frame(["a"])).unwrap();
    store.close().unwrap();
    assert_eq!(woken.load(Ordering::SeqCst), 2);
}

#[derive(Default)]
struct Assigned(Mutex<Vec<Assignment>>);

impl AssignmentListener for Assigned {
    fn assigned(&self, assignment: Assignment) {
        self.0.lock().push(assignment);
    }

    fn revoked(&self, _: TaskId, _: RevokeDone) {
        unreachable!("the embedded log never takes a task away");
    }

    fn lost(&self, _: TaskId) {
        unreachable!("the embedded log never takes a task away");
    }
}

#[test]
fn a_function_gets_a_task_for_each_partition_and_reads_its_inputs_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("one", 1).unwrap();
    store.ensure_topic("two", 2).unwrap();
    let broker = store.broker();
    let subscription = Subscription {
        function: FunctionId(3),
        name: "f".into(),
        groups: vec![vec!["one".into()], vec!["two".into()]],
        outputs: Vec::new(),
        selector: InputSelector::default(),
        elsewhere: Default::default(),
    };
    let assigned = Arc::new(Assigned::default());
    let _membership = broker.join(subscription, assigned.clone()).unwrap();
    let assigned = assigned.0.lock();
    let inputs: Vec<Vec<_>> =
        assigned.iter().map(|a| a.inputs.iter().map(|i| (i.group, i.partition.to_string())).collect()).collect();
    assert_eq!(inputs, [vec![(0, "one-0".to_owned()), (1, "two-0".to_owned())], vec![(1, "two-1".to_owned())]]);

    for value in ["a", "b", "c"] {
        append(&store, "one", Some(0), &frame([value])).unwrap();
        append(&store, "two", Some(0), &frame([value])).unwrap();
    }
    let mut source = broker.open_source(&assigned[0], &Positions::new(), Waker::noop()).unwrap();
    let mut polled = Vec::new();
    while let Polled::Batch(batch) = source.poll(None, PollLimit { records: 2, bytes: 1 << 20 }).unwrap() {
        let records: Vec<_> = batch.iter().map(|(_, r)| (r.channel, r.bytes().to_vec())).collect();
        polled.push((batch.from().to_string(), records));
    }
    let two = |group: u32| vec![(group, b"a".to_vec()), (group, b"b".to_vec())];
    let one = |group: u32| vec![(group, b"c".to_vec())];
    let expected = [("one-0", two(0)), ("two-0", two(1)), ("one-0", one(0)), ("two-0", one(1))];
    assert_eq!(polled, expected.map(|(from, records)| (from.to_owned(), records)));
}
