// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Random writes, commits, applies and crashes: the layers over a store read like one plain map.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, FrozenEpoch, FunctionId, Generation, Progress, TaskId};
use fnstream_core::state::{Marker, StateStore, StateStores};
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::waker::Waker;
use proptest::prelude::*;

use super::{ApplyJob, Bases, Layers, ReadCache, TaskBase};
use crate::scheduler::Runnable;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Merge(u8, u8),
    DeleteRange(u8, u8),
    Get(u8),
    Scan(u8, u8, usize),
    /// Ends the epoch.
    Freeze,
    /// The epoch in flight is committed.
    Settle,
    StartApply,
    RunApply,
    SettleApply,
    /// All memory is lost; the store loses this many of its newest applies, but keeps so many keys of the first of them.
    Crash(usize, usize),
    /// The apply that runs next fails after so many keys.
    FailApply(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..12u8;
    let step = prop_oneof![
        6 => (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Put(k, v)),
        2 => key.clone().prop_map(Step::Delete),
        4 => (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Merge(k, v)),
        1 => (key.clone(), 0..14u8).prop_map(|(a, b)| Step::DeleteRange(a, b)),
        6 => key.clone().prop_map(Step::Get),
        3 => (key, 0..14u8, 1..6usize).prop_map(|(a, b, n)| Step::Scan(a, b, n)),
        3 => Just(Step::Freeze),
        3 => Just(Step::Settle),
        2 => Just(Step::StartApply),
        2 => Just(Step::RunApply),
        2 => Just(Step::SettleApply),
        1 => (0..3usize, 0..6usize).prop_map(|(lost, part)| Step::Crash(lost, part)),
        1 => (0..6usize).prop_map(Step::FailApply),
    ];
    prop::collection::vec(step, 1..120)
}

/// A task's layers with a delta log beside them, as a committer would keep it.
struct World {
    stores: Arc<MemStateStores>,
    layers: Layers,
    bases: Arc<Bases>,
    /// What the open epoch sees, what the epoch in flight made, what is committed.
    open: Model,
    frozen: Option<(Arc<FrozenEpoch>, Model)>,
    committed: Model,
    log: Vec<(Marker, Delta)>,
    epoch: Epoch,
    job: Option<ApplyJob>,
}

const TASK: TaskId = TaskId { function: FunctionId(1), index: 0 };

fn key(k: u8) -> [u8; 1] {
    [k]
}

impl World {
    fn new() -> Self {
        let stores = Arc::new(MemStateStores::new());
        let (bases, layers) = Self::open(&stores);
        World {
            stores,
            layers,
            bases,
            open: Model::new(),
            frozen: None,
            committed: Model::new(),
            log: Vec::new(),
            epoch: Epoch(0),
            job: None,
        }
    }

    fn open(stores: &Arc<MemStateStores>) -> (Arc<Bases>, Layers) {
        let bases = Arc::<Bases>::default();
        let stores: Arc<dyn StateStores> = stores.clone();
        let base = bases.open(&stores, TASK).unwrap();
        let claim = base.claim(&Waker::noop()).unwrap();
        let layers = Layers::open(TASK, base, claim, Arc::new(ReadCache::new(4096))).unwrap();
        (bases, layers)
    }

    fn base(&self) -> Arc<TaskBase> {
        let stores: Arc<dyn StateStores> = self.stores.clone();
        self.bases.open(&stores, TASK).unwrap()
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Put(k, v) => {
                self.layers.write(&key(k), Write::Put(Bytes::copy_from_slice(&[v])));
                self.open.insert(key(k).to_vec(), vec![v]);
            }
            Step::Delete(k) => {
                self.layers.write(&key(k), Write::Delete);
                self.open.remove(&key(k)[..]);
            }
            Step::Merge(k, v) => {
                self.layers.write(&key(k), Write::Merge(Bytes::copy_from_slice(&[v])));
                self.open.entry(key(k).to_vec()).or_default().push(v);
            }
            Step::DeleteRange(a, b) => {
                self.layers.delete_range(&key(a), Some(&key(b)));
                self.open.retain(|k, _| !(k[0] >= a && k[0] < b));
            }
            Step::Get(k) => {
                let read = self.layers.get(&key(k)).unwrap().map(|v| v.to_vec());
                assert_eq!(read.as_ref(), self.open.get(&key(k)[..]), "get {k}");
            }
            Step::Scan(a, b, limit) => self.scan(a, b, limit),
            Step::Freeze if self.frozen.is_none() => self.freeze(),
            Step::Settle => self.settle(),
            Step::StartApply if self.job.is_none() => {
                if let Some(applying) = self.layers.start_apply().unwrap() {
                    self.job = Some(ApplyJob::new(self.base(), applying, Waker::noop()));
                }
            }
            Step::RunApply => {
                if let Some(job) = self.job.take() {
                    job.step();
                }
            }
            Step::SettleApply => {
                // One that failed is tried again by a later start.
                drop(self.layers.settle_apply());
            }
            Step::Crash(lost, part) => self.crash(lost, part),
            Step::FailApply(after) => self.stores.store(TASK).fail_next_apply(after),
            Step::Freeze | Step::StartApply => {}
        }
    }

    fn scan(&self, a: u8, b: u8, limit: usize) {
        let mut seen = Vec::new();
        self.layers
            .scan(&key(a), Some(&key(b)), &mut |k, v| {
                seen.push((k.to_vec(), v.to_vec()));
                if seen.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        let expected: Vec<_> = self
            .open
            .iter()
            .filter(|(k, _)| k[0] >= a && k[0] < b)
            .take(limit)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        assert_eq!(seen, expected, "scan {a}..{b} limit {limit}");
    }

    fn freeze(&mut self) {
        self.epoch = self.epoch.next();
        let delta = self.layers.freeze();
        let progress = Progress { epoch: self.epoch, ..Progress::default() };
        let frozen = Arc::new(FrozenEpoch {
            task: TASK,
            generation: Generation(1),
            progress,
            delta,
            outbox: Vec::new(),
            watermarks: Vec::new(),
        });
        self.layers.set_frozen(frozen.clone());
        self.frozen = Some((frozen, self.open.clone()));
    }

    fn settle(&mut self) {
        let Some((frozen, model)) = self.frozen.take() else { return };
        let marker = Marker { epoch: frozen.progress.epoch, log_end: Bytes::new() };
        self.log.push((marker, Delta::decode(&frozen.delta.encode()).unwrap()));
        self.committed = model;
        drop(frozen);
        self.layers.settle(Bytes::new());
    }

    fn crash(&mut self, lost: usize, part: usize) {
        self.job = None;
        self.frozen = None;
        self.stores.cut_unsynced(|_, count| count.saturating_sub(lost), |_| part);
        let (bases, mut layers) = Self::open(&self.stores);
        let marker = self.stores.store(TASK).marker().unwrap();
        let applied = marker.map_or(Epoch(0), |m| m.epoch);
        for (marker, delta) in self.log.iter().filter(|(marker, _)| marker.epoch > applied) {
            layers.replay(delta.clone(), marker.clone()).unwrap();
        }
        let end = self.log.last().map_or_else(Marker::default, |(marker, _)| marker.clone());
        layers.replayed(end).unwrap();
        self.bases = bases;
        self.layers = layers;
        self.open = self.committed.clone();
        self.epoch = self.log.last().map_or(Epoch(0), |(marker, _)| marker.epoch);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn layers_read_like_one_map(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        world.scan(0, 255, usize::MAX);
    }
}
