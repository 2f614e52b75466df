// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The store against a plain map: random work, with crashes at any step, must leave exactly what was answered.
//!
//! A task works as the engine does: what it committed is kept in a layer over the store until it is applied. After each
//! crash the layer is rebuilt from the replayed deltas, and layer over store must be the model's map.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use fnstream_core::ErrorCode;
use fnstream_core::committer::CommitFailure;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, Generation, TaskId};
use fnstream_core::record::Position;
use fnstream_core::state::Marker;
use fnstream_core::test_util::model as maps;
use fnstream_core::topics::Retention;
use fnstream_store::Store;
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::*;

const TASKS: u32 = 2;
/// About ten small records.
const MAX_BYTES: u64 = 500;
/// More than any batch of a step.
const LARGEST_BATCH: u64 = 1000;

#[derive(Debug, Clone)]
enum Step {
    Append { partition: u32, records: u8 },
    Commit { task: u32, emits: u8, writes: Vec<(u8, u8)>, range: Option<(u8, u8)> },
    CommitAgain { task: u32 },
    ZombieCommit { task: u32 },
    FailedCommit { task: u32 },
    Apply { task: u32 },
    Trim { task: u32 },
    TakeOver { task: u32 },
    Cursor { partition: u32, back: u8 },
    Retention,
    Reopen,
    Crash,
}

fn steps() -> impl Strategy<Value = Step> {
    let task = 0..TASKS;
    prop_oneof![
        3 => (0..TASKS, 1..20_u8).prop_map(|(partition, records)| Step::Append { partition, records }),
        6 => (task.clone(), 0..5_u8, vec((0..12_u8, 0..4_u8), 0..6), proptest::option::weighted(0.2, (0..12_u8, 0..13_u8)))
            .prop_map(|(task, emits, writes, range)| Step::Commit { task, emits, writes, range }),
        1 => task.clone().prop_map(|task| Step::CommitAgain { task }),
        1 => task.clone().prop_map(|task| Step::ZombieCommit { task }),
        1 => task.clone().prop_map(|task| Step::FailedCommit { task }),
        2 => task.clone().prop_map(|task| Step::Apply { task }),
        2 => task.clone().prop_map(|task| Step::Trim { task }),
        1 => task.prop_map(|task| Step::TakeOver { task }),
        1 => (0..TASKS, 0..5_u8).prop_map(|(partition, back)| Step::Cursor { partition, back }),
        1 => Just(Step::Retention),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
    ]
}

#[derive(Default)]
struct Task {
    generation: Generation,
    epoch: u64,
    state: maps::Model,
    /// Committed but not applied, as the engine keeps it.
    layer: Delta,
    applied: u64,
}

