// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task's state store with what this process is doing to it, whichever ownership of the task started that.

use std::collections::HashMap;
use std::sync::Arc;

use fnstream_core::epoch::TaskId;
use fnstream_core::error::Result;
use fnstream_core::state::{StateStore, StateStores};
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

/// A store, of which at most one bulk apply runs at a time, started by the latest of the task's owners in this process.
///
/// An apply outlives the instance that started it. A task that is opened again waits for it, and an owner that was
/// replaced starts none any more: the new owner would otherwise read the store's marker before the apply and replay deltas
/// that the apply writes a moment later, which doubles merges.
pub(crate) struct TaskBase {
    pub(crate) store: Arc<dyn StateStore>,
    claims: Mutex<Claims>,
}

/// The right to apply deltas to a store, until somebody else claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim(u64);

#[derive(Default)]
struct Claims {
    latest: u64,
    applying: bool,
    waiters: Vec<Waker>,
}

impl TaskBase {
    /// Becomes the owner; while an earlier owner's apply runs `None`, and `waker` is called at its end.
    pub(crate) fn claim(&self, waker: &Waker) -> Option<Claim> {
        let mut claims = self.claims.lock();
        if claims.applying {
            claims.waiters.push(waker.clone());
            return None;
        }
        claims.latest += 1;
        Some(Claim(claims.latest))
    }

    /// Begins an apply; false when one is running, or the claim is not the latest.
    pub(crate) fn begin_apply(&self, claim: Claim) -> bool {
        let mut claims = self.claims.lock();
        let granted = claims.latest == claim.0 && !claims.applying;
        claims.applying |= granted;
        granted
    }

    /// Ends an apply and wakes who waited for it.
    pub(crate) fn end_apply(&self) {
        let waiters = {
            let mut claims = self.claims.lock();
            claims.applying = false;
            std::mem::take(&mut claims.waiters)
        };
        for waiter in waiters {
            waiter.wake();
        }
    }
}

/// The stores that this process has opened.
pub(crate) struct Bases {
    stores: Arc<dyn StateStores>,
    open: Mutex<HashMap<TaskId, Arc<TaskBase>>>,
}

impl Bases {
    pub(crate) fn new(stores: Arc<dyn StateStores>) -> Self {
        Bases { stores, open: Mutex::default() }
    }

    pub(crate) fn open(&self, task: TaskId) -> Result<Arc<TaskBase>> {
        let mut open = self.open.lock();
        if let Some(base) = open.get(&task) {
            return Ok(base.clone());
        }
        let base = Arc::new(TaskBase { store: self.stores.open(task)?, claims: Mutex::default() });
        open.insert(task, base.clone());
        Ok(base)
    }

    /// Forgets the store of a task that is not run here any more, unless somebody still uses it.
    pub(crate) fn release(&self, task: TaskId) {
        let mut open = self.open.lock();
        if open.get(&task).is_some_and(|base| Arc::strong_count(base) == 1) {
            open.remove(&task);
        }
    }
}
