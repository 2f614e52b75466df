// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream sql`: against a server that does what the test wants, hangs, dies and comes back; and the whole way,
//! with the server that users have.

#![allow(clippy::unwrap_used, reason = "a test may say plainly what it takes for granted")]

mod fake;
mod real;
mod repl;
mod script;
mod terminal;

use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_function-stream");

/// The command for a server at a port, in a folder that holds its files and its history.
fn command(port: u16, folder: &std::path::Path) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["sql", "-p", &port.to_string()]).current_dir(folder).env("XDG_STATE_HOME", folder.join("state"));
    command.stdin(Stdio::null());
    command
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
