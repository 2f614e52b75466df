// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seams on a real broker: `FNSTREAM_KAFKA` is its address (`scripts/kafka.sh start` prints it). Without it these tests
//! are skipped, and say so; in continuous integration that is a failure.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test says what it does and takes for granted")]

mod bad_input;
mod client_faults;
mod clients;
mod cluster;
mod full;
mod harness;
mod kills;
mod seams;
mod server_group;
mod states;
