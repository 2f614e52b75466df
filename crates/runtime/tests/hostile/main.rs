// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that mean harm. None may bring the process down, outlast its limits, make the host grow, or disturb the
//! function beside it; each ends with a code.
//!
//! A test binary of its own, since memory is measured for the whole process: one case runs at a time.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "what was measured is part of the result")]

mod arena;
mod artifacts;
mod components;
mod modules;
mod mutants;
#[path = "../runtime/support.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod support;
