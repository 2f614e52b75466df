// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The gRPC interface as a client in another language sees it: Python, which has nothing of ours but the proto file
//! (`tests/grpc/client.py`).

use std::process::Command;

use anyhow::{Context, Result};
use fnstream_tests::binary::{self, root};
use fnstream_tests::cli;
use fnstream_tests::node::Node;
use fnstream_tests::python::python;
use fnstream_tests::server::ServerOptions;

#[tokio::test]
async fn a_client_of_another_language_drives_the_whole_lifecycle() -> Result<()> {
    drives_the_whole_lifecycle("none", async |node, _| {
        let line = node.server()?.logged(&["serving gRPC", "address="]).await?;
        Ok(line.split("address=").nth(1).context("no address")?.trim().to_owned())
    })
    .await
}

#[tokio::test]
async fn the_same_client_does_so_at_the_address_of_rest_and_compresses() -> Result<()> {
    drives_the_whole_lifecycle("gzip", async |_, rest| Ok(rest.trim_start_matches("http://").to_owned())).await
}

/// At the address that is told of a server and its REST interface.
async fn drives_the_whole_lifecycle(
    compression: &str,
    address: impl AsyncFn(&mut Node, &str) -> Result<String>,
) -> Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let artifact = word_count(&node)?;
    let rest = node.start().await?.url().to_owned();
    let address = address(&mut node, &rest).await?;
    let client = Command::new(python)
        .arg(root().join("tests/grpc/client.py"))
        .arg(root().join("proto"))
        .args([&address, &rest])
        .arg(artifact)
        .arg(compression)
        .output()
        .context("cannot run python")?;
    assert_eq!(cli::printed(client)?, "ok\n");
    Ok(())
}

/// Builds the word count that users of the Go SDK know.
fn word_count(node: &Node) -> Result<std::path::PathBuf> {
    let folder = node.folder();
    let name = "github.com/functionstream/function-stream/go-sdk";
    let sdk = root().join("go-sdk").canonicalize()?;
    let go_mod = format!("module guide\n\ngo 1.24\n\nrequire {name} v0.0.0\n\nreplace {name} => {}\n", sdk.display());
    std::fs::write(folder.join("go.mod"), go_mod)?;
    std::fs::copy(root().join("tests/sdk/guide-word-count.txt"), folder.join("main.go"))?;
    let artifact = folder.join("guide.wasm");
    let built = Command::new(binary::server()?.canonicalize()?)
        .args(["build", ".", "-o"])
        .arg(&artifact)
        .current_dir(folder)
        .output()
        .context("cannot run the build")?;
    cli::printed(built)?;
    Ok(artifact)
}
