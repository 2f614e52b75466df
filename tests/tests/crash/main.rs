// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `kill -9` at any moment: nothing that was acknowledged is lost, nothing that was committed is repeated, and nothing is
//! ever half done.
//!
//! The server is a process of its own that dies at moments which chance chooses. `FNSTREAM_SEED` repeats the choices,
//! `FNSTREAM_CRASH_KILLS` makes them more.
#![allow(clippy::print_stdout, reason = "a test says its seed and what it did")]

mod closer;
mod graceful;
mod operations;
mod storm;

/// How often each test kills its server.
fn kills() -> anyhow::Result<usize> {
    fnstream_tests::seed::number("FNSTREAM_CRASH_KILLS", 100)
}
