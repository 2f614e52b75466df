// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `kill -9` at each named step: a child process works until it aborts there, then the parent looks at what it left.
//!
//! The child writes what was answered to a file of its own, after the answer: whatever is in it must be in the store.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;

use bytes::Bytes;
use fnstream_core::delta::{Delta, Lookup, Write};
use fnstream_core::epoch::{Epoch, FunctionId};
use fnstream_core::producers::Numbered;
use fnstream_core::spec::{DesiredState, FunctionSpec};
use fnstream_core::state::{Marker, StateStore};
use fnstream_core::topic::Topic;
use fnstream_store::{FAILPOINTS, NEW_FOLDER_FAILPOINTS, Store, WRONG_COMMITTER, WRONG_COMMITTER_FAILPOINT};

use crate::support::*;

/// Keys that each epoch appends a byte to: enough for an apply in parts.
const MERGED: [&[u8; 2]; 5] = [b"m0", b"m1", b"m2", b"m3", b"m4"];
const SIGABRT: i32 = 6;
/// The function whose task works: an id that is never given out here.
const OWNER: u32 = 1 << 20;
const FOLDER: &str = "FNSTREAM_CRASH_FOLDER";

/// What the child does, again and again; every step of the list is reached in each round.
fn work(dir: &Path) {
    let store = open(&dir.join("data"));
    let mut answered = File::options().create(true).append(true).open(dir.join("answered")).unwrap();
    let mut answer = |line: String| writeln!(answered, "{line}").unwrap();
    let owner = task(OWNER, 0);
    store.ensure_topic("out", 1).unwrap();
    store.ensure_topic("numbered", 2).unwrap();
    loop {
        let place = store.producers().producer(&Topic::own("numbered"), "p").unwrap();
        let next = place.map_or(0, |place| place.next);
        let (tell, told) = channel();
        let numbers = frame((next..next + 5).map(|number| number.to_string())).to_bytes();
        let numbered = Numbered::new("p", next).unwrap();
        let done = Box::new(move |done| tell.send(done).unwrap());
        store.producers().append_numbered(&Topic::own("numbered"), numbered, None, numbers.into(), done);
        told.recv().unwrap().unwrap();
        answer(format!("numbered {}", next + 5));
        let state = store.state_stores().open(owner).unwrap();
        let marker = state.marker().unwrap();
        let (acquired, replayed) = acquire(&store, owner, marker.as_ref());
        let mut layer = roll_forward(&*state, replayed);
        let mut last = acquired.progress.epoch.0;
        for _ in 0..3 {
            last += 1;
            let mut delta = put("last", &last.to_string());
            for key in MERGED {
                delta.write(key, Write::Merge(Bytes::from_static(b"+")));
            }
            layer.absorb(delta.clone());
            let out = vec![outbox("out", 0, &frame([last.to_string()]))];
            commit(&*store.committer(), epoch(owner, acquired.generation, last, delta, out)).unwrap();
            answer(format!("epoch {last}"));
        }
        state.apply(&layer, &Marker { epoch: Epoch(last), ..Marker::default() }).unwrap();
        store.committer().trim(owner, Epoch(last));
        let name = format!("f{last}");
        let entry = store.metadata().create(spec(&name), DesiredState::Running).unwrap();
        answer(format!("function {name}"));
        let fork = store.fork(owner.function).unwrap();
        let changed = FunctionSpec { replicas: 2, ..entry.spec };
        store.metadata().update(changed, DesiredState::Running, entry.revision, Some(fork)).unwrap();
        answer(format!("revision {name}"));
        store.ensure_topic(&name, 1).unwrap();
        answer(format!("topic {name}"));
        let digest = store.artifacts().put(name.as_bytes()).unwrap().digest().to_owned();
        answer(format!("artifact {digest}"));
    }
}

/// Finishes an apply that was cut, as whoever takes a task over has to; answers what is unapplied then.
fn roll_forward(state: &dyn StateStore, replayed: Vec<(Marker, Delta)>) -> Delta {
    let mut begun = state.unfinished().unwrap();
    let mut layer = Delta::new();
    for (marker, delta) in replayed {
        if let Some(begun) = begun.take_if(|begun| marker.epoch > begun.marker.epoch) {
            state.apply(&std::mem::take(&mut layer), &begun.marker).unwrap();
        }
        layer.absorb(delta);
    }
    if let Some(begun) = begun {
        state.apply(&std::mem::take(&mut layer), &begun.marker).unwrap();
    }
    layer
}

#[test]
#[ignore = "the child of the other tests"]
fn child() {
    fnstream_core::failpoint::init();
    work(&PathBuf::from(std::env::var_os(FOLDER).unwrap()));
}

/// Runs the child until it aborts at the `nth` time that it comes to `step`.
fn crash(dir: &Path, step: &str, nth: usize, wrong: bool) {
    end(dir, &format!("{step}={nth}*off->return"), wrong);
}

/// Runs the child until it aborts by what is planted.
fn end(dir: &Path, planted: &str, wrong: bool) {
    fs::create_dir_all(dir).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .env(FOLDER, dir)
        .env("FAILPOINTS", planted)
        .env(WRONG_COMMITTER, if wrong { "1" } else { "0" });
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(SIGABRT), "{planted}: {told}");
}

