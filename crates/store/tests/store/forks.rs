// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Forks of a function's state, and who keeps them.

use bytes::Bytes;
use fnstream_core::ErrorCode;
use fnstream_core::committer::CommitFailure;
use fnstream_core::delta::{Delta, Lookup, Write};
use fnstream_core::epoch::{Epoch, FunctionId, Generation, Progress};
use fnstream_core::metadata::MAX_REVISIONS;
use fnstream_core::record::Position;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::state::Marker;
use fnstream_store::Store;

use crate::support::*;

/// A registered function with one task whose state is partly applied and partly in a delta.
fn function(store: &Store, name: &str) -> FunctionEntry {
    let entry = store.metadata().create(spec(name), DesiredState::Running).unwrap();
    let owner = task(entry.id.0, 0);
    let (acquired, _) = acquire(store, owner, None);
    for (number, key) in [(1, "a"), (2, "b")] {
        let done = epoch(owner, acquired.generation, number, put(key, &number.to_string()), Vec::new());
        commit(&*store.committer(), done).unwrap();
    }
    let marker = Marker { epoch: Epoch(1), ..Marker::default() };
    store.state_stores().open(owner).unwrap().apply(&put("a", "1"), &marker).unwrap();
    entry
}

/// The value of a key of a function's first task, as its next owner finds it.
fn value(store: &Store, function: FunctionId, key: &str) -> Option<String> {
    let owner = task(function.0, 0);
    let state = store.state_stores().open(owner).unwrap();
    let (_, replayed) = acquire(store, owner, state.marker().unwrap().as_ref());
    let mut layer = Delta::new();
    replayed.into_iter().for_each(|(_, delta)| layer.absorb(delta));
    let found = match layer.lookup(key.as_bytes()) {
        Lookup::Value(value) => Some(value.clone()),
        _ => state.get(key.as_bytes()).unwrap(),
    };
    found.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// Whether anything is there of the tasks of an id.
fn is_there(store: &Store, id: FunctionId) -> bool {
    let state = store.state_stores().open(task(id.0, 0)).unwrap();
    let applied = state.get(b"a").unwrap().is_some() || state.marker().unwrap().is_some();
    applied || !store.progress(id).unwrap().is_empty()
}

fn with_replicas(entry: &FunctionEntry, replicas: u32) -> FunctionSpec {
    FunctionSpec { replicas, ..entry.spec.clone() }
}

#[test]
fn a_fork_is_of_one_moment_and_is_not_touched_by_what_comes_after() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let entry = function(&store, "f");
    let fork = store.fork(entry.id).unwrap();
    assert_ne!(fork, entry.id);
    assert_eq!(store.progress(fork).unwrap(), store.progress(entry.id).unwrap());

    let owner = task(entry.id.0, 0);
    let (acquired, _) = acquire(&store, owner, None);
    commit(&*store.committer(), epoch(owner, acquired.generation, 3, put("a", "3"), Vec::new())).unwrap();
    for (id, a) in [(entry.id, "3"), (fork, "1")] {
        assert_eq!((value(&store, id, "a").as_deref(), value(&store, id, "b").as_deref()), (Some(a), Some("2")));
    }
    assert_eq!(store.progress(fork).unwrap()[&0].epoch, Epoch(2));
}

#[test]
fn a_large_state_is_copied_wholly_and_the_neighbours_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (before, entry, after) = (function(&store, "before"), function(&store, "f"), function(&store, "later"));
    for index in [0, 7] {
        let mut delta = Delta::new();
        for n in 0..3000_u32 {
            delta.write(format!("{n:05}").as_bytes(), Write::Put(Bytes::from(vec![n as u8; 1000])));
        }
        let state = store.state_stores().open(task(entry.id.0, index)).unwrap();
        state.apply(&delta, &Marker { epoch: Epoch(1), ..Marker::default() }).unwrap();
    }
    let fork = store.fork(entry.id).unwrap();
    for index in [0, 7] {
        let copies = [entry.id, fork].map(|id| {
            let mut pairs = Vec::new();
            let state = store.state_stores().open(task(id.0, index)).unwrap();
            state
                .scan(b"", None, &mut |key, value| {
                    pairs.push((key.to_vec(), value.to_vec()));
                    std::ops::ControlFlow::Continue(())
                })
                .unwrap();
            (pairs, state.marker().unwrap())
        });
        assert!(copies[0].0.len() >= 3000);
        assert!(copies[0] == copies[1], "task {index}");
    }
    for neighbour in [before.id, after.id] {
        assert_eq!(value(&store, neighbour, "b").as_deref(), Some("2"));
    }
}

#[test]
fn a_fork_that_nobody_claimed_is_gone_at_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let entry = function(&store, "f");
    let [claimed, forgotten, discarded] = [(); 3].map(|()| store.fork(entry.id).unwrap());
    store.metadata().update(with_replicas(&entry, 2), DesiredState::Running, 1, Some(claimed)).unwrap();
    store.discard_fork(discarded).unwrap();
    store.discard_fork(claimed).unwrap();
    assert!(is_there(&store, claimed) && is_there(&store, forgotten) && !is_there(&store, discarded));
    drop(store);

    let store = open(dir.path());
    assert!(!is_there(&store, forgotten));
    assert_eq!(value(&store, claimed, "a").as_deref(), Some("1"));
    assert_eq!(value(&store, entry.id, "a").as_deref(), Some("1"));
}

