// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task's state store with what this process is doing to it, whichever ownership of the task started that.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use fnstream_core::epoch::TaskId;
use fnstream_core::error::Result;
use fnstream_core::state::{StateStore, StateStores};
use fnstream_core::waker::Waker;
use parking_lot::{Condvar, Mutex};

/// A store, of which at most one bulk apply runs at a time, started by the latest of the task's owners in this process.
///
/// An apply outlives the instance that started it. A task that is opened again waits for it, and an owner that was
/// replaced starts none any more: the new owner would otherwise read the store's marker before the apply and replay deltas
/// that the apply writes a moment later, which doubles merges.
pub(crate) struct TaskBase {
    pub(crate) store: Arc<dyn StateStore>,
    claims: Mutex<Claims>,
    /// Dropped after the store, so that nobody opens it again before it is closed.
    _slot: OpenSlot,
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

    /// Ends the apply that was begun when the answer is dropped, whatever happens until then.
    pub(crate) fn ends_apply(self: &Arc<Self>) -> Apply {
        Apply(self.clone())
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

/// An apply that runs.
pub(crate) struct Apply(Arc<TaskBase>);

impl Drop for Apply {
    fn drop(&mut self) {
        self.0.end_apply();
    }
}

/// The stores that this process has open. A store is open for as long as a task or an apply holds its base.
#[derive(Default)]
pub(crate) struct Bases {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

/// A task of a backend, which its stores stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    /// The address of the backend's stores, which an open slot keeps alive.
    stores: usize,
    task: TaskId,
}

/// The place of one store. Opening and closing it takes its time, and holds up nobody else.
#[derive(Default)]
struct Slot {
    state: Mutex<SlotState>,
    closed: Condvar,
}

#[derive(Default)]
struct SlotState {
    base: Weak<TaskBase>,
    open: bool,
}

/// Kept by the base of an open store; dropping it gives the slot up.
struct OpenSlot {
    bases: Weak<Bases>,
    key: Key,
    slot: Arc<Slot>,
    _stores: Arc<dyn StateStores>,
}

impl Bases {
    /// The base of a task's store, which is opened unless it is open already.
    pub(crate) fn open(self: &Arc<Self>, stores: &Arc<dyn StateStores>, task: TaskId) -> Result<Arc<TaskBase>> {
        let key = Key { stores: Arc::as_ptr(stores).cast::<()>().addr(), task };
        let slot = self.slots.lock().entry(key).or_default().clone();
        let mut state = slot.state.lock();
        loop {
            if let Some(base) = state.base.upgrade() {
                return Ok(base);
            }
            if !state.open {
                break;
            }
            // Whoever had it is closing it.
            slot.closed.wait(&mut state);
        }
        let store = match stores.open(task) {
            Ok(store) => store,
            Err(error) => {
                drop(state);
                self.forget(key, &slot);
                return Err(error);
            }
        };
        let open = OpenSlot { bases: Arc::downgrade(self), key, slot: slot.clone(), _stores: stores.clone() };
        let base = Arc::new(TaskBase { store, claims: Mutex::default(), _slot: open });
        *state = SlotState { base: Arc::downgrade(&base), open: true };
        Ok(base)
    }

    /// Drops a slot that nobody uses beside the caller.
    fn forget(&self, key: Key, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock();
        // New users come through the map only: the map and the caller have one reference each.
        if Arc::strong_count(slot) == 2 && slots.get(&key).is_some_and(|known| Arc::ptr_eq(known, slot)) {
            slots.remove(&key);
        }
    }
}

impl Drop for OpenSlot {
    fn drop(&mut self) {
        self.slot.state.lock().open = false;
        self.slot.closed.notify_all();
        if let Some(bases) = self.bases.upgrade() {
            bases.forget(self.key, &self.slot);
        }
    }
}

#[cfg(test)]
mod tests;
