// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The runtime from outside: every kind of artifact, its limits, and what becomes of a guest that misbehaves.
#![allow(clippy::unwrap_used)]

mod artifacts;
mod backtraces;
mod cache;
mod components;
mod conformance;
mod ends;
mod examples;
mod grants;
mod limits;
mod logs;
mod memory;
mod packed;
mod processor;
mod stdio;
mod sum;
mod support;
mod timers;
