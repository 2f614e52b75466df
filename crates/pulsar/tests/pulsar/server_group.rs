// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the processes of a server group share.

use std::sync::Arc;

use fnstream_group::Log;
use fnstream_group::test_util::{self, Logs};
use fnstream_pulsar::{Pulsar, PulsarLog};

use crate::cluster::{Cluster, broker};

/// Runs a check with the logs of new groups.
fn check(check: fn(&dyn Fn() -> Logs)) {
    let Some(broker) = broker() else { return };
    check(&|| {
        let options = Cluster::of(&broker, "public/default").options();
        Arc::new(move |name: &str| -> Arc<dyn Log> {
            let pulsar = Pulsar::connect(options.clone()).unwrap();
            Arc::new(PulsarLog::open(&pulsar, name).unwrap())
        })
    });
}

#[test]
fn the_register_keeps_its_contract() {
    check(test_util::the_register_keeps_its_contract);
}

#[test]
fn processes_that_change_the_register_at_once_lose_nothing() {
    check(test_util::processes_that_change_the_register_at_once_lose_nothing);
}

#[test]
fn what_is_left_of_a_removed_function_is_known_until_it_is_tidied() {
    check(test_util::what_is_left_of_a_removed_function_is_known_until_it_is_tidied);
}

#[test]
fn artifacts_keep_their_contract() {
    check(test_util::artifacts_keep_their_contract);
}

#[test]
fn an_artifact_reaches_every_process_and_heals_every_disk() {
    check(test_util::an_artifact_reaches_every_process_and_heals_every_disk);
}

#[test]
fn processes_find_and_ask_each_other() {
    check(test_util::processes_find_and_ask_each_other);
}

#[test]
fn a_writer_that_was_fenced_writes_nothing() {
    check(test_util::a_writer_that_was_fenced_writes_nothing);
}

#[test]
fn a_log_keeps_what_is_needed_and_little_else() {
    check(test_util::a_log_keeps_what_is_needed_and_little_else);
}
