// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The binary as its users meet it: texts and exit codes.

#![allow(clippy::unwrap_used)]

mod applying;
mod bench;
mod changes;
mod functions;
mod places;
#[path = "../process/support.rs"]
#[expect(dead_code, reason = "no server is watched here")]
mod support;
mod told;
mod topics;
mod usage;
