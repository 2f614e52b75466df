// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The client on a real broker: `FNSTREAM_PULSAR` is its address (`scripts/pulsar.sh env` prints it and the others).
//! Without it these tests are skipped, and say so; in continuous integration that is a failure.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test says what it does and takes for granted")]

mod clients;
mod consumers;
mod cuts;
mod harness;
mod kills;
mod producers;
mod readers;