struct World {
    dir: TempDir,
    now: PathBuf,
    copies: usize,
    store: Option<Store>,
    tasks: Vec<Task>,
    /// For each partition: where it begins, and all values that were ever appended.
    log: Vec<(usize, Vec<String>)>,
    cursors: BTreeMap<u32, u128>,
    written: usize,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = dir.path().join("0");
        let store = open(&now);
        store
            .create_topic("t", TASKS, Retention { max_age: None, max_bytes: Some(MAX_BYTES), ..Retention::default() })
            .unwrap();
        let tasks = (0..TASKS).map(|_| Task::default()).collect();
        let log = vec![(0, Vec::new()); TASKS as usize];
        let mut world =
            World { dir, now, copies: 0, store: Some(store), tasks, log, cursors: BTreeMap::new(), written: 0 };
        (0..TASKS).for_each(|task| world.take_over(task));
        world
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn values(&mut self, count: u8) -> Vec<String> {
        self.written += usize::from(count);
        (self.written - usize::from(count)..self.written).map(|n| format!("value {n}")).collect()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { partition, records } => {
                let values = self.values(*records);
                let end = self.log[*partition as usize].1.len() as u128;
                let placed = append(self.store(), "t", Some(*partition), &frame(&values)).unwrap();
                assert_eq!(placed, [(*partition, Position(end), u32::from(*records))]);
                self.log[*partition as usize].1.extend(values);
            }
            Step::Commit { task, emits, writes, range } => self.commit(*task, *emits, writes, *range),
            Step::CommitAgain { task } => {
                let (id, known) = (id(*task), &self.tasks[*task as usize]);
                let again = epoch(
                    id,
                    known.generation,
                    known.epoch,
                    put("k", "again"),
                    vec![outbox("t", 0, &frame(["again"]))],
                );
                let result = commit(&*self.store().committer(), again);
                // What a former owner committed is not this owner's to commit again.
                assert!(matches!(result, Ok(_) | Err(CommitFailure::Abortable(_))), "{result:?}");
            }
            Step::ZombieCommit { task } => {
                let (id, known) = (id(*task), &self.tasks[*task as usize]);
                let old = Generation(known.generation.0 - 1);
                let late = epoch(id, old, known.epoch + 1, put("k", "late"), vec![outbox("t", 0, &frame(["late"]))]);
                let result = commit(&*self.store().committer(), late);
                assert!(matches!(result, Err(CommitFailure::Fenced(_))), "{result:?}");
            }
            Step::FailedCommit { task } => {
                let (id, known) = (id(*task), &self.tasks[*task as usize]);
                let lost = epoch(
                    id,
                    known.generation,
                    known.epoch + 1,
                    put("k", "lost"),
                    vec![outbox("t", 1, &frame(["lost"]))],
                );
                self.store().inject_fault(Some(ErrorCode::StorageFull));
                let result = commit(&*self.store().committer(), lost);
                self.store().inject_fault(None);
                assert!(matches!(result, Err(CommitFailure::Retriable(_))), "{result:?}");
            }
            Step::Apply { task } => {
                let store = self.store().state_stores().open(id(*task)).unwrap();
                let known = &mut self.tasks[*task as usize];
                let marker = Marker { epoch: Epoch(known.epoch), log_end: Bytes::new() };
                store.apply(&known.layer, &marker).unwrap();
                known.layer = Delta::new();
                known.applied = known.epoch;
            }
            Step::Trim { task } => {
                let applied = Epoch(self.tasks[*task as usize].applied);
                self.store().committer().trim(id(*task), applied);
            }
            Step::TakeOver { task } => self.take_over(*task),
            Step::Cursor { partition, back } => {
                let given = give(self.store(), "g", &at("t", *partition), usize::from(*back) + 1).unwrap();
                self.cursors.extend(given.map(|position| (*partition, position.0)));
            }
            Step::Retention => self.retention(),
            Step::Reopen => {
                self.store = None;
                self.store = Some(open(&self.now));
                self.recover();
            }
            Step::Crash => {
                self.copies += 1;
                let next = self.dir.path().join(self.copies.to_string());
                copy_folder(&self.now, &next);
                self.store = Some(open(&next));
                std::fs::remove_dir_all(&self.now).unwrap();
                self.now = next;
                self.recover();
            }
        }
    }

    fn commit(&mut self, task: u32, emits: u8, writes: &[(u8, u8)], range: Option<(u8, u8)>) {
        let values = self.values(emits);
        let mut delta = Delta::new();
        if let Some((start, end)) = range {
            delta.delete_range(&[start], (end < 12).then_some(&[end]));
        }
        for (key, kind) in writes {
            let value = Bytes::from(self.written.to_string());
            delta.write(
                &[*key],
                match kind {
                    0 => Write::Delete,
                    1 => Write::Merge(value),
                    _ => Write::Put(value),
                },
            );
        }
        let partition = TASKS - 1 - task;
        let out = if values.is_empty() { Vec::new() } else { vec![outbox("t", partition, &frame(&values))] };
        let known = &mut self.tasks[task as usize];
        known.epoch += 1;
        maps::apply(&mut known.state, &delta);
        let frozen = epoch(id(task), known.generation, known.epoch, delta.clone(), out);
        known.layer.absorb(delta);
        commit(&*self.store().committer(), frozen).unwrap();
        self.log[partition as usize].1.extend(values);
    }

    fn take_over(&mut self, task: u32) {
        let state = self.store().state_stores().open(id(task)).unwrap();
        let marker = state.marker().unwrap();
        let (acquired, replayed) = acquire(self.store(), id(task), marker.as_ref());
        let known = &mut self.tasks[task as usize];
        assert!(acquired.generation > known.generation);
        assert_eq!(acquired.progress.epoch, Epoch(known.epoch));
        assert_eq!(acquired.progress.records_in, known.epoch);
        known.generation = acquired.generation;
        known.applied = marker.map_or(0, |marker| marker.epoch.0);
        known.layer = Delta::new();
        for (_, delta) in replayed {
            known.layer.absorb(delta);
        }
        let mut found = maps::Model::new();
        state
            .scan(b"", None, &mut |key, value| {
                found.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                ControlFlow::Continue(())
            })
            .unwrap();
        maps::apply(&mut found, &known.layer);
        assert_eq!(found, known.state, "the state of task {task}");
    }

    fn retention(&mut self) {
        let before: Vec<usize> = self.log.iter().map(|(first, _)| *first).collect();
        let had = self.store().topic("t").unwrap().partitions;
        let dropped = self.store().enforce_retention(0).unwrap().records;
        let mut counted = 0;
        for (number, (first, values)) in self.log.iter_mut().enumerate() {
            let info = self.store.as_ref().unwrap().topic("t").unwrap().partitions[number].clone();
            assert!(info.bytes.unwrap() >= MAX_BYTES.min(had[number].bytes.unwrap()), "more was dropped than may be");
            assert!(info.bytes.unwrap() < MAX_BYTES + LARGEST_BATCH, "less was dropped than should be");
            *first = info.earliest.0 as usize;
            assert!(*first <= values.len());
            counted += (*first - before[number]) as u64;
        }
        assert_eq!(dropped, counted);
    }

    fn recover(&mut self) {
        (0..TASKS).for_each(|task| self.take_over(task));
        self.check();
    }

    fn check(&self) {
        for (partition, (first, all)) in (0..).zip(&self.log) {
            assert_eq!(values(self.store(), &at("t", partition)), all[*first..]);
            let places = self.store().places("t").unwrap();
            let place = places.iter().find(|of| of.partition == partition).map(|of| of.position.0);
            assert_eq!(place, self.cursors.get(&partition).copied());
        }
    }
}

fn id(index: u32) -> TaskId {
    task(9, index)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_what_was_answered(steps in vec(steps(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.check();
        world.step(&Step::Crash);
    }

    /// Slower, deeper: a crash after each single step.
    #[test]
    fn every_step_survives_a_crash(steps in vec(steps(), 1..15)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.step(&Step::Crash);
        }
    }
}
