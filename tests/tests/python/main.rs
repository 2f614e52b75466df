// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions given as source in Python, on the real server: from a file to results, without a toolchain.

#![allow(clippy::unwrap_used)]

mod deploy;
mod mistakes;
mod recycled;
mod sdk;
mod second_generation;

use anyhow::Result;
use fnstream_api::Client;
use fnstream_tests::cli::Cli;
use fnstream_tests::node::Node;
use fnstream_tests::scripts::Language;

const PYTHON: Language = Language {
    name: "python",
    title: "Python",
    file: "app.py",
    add: r#"from functionstream import function

@function
def add(record):
    event = record.json()
    event["money"] += 1
    return event
"#,
    greedy: r#"from functionstream import function

@function
def f(record):
    if record.value == b"loop":
        while True: pass
    if record.value == b"bomb":
        x = []
        while True: x.append(bytearray(1 << 20))
    return record.value
"#,
    folder: env!("CARGO_TARGET_TMPDIR"),
};

/// A server that runs, and the command line of its clients.
async fn server() -> Result<(Node, Client, Cli)> {
    PYTHON.server().await
}
