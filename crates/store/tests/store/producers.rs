// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producers that number their records: failing writes, crashes, retention, forgetting.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use fnstream_core::producers::{Numbered, NumberedAppend};
use fnstream_core::test_util::clock::ManualClock;
use fnstream_core::test_util::rng::Rng;
use fnstream_core::topic::Topic;
use fnstream_core::topics::Retention;
use fnstream_core::{ErrorCode, Result};
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_store::{Store, StoreOptions};

use crate::support::*;

const PARTITIONS: u32 = 3;

fn send(store: &Store, producer: &str, first: u64, count: u64) -> Result<NumberedAppend> {
    let mut frame = FrameBuilder::new();
    for number in first..first + count {
        let text = format!("{producer} {number}");
        // Every third has no key, so the partition of a request.
        frame.push(RecordRef::new(text.as_bytes()).with_key((number % 3 > 0).then_some(text.as_bytes())));
    }
    let (tell, told) = channel();
    let done = Box::new(move |done| tell.send(done).unwrap());
    let numbered = Numbered::new(producer, first).unwrap();
    store.producers().append_numbered(&Topic::own("t"), numbered, None, frame.to_bytes().into(), done);
    told.recv().unwrap()
}

fn next(store: &Store, producer: &str) -> Option<u64> {
    store.producers().producer(&Topic::own("t"), producer).unwrap().map(|place| place.next)
}

/// The numbers of a producer that can be read, in order.
fn there(store: &Store, producer: &str) -> Vec<u64> {
    let of = |partition| values(store, &at("t", partition));
    let texts = (0..PARTITIONS).flat_map(of);
    let mut numbers: Vec<u64> =
        texts.filter_map(|text| text.strip_prefix(producer)?.strip_prefix(' ')?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn all(end: u64) -> Vec<u64> {
    (0..end).collect()
}

#[test]
fn a_write_that_fails_takes_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create_topic("t", PARTITIONS, Retention::default()).unwrap();
    send(&store, "p", 0, 5).unwrap();
    store.inject_fault(Some(ErrorCode::StorageFull));
    assert_eq!(send(&store, "p", 5, 3).unwrap_err().code, ErrorCode::StorageFull);
    store.inject_fault(None);
    assert_eq!(next(&store, "p"), Some(5));
    let again = send(&store, "p", 5, 3).unwrap();
    assert_eq!((again.duplicates, again.next, there(&store, "p")), (0, 8, all(8)));
}

#[test]
fn what_retention_dropped_is_not_appended_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create_topic("t", 1, Retention { max_bytes: Some(1), ..Retention::default() }).unwrap();
    let first = send(&store, "p", 0, 4).unwrap();
    send(&store, "p", 4, 2).unwrap();
    assert_eq!(store.enforce_retention(0).unwrap().records, 4);
    let again = send(&store, "p", 0, 4).unwrap();
    assert_eq!((again.duplicates, again.appended), (4, first.appended));
    assert_eq!((store.topic("t").unwrap().partitions[0].end.0, next(&store, "p")), (6, Some(6)));
}

fn with_clock(dir: &std::path::Path, clock: &Arc<ManualClock>, count: usize) -> Store {
    let options = StoreOptions {
        clock: clock.clone(),
        producers_max_age: Duration::from_secs(100),
        producers_max_count: count,
        ..options()
    };
    Store::open(dir, options).unwrap()
}

#[test]
fn who_was_silent_for_long_is_forgotten_and_told_so() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::new(1_000_000)));
    let store = with_clock(dir.path(), &clock, 100);
    store.create_topic("t", PARTITIONS, Retention::default()).unwrap();
    let forget = || store.forget_producers(fnstream_core::clock::Clock::unix_ms(&*clock)).unwrap();
    send(&store, "silent", 0, 3).unwrap();
    assert_eq!(forget(), 0);
    clock.advance(Duration::from_secs(50));
    send(&store, "p", 0, 1).unwrap();
    clock.advance(Duration::from_secs(51));
    // It is looked at since there is a new one.
    assert_eq!(forget(), 1);
    assert_eq!((next(&store, "silent"), next(&store, "p")), (None, Some(1)));
    assert_eq!(send(&store, "silent", 3, 1).unwrap_err().code, ErrorCode::ProducerUnknown);
    assert_eq!(there(&store, "silent"), all(3));
    // Without a new one all are looked at once an hour.
    clock.advance(Duration::from_secs(3_000));
    assert_eq!(forget(), 0);
    clock.advance(Duration::from_secs(600));
    assert_eq!(forget(), 1);
    assert_eq!(next(&store, "p"), None);
}

