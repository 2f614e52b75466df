// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Watermarks of a topic when the functions that write to it change.

use fnstream_core::broker::{Assignment, PollLimit, Polled, Source, TaskInput};
use fnstream_core::delta::Delta;
use fnstream_core::epoch::{FrozenEpoch, FunctionId, OutboxWatermark};
use fnstream_core::record::Positions;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::waker::Waker;
use fnstream_store::Store;

use crate::support::*;

/// Registers a function that writes to `out`.
fn writer(store: &Store, name: &str) -> FunctionEntry {
    store.metadata().create(spec(name), DesiredState::Running).unwrap()
}

/// The first task of a function emits a watermark to `out`.
fn emit(store: &Store, function: FunctionId, watermark: u64) {
    let owner = task(function.0, 0);
    let (acquired, _) = acquire(store, owner, None);
    let number = acquired.progress.epoch.0 + 1;
    let watermarks = vec![OutboxWatermark { topic: "out".into(), watermark, idle: false }];
    let bare = epoch(owner, acquired.generation, number, Delta::new(), Vec::new());
    commit(&*store.committer(), FrozenEpoch { watermarks, ..bare }).unwrap();
}

/// The watermark that a new reader of `out` finds.
fn found(store: &Store) -> Option<u64> {
    let inputs = vec![TaskInput { group: 0, partition: at("out", 0) }];
    let assignment = Assignment { inputs, ..assignment(task(99, 0)) };
    let mut source: Box<dyn Source> =
        store.broker().open_source(&assignment, &Positions::new(), Waker::noop()).unwrap();
    match source.poll(None, PollLimit { records: 1, bytes: 1 }).unwrap() {
        Polled::Watermark { watermark, .. } => Some(watermark),
        _ => None,
    }
}

/// Two writers of `out`: `ahead` is at 100, `behind` at 50.
fn two(store: &Store) -> (FunctionEntry, FunctionEntry) {
    store.ensure_topic("out", 1).unwrap();
    let (ahead, behind) = (writer(store, "ahead"), writer(store, "behind"));
    emit(store, behind.id, 50);
    emit(store, ahead.id, 100);
    assert_eq!(found(store), Some(50));
    (ahead, behind)
}

#[test]
fn a_writer_that_is_deleted_holds_nobody_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (_, behind) = two(&store);
    store.metadata().remove(&behind.spec.name, 1).unwrap();
    assert_eq!(found(&store), Some(100));
    drop(store);
    assert_eq!(found(&open(dir.path())), Some(100));
}

#[test]
fn a_writer_that_writes_elsewhere_since_an_update_holds_nobody_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (_, behind) = two(&store);
    let same = FunctionSpec { replicas: 2, ..behind.spec.clone() };
    store.metadata().update(same, DesiredState::Running, 1, None).unwrap();
    assert_eq!(found(&store), Some(50), "another change says nothing of it");
    let elsewhere = FunctionSpec { outputs: vec!["elsewhere".into()], ..behind.spec };
    store.metadata().update(elsewhere, DesiredState::Running, 2, None).unwrap();
    assert_eq!(found(&store), Some(100));
}

#[test]
fn a_writer_that_is_rolled_back_goes_on_holding_its_readers_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (ahead, behind) = two(&store);
    let fork = store.fork(behind.id).unwrap();
    let behind = store.metadata().switch(behind.spec, 1, fork).unwrap();
    emit(&store, ahead.id, 200);
    assert_eq!(found(&store), Some(50));
    drop(store);
    let store = open(dir.path());
    assert_eq!(found(&store), Some(50));
    emit(&store, behind.id, 40);
    emit(&store, behind.id, 70);
    assert_eq!(found(&store), Some(70));
}
