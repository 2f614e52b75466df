// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is kept of a function's past.

use serde::{Deserialize, Serialize};

use crate::epoch::FunctionId;
use crate::spec::{FunctionEntry, FunctionSpec};

/// How many revisions of a function are kept, the present one included.
pub const MAX_REVISIONS: usize = 10;

/// A revision at which a function's description changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number, as in [`FunctionEntry::revision`] then.
    pub revision: u64,
    /// The description from then on.
    pub spec: FunctionSpec,
    /// When it came, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Where the state is that it ended with; `None` when it was not kept, and at the present one, whose state is the
    /// function's own.
    pub state: Option<FunctionId>,
}

impl Revision {
    /// The revision that a function begins with. Its description is the entry's as long as there is no other revision.
    pub fn first(entry: &FunctionEntry) -> Self {
        Revision { revision: 1, spec: entry.spec.clone(), created_ms: entry.created_ms, state: None }
    }
}

/// Adds a revision to a history; the one that it replaces keeps `state`. Answers the states of those that are not kept any
/// more.
pub fn succeed(history: &mut Vec<Revision>, next: Revision, state: Option<FunctionId>) -> Vec<FunctionId> {
    if let Some(replaced) = history.last_mut() {
        replaced.state = state;
    }
    history.push(next);
    let too_many = history.len().saturating_sub(MAX_REVISIONS);
    history.drain(..too_many).filter_map(|revision| revision.state).collect()
}