#[test]
fn a_producer_that_only_repeats_itself_is_not_silent() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::new(1_000_000)));
    let options = StoreOptions { clock: clock.clone(), producers_max_age: Duration::from_secs(3 * 3600), ..options() };
    let store = Store::open(dir.path(), options).unwrap();
    store.create_topic("t", PARTITIONS, Retention::default()).unwrap();
    send(&store, "p", 0, 3).unwrap();
    for _ in 0..5 {
        clock.advance(Duration::from_secs(2 * 3600));
        assert_eq!(send(&store, "p", 0, 3).unwrap().duplicates, 3);
        store.forget_producers(fnstream_core::clock::Clock::unix_ms(&*clock)).unwrap();
        assert_eq!(next(&store, "p"), Some(3));
    }
}

#[test]
fn of_too_many_those_that_were_silent_for_longest_are_forgotten() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::new(1_000_000)));
    let store = with_clock(dir.path(), &clock, 2);
    store.create_topic("t", PARTITIONS, Retention::default()).unwrap();
    for producer in ["a", "b", "c", "d"] {
        send(&store, producer, 0, 1).unwrap();
        clock.advance(Duration::from_millis(1));
    }
    send(&store, "a", 1, 1).unwrap();
    assert_eq!(store.forget_producers(fnstream_core::clock::Clock::unix_ms(&*clock)).unwrap(), 2);
    assert_eq!(["a", "b", "c", "d"].map(|producer| next(&store, producer)), [Some(2), None, None, Some(1)]);
}

#[test]
fn a_request_of_many_partitions_is_whole_or_not_there() {
    for seed in 0..12 {
        let mut rng = Rng::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let (mut now, mut copies) = (dir.path().join("0"), 0);
        let mut store = open(&now);
        store.create_topic("t", PARTITIONS, Retention::default()).unwrap();
        let mut known: [Option<u64>; 2] = [None; 2];
        for _ in 0..120 {
            let which = rng.below(2);
            let (name, stands) = (["p", "q"][which], known[which].unwrap_or(0));
            let first = (stands + rng.below(4) as u64).saturating_sub(rng.below(20) as u64);
            let count = 1 + rng.below(12) as u64;
            match rng.below(10) {
                0 => {
                    copies += 1;
                    let next = dir.path().join(copies.to_string());
                    copy_folder(&now, &next);
                    store = open(&next);
                    now = next;
                }
                1 => {
                    store.inject_fault(Some(ErrorCode::StorageFull));
                    let failed = send(&store, name, first, count);
                    store.inject_fault(None);
                    // What is there already needs no write.
                    let is_there = known[which].is_some() && first + count <= stands;
                    assert_eq!(failed.is_ok(), is_there, "seed {seed}");
                }
                2 if rng.chance(20) => {
                    store.delete_topic("t").unwrap();
                    store.create_topic("t", PARTITIONS, Retention::default()).unwrap();
                    known = [None; 2];
                }
                _ => match (send(&store, name, first, count), known[which]) {
                    (Err(e), None) if first > 0 => assert_eq!(e.code, ErrorCode::ProducerUnknown),
                    (Err(e), Some(_)) if first > stands => assert_eq!(e.code, ErrorCode::SequenceGap),
                    (sent, _) => {
                        let (sent, end) = (sent.unwrap(), stands.max(first + count));
                        assert_eq!(u64::from(sent.duplicates), (first + count).min(stands) - first, "seed {seed}");
                        assert_eq!(sent.next, end, "seed {seed}");
                        known[which] = Some(end);
                    }
                },
            }
            for (name, known) in ["p", "q"].into_iter().zip(known) {
                assert_eq!(next(&store, name), known, "seed {seed}");
            }
        }
        for (name, known) in ["p", "q"].into_iter().zip(known) {
            assert_eq!(there(&store, name), all(known.unwrap_or(0)), "seed {seed}");
        }
    }
}
