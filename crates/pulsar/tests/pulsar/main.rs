// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seams on a real broker: `FNSTREAM_PULSAR` and `FNSTREAM_PULSAR_ADMIN` are its addresses (`scripts/pulsar.sh env` prints them).
//! Without them these tests are skipped, and say so; in continuous integration that is a failure.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test says what it does and takes for granted")]

mod clients;
mod cluster;
mod harness;
mod patterns;
mod seams;
mod server_group;
mod states;
