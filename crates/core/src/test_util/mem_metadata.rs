// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A register of functions in memory. Clones share the register, as a reopened one would; watchers are not shared.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::epoch::FunctionId;
use crate::error::{Error, ErrorCode, Result};
use crate::metadata::{Metadata, Registered, Revision};
use crate::spec::{DesiredState, FunctionEntry, FunctionSpec};
use crate::waker::Waker;

/// See the module.
#[derive(Default)]
pub struct MemMetadata {
    register: Arc<Mutex<Register>>,
    watchers: Mutex<Vec<Waker>>,
}

#[derive(Default)]
struct Register {
    functions: BTreeMap<String, Registered>,
    last_id: u32,
    changes: i64,
}

impl MemMetadata {
    /// An empty register.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same register as a new process finds it.
    pub fn reopened(&self) -> Self {
        MemMetadata { register: self.register.clone(), watchers: Mutex::default() }
    }

    /// An id as a fork of a function's state has it.
    pub fn fork(&self) -> FunctionId {
        let mut register = self.register.lock();
        register.last_id += 1;
        FunctionId(register.last_id)
    }

    fn wake(&self) {
        let watchers = self.watchers.lock().clone();
        for waker in watchers {
            waker.wake();
        }
    }

    /// Makes one change and wakes the watchers when it succeeded.
    fn change<T>(&self, change: impl FnOnce(&mut Register) -> Result<T>) -> Result<T> {
        let changed = change(&mut self.register.lock())?;
        self.wake();
        Ok(changed)
    }
}

impl Register {
    /// Puts what a change makes of a function that is at that revision.
    fn replace(
        &mut self,
        name: &str,
        based_on: u64,
        change: impl FnOnce(&Registered, i64) -> Result<Registered>,
    ) -> Result<FunctionEntry> {
        let found = Registered::expect(self.functions.get(name), name, based_on)?;
        self.changes += 1;
        let next = change(found, self.changes)?;
        let entry = next.entry.clone();
        self.functions.insert(name.to_owned(), next);
        Ok(entry)
    }
}

impl Metadata for MemMetadata {
    fn list(&self) -> Result<Vec<FunctionEntry>> {
        Ok(self.register.lock().functions.values().map(|of| of.entry.clone()).collect())
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<FunctionEntry>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let register = self.register.lock();
        let behind = register.functions.range::<str, _>((from, Bound::Unbounded));
        Ok(behind.take(limit).map(|(_, of)| of.entry.clone()).collect())
    }

    fn get(&self, name: &str) -> Result<Option<FunctionEntry>> {
        Ok(self.register.lock().functions.get(name).map(|of| of.entry.clone()))
    }

    fn revisions(&self, name: &str) -> Result<Vec<Revision>> {
        Ok(self.register.lock().functions.get(name).map(|of| of.history.clone()).unwrap_or_default())
    }

    fn create_from(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        fork: Option<FunctionId>,
    ) -> Result<FunctionEntry> {
        self.change(|register| {
            if register.functions.contains_key(&spec.name) {
                return Err(Error::new(ErrorCode::FunctionExists, format!("function '{}' exists", spec.name)));
            }
            register.changes += 1;
            let id = fork.unwrap_or_else(|| {
                register.last_id += 1;
                FunctionId(register.last_id)
            });
            let made = Registered::new(spec, desired, id, register.changes);
            let entry = made.entry.clone();
            register.functions.insert(entry.spec.name.clone(), made);
            Ok(entry)
        })
    }

    fn update(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        based_on: u64,
        snapshot: Option<FunctionId>,
    ) -> Result<FunctionEntry> {
        let name = spec.name.clone();
        self.change(|register| register.replace(&name, based_on, |of, now| of.updated(spec, desired, snapshot, now)))
    }

    fn switch(&self, spec: FunctionSpec, based_on: u64, to: FunctionId) -> Result<FunctionEntry> {
        let name = spec.name.clone();
        self.change(|register| register.replace(&name, based_on, |of, now| Ok(of.switched(spec, to, now))))
    }

    fn remove(&self, name: &str, based_on: u64) -> Result<()> {
        self.change(|register| {
            Registered::expect(register.functions.get(name), name, based_on)?;
            register.functions.remove(name);
            Ok(())
        })
    }

    fn watch(&self, waker: Waker) {
        self.watchers.lock().push(waker);
    }
}
