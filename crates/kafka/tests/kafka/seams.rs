// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The conformance suites.

use fnstream_core::test_util::suites::{self, Check, log::LogHarness};

use crate::cluster::bootstrap;
use crate::harness::Process;

fn run(checks: &[Check<dyn LogHarness>]) {
    let Some(bootstrap) = bootstrap() else { return };
    // One at a time, so that a test may be told what to look at.
    let only = std::env::var("FNSTREAM_CHECK").ok();
    for check in checks.iter().filter(|check| only.as_ref().is_none_or(|only| check.name.contains(only))) {
        let begun = std::time::Instant::now();
        suites::run::<dyn LogHarness>(std::slice::from_ref(check), || Box::new(Process::new(&bootstrap)));
        eprintln!("{} {:?}", check.name, begun.elapsed());
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
