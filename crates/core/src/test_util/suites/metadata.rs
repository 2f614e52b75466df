// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Metadata`] keeps to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::log::waker;
use super::{Check, checks, must};
use crate::error::{ErrorCode, Result};
use crate::metadata::Metadata;
use crate::spec::{DesiredState, FunctionEntry, FunctionSpec};

/// A fresh register.
pub trait MetadataHarness {
    /// The register.
    fn metadata(&self) -> Arc<dyn Metadata>;

    /// Kills the process and starts it anew, on what outlasts it. Whoever held the old one drops it.
    fn reopen(&mut self);

    /// How long to wait for what must come.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// The contract of [`Metadata`].
pub const CHECKS: &[Check<dyn MetadataHarness>] = checks![
    what_is_created_is_found,
    functions_are_listed_by_name,
    a_name_is_taken_once,
    an_update_is_based_on_the_latest_revision,
    a_removal_is_based_on_the_latest_revision,
    of_two_changes_of_one_revision_one_wins,
    ids_are_never_given_again,
    everything_outlasts_the_process,
    every_change_wakes_every_watcher,
];

fn spec(name: &str) -> FunctionSpec {
    FunctionSpec {
        name: name.into(),
        artifact: "ab".repeat(32),
        inputs: vec![vec!["in".into()], vec!["a".into(), "b".into()]],
        outputs: vec!["out".into()],
        replicas: 3,
        config: BTreeMap::from([("key".into(), String::new()), ("k".into(), "välue\n".into())]),
        ..FunctionSpec::default()
    }
}

fn create(metadata: &dyn Metadata, name: &str) -> FunctionEntry {
    must("creating a function", metadata.create(spec(name), DesiredState::Running))
}

fn get(metadata: &dyn Metadata, name: &str) -> Option<FunctionEntry> {
    must("looking a function up", metadata.get(name))
}

fn refused<T>(result: Result<T>, code: ErrorCode, what: &str) {
    assert_eq!(result.err().map(|e| e.code), Some(code), "{what}");
}

fn what_is_created_is_found(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    assert_eq!(get(&*metadata, "f"), None);
    let entry = must("creating", metadata.create(spec("f"), DesiredState::Stopped));
    assert_eq!((entry.revision, entry.desired, &entry.spec), (1, DesiredState::Stopped, &spec("f")));
    assert_eq!(get(&*metadata, "f"), Some(entry));
    assert_eq!(get(&*metadata, "F"), None, "names differ by case");
}

fn functions_are_listed_by_name(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    assert_eq!(must("listing", metadata.list()), []);
    let names = ["b", "a-b", "a", "ab", "B", "a.b"];
    for name in names {
        create(&*metadata, name);
    }
    let listed: Vec<String> = must("listing", metadata.list()).into_iter().map(|entry| entry.spec.name).collect();
    let mut sorted = names.map(str::to_owned);
    sorted.sort();
    assert_eq!(listed, sorted);
}

fn a_name_is_taken_once(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let entry = create(&*metadata, "f");
    let again = FunctionSpec { replicas: 9, ..spec("f") };
    refused(metadata.create(again, DesiredState::Stopped), ErrorCode::FunctionExists, "a second function of the name");
    assert_eq!(must("listing", metadata.list()), [entry], "a refused creation leaves nothing");
}

fn an_update_is_based_on_the_latest_revision(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let first = create(&*metadata, "f");
    let changed = FunctionSpec { replicas: 5, ..spec("f") };
    let second = must("updating", metadata.update(changed.clone(), DesiredState::Stopped, first.revision));
    assert_eq!((second.id, second.created_ms), (first.id, first.created_ms), "an update keeps id and time of creation");
    assert_eq!((second.revision, second.desired, &second.spec), (2, DesiredState::Stopped, &changed));
    for stale in [0, 1, 3] {
        let result = metadata.update(spec("f"), DesiredState::Running, stale);
        refused(result, ErrorCode::FunctionChanged, "an update of a revision that is not the latest");
    }
    assert_eq!(get(&*metadata, "f"), Some(second), "a refused update changes nothing");
    refused(metadata.update(spec("g"), DesiredState::Running, 1), ErrorCode::FunctionNotFound, "an unknown function");
    assert_eq!(get(&*metadata, "g"), None);
}

fn a_removal_is_based_on_the_latest_revision(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let entry = create(&*metadata, "f");
    let other = create(&*metadata, "other");
    let entry = must("updating", metadata.update(spec("f"), DesiredState::Stopped, entry.revision));
    refused(metadata.remove("f", 1), ErrorCode::FunctionChanged, "a removal of an older revision");
    assert_eq!(get(&*metadata, "f").as_ref(), Some(&entry), "a refused removal changes nothing");
    must("removing", metadata.remove("f", entry.revision));
    assert_eq!(must("listing", metadata.list()), [other]);
    refused(metadata.remove("f", entry.revision), ErrorCode::FunctionNotFound, "a removal of what is not there");
}

fn of_two_changes_of_one_revision_one_wins(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let mut revision = create(&*metadata, "f").revision;
    for round in 0..20 {
        let change =
            |replicas| metadata.update(FunctionSpec { replicas, ..spec("f") }, DesiredState::Running, revision);
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=4).map(|replicas| scope.spawn(move || change(replicas))).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        let results: Vec<_> = results.into_iter().map(|r| r.unwrap_or_else(|_| panic!("an update panicked"))).collect();
        let winners: Vec<_> = results.iter().filter_map(|r| r.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "of 4 changes of revision {revision} {} won in round {round}", winners.len());
        assert_eq!(get(&*metadata, "f").as_ref(), Some(winners[0]), "what is stored is what the winner was told");
        revision = winners[0].revision;
    }
}

fn ids_are_never_given_again(harness: &mut dyn MetadataHarness) {
    let mut ids = Vec::new();
    for round in 0..6 {
        let metadata = harness.metadata();
        let entry = create(&*metadata, "f");
        assert!(!ids.contains(&entry.id), "id {} was given again in round {round}", entry.id.0);
        ids.push(entry.id);
        must("removing", metadata.remove("f", entry.revision));
        drop(metadata);
        if round % 2 == 1 {
            harness.reopen();
        }
    }
}

fn everything_outlasts_the_process(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let stale = create(&*metadata, "a");
    create(&*metadata, "b");
    let removed = create(&*metadata, "c");
    must("updating", metadata.update(spec("a"), DesiredState::Stopped, stale.revision));
    must("removing", metadata.remove("c", removed.revision));
    let before = must("listing", metadata.list());
    drop(metadata);
    harness.reopen();
    assert_eq!(must("listing", harness.metadata().list()), before);
    let result = harness.metadata().update(spec("a"), DesiredState::Running, stale.revision);
    refused(result, ErrorCode::FunctionChanged, "an update of a revision from before");
}

fn every_change_wakes_every_watcher(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let watchers: [Receiver<()>; 2] = std::array::from_fn(|_| {
        let (waker, woken) = waker();
        metadata.watch(waker);
        woken
    });
    let patience = harness.patience();
    let changed = |what: &str| {
        for (i, woken) in watchers.iter().enumerate() {
            assert!(woken.recv_timeout(patience).is_ok(), "watcher {i} was not woken by {what}");
            while woken.try_recv().is_ok() {}
        }
    };
    for name in ["f", "g"] {
        let entry = create(&*metadata, name);
        changed("a creation");
        let entry = must("updating", metadata.update(spec(name), DesiredState::Stopped, entry.revision));
        changed("an update");
        must("removing", metadata.remove(name, entry.revision));
        changed("a removal");
    }
}