#[test]
fn only_a_free_fork_can_be_claimed_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let entry = function(&store, "f");
    let fork = store.fork(entry.id).unwrap();
    let update = |replicas, revision, fork| {
        store.metadata().update(with_replicas(&entry, replicas), DesiredState::Running, revision, Some(fork))
    };
    for not_free in [entry.id, FunctionId(99)] {
        assert_eq!(update(2, 1, not_free).unwrap_err().code, ErrorCode::Internal);
        assert_eq!(store.metadata().switch(entry.spec.clone(), 1, not_free).unwrap_err().code, ErrorCode::Internal);
    }
    update(2, 1, fork).unwrap();
    assert_eq!(update(3, 2, fork).unwrap_err().code, ErrorCode::Internal);
    assert_eq!(store.place_fork(fork, &Default::default()).unwrap_err().code, ErrorCode::Internal);
    assert_eq!(store.metadata().get("f").unwrap().unwrap().revision, 2, "a refused change changes nothing");
}

#[test]
fn a_switched_function_goes_on_from_the_fork_and_who_ran_it_before_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.ensure_topic("out", 1).unwrap();
    let entry = function(&store, "f");
    let owner = task(entry.id.0, 0);
    let fork = store.fork(entry.id).unwrap();
    let (acquired, _) = acquire(&store, owner, None);
    commit(&*store.committer(), epoch(owner, acquired.generation, 3, put("a", "3"), Vec::new())).unwrap();
    let zombie = store.state_stores().open(owner).unwrap();

    let mut placed = store.progress(fork).unwrap();
    let at = placed.get_mut(&0).unwrap();
    at.positions = [(crate::support::at("in", 0), Position(3))].into();
    at.records_in = 3;
    let wrong = [(0, Progress { epoch: Epoch(3), ..placed[&0].clone() })].into();
    assert_eq!(store.place_fork(fork, &wrong).unwrap_err().code, ErrorCode::Internal, "an epoch without its state");
    let stateless = Progress { records_in: 5, ..Progress::default() };
    placed.insert(1, stateless.clone());
    store.place_fork(fork, &placed).unwrap();
    let switched = store.metadata().switch(entry.spec.clone(), 1, fork).unwrap();
    assert_eq!((switched.id, switched.revision), (fork, 2));

    let late = epoch(owner, acquired.generation, 4, put("a", "4"), vec![outbox("out", 0, &frame(["late"]))]);
    assert!(matches!(commit(&*store.committer(), late), Err(CommitFailure::Fenced(_))));
    let applied = zombie.apply(&put("a", "late"), &Marker { epoch: Epoch(4), ..Marker::default() });
    assert_eq!(applied.unwrap_err().code, ErrorCode::Fenced);
    assert!(values(&store, &crate::support::at("out", 0)).is_empty());
    drop((zombie, store));

    let store = open(dir.path());
    assert_eq!(store.progress(fork).unwrap(), placed);
    assert_eq!(value(&store, fork, "a").as_deref(), Some("1"));
    let (acquired, _) = acquire(&store, task(fork.0, 0), None);
    assert!(acquired.generation > Generation(0));
    commit(&*store.committer(), epoch(task(fork.0, 0), acquired.generation, 3, put("a", "5"), Vec::new())).unwrap();
    // What it was can be gone back to in its turn.
    let history = store.metadata().revisions("f").unwrap();
    assert_eq!(history[0].state, Some(entry.id));
    let again = store.fork(entry.id).unwrap();
    assert_eq!(value(&store, again, "a").as_deref(), Some("3"));
    assert_eq!(value(&store, fork, "a").as_deref(), Some("5"));
}

#[test]
fn states_go_with_the_revisions_that_are_let_go_and_with_the_function() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let other = function(&store, "other");
    let mut entry = function(&store, "f");
    let mut forks = Vec::new();
    for replicas in 2..15 {
        let fork = store.fork(entry.id).unwrap();
        forks.push(fork);
        let new = with_replicas(&entry, replicas);
        entry = store.metadata().update(new, DesiredState::Running, entry.revision, Some(fork)).unwrap();
    }
    let gone = forks.len() + 1 - MAX_REVISIONS;
    for (n, fork) in forks.iter().enumerate() {
        assert_eq!(is_there(&store, *fork), n >= gone, "fork {n}");
    }
    store.metadata().remove("f", entry.revision).unwrap();
    for id in forks.into_iter().chain([entry.id]) {
        assert!(!is_there(&store, id));
    }
    assert_eq!(value(&store, other.id, "a").as_deref(), Some("1"));
}

/// Hands an epoch in while the disk does not answer, and has the fork made meanwhile.
#[test]
fn what_is_being_written_when_a_fork_is_made_is_in_both_or_in_neither() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let entry = function(&store, "f");
    let owner = task(entry.id.0, 0);
    for number in 3..8 {
        let (acquired, _) = acquire(&store, owner, None);
        let next = acquired.progress.epoch.next().0;
        let (tell, told) = std::sync::mpsc::channel();
        let (fork, committed) = std::thread::scope(|scope| {
            let stalled = store.stall();
            let done = Box::new(move |result| tell.send(result).unwrap());
            let delta = put("a", &number.to_string());
            let handed_in = epoch(owner, acquired.generation, next, delta, Vec::new());
            store.committer().commit(std::sync::Arc::new(handed_in), done);
            let forking = scope.spawn(|| store.fork(entry.id).unwrap());
            // Either may come first at the committer's lock.
            std::thread::yield_now();
            drop(stalled);
            (forking.join().unwrap(), told.recv().unwrap())
        });
        let (of_fork, of_function) = (store.progress(fork).unwrap(), store.progress(entry.id).unwrap());
        assert_eq!(of_fork, of_function, "in round {number}");
        assert_eq!(committed.is_ok(), of_function[&0].epoch == Epoch(next), "an epoch that is answered is there");
        let again = epoch(owner, acquired.generation, next + 1, put("a", "late"), Vec::new());
        let late = commit(&*store.committer(), again).unwrap_err();
        assert!(matches!(late, CommitFailure::Fenced(_)), "{late:?}");
    }
}
