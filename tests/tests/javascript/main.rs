// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions given as source in JavaScript, on the real server: from a file to results, without a toolchain.

#![allow(clippy::unwrap_used)]

mod deploy;
mod depth;
mod growth;
mod mistakes;
mod sdk;

use anyhow::Result;
use fnstream_api::Client;
use fnstream_tests::cli::Cli;
use fnstream_tests::node::Node;
use fnstream_tests::scripts::Language;

const JAVASCRIPT: Language = Language {
    name: "javascript",
    title: "JavaScript",
    file: "app.js",
    add: r#"export default function add(record) {
  const event = record.json();
  event.money += 1;
  return event;
}
"#,
    greedy: r#"export default (record) => {
  const event = record.text;
  if (event === 'loop') {
    for (;;) {}
  }
  if (event === 'bomb') {
    const all = [];
    for (;;) all.push(new Uint8Array(1 << 20).fill(1));
  }
  return event;
};
"#,
    folder: env!("CARGO_TARGET_TMPDIR"),
};

/// A server that runs, and the command line of its clients.
async fn server() -> Result<(Node, Client, Cli)> {
    JAVASCRIPT.server().await
}
