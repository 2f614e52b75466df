// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The conformance suites.

use fnstream_core::test_util::suites::{self, Check, log::LogHarness, tasks::TasksHarness};

use crate::cluster::broker;
use crate::harness::Process;

fn run(checks: &[Check<dyn LogHarness>], make: impl Fn(&(String, String)) -> Process) {
    let Some(broker) = broker() else { return };
    // One at a time, so that a test may be told what to look at.
    let only = std::env::var("FNSTREAM_CHECK").ok();
    for check in checks.iter().filter(|check| only.as_ref().is_none_or(|only| check.name.contains(only))) {
        suites::run::<dyn LogHarness>(std::slice::from_ref(check), || Box::new(make(&broker)));
        eprintln!("{}: kept", check.name);
    }
}

#[test]
fn sources_keep_their_contract() {
    run(suites::source::CHECKS, Process::new);
}

#[test]
fn the_committer_keeps_its_contract() {
    run(suites::committer::CHECKS, Process::new);
}

/// The same of a process that shares its tasks with others, of which there are none at present.
#[test]
fn a_process_of_a_group_keeps_the_contracts() {
    run(suites::source::CHECKS, Process::sharing);
    run(suites::committer::CHECKS, Process::sharing);
}

#[test]
fn what_tasks_have_committed_can_be_looked_at_from_outside() {
    let Some(broker) = broker() else { return };
    suites::run::<dyn TasksHarness>(suites::tasks::CHECKS, || Box::new(Process::new(&broker)));
}
