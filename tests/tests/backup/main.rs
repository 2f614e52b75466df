// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Backups of a server under load, restored elsewhere; and how they end otherwise.
//!
//! `FNSTREAM_BACKUPS` says how many are made under load, `FNSTREAM_SEED` repeats the choices.
#![allow(clippy::print_stdout, reason = "a test says its seed and what it did")]

mod cut;
mod ends;

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use fnstream_tests::binary;

/// Runs the program, not as a client.
fn run(args: &[&str]) -> Result<Output> {
    let binary = binary::server()?;
    Command::new(&binary).args(args).output().with_context(|| format!("cannot run '{}'", binary.display()))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}
