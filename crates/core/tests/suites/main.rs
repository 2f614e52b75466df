// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The conformance suites pass the in-memory implementations and reject every one that is broken on purpose, by the check
//! that names its fault.

#![allow(clippy::unwrap_used)]

mod broken_artifacts;
mod broken_clients;
mod broken_commits;
mod broken_log;
mod broken_metadata;
mod broken_notes;
mod broken_peers;
mod broken_producers;
mod broken_programs;
mod broken_sources;
mod broken_standing;
mod broken_stores;
mod mem_clients;
mod mem_log;
mod mem_standing;
mod obedient;

use std::collections::BTreeSet;
use std::fmt::Debug;

use fnstream_core::test_util::suites::{Check, violations};

/// Runs a suite against broken implementations. Each has to be rejected by the check that is named with its fault, and must
/// be broken in few ways: other checks pass. Of the checks each has to reject something: one that cannot fail checks nothing.
#[track_caller]
fn rejects<H: ?Sized, F: Debug + Copy>(checks: &[Check<H>], faults: &[(F, &str)], make: impl Fn(F) -> Box<H>) {
    let mut rejecting = BTreeSet::new();
    for (fault, by) in faults {
        let names: Vec<_> = violations(checks, || make(*fault)).map(|violation| violation.check).collect();
        assert!(names.contains(by), "{fault:?} was not rejected by {by}, but by {names:?}");
        assert!(names.len() < checks.len(), "{fault:?} was rejected by everything: its harness is broken");
        rejecting.extend(names);
    }
    let idle: Vec<_> = checks.iter().map(|check| check.name).filter(|name| !rejecting.contains(name)).collect();
    assert!(idle.is_empty(), "nothing was rejected by {idle:?}");
}
