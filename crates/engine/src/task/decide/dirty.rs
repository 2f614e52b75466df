// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! When committed state goes to the store.

use std::time::Duration;

/// Sizes of the committed state that the store does not have yet, the task's own and that of all tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirtyFacts {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
    /// Time since the first of it was committed.
    pub(crate) age: Duration,
    /// Bytes of all tasks of the process.
    pub(crate) all_bytes: usize,
    pub(crate) applying: bool,
}

/// The most that may stay unapplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirtyBounds {
    pub(crate) keys: usize,
    pub(crate) all_bytes: usize,
    pub(crate) age: Duration,
}

/// Decides whether to hand the dirty map to the store now: when it is large itself, when it is old, or when all of them together
/// are too large and this one is here to do something about it.
pub(crate) fn should_apply(facts: &DirtyFacts, bounds: &DirtyBounds) -> bool {
    facts.keys > 0
        && !facts.applying
        && (facts.keys >= bounds.keys
            || facts.bytes >= bounds.all_bytes / 2
            || facts.age >= bounds.age
            || facts.all_bytes >= bounds.all_bytes)
}

/// Decides whether to take no more input until the store has caught up.
pub(crate) fn is_congested(facts: &DirtyFacts, bounds: &DirtyBounds) -> bool {
    facts.applying && (facts.keys >= 2 * bounds.keys || facts.bytes >= bounds.all_bytes / 2)
}
