// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Metadata`] keeps to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::log::waker;
use super::{Check, checks, must};
use crate::epoch::FunctionId;
use crate::error::{ErrorCode, Result};
use crate::metadata::{MAX_REVISIONS, Metadata, Revision};
use crate::spec::{DesiredState, FunctionEntry, FunctionSpec};

/// A fresh register.
pub trait MetadataHarness {
    /// The register.
    fn metadata(&self) -> Arc<dyn Metadata>;

    /// An id as a fork of a function's state has it.
    fn fork(&self, of: FunctionId) -> FunctionId;

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
    a_page_begins_behind_a_name,
    a_name_is_taken_once,
    an_update_is_based_on_the_latest_revision,
    a_removal_is_based_on_the_latest_revision,
    of_two_changes_of_one_revision_one_wins,
    ids_are_never_given_again,
    everything_outlasts_the_process,
    each_description_is_a_revision_of_the_history,
    a_replaced_revision_keeps_its_state,
    only_the_newest_revisions_are_kept,
    a_switched_function_has_another_id_and_its_past_keeps_the_old_one,
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

fn a_page_begins_behind_a_name(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let page = |after: Option<&str>, limit| {
        let page = must("a page", metadata.page(after, limit));
        page.into_iter().map(|entry| entry.spec.name).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 9), [""; 0]);
    for name in ["b", "a-b", "a", "ab", "B"] {
        create(&*metadata, name);
    }
    assert_eq!(page(None, 2), ["B", "a"]);
    assert_eq!(page(Some("a"), 2), ["a-b", "ab"]);
    assert_eq!(page(Some("ab"), 2), ["b"]);
    assert_eq!(page(Some("b"), 2), [""; 0]);
    assert_eq!(page(Some("aa"), 9), ["ab", "b"], "behind a name that is not there");
    assert_eq!(page(None, usize::MAX).len(), 5);
    assert_eq!(page(None, 0), [""; 0]);
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
    let second = must("updating", metadata.update(changed.clone(), DesiredState::Stopped, first.revision, None));
    assert_eq!((second.id, second.created_ms), (first.id, first.created_ms), "an update keeps id and time of creation");
    assert_eq!((second.revision, second.desired, &second.spec), (2, DesiredState::Stopped, &changed));
    for stale in [0, 1, 3] {
        let result = metadata.update(spec("f"), DesiredState::Running, stale, None);
        refused(result, ErrorCode::FunctionChanged, "an update of a revision that is not the latest");
    }
    assert_eq!(get(&*metadata, "f"), Some(second), "a refused update changes nothing");
    refused(
        metadata.update(spec("g"), DesiredState::Running, 1, None),
        ErrorCode::FunctionNotFound,
        "an unknown function",
    );
    assert_eq!(get(&*metadata, "g"), None);
}

fn a_removal_is_based_on_the_latest_revision(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let entry = create(&*metadata, "f");
    let other = create(&*metadata, "other");
    let entry = must("updating", metadata.update(spec("f"), DesiredState::Stopped, entry.revision, None));
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
            |replicas| metadata.update(FunctionSpec { replicas, ..spec("f") }, DesiredState::Running, revision, None);
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
    must("updating", metadata.update(spec("a"), DesiredState::Stopped, stale.revision, None));
    must("removing", metadata.remove("c", removed.revision));
    let before = must("listing", metadata.list());
    drop(metadata);
    harness.reopen();
    assert_eq!(must("listing", harness.metadata().list()), before);
    let result = harness.metadata().update(spec("a"), DesiredState::Running, stale.revision, None);
    refused(result, ErrorCode::FunctionChanged, "an update of a revision from before");
}

fn with_replicas(name: &str, replicas: u32) -> FunctionSpec {
    FunctionSpec { replicas, ..spec(name) }
}

/// What a history tells but for times, which no suite can foresee.
fn told(history: &[Revision]) -> Vec<(u64, u32, Option<FunctionId>)> {
    history.iter().map(|of| (of.revision, of.spec.replicas, of.state)).collect()
}

fn revisions(metadata: &dyn Metadata, name: &str) -> Vec<Revision> {
    must("listing the revisions", metadata.revisions(name))
}

