// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Commits beyond what the suite of the seam asks: full disks, modes, closing, what happens around a take-over.

use std::sync::Arc;
use std::sync::mpsc::channel;

use fnstream_core::ErrorCode;
use fnstream_core::committer::CommitFailure;
use fnstream_core::delta::Delta;
use fnstream_core::epoch::{Epoch, Generation};
use fnstream_core::record::Position;
use fnstream_core::state::Marker;

use crate::support::*;

fn number(n: u64) -> String {
    n.to_string()
}

#[test]
fn a_full_disk_changes_nothing_and_work_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("out", 1).unwrap();
    let owner = task(1, 0);
    let (acquired, _) = acquire(&store, owner, None);
    let committer = store.committer();
    let make =
        |n| epoch(owner, acquired.generation, n, put("k", &number(n)), vec![outbox("out", 0, &frame([number(n)]))]);
    commit(&*committer, make(1)).unwrap();
    let trouble = || committer.trouble(owner).map(|error| error.code);
    assert_eq!(trouble(), None);
    store.inject_fault(Some(ErrorCode::StorageFull));
    for n in [2, 3, 2] {
        let failed = commit(&*committer, make(n)).unwrap_err();
        assert!(matches!(&failed, CommitFailure::Retriable(e) if e.code == ErrorCode::StorageFull), "{failed:?}");
    }
    assert_eq!(trouble(), Some(ErrorCode::StorageFull), "people are shown why nothing is committed");
    let code = append(&store, "out", Some(0), &frame(["x"])).unwrap_err().code;
    assert_eq!(code, ErrorCode::StorageFull);
    assert_eq!(store.ensure_topic("new", 1).unwrap_err().code, ErrorCode::StorageFull);
    assert_eq!(store.topic("new").unwrap_err().code, ErrorCode::TopicNotFound);
    assert_eq!(values(&store, &at("out", 0)), ["1"]);
    store.inject_fault(None);
    commit(&*committer, make(2)).unwrap();
    assert_eq!(trouble(), None);
    commit(&*committer, make(3)).unwrap();
    assert_eq!(append(&store, "out", Some(0), &frame(["4"])).unwrap(), [(0, Position(3), 1)]);
    drop((committer, store));
    let store = open(dir.path());
    assert_eq!(values(&store, &at("out", 0)), ["1", "2", "3", "4"]);
    assert_eq!(acquire(&store, owner, None).0.progress.epoch, Epoch(3));
}

#[test]
fn an_epoch_for_a_deleted_topic_is_aborted_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("out", 1).unwrap();
    let owner = task(1, 0);
    let (acquired, _) = acquire(&store, owner, None);
    let both = vec![outbox("out", 0, &frame(["x"])), outbox("gone", 0, &frame(["x"]))];
    let failed = commit(&*store.committer(), epoch(owner, acquired.generation, 1, put("k", "v"), both)).unwrap_err();
    assert!(matches!(&failed, CommitFailure::Abortable(e) if e.code == ErrorCode::TopicNotFound), "{failed:?}");
    assert!(values(&store, &at("out", 0)).is_empty());
    // The same number with other contents, after a replay.
    let other = vec![outbox("out", 0, &frame(["y"]))];
    commit(&*store.committer(), epoch(owner, acquired.generation, 1, Delta::new(), other)).unwrap();
    let (acquired, replayed) = acquire(&store, owner, None);
    assert_eq!((acquired.progress.epoch, replayed.len()), (Epoch(1), 0));
    assert_eq!(values(&store, &at("out", 0)), ["y"]);
}

#[test]
fn a_lying_outbox_never_reaches_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("out", 1).unwrap();
    let owner = task(1, 0);
    let (acquired, _) = acquire(&store, owner, None);
    let mut lying = outbox("out", 0, &frame(["x"]));
    lying.records = 2;
    let failed = commit(&*store.committer(), epoch(owner, acquired.generation, 1, Delta::new(), vec![lying]));
    assert!(matches!(failed, Err(CommitFailure::Abortable(_))), "{failed:?}");
    assert!(values(&store, &at("out", 0)).is_empty());
}

#[test]
fn closing_answers_all_that_was_handed_in_and_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("out", 1).unwrap();
    let owner = task(1, 0);
    let (acquired, _) = acquire(&store, owner, None);
    let committer = store.committer();
    let (tell, told) = channel();
    for n in 1..=100 {
        let epoch = epoch(owner, acquired.generation, n, Delta::new(), vec![outbox("out", 0, &frame([number(n)]))]);
        let tell = tell.clone();
        committer.commit(Arc::new(epoch), Box::new(move |result| tell.send(result.is_ok()).unwrap()));
    }
    store.close().unwrap();
    assert_eq!(told.try_iter().filter(|ok| *ok).count(), 100);
    let late = commit(&*committer, epoch(owner, acquired.generation, 101, Delta::new(), Vec::new())).unwrap_err();
    assert!(matches!(&late, CommitFailure::Fatal(e) if e.code == ErrorCode::ShuttingDown), "{late:?}");
    store.close().unwrap();
    drop((committer, store));
    let store = open(dir.path());
    assert_eq!(values(&store, &at("out", 0)).len(), 100);
}

#[test]
fn the_last_handle_may_be_dropped_by_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("out", 1).unwrap();
    let (tell, told) = channel();
    let (go, wait) = channel::<()>();
    let held = store.clone();
    let done = Box::new(move |_| {
        wait.recv().unwrap();
        drop(held);
        tell.send(()).unwrap();
    });
    store.append("out", None, frame(["x"]).to_bytes(), done);
    drop(store);
    go.send(()).unwrap();
    told.recv().unwrap();
}

#[test]
fn a_take_over_with_a_marker_from_before_a_trim_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let owner = task(1, 0);
    let (acquired, _) = acquire(&store, owner, None);
    let committer = store.committer();
    for n in 1..=3 {
        commit(&*committer, epoch(owner, acquired.generation, n, put("k", &number(n)), Vec::new())).unwrap();
    }
    committer.trim(owner, Epoch(2));
    // Answered after the trim, which came before it.
    commit(&*committer, epoch(owner, acquired.generation, 4, put("k", "4"), Vec::new())).unwrap();
    let marker = |n| Marker { epoch: Epoch(n), ..Marker::default() };
    let stale = committer.acquire(&assignment(owner), Some(&marker(1)), &mut |_, _| Ok(()));
    assert_eq!(stale.unwrap_err().code, ErrorCode::CommitAborted);
    let (_, replayed) = acquire(&store, owner, Some(&marker(2)));
    assert_eq!(replayed.iter().map(|(marker, _)| marker.epoch.0).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_task_that_nobody_took_over_cannot_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for generation in [0, 1] {
        let early = commit(&*store.committer(), epoch(task(1, 0), Generation(generation), 1, Delta::new(), Vec::new()));
        assert!(matches!(early, Err(CommitFailure::Fenced(_))), "{early:?}");
    }
}
