// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a failure costs, what a task waits for, and what is seen of it meanwhile; in virtual time, on a backend that counts.

#![allow(clippy::unwrap_used)]

mod backends;
mod dead_letters;
mod dropped;
mod ends;
mod fake;
mod heartbeats;
mod panics;
mod permits;
#[path = "../sim/planted.rs"]
mod planted;
mod refusals;
mod restarts;
mod restores;
mod rests;
mod undone;
mod waits;
mod world;
