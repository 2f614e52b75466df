// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that were written with an SDK, on the real host: the scenarios of `tests/sdk` that every SDK must pass, in each
//! world, and what a language with a garbage collector could get wrong under load.
//!
//! The Go programs are built by the real toolchain when a test needs them first.

#![allow(clippy::unwrap_used)]

mod artifacts;
mod culprit;
mod examples;
mod host;
mod languages;
mod load;
mod mistakes;
mod model;
mod record;
mod scenario;
mod scenarios;
mod task;
mod timers;
