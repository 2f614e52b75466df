// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The register of functions, and what goes with a function.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fnstream_core::ErrorCode;
use fnstream_core::committer::CommitFailure;
use fnstream_core::delta::Delta;
use fnstream_core::epoch::Epoch;
use fnstream_core::spec::DesiredState;
use fnstream_core::state::Marker;
use fnstream_core::waker::Waker;

use crate::support::*;

#[test]
fn changes_compare_and_set_and_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let register = store.metadata();
    let woken = Arc::new(AtomicUsize::new(0));
    let counted = woken.clone();
    register.watch(Waker::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    }));
    let first = register.create(spec("f"), DesiredState::Running).unwrap();
    assert_eq!(register.create(spec("f"), DesiredState::Running).unwrap_err().code, ErrorCode::FunctionExists);
    let second = register.update(spec("f"), DesiredState::Stopped, first.revision, None).unwrap();
    assert_eq!((second.id, second.revision), (first.id, 2));
    let late = register.update(spec("f"), DesiredState::Running, first.revision, None).unwrap_err();
    assert_eq!(late.code, ErrorCode::FunctionChanged);
    assert_eq!(register.remove("f", 1).unwrap_err().code, ErrorCode::FunctionChanged);
    assert_eq!(register.remove("g", 1).unwrap_err().code, ErrorCode::FunctionNotFound);
    assert_eq!(woken.load(Ordering::SeqCst), 2);
    register.create(spec("a"), DesiredState::Running).unwrap();
    drop((register, store));

    let store = open(dir.path());
    let register = store.metadata();
    assert_eq!(register.get("f").unwrap(), Some(second.clone()));
    let names: Vec<_> = register.list().unwrap().into_iter().map(|entry| entry.spec.name).collect();
    assert_eq!(names, ["a", "f"]);
    register.remove("f", second.revision).unwrap();
    drop((register, store));

    let store = open(dir.path());
    let again = store.metadata().create(spec("f"), DesiredState::Running).unwrap();
    assert!(again.id.0 > 2, "ids are not given again: {:?}", again.id);
}

#[test]
fn a_removed_function_takes_everything_along_and_nothing_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("out", 1).unwrap();
    let entry = store.metadata().create(spec("f"), DesiredState::Running).unwrap();
    let (mine, others) = (task(entry.id.0, 0), task(entry.id.0 + 1, 0));
    let committer = store.committer();
    for owner in [mine, others] {
        let (acquired, _) = acquire(&store, owner, None);
        for number in 1..=2 {
            let state = put("k", &number.to_string());
            commit(&*committer, epoch(owner, acquired.generation, number, state, Vec::new())).unwrap();
        }
        let marker = Marker { epoch: Epoch(1), ..Marker::default() };
        store.state_stores().open(owner).unwrap().apply(&put("k", "1"), &marker).unwrap();
    }
    let zombie = store.state_stores().open(mine).unwrap();
    store.metadata().remove("f", 1).unwrap();

    let (first, second) = (fnstream_core::epoch::Generation(1), Delta::new());
    let refused = commit(&*committer, epoch(mine, first, 3, second, vec![outbox("out", 0, &frame(["late"]))]));
    assert!(matches!(refused, Err(CommitFailure::Fenced(_))), "{refused:?}");
    assert_eq!(zombie.apply(&put("k", "late"), &Marker::default()).unwrap_err().code, ErrorCode::Fenced);
    let taken = committer.acquire(&assignment(mine), None, &mut |_, _| Ok(()));
    assert_eq!(taken.unwrap_err().code, ErrorCode::Fenced);
    assert!(values(&store, &at("out", 0)).is_empty());
    drop((zombie, committer, store));

    let store = open(dir.path());
    let (acquired, replayed) = acquire(&store, mine, None);
    assert_eq!((acquired.progress.epoch, replayed.len()), (Epoch(0), 0));
    let state = store.state_stores().open(mine).unwrap();
    assert_eq!((state.marker().unwrap(), state.get(b"k").unwrap()), (None, None));
    let (acquired, replayed) = acquire(&store, others, None);
    assert_eq!((acquired.progress.epoch, replayed.len()), (Epoch(2), 2));
    let state = store.state_stores().open(others).unwrap();
    assert_eq!(state.get(b"k").unwrap().unwrap(), "1");
}
