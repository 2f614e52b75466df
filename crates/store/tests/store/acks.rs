// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What groups have acknowledged: durable with its dead letters or not at all, and gone with the topic.

use std::sync::mpsc::channel;

use fnstream_core::acks::{AckWrite, Acknowledged, Failed};
use fnstream_core::record::Position;
use fnstream_core::topic::Topic;
use fnstream_core::{ErrorCode, Result};
use fnstream_store::Store;

use crate::support::{Shorthand, append, at, frame, open, values};

fn some(committed: u128) -> Acknowledged {
    Acknowledged {
        era: 7,
        committed: Position(committed),
        acked: vec![(Position(committed + 1), Position(committed + 3))],
        failed: vec![Failed { position: Position(committed), deliveries: 2, not_before_ms: -1 }],
    }
}

fn write(store: &Store, incarnation: u64, write: AckWrite) -> Result<()> {
    let (tell, told) = channel();
    store.acks().write(&Topic::own("t"), incarnation, write, Box::new(move |done| tell.send(done).unwrap()));
    told.recv().unwrap()
}

fn of(group: &str, acknowledged: Vec<(u32, Option<Acknowledged>)>) -> AckWrite {
    AckWrite { group: group.to_owned(), acknowledged, ..AckWrite::default() }
}

fn loaded(store: &Store) -> Vec<(String, u32, Acknowledged)> {
    let all = store.acks().load().unwrap();
    assert!(all.iter().all(|of| of.topic == Topic::own("t")));
    all.into_iter().map(|of| (of.group, of.partition, of.acknowledged)).collect()
}

#[test]
fn what_was_acknowledged_survives_and_goes_with_its_topic() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create_topic("t", 2, Default::default()).unwrap();
    let incarnation = store.acks().incarnation(&Topic::own("t")).unwrap();
    write(&store, incarnation, of("g", vec![(0, Some(some(3))), (1, Some(some(5)))])).unwrap();
    write(&store, incarnation, of("h", vec![(1, Some(some(1)))])).unwrap();
    write(&store, incarnation, of("g", vec![(0, Some(some(4)))])).unwrap();
    write(&store, incarnation, of("h", vec![(1, None)])).unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(loaded(&store), [("g".into(), 0, some(4)), ("g".into(), 1, some(5))]);
    store.topics().delete(&Topic::own("t")).unwrap();
    assert_eq!(loaded(&store), []);
    store.create_topic("t", 2, Default::default()).unwrap();
    let refused = write(&store, incarnation, of("g", vec![(0, Some(some(9)))])).unwrap_err();
    assert_eq!(refused.code, ErrorCode::TopicNotFound, "of the topic that there was");
    assert_eq!(loaded(&store), []);
}

#[test]
fn a_dead_letter_and_its_acknowledgement_are_one_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for topic in ["t", "t.g.dlq"] {
        store.create_topic(topic, 1, Default::default()).unwrap();
    }
    let incarnation = store.acks().incarnation(&Topic::own("t")).unwrap();
    let letters = |to: &str| Some((Topic::own(to.to_owned()), frame(["dead"]).to_bytes().into()));
    let bury = |to: &str| AckWrite { letters: letters(to), ..of("g", vec![(0, Some(some(1)))]) };
    // Neither, if the letters have nowhere to go, and if the disk takes nothing.
    assert_eq!(write(&store, incarnation, bury("none")).unwrap_err().code, ErrorCode::TopicNotFound);
    store.inject_fault(Some(ErrorCode::StorageFull));
    assert_eq!(write(&store, incarnation, bury("t.g.dlq")).unwrap_err().code, ErrorCode::StorageFull);
    store.inject_fault(None);
    assert_eq!((loaded(&store), values(&store, &at("t.g.dlq", 0))), (vec![], vec![]));
    write(&store, incarnation, bury("t.g.dlq")).unwrap();
    append(&store, "t.g.dlq", None, &frame(["next"])).unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(loaded(&store), [("g".into(), 0, some(1))]);
    assert_eq!(values(&store, &at("t.g.dlq", 0)), ["dead", "next"]);
}

#[test]
fn a_place_moves_with_the_acknowledgements_of_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create_topic("t", 2, Default::default()).unwrap();
    append(&store, "t", Some(1), &frame(["a", "b"])).unwrap();
    let incarnation = store.acks().incarnation(&Topic::own("t")).unwrap();
    let places = |store: &Store| {
        let all = store.groups().places(&Topic::own("t")).unwrap();
        all.into_iter().map(|of| (of.partition, of.group, of.position.0)).collect::<Vec<_>>()
    };
    let put = AckWrite { places: vec![(1, Some(Position(2)))], ..of("g", vec![]) };
    write(&store, incarnation, put).unwrap();
    assert_eq!(places(&store), [(1, "g".to_owned(), 2)]);
    let turn = AckWrite { places: vec![(0, None), (1, None)], ..of("g", vec![(1, Some(some(2)))]) };
    write(&store, incarnation, turn).unwrap();
    assert_eq!((places(&store), loaded(&store)), (vec![], vec![("g".into(), 1, some(2))]));
}
