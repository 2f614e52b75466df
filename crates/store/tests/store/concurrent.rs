// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Many producers and tasks at once, and copies of the folder taken in the middle of it: whatever is found there is a
//! whole number of epochs, and everything that was answered before the copy began is in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use bytes::Bytes;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::TaskId;
use fnstream_core::record::Position;
use fnstream_store::Store;

use crate::support::*;

const TASKS: u32 = 4;

/// An epoch that emits its number to the task's partition, and one that counts in its state.
fn commit_one(store: &Store, owner: TaskId, generation: fnstream_core::epoch::Generation, n: u64) {
    let mut delta = Delta::new();
    delta.write(b"count", Write::Put(Bytes::from(n.to_string())));
    delta.write(b"log", Write::Merge(Bytes::from_static(b".")));
    let out = vec![outbox("out", owner.index, &frame([n.to_string()])), outbox("all", 0, &frame([format!("{owner}")]))];
    commit(&*store.committer(), epoch(owner, generation, n, delta, out)).unwrap();
}

/// Every task stands where its outbox and its deltas say.
fn check(store: &Store, at_least: &[u64]) {
    let mut total = 0;
    for index in 0..TASKS {
        let owner = task(1, index);
        let (acquired, replayed) = acquire(store, owner, None);
        let stands = acquired.progress.epoch.0;
        assert!(stands >= at_least[index as usize], "task {owner} stands at {stands}, answered {at_least:?}");
        let expected: Vec<String> = (1..=stands).map(|n| n.to_string()).collect();
        assert_eq!(values(store, &at("out", index)), expected);
        assert_eq!(replayed.len() as u64, stands);
        total += stands;
    }
    assert_eq!(store.topic("all").unwrap().partitions[0].end, Position(total.into()));
}

#[test]
fn copies_taken_under_load_hold_whole_epochs_and_all_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("live"));
    store.ensure_topic("out", TASKS).unwrap();
    store.ensure_topic("all", 1).unwrap();
    let answered: Arc<Vec<AtomicU64>> = Arc::new((0..TASKS).map(|_| AtomicU64::new(0)).collect());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for index in 0..TASKS {
            let (store, answered, stop) = (store.clone(), answered.clone(), &stop);
            scope.spawn(move || {
                let generation = acquire(&store, task(1, index), None).0.generation;
                for n in 1.. {
                    commit_one(&store, task(1, index), generation, n);
                    answered[index as usize].store(n, Ordering::SeqCst);
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        for round in 0..12 {
            while answered.iter().any(|n| n.load(Ordering::SeqCst) < 10 * round) {
                thread::yield_now();
            }
            let before: Vec<u64> = answered.iter().map(|n| n.load(Ordering::SeqCst)).collect();
            let copy = dir.path().join(round.to_string());
            copy_folder(&dir.path().join("live"), &copy);
            check(&open(&copy), &before);
        }
        stop.store(true, Ordering::SeqCst);
    });
    drop(store);
    let before: Vec<u64> = answered.iter().map(|n| n.load(Ordering::SeqCst)).collect();
    check(&open(&dir.path().join("live")), &before);
}

#[test]
fn concurrent_appends_are_dense_and_each_is_where_its_answer_says() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("t", 2).unwrap();
    let placed: Vec<(u32, u128, String)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let store = store.clone();
                scope.spawn(move || {
                    let mut placed = Vec::new();
                    for i in 0..50 {
                        let text: Vec<String> = (0..=i % 3).map(|j| format!("{thread}-{i}-{j}")).collect();
                        let (partition, first, count) = append(&store, "t", Some(i % 2), &frame(&text)).unwrap()[0];
                        assert_eq!(count as usize, text.len());
                        placed.extend(text.into_iter().zip(first.0..).map(|(text, at)| (partition, at, text)));
                    }
                    placed
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for partition in 0..2 {
        let mut expected: Vec<_> = placed.iter().filter(|p| p.0 == partition).map(|p| (p.1, p.2.clone())).collect();
        expected.sort();
        let found = read_all(&store, &at("t", partition), ALL);
        let found: Vec<_> = found.into_iter().map(|(at, value)| (at, String::from_utf8(value).unwrap())).collect();
        assert_eq!(found, expected);
    }
}
