// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The conformance suites.

use fnstream_core::test_util::suites::{self, Check, log::LogHarness, tasks::TasksHarness};

use std::sync::Arc;

use crate::cluster::{Private, bootstrap};
use crate::harness::Process;

fn run(checks: &[Check<dyn LogHarness>]) {
    let Some(bootstrap) = bootstrap() else { return };
    // One at a time, so that a test may be told what to look at.
    let only = std::env::var("FNSTREAM_CHECK").ok();
    for check in checks.iter().filter(|check| only.as_ref().is_none_or(|only| check.name.contains(only))) {
        suites::run::<dyn LogHarness>(std::slice::from_ref(check), || Box::new(Process::new(&bootstrap)));
        eprintln!("{}: kept", check.name);
    }
}

#[test]
fn sources_keep_their_contract() {
    run(suites::source::CHECKS);
}

#[test]
fn the_committer_keeps_its_contract() {
    run(suites::committer::CHECKS);
}

#[test]
fn what_tasks_have_committed_can_be_looked_at_from_outside() {
    let Some(bootstrap) = bootstrap() else { return };
    suites::run::<dyn TasksHarness>(suites::tasks::CHECKS, || Box::new(Process::new(&bootstrap)));
}

/// The same of a process that shares its tasks with others, of which there are none at present.
#[test]
fn a_process_of_a_group_keeps_the_contracts() {
    let Some(bootstrap) = bootstrap() else { return };
    let only = std::env::var("FNSTREAM_CHECK").ok();
    for check in suites::source::CHECKS.iter().chain(suites::committer::CHECKS) {
        if only.as_ref().is_some_and(|only| !check.name.contains(only)) {
            continue;
        }
        suites::run::<dyn LogHarness>(std::slice::from_ref(check), || Box::new(Process::sharing(&bootstrap)));
        eprintln!("{}: kept by a group", check.name);
    }
}

#[test]
fn a_broker_that_is_stopped_is_waited_for() {
    if bootstrap().is_none() {
        return;
    }
    let broker = Arc::new(Private::start());
    let stopping = ["a_broker_that_is_away_is_trouble_and_no_error", "a_committer_that_cannot_commit_says_why"];
    let checks = suites::source::CHECKS.iter().chain(suites::committer::CHECKS);
    for check in checks.filter(|check| stopping.contains(&check.name)) {
        suites::run::<dyn LogHarness>(std::slice::from_ref(check), || Box::new(Process::on(broker.clone())));
    }
}