/// What is wrong with a folder that a crash left, if anything.
fn problem(dir: &Path) -> Option<String> {
    let store = open(&dir.join("data"));
    let owner = task(OWNER, 0);
    let state = store.state_stores().open(owner).unwrap();
    let marker = state.marker().unwrap();
    let (acquired, replayed) = acquire(&store, owner, marker.as_ref());
    let stands = acquired.progress.epoch.0;
    let expected: Vec<String> = (1..=stands).map(|n| n.to_string()).collect();
    let emitted = store.topic("out").map(|_| values(&store, &at("out", 0))).unwrap_or_default();
    if emitted != expected {
        return Some(format!("the task stands at {stands}, its outbox has {emitted:?}"));
    }
    let layer = roll_forward(&*state, replayed);
    let below = state.get(b"last").unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap());
    let last = match layer.lookup(b"last") {
        Lookup::Value(value) => Some(String::from_utf8(value.to_vec()).unwrap()),
        _ => below,
    };
    if last != expected.last().cloned() {
        return Some(format!("the task stands at {stands}, its state is at {last:?}"));
    }
    for key in MERGED {
        let below = state.get(key).unwrap().map_or(0, |value| value.len());
        let merges = match layer.lookup(key) {
            Lookup::Append(operand) => below + operand.len(),
            _ => below,
        };
        if merges as u64 != stands {
            return Some(format!("the task stands at {stands}, and {merges} merges of {key:?} are applied"));
        }
    }
    let numbered =
        store.producers().producer(&Topic::own("numbered"), "p").ok().flatten().map_or(0, |place| place.next);
    let there = [0, 1].map(|partition| store.topic("numbered").map(|_| values(&store, &at("numbered", partition))));
    let mut there: Vec<u64> =
        there.into_iter().flat_map(|values| values.unwrap_or_default()).map(|value| value.parse().unwrap()).collect();
    there.sort_unstable();
    if there != (0..numbered).collect::<Vec<_>>() {
        return Some(format!("the producer stands at {numbered}, and there is {there:?}"));
    }
    if let Some(why) = problem_of_forks(&store, owner.function) {
        return Some(why);
    }
    let answered = fs::read_to_string(dir.join("answered")).unwrap_or_default();
    for line in answered.lines() {
        let (what, name) = line.split_once(' ').unwrap();
        let found = match what {
            "epoch" => name.parse::<u64>().unwrap() <= stands,
            "numbered" => name.parse::<u64>().unwrap() <= numbered,
            "function" => store.metadata().get(name).unwrap().is_some(),
            "revision" => store.metadata().revisions(name).unwrap().len() == 2,
            "topic" => store.topic(name).is_ok(),
            "artifact" => store.artifacts().get(name).is_ok(),
            other => panic!("{other}"),
        };
        if !found {
            return Some(format!("{line} was answered and is not there"));
        }
    }
    None
}

/// A fork is whole and a replaced revision's, or it is not there.
fn problem_of_forks(store: &Store, origin: FunctionId) -> Option<String> {
    let mut claimed = HashSet::from([origin]);
    for entry in store.metadata().list().unwrap() {
        let name = &entry.spec.name;
        for state in store.metadata().revisions(name).unwrap().into_iter().filter_map(|revision| revision.state) {
            claimed.insert(state);
            let stood = store.progress(state).unwrap()[&0].epoch.0;
            if format!("f{stood}") != *name {
                return Some(format!("the fork of {name} is of epoch {stood}"));
            }
            let last = store.state_stores().open(task(state.0, 0)).unwrap().get(b"last").unwrap();
            if last.as_deref() != Some(stood.to_string().as_bytes()) {
                return Some(format!("the fork of {name} has the state {last:?}"));
            }
        }
    }
    let next = store.fork(origin).unwrap();
    store.discard_fork(next).unwrap();
    let stray =
        (1..next.0).map(FunctionId).find(|id| !claimed.contains(id) && !store.progress(*id).unwrap().is_empty());
    stray.map(|id| format!("the fork {} is nobody's and still there", id.0))
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_halves_nothing() {
    for step in FAILPOINTS.iter().chain(NEW_FOLDER_FAILPOINTS) {
        let dir = tempfile::tempdir().unwrap();
        // Again and again on what the crash before has left.
        let rounds = if NEW_FOLDER_FAILPOINTS.contains(step) { 1 } else { 3 };
        for round in 0..rounds {
            crash(dir.path(), step, round, false);
            assert_eq!(problem(dir.path()), None, "{step}, round {round}");
        }
        assert_eq!(fs::read_dir(dir.path().join("data/artifacts")).unwrap().filter(is_tmp).count(), 0, "{step}");
    }
}

#[test]
fn a_panic_of_the_thread_that_commits_ends_the_process_and_loses_nothing() {
    for step in ["commit.before-write", "commit.after-write"] {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..3 {
            end(dir.path(), &format!("{step}={round}*off->panic(planted)"), false);
            assert_eq!(problem(dir.path()), None, "{step}, round {round}");
        }
    }
}

fn is_tmp(entry: &std::io::Result<fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp")
}

#[test]
fn a_committer_that_writes_in_two_steps_is_caught() {
    let dir = tempfile::tempdir().unwrap();
    crash(dir.path(), WRONG_COMMITTER_FAILPOINT, 2, true);
    assert!(problem(dir.path()).is_some_and(|why| why.contains("its outbox has")));
}
