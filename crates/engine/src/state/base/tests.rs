// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;

use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, FunctionId};
use fnstream_core::state::Marker;
use fnstream_core::test_util::mem_state::MemStateStores;

use super::*;
use crate::scheduler::Runnable;
use crate::state::{ApplyJob, Layers, ReadCache};

const TASK: TaskId = TaskId { function: FunctionId(1), index: 0 };
const OTHER: TaskId = TaskId { function: FunctionId(1), index: 1 };

/// Counts how often stores are opened; opening that of a task may be made to wait.
struct Stores {
    inner: MemStateStores,
    opened: AtomicUsize,
    slow: Option<(TaskId, Mutex<mpsc::Receiver<()>>)>,
}

impl Stores {
    fn new() -> Self {
        Stores { inner: MemStateStores::new(), opened: AtomicUsize::new(0), slow: None }
    }
}

impl StateStores for Stores {
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>> {
        if let Some((_, go_on)) = self.slow.as_ref().filter(|(slow, _)| *slow == task) {
            go_on.lock().recv().unwrap();
        }
        self.opened.fetch_add(1, Relaxed);
        self.inner.open(task)
    }
}

#[test]
fn a_store_is_closed_when_the_apply_that_outlived_its_task_ends() {
    let counting = Arc::new(Stores::new());
    let (stores, bases): (Arc<dyn StateStores>, _) = (counting.clone(), Arc::<Bases>::default());
    let base = bases.open(&stores, TASK).unwrap();
    let claim = base.claim(&Waker::noop()).unwrap();
    let mut layers = Layers::open(TASK, base.clone(), claim, Arc::new(ReadCache::new(1 << 20))).unwrap();
    let mut delta = Delta::new();
    delta.write(b"k", Write::Put("v".into()));
    layers.absorb(delta, Marker { epoch: Epoch(1), ..Marker::default() });
    let applying = layers.start_apply().unwrap().unwrap();
    let job = ApplyJob::new(base, applying, Waker::noop());
    drop(layers);
    assert_eq!(bases.slots.lock().len(), 1, "the apply still writes");
    job.step();
    drop(job);
    assert_eq!(bases.slots.lock().len(), 0);
    bases.open(&stores, TASK).unwrap();
    assert_eq!(counting.opened.load(Relaxed), 2);
}

#[test]
fn two_users_share_a_store_and_two_backends_do_not() {
    let counting = Arc::new(Stores::new());
    let (stores, bases): (Arc<dyn StateStores>, _) = (counting.clone(), Arc::<Bases>::default());
    let foreign: Arc<dyn StateStores> = Arc::new(Stores::new());
    let (first, second) = (bases.open(&stores, TASK).unwrap(), bases.open(&stores, TASK).unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    let elsewhere = bases.open(&foreign, TASK).unwrap();
    assert!(!Arc::ptr_eq(&first, &elsewhere));
    assert_eq!(counting.opened.load(Relaxed), 1);
}

#[test]
fn a_store_that_opens_slowly_holds_up_no_other_task() {
    let (go_on, wait) = mpsc::channel();
    let stores: Arc<dyn StateStores> = Arc::new(Stores { slow: Some((TASK, Mutex::new(wait))), ..Stores::new() });
    let bases = Arc::<Bases>::default();
    let slow = {
        let (bases, stores) = (bases.clone(), stores.clone());
        std::thread::spawn(move || bases.open(&stores, TASK).map(drop))
    };
    // It would wait for ever if the slow one had the map: nobody lets that go on before this returns.
    bases.open(&stores, OTHER).unwrap();
    go_on.send(()).unwrap();
    slow.join().unwrap().unwrap();
}

#[test]
fn a_store_that_cannot_be_opened_leaves_nothing_behind() {
    struct Broken;
    impl StateStores for Broken {
        fn open(&self, _: TaskId) -> Result<Arc<dyn StateStore>> {
            Err(fnstream_core::error::internal("broken"))
        }
    }
    let stores: Arc<dyn StateStores> = Arc::new(Broken);
    let bases = Arc::<Bases>::default();
    assert!(bases.open(&stores, TASK).is_err());
    assert_eq!(bases.slots.lock().len(), 0);
}
