// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A function of a register with its history, and what each change makes of it: for registers that keep both together.

use serde::{Deserialize, Serialize};

use super::{Revision, succeed};
use crate::epoch::FunctionId;
use crate::error::{Error, ErrorCode, Result, internal};
use crate::spec::{DesiredState, FunctionEntry, FunctionSpec};

/// A registered function and its kept revisions, of which the last has the present description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The function as it is.
    pub entry: FunctionEntry,
    /// Its kept revisions, the oldest first.
    pub history: Vec<Revision>,
}

impl Registered {
    /// A new function. `now_ms` is the time in milliseconds since the Unix epoch, here and below.
    pub fn new(spec: FunctionSpec, desired: DesiredState, id: FunctionId, now_ms: i64) -> Self {
        let entry = FunctionEntry { id, revision: 1, desired, created_ms: now_ms, spec };
        Registered { history: vec![Revision::first(&entry)], entry }
    }

    /// The function of that name, if it is at that revision.
    pub fn expect<'a>(found: Option<&'a Registered>, name: &str, revision: u64) -> Result<&'a Registered> {
        let found = found
            .ok_or_else(|| Error::new(ErrorCode::FunctionNotFound, format!("function '{name}' does not exist")))?;
        let at = found.entry.revision;
        match at == revision {
            true => Ok(found),
            false => {
                let message = format!("function '{name}' is at revision {at}, not {revision}");
                Err(Error::new(ErrorCode::FunctionChanged, message))
            }
        }
    }

    /// See [`super::Metadata::update`].
    pub fn updated(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        snapshot: Option<FunctionId>,
        now_ms: i64,
    ) -> Result<Self> {
        let described_anew = self.entry.spec != spec;
        if !described_anew && snapshot.is_some() {
            return Err(internal("a snapshot belongs to a change of the description"));
        }
        let mut next = self.clone();
        next.entry = FunctionEntry { revision: self.entry.revision + 1, desired, spec, ..next.entry };
        if described_anew {
            next.note(snapshot, now_ms);
        }
        Ok(next)
    }

    /// See [`super::Metadata::switch`].
    pub fn switched(&self, spec: FunctionSpec, to: FunctionId, now_ms: i64) -> Self {
        let mut next = self.clone();
        next.entry = FunctionEntry { id: to, revision: self.entry.revision + 1, spec, ..next.entry };
        next.note(Some(self.entry.id), now_ms);
        next
    }

    /// Notes the present description as a new revision; the one before keeps `state`.
    fn note(&mut self, state: Option<FunctionId>, now_ms: i64) {
        let FunctionEntry { revision, spec, .. } = &self.entry;
        let next = Revision { revision: *revision, spec: spec.clone(), created_ms: now_ms, state: None };
        succeed(&mut self.history, next, state);
    }
}
