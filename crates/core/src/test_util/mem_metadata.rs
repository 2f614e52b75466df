// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A register of functions in memory. Clones share the register, as a reopened one would; watchers are not shared.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::epoch::FunctionId;
use crate::error::{Error, ErrorCode, Result, internal};
use crate::metadata::{Metadata, Revision, succeed};
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
    functions: BTreeMap<String, FunctionEntry>,
    /// The revisions of each function.
    histories: BTreeMap<String, Vec<Revision>>,
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
    fn at_revision(&mut self, name: &str, revision: u64) -> Result<&mut FunctionEntry> {
        let entry = self
            .functions
            .get_mut(name)
            .ok_or_else(|| Error::new(ErrorCode::FunctionNotFound, format!("there is no function '{name}'")))?;
        if entry.revision != revision {
            let why = format!("function '{name}' is at revision {}, not {revision}", entry.revision);
            return Err(Error::new(ErrorCode::FunctionChanged, why));
        }
        Ok(entry)
    }

    /// Notes the present description as a new revision.
    fn note(&mut self, entry: &FunctionEntry, state: Option<FunctionId>) {
        self.changes += 1;
        let (spec, created_ms) = (entry.spec.clone(), self.changes);
        let next = Revision { revision: entry.revision, spec, created_ms, state: None };
        if let Some(history) = self.histories.get_mut(&entry.spec.name) {
            succeed(history, next, state);
        }
    }
}

impl Metadata for MemMetadata {
    fn list(&self) -> Result<Vec<FunctionEntry>> {
        Ok(self.register.lock().functions.values().cloned().collect())
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<FunctionEntry>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let register = self.register.lock();
        let behind = register.functions.range::<str, _>((from, Bound::Unbounded));
        Ok(behind.take(limit).map(|(_, entry)| entry.clone()).collect())
    }

    fn get(&self, name: &str) -> Result<Option<FunctionEntry>> {
        Ok(self.register.lock().functions.get(name).cloned())
    }

    fn revisions(&self, name: &str) -> Result<Vec<Revision>> {
        Ok(self.register.lock().histories.get(name).cloned().unwrap_or_default())
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
            let created_ms = register.changes;
            let entry = FunctionEntry { id, revision: 1, desired, created_ms, spec };
            register.functions.insert(entry.spec.name.clone(), entry.clone());
            register.histories.insert(entry.spec.name.clone(), vec![Revision::first(&entry)]);
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
        self.change(|register| {
            let entry = register.at_revision(&spec.name, based_on)?;
            let described_anew = entry.spec != spec;
            if !described_anew && snapshot.is_some() {
                return Err(internal("a snapshot belongs to a change of the description"));
            }
            entry.revision += 1;
            entry.desired = desired;
            entry.spec = spec;
            let entry = entry.clone();
            if described_anew {
                register.note(&entry, snapshot);
            }
            Ok(entry)
        })
    }

    fn switch(&self, spec: FunctionSpec, based_on: u64, to: FunctionId) -> Result<FunctionEntry> {
        self.change(|register| {
            let entry = register.at_revision(&spec.name, based_on)?;
            let before = std::mem::replace(&mut entry.id, to);
            entry.revision += 1;
            entry.spec = spec;
            let entry = entry.clone();
            register.note(&entry, Some(before));
            Ok(entry)
        })
    }

    fn remove(&self, name: &str, based_on: u64) -> Result<()> {
        self.change(|register| {
            register.at_revision(name, based_on)?;
            register.functions.remove(name);
            register.histories.remove(name);
            Ok(())
        })
    }

    fn watch(&self, waker: Waker) {
        self.watchers.lock().push(waker);
    }
}
