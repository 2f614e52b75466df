// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`StateStore`] keeps to.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::{Check, checks, must};
use crate::delta::{Delta, Write};
use crate::epoch::{Epoch, FunctionId, TaskId};
use crate::state::{Marker, StateStore, StateStores, Unfinished};
use crate::test_util::model::{self, Model};
use crate::test_util::rng::Rng;
use crate::test_util::support::puts;

/// Fresh stores.
pub trait StateHarness {
    /// The stores.
    fn stores(&self) -> Arc<dyn StateStores>;

    /// Kills the process and starts it anew, on what outlasts it. Whoever held a store of the old one drops it.
    fn reopen(&mut self);

    /// Runs `apply` on the store of a task, has the process die within it and starts it anew. When the store writes in parts,
    /// it dies after the part that `part` numbers, from 1; otherwise whenever it likes.
    fn die_within(&mut self, task: TaskId, part: usize, apply: &dyn Fn(&dyn StateStore));
}

/// The contract of [`StateStore`].
pub const CHECKS: &[Check<dyn StateHarness>] = checks![
    a_new_store_is_empty,
    absent_is_not_empty,
    a_deleted_key_is_absent,
    scans_go_in_byte_order,
    a_scan_has_its_start_but_not_its_end,
    a_visitor_ends_a_scan,
    a_scan_sees_one_moment,
    a_task_never_sees_another,
    ranges_are_deleted_before_entries_are_written,
    a_merge_appends,
    the_marker_moves_with_the_pairs,
    the_marker_of_a_restore_that_was_cut_off_is_kept,
    a_store_is_what_its_deltas_make,
    a_reopened_store_is_what_its_marker_says,
    an_unfinished_apply_has_its_first_keys,
    an_unfinished_apply_is_rolled_forward_and_merges_once,
    an_unfinished_apply_keeps_another_out,
];

const TASK: TaskId = TaskId { function: FunctionId(7), index: 0 };

fn open(harness: &dyn StateHarness, task: TaskId) -> Arc<dyn StateStore> {
    must("opening a store", harness.stores().open(task))
}

fn marker(epoch: u64) -> Marker {
    Marker { epoch: Epoch(epoch), log_end: Bytes::from(format!("end {epoch}")) }
}

fn apply(store: &dyn StateStore, delta: &Delta, epoch: u64) {
    must("applying", store.apply(delta, &marker(epoch)));
}

fn get(store: &dyn StateStore, key: &[u8]) -> Option<Vec<u8>> {
    must("reading", store.get(key)).map(|value| value.to_vec())
}

