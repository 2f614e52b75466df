// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The word count that users of the Go SDK know, to the letter, from its source to its counts: built by `function-stream
//! build` with nothing but Go, run by `function-stream standalone`, and killed in between.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use fnstream_tests::binary::{self, root};
use fnstream_tests::cli::{self, Cli};
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;

/// A folder with the program and a `go.mod` that has the SDK's folder in place of its module.
fn program(folder: &Path, source: &str) -> Result<()> {
    let sdk = root().join("go-sdk").canonicalize()?;
    let name = "github.com/functionstream/function-stream/go-sdk";
    let go_mod = format!("module guide\n\ngo 1.24\n\nrequire {name} v0.0.0\n\nreplace {name} => {}\n", sdk.display());
    std::fs::write(folder.join("go.mod"), go_mod)?;
    Ok(std::fs::write(folder.join("main.go"), source)?)
}

fn build(folder: &Path) -> Result<Output> {
    let mut command = Command::new(binary::server()?.canonicalize()?);
    command.args(["build", ".", "-o", "guide.wasm"]).current_dir(folder);
    command.output().context("cannot run the build")
}

#[tokio::test]
async fn the_guides_word_count_keeps_its_counts_over_a_kill() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    program(node.folder(), &std::fs::read_to_string(root().join("tests/sdk/guide-word-count.txt"))?)?;
    let printed = cli::printed(build(node.folder())?)?;
    assert!(
        printed.starts_with("Built guide.wasm: ") && printed.contains("(component: packed, processor)"),
        "{printed}"
    );
    assert!(printed.contains("\nimports functionstream:packed/state@0.1.0\n"), "{printed}");

    let url = node.start().await?.url().to_owned();
    let client = Cli::new(&url, node.folder())?;
    client.prints(&["create", "-n", "guide", "-a", "guide.wasm", "-i", "words", "-o", "counts", "-r", "1"])?;
    let count = |client: &Cli, word: &str| {
        assert_eq!(client.prints(&["produce", "-n", "words", "-c", word])?, "Event produced\n");
        client.prints(&["consume", "-n", "counts"])
    };
    assert_eq!(count(&client, "a")?, told(r#"{"counter_map":{"a":1},"total_processed":1}"#));
    assert_eq!(count(&client, " b\n")?, told(r#"{"counter_map":{"a":1,"b":1},"total_processed":2}"#));
    assert_eq!(count(&client, "a")?, told(r#"{"counter_map":{"a":2,"b":1},"total_processed":3}"#));

    // What the program keeps in its own fields is gone; what it put into the store is not.
    node.kill()?;
    let url = node.start().await?.url().to_owned();
    let client = Cli::new(&url, node.folder())?;
    assert_eq!(count(&client, "a")?, told(r#"{"counter_map":{"a":3},"total_processed":1}"#));
    assert_eq!(count(&client, "b")?, told(r#"{"counter_map":{"a":3,"b":2},"total_processed":2}"#));
    Ok(())
}

#[test]
fn what_the_compiler_says_is_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    program(folder.path(), "package main\n\nfunc main() { nothing() }\n")?;
    let said = cli::complaint(build(folder.path())?, "FS-1803")?;
    assert!(said.contains("go build failed:\n# guide\n./main.go:3:15: undefined: nothing\n"), "{said}");
    Ok(())
}

#[test]
fn a_folder_without_a_program_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    cli::complaint(build(folder.path())?, "FS-1801")?;
    Ok(())
}

/// As `client consume` prints it.
fn told(json: &str) -> String {
    format!("\"{}\"\n", json.replace('"', "\\\""))
}