fn each_description_is_a_revision_of_the_history(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    assert_eq!(revisions(&*metadata, "f"), [], "of no function");
    let first = create(&*metadata, "f");
    let only = revisions(&*metadata, "f");
    assert_eq!(told(&only), [(1, 3, None)]);
    assert_eq!((&only[0].spec, only[0].created_ms), (&first.spec, first.created_ms));
    let stopped = must("stopping", metadata.update(spec("f"), DesiredState::Stopped, first.revision, None));
    assert_eq!(revisions(&*metadata, "f"), only, "another desired state is no other description");
    let changed =
        must("updating", metadata.update(with_replicas("f", 4), DesiredState::Stopped, stopped.revision, None));
    assert_eq!(told(&revisions(&*metadata, "f")), [(1, 3, None), (3, 4, None)]);
    let stale = metadata.update(with_replicas("f", 5), DesiredState::Stopped, stopped.revision, None);
    refused(stale, ErrorCode::FunctionChanged, "an update of an older revision");
    let before = revisions(&*metadata, "f");
    assert_eq!(told(&before), [(1, 3, None), (3, 4, None)], "a refused update is not part of the history");
    drop(metadata);
    harness.reopen();
    let metadata = harness.metadata();
    assert_eq!(revisions(&*metadata, "f"), before, "after a restart");
    must("removing", metadata.remove("f", changed.revision));
    assert_eq!(revisions(&*metadata, "f"), [], "of a removed function");
    create(&*metadata, "f");
    assert_eq!(told(&revisions(&*metadata, "f")), [(1, 3, None)], "a new function has no past");
}

fn a_replaced_revision_keeps_its_state(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let entry = create(&*metadata, "f");
    let fork = harness.fork(entry.id);
    assert_ne!(fork, entry.id);
    let unchanged = metadata.update(spec("f"), DesiredState::Stopped, entry.revision, Some(fork));
    refused(unchanged, ErrorCode::Internal, "a snapshot for no other description");
    let update = metadata.update(with_replicas("f", 4), DesiredState::Running, entry.revision, Some(fork));
    let second = must("updating", update);
    assert_eq!(second.id, entry.id, "an update keeps the id");
    let expected = [(1, 3, Some(fork)), (2, 4, None)];
    assert_eq!(told(&revisions(&*metadata, "f")), expected);
    let other = create(&*metadata, "g");
    assert!(other.id != fork && other.id != entry.id, "id {} was given again", other.id.0);
    drop(metadata);
    harness.reopen();
    assert_eq!(told(&revisions(&*harness.metadata(), "f")), expected, "after a restart");
}

fn only_the_newest_revisions_are_kept(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let mut entry = create(&*metadata, "f");
    for replicas in 10..30 {
        let fork = harness.fork(entry.id);
        let update = metadata.update(with_replicas("f", replicas), DesiredState::Running, entry.revision, Some(fork));
        entry = must("updating", update);
    }
    let history = revisions(&*metadata, "f");
    let numbers: Vec<u64> = history.iter().map(|of| of.revision).collect();
    assert_eq!(numbers, (entry.revision + 1 - MAX_REVISIONS as u64..=entry.revision).collect::<Vec<_>>());
    let kept = history.iter().filter(|of| of.state.is_some()).count();
    assert_eq!(kept, MAX_REVISIONS - 1, "all but the present one have a state");
    assert_eq!(history.last().map(|of| &of.spec), Some(&entry.spec));
}

fn a_switched_function_has_another_id_and_its_past_keeps_the_old_one(harness: &mut dyn MetadataHarness) {
    let metadata = harness.metadata();
    let first = must("creating", metadata.create(spec("f"), DesiredState::Stopped));
    let fork = harness.fork(first.id);
    refused(metadata.switch(spec("f"), 7, fork), ErrorCode::FunctionChanged, "a switch of another revision");
    refused(metadata.switch(spec("g"), 1, fork), ErrorCode::FunctionNotFound, "a switch of an unknown function");
    assert_eq!(get(&*metadata, "f").as_ref(), Some(&first), "a refused switch changes nothing");
    let second = must("switching", metadata.switch(spec("f"), first.revision, fork));
    assert_eq!((second.id, second.revision, second.desired), (fork, 2, DesiredState::Stopped));
    assert_eq!((second.created_ms, &second.spec), (first.created_ms, &first.spec));
    let expected = [(1, 3, Some(first.id)), (2, 3, None)];
    assert_eq!(told(&revisions(&*metadata, "f")), expected, "also when the description is the same");
    drop(metadata);
    harness.reopen();
    let metadata = harness.metadata();
    assert_eq!(get(&*metadata, "f").as_ref(), Some(&second), "after a restart");
    assert_eq!(told(&revisions(&*metadata, "f")), expected, "after a restart");
    assert!(![first.id, fork].contains(&create(&*metadata, "g").id), "an id was given again");
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
        let entry = must("updating", metadata.update(spec(name), DesiredState::Stopped, entry.revision, None));
        changed("an update");
        let entry = must("switching", metadata.switch(spec(name), entry.revision, harness.fork(entry.id)));
        changed("a switch");
        must("removing", metadata.remove(name, entry.revision));
        changed("a removal");
    }
}