fn scan(store: &dyn StateStore, start: &[u8], end: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs = Vec::new();
    let scanned = store.scan(start, end, &mut |key, value| {
        pairs.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    must("scanning", scanned);
    pairs
}

fn keys(store: &dyn StateStore, start: &[u8], end: Option<&[u8]>) -> Vec<Vec<u8>> {
    scan(store, start, end).into_iter().map(|(key, _)| key).collect()
}

fn pairs_of(model: &Model) -> Vec<(Vec<u8>, Vec<u8>)> {
    model.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

fn a_new_store_is_empty(harness: &mut dyn StateHarness) {
    let store = open(harness, TASK);
    assert_eq!(must("the marker", store.marker()), None, "nothing was ever applied");
    assert_eq!(get(&*store, b"key"), None);
    assert_eq!(scan(&*store, b"", None), []);
}

fn absent_is_not_empty(harness: &mut dyn StateHarness) {
    let store = open(harness, TASK);
    apply(&*store, &puts(&[(b"empty", b""), (b"full", b"v")]), 1);
    assert_eq!(get(&*store, b"empty"), Some(Vec::new()), "a key with an empty value is there");
    assert_eq!(get(&*store, b"absent"), None);
    assert_eq!(keys(&*store, b"", None), [b"empty".to_vec(), b"full".to_vec()]);
}

fn a_deleted_key_is_absent(harness: &mut dyn StateHarness) {
    let store = open(harness, TASK);
    apply(&*store, &puts(&[(b"a", b"1"), (b"b", b"2")]), 1);
    let mut delta = Delta::new();
    delta.write(b"a", Write::Delete);
    delta.write(b"never there", Write::Delete);
    apply(&*store, &delta, 2);
    assert_eq!(get(&*store, b"a"), None, "a deleted key is absent");
    assert_eq!(keys(&*store, b"", None), [b"b"]);
    apply(&*store, &puts(&[(b"a", b"3")]), 3);
    assert_eq!(get(&*store, b"a"), Some(b"3".to_vec()), "and can be put again");
}

const ORDERED: [&[u8]; 9] = [b"\0", b"\0\0", b"a", b"a\0", b"aa", b"a\xff", b"b", b"\xff", b"\xff\xff"];

fn ordered(harness: &dyn StateHarness) -> Arc<dyn StateStore> {
    let store = open(harness, TASK);
    for (epoch, keys) in [(1, [8, 3, 0, 5]), (2, [7, 1, 6, 2])] {
        let pairs: Vec<(&[u8], &[u8])> = keys.map(|i| (ORDERED[i], ORDERED[i])).to_vec();
        apply(&*store, &puts(&pairs), epoch);
    }
    apply(&*store, &puts(&[(ORDERED[4], ORDERED[4])]), 3);
    store
}

fn scans_go_in_byte_order(harness: &mut dyn StateHarness) {
    let store = ordered(harness);
    let wanted: Vec<_> = ORDERED.iter().map(|key| (key.to_vec(), key.to_vec())).collect();
    assert_eq!(scan(&*store, b"", None), wanted, "all pairs in ascending byte order");
}

fn a_scan_has_its_start_but_not_its_end(harness: &mut dyn StateHarness) {
    let store = ordered(harness);
    let bounds: Vec<Option<&[u8]>> = ORDERED.iter().map(|key| Some(*key)).chain([Some(&b"m"[..]), None]).collect();
    for start in ORDERED.into_iter().chain([&b""[..], b"aZ"]) {
        for end in &bounds {
            let inside = |key: &&[u8]| *key >= start && end.is_none_or(|end| *key < end);
            let wanted: Vec<_> = ORDERED.iter().filter(|k| inside(k)).map(|key| key.to_vec()).collect();
            assert_eq!(keys(&*store, start, *end), wanted, "from {start:?} inclusive to {end:?} exclusive");
        }
    }
}

fn a_visitor_ends_a_scan(harness: &mut dyn StateHarness) {
    let store = ordered(harness);
    let mut seen = 0;
    let scanned = store.scan(b"a", None, &mut |_, _| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    must("scanning", scanned);
    assert_eq!(seen, 2, "a visitor that breaks is not called again");
}

fn a_scan_sees_one_moment(harness: &mut dyn StateHarness) {
    let store = open(harness, TASK);
    apply(&*store, &puts(&[(b"a", b"old"), (b"b", b"old"), (b"c", b"old")]), 1);
    let mut change = puts(&[(b"aa", b"new"), (b"c", b"new"), (b"d", b"new")]);
    change.write(b"b", Write::Delete);
    let mut seen = Vec::new();
    let scanned = store.scan(b"", None, &mut |key, value| {
        if seen.is_empty() {
            apply(&*store, &change, 2);
        }
        seen.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    must("scanning", scanned);
    let wanted = [b"a", b"b", b"c"].map(|key| (key.to_vec(), b"old".to_vec()));
    assert_eq!(seen, wanted, "an apply during a scan does not show in it");
    assert_eq!(keys(&*store, b"", None), [&b"a"[..], b"aa", b"c", b"d"], "but in the next");
}

fn a_task_never_sees_another(harness: &mut dyn StateHarness) {
    let tasks = [(7, 0), (7, 1), (7, 256), (8, 0), (0, 7), (u32::MAX, u32::MAX), (7, u32::MAX), (1792, 0)];
    let tasks = tasks.map(|(function, index)| TaskId::new(FunctionId(function), index));
    let name = |task: TaskId| format!("{task}").into_bytes();
    let stores = tasks.map(|task| open(harness, task));
    for (task, store) in tasks.iter().zip(&stores) {
        apply(&**store, &puts(&[(b"", &name(*task)), (b"\xff\xff\xff\xff\xff", &name(*task))]), 1);
    }
    let mut all = Delta::new();
    all.delete_range(b"", None);
    apply(&*stores[0], &all, 2);
    for (i, (task, store)) in tasks.iter().zip(&stores).enumerate() {
        let wanted = if i == 0 { 0 } else { 2 };
        let pairs = scan(&**store, b"", None);
        assert!(pairs.iter().all(|(_, value)| *value == name(*task)), "task {task} sees {pairs:?}");
        assert_eq!(pairs.len(), wanted, "task {task} has its own pairs, whatever is deleted in another");
        assert_eq!(must("the marker", store.marker()), Some(marker(if i == 0 { 2 } else { 1 })));
    }
}

fn ranges_are_deleted_before_entries_are_written(harness: &mut dyn StateHarness) {
    let store = ordered(harness);
    let mut delta = Delta::new();
    delta.delete_range(b"a", Some(b"b"));
    delta.write(b"aa", Write::Put(Bytes::from_static(b"new")));
    delta.write(b"ab", Write::Merge(Bytes::from_static(b"merged")));
    delta.delete_range(b"\xff", None);
    apply(&*store, &delta, 9);
    let pair = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    let wanted =
        [pair(b"\0", b"\0"), pair(b"\0\0", b"\0\0"), pair(b"aa", b"new"), pair(b"ab", b"merged"), pair(b"b", b"b")];
    assert_eq!(scan(&*store, b"", None), wanted, "what a delta deletes by range and then writes is there");
}

fn a_merge_appends(harness: &mut dyn StateHarness) {
    let store = open(harness, TASK);
    apply(&*store, &puts(&[(b"a", b"1"), (b"empty", b""), (b"gone", b"x")]), 1);
    let mut delta = Delta::new();
    delta.write(b"gone", Write::Delete);
    apply(&*store, &delta, 2);
    for (epoch, operand) in [(3, b"2"), (4, b"3")] {
        let mut delta = Delta::new();
        for key in [&b"a"[..], b"empty", b"gone", b"absent"] {
            delta.write(key, Write::Merge(Bytes::from_static(operand)));
        }
        apply(&*store, &delta, epoch);
    }
    assert_eq!(get(&*store, b"a"), Some(b"123".to_vec()), "a merge appends to the stored value");
    for key in [&b"empty"[..], b"gone", b"absent"] {
        assert_eq!(get(&*store, key), Some(b"23".to_vec()), "an empty or absent value counts as no bytes");
    }
}

fn the_marker_moves_with_the_pairs(harness: &mut dyn StateHarness) {
    let store = open(harness, TASK);
    for epoch in [1, 2, 9] {
        apply(&*store, &puts(&[(b"k", &[epoch as u8])]), epoch);
        assert_eq!(must("the marker", store.marker()), Some(marker(epoch)));
        let again = open(harness, TASK);
        assert_eq!(must("the marker", again.marker()), Some(marker(epoch)), "of a store that is opened twice");
        assert_eq!(get(&*again, b"k"), Some(vec![epoch as u8]));
    }
    apply(&*store, &Delta::new(), 10);
    assert_eq!(must("the marker", store.marker()), Some(marker(10)), "an empty delta moves it too");
}

/// A delta that meets few keys often.
fn random_delta(rng: &mut Rng) -> Delta {
    let mut delta = Delta::new();
    for _ in 0..rng.below(12) {
        let key = rng.bytes(2);
        match rng.below(10) {
            0 => delta.delete_range(&key, Some(&rng.bytes(2))),
            1..=3 => delta.write(&key, Write::Delete),
            4..=5 => delta.write(&key, Write::Merge(rng.bytes(3).into())),
            _ => delta.write(&key, Write::Put(rng.bytes(3).into())),
        }
    }
    delta
}

fn the_marker_of_a_restore_that_was_cut_off_is_kept(harness: &mut dyn StateHarness) {
    let store = open(harness, TASK);
    for place in [&b"first"[..], b"second"] {
        let begun = Marker { epoch: Epoch(0), log_end: Bytes::from_static(place) };
        must("applying a piece", store.apply(&puts(&[(place, b"v")]), &begun));
        assert_eq!(must("the marker", store.marker()), Some(begun), "the committer finds the place by it");
    }
    apply(&*store, &puts(&[(b"last", b"v")]), 1);
    assert_eq!(must("the marker", store.marker()), Some(marker(1)));
}

fn a_store_is_what_its_deltas_make(harness: &mut dyn StateHarness) {
    let store = open(harness, TASK);
    let (mut rng, mut model) = (Rng::new(1), Model::new());
    for epoch in 1..=300 {
        let delta = random_delta(&mut rng);
        apply(&*store, &delta, epoch);
        model::apply(&mut model, &delta);
        let (start, end) = (rng.bytes(2), rng.bytes(2));
        let wanted: Vec<_> = pairs_of(&model).into_iter().filter(|(key, _)| *key >= start && *key < end).collect();
        assert_eq!(scan(&*store, &start, Some(&end)), wanted, "seed 1, epoch {epoch}: from {start:?} to {end:?}");
        assert_eq!(get(&*store, &start), model.get(&start[..]).map(|v| v.to_vec()), "seed 1, epoch {epoch}: {start:?}");
    }
    assert_eq!(scan(&*store, b"", None), pairs_of(&model), "seed 1: at the end");
}

fn a_reopened_store_is_what_its_marker_says(harness: &mut dyn StateHarness) {
    let (mut rng, mut model) = (Rng::new(2), Model::new());
    let mut history = vec![(None, model.clone())];
    for round in 0..5 {
        let store = open(harness, TASK);
        for _ in 0..20 {
            let epoch = history.len() as u64;
            let delta = random_delta(&mut rng);
            apply(&*store, &delta, epoch);
            model::apply(&mut model, &delta);
            history.push((Some(marker(epoch)), model.clone()));
        }
        drop(store);
        harness.reopen();
        let store = open(harness, TASK);
        let found = must("the marker", store.marker());
        let kept = history.iter().position(|(marker, _)| *marker == found);
        let kept = kept.unwrap_or_else(|| panic!("seed 2, round {round}: a marker {found:?} that was never applied"));
        history.truncate(kept + 1);
        model = history[kept].1.clone();
        assert_eq!(scan(&*store, b"", None), pairs_of(&model), "seed 2, round {round}: the pairs of marker {found:?}");
    }
}

/// More keys than a store writes in three parts: merges, puts and deletes by turns, all of them stored before, and a range.
const MANY: u32 = 5_000;

fn many_key(i: u32) -> [u8; 4] {
    i.to_be_bytes()
}

fn many() -> Delta {
    let mut delta = Delta::new();
    // Between two keys, and behind all of them.
    delta.delete_range(&[0, 0, 0, 7, 0], Some(&[0, 0, 0, 8]));
    delta.delete_range(b"\xff", None);
    for i in 0..MANY {
        let write = match i % 3 {
            0 => Write::Merge(Bytes::from_static(b"+")),
            1 => Write::Put(Bytes::from_static(b"put")),
            _ => Write::Delete,
        };
        delta.write(&many_key(i), write);
    }
    delta
}

/// The store of a task that has died within [`many`], what is unfinished there, and the pairs before and after it.
fn cut(harness: &mut dyn StateHarness, part: usize) -> (Arc<dyn StateStore>, Option<Unfinished>, Model, Model) {
    let task = TaskId::new(FunctionId(70), part as u32);
    let mut first = puts(&[(&[0, 0, 0, 7, 1], b"in a range"), (b"\xff", b"in another")]);
    for i in 0..MANY {
        first.write(&many_key(i), Write::Put(Bytes::from_static(b"old")));
    }
    let (mut before, mut after) = (Model::new(), Model::new());
    model::apply(&mut before, &first);
    apply(&*open(harness, task), &first, 1);
    after.clone_from(&before);
    model::apply(&mut after, &many());
    // The process dies: how the apply ends is nobody's business.
    harness.die_within(task, part, &|store| drop(store.apply(&many(), &marker(2))));
    let store = open(harness, task);
    let unfinished = must("what is unfinished", store.unfinished());
    (store, unfinished, before, after)
}

fn an_unfinished_apply_has_its_first_keys(harness: &mut dyn StateHarness) {
    for part in 1..4 {
        let (store, unfinished, before, after) = cut(harness, part);
        let (pairs, found) = (scan(&*store, b"", None), must("the marker", store.marker()));
        let Some(Unfinished { marker: reached, through }) = unfinished else {
            let wanted = if found == Some(marker(2)) { after } else { before };
            assert!(pairs == pairs_of(&wanted), "part {part}: without an unfinished apply, all of it or nothing");
            continue;
        };
        assert_eq!((reached, found), (marker(2), Some(marker(1))), "part {part}: the marker is that from before");
        let delta = many();
        let in_range = |key: &Bytes| delta.ranges().iter().any(|range| range.contains(key));
        let done = after.iter().filter(|(key, _)| **key <= through);
        let rest = before.iter().filter(|(key, _)| **key > through && !in_range(key));
        let wanted: Vec<_> = done.chain(rest).map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        assert!(pairs == wanted, "part {part}: new up to {through:?}, old behind it, without the ranges");
    }
}

fn an_unfinished_apply_is_rolled_forward_and_merges_once(harness: &mut dyn StateHarness) {
    for part in 1..4 {
        let (store, _, _, after) = cut(harness, part);
        if must("the marker", store.marker()) != Some(marker(2)) {
            apply(&*store, &many(), 2);
        }
        assert!(scan(&*store, b"", None) == pairs_of(&after), "part {part}: what it would be without a crash");
        assert_eq!(must("the marker", store.marker()), Some(marker(2)), "part {part}");
        assert_eq!(must("what is unfinished", store.unfinished()), None, "part {part}");
        apply(&*store, &puts(&[(b"k", b"v")]), 3);
    }
}

fn an_unfinished_apply_keeps_another_out(harness: &mut dyn StateHarness) {
    let (store, unfinished, ..) = cut(harness, 2);
    if unfinished.is_some() {
        assert!(store.apply(&many(), &marker(3)).is_err(), "it would be taken for the one that was begun");
        assert_eq!(must("what is unfinished", store.unfinished()), unfinished);
    }
    let mut anew = Delta::new();
    anew.delete_range(b"", None);
    anew.write(b"k", Write::Put(Bytes::from_static(b"v")));
    apply(&*store, &anew, 4);
    assert_eq!(scan(&*store, b"", None), [(b"k".to_vec(), b"v".to_vec())], "one that deletes everything begins anew");
    assert_eq!(must("what is unfinished", store.unfinished()), None);
    assert_eq!(must("the marker", store.marker()), Some(marker(4)));
}
