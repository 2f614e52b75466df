// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions given as source in JavaScript, on the real server: from a file to results, without a toolchain.
//!
//! Compiled code is kept in one folder for all servers here, as it is on a machine that has run a JavaScript function before.

#![allow(clippy::unwrap_used)]

mod deploy;
mod growth;
mod mistakes;
mod sdk;

use std::path::{Path, PathBuf};

use anyhow::Result;
use fnstream_api::Client;
use fnstream_tests::binary;
use fnstream_tests::cli::Cli;
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;

/// Where compiled code is kept.
fn code() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("javascript-code")
}

fn options() -> Result<ServerOptions> {
    let engines = binary::engines("javascript")?;
    Ok(ServerOptions::new(binary::server()?)
        .env("FUNCTION_STREAM_WASM_ENGINES_DIR", engines.display().to_string())
        .env("FUNCTION_STREAM_WASM_CACHE_DIR", code().display().to_string()))
}

/// A server that runs, and the command line of its clients.
async fn server() -> Result<(Node, Client, Cli)> {
    let mut node = Node::new(options()?)?;
    let client = node.start().await?;
    let cli = Cli::new(client.url(), node.folder())?;
    Ok((node, client, cli))
}

/// Writes files below the node's folder.
fn write(node: &Node, files: &[(&str, &str)]) -> Result<()> {
    for (path, content) in files {
        let path = node.folder().join(path);
        std::fs::create_dir_all(path.parent().unwrap())?;
        std::fs::write(path, content)?;
    }
    Ok(())
}

/// The next values of a topic, as the command prints them.
fn consumed(cli: &Cli, topic: &str, count: usize) -> Result<Vec<String>> {
    (0..count).map(|_| Ok(serde_json::from_str(cli.prints(&["consume", "-n", topic])?.trim_end())?)).collect()
}

fn create(cli: &Cli, name: &str, archive: &str) -> Result<String> {
    cli.prints(&["create", "-n", name, "-a", archive, "-i", "in", "-o", "out", "-r", "1"])
}
