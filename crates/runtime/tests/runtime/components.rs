// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a component sees of the world around it: nothing of the server's.

use std::time::{Duration, Instant};

use fnstream_core::ErrorCode;
use fnstream_core::runtime::Runtime;

use crate::support::{guest, runtime, said, spec, start, task};

#[test]
fn there_are_no_arguments_variables_files_or_sockets() {
    assert_eq!(task(&guest("packed")).run(&["surroundings"]).unwrap(), ["(0, 0, true, true)"]);
}

#[test]
fn a_sleep_returns_when_it_is_over() {
    assert_eq!(task(&guest("packed")).run(&["sleep 1"]).unwrap(), ["awake"]);
}

#[test]
fn a_sleep_cannot_outlast_the_call() {
    let mut spec = spec();
    spec.limits.call_time = Duration::from_millis(50);
    let mut task = start(&runtime().load(&guest("packed")).unwrap(), &spec);
    let begun = Instant::now();
    let failure = task.fail(&["sleep 600000"]);
    let message = "the call waited until it was ended 1s after it began, the most by the clock with its limit 'call-time' of 50ms";
    assert_eq!(said(&failure), (ErrorCode::GuestTimeout, message, None));
    assert!(begun.elapsed() < Duration::from_secs(60));
}
