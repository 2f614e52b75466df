// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Any bytes as what a Pulsar broker sends: frames, entries and batches are read or refused, never with a panic and never
//! with more memory than they may have.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fnstream_pulsar_client::fuzz::read(bytes);
});
