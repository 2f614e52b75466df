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
    pub(crate) retry: Retry,
}

/// The last apply failed: when the next one may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// None has failed.
    Not,
    /// It is not time yet.
    Later,
    /// It is time.
    Now,
}

/// The most that may stay unapplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirtyBounds {
    pub(crate) keys: usize,
    pub(crate) all_bytes: usize,
    pub(crate) age: Duration,
}

/// Decides whether to hand the dirty map to the store now: when it is large itself, when it is old, or when all of them together
/// are too large and this one is here to do something about it. After a failure it waits its time.
pub(crate) fn should_apply(facts: &DirtyFacts, bounds: &DirtyBounds) -> bool {
    facts.keys > 0
        && !facts.applying
        && facts.retry != Retry::Later
        && (facts.retry == Retry::Now
            || facts.keys >= bounds.keys
            || facts.bytes >= bounds.all_bytes / 2
            || facts.age >= bounds.age
            || facts.all_bytes >= bounds.all_bytes)
}

/// Decides whether to take no more input until the store has caught up.
pub(crate) fn is_congested(facts: &DirtyFacts, bounds: &DirtyBounds) -> bool {
    (facts.applying || facts.retry != Retry::Not)
        && (facts.keys >= 2 * bounds.keys || facts.bytes >= bounds.all_bytes / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: DirtyBounds = DirtyBounds { keys: 10, all_bytes: 1_000, age: Duration::from_secs(5) };
    const SOME: DirtyFacts =
        DirtyFacts { keys: 1, bytes: 1, age: Duration::ZERO, all_bytes: 1, applying: false, retry: Retry::Not };

    #[test]
    fn what_is_large_or_old_is_applied_once_at_a_time() {
        assert!(!should_apply(&SOME, &BOUNDS));
        for large in [
            DirtyFacts { keys: 10, ..SOME },
            DirtyFacts { bytes: 500, ..SOME },
            DirtyFacts { all_bytes: 1_000, ..SOME },
            DirtyFacts { age: BOUNDS.age, ..SOME },
        ] {
            assert!(should_apply(&large, &BOUNDS), "{large:?}");
            assert!(!should_apply(&DirtyFacts { applying: true, ..large }, &BOUNDS), "{large:?}");
        }
    }

    #[test]
    fn after_a_failure_it_waits_its_time_however_large_it_is_and_no_input_is_taken_meanwhile() {
        let large = DirtyFacts { keys: 20, ..SOME };
        let later = DirtyFacts { retry: Retry::Later, ..large };
        assert!(!should_apply(&later, &BOUNDS) && is_congested(&later, &BOUNDS));
        assert!(should_apply(&DirtyFacts { retry: Retry::Now, ..SOME }, &BOUNDS));
        assert!(!is_congested(&large, &BOUNDS));
        assert!(!is_congested(&DirtyFacts { retry: Retry::Later, ..SOME }, &BOUNDS));
    }
}
