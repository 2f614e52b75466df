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
    build_to(folder, &folder.join("guide.wasm"))
}

fn build_to(folder: &Path, out: &Path) -> Result<Output> {
    let mut command = Command::new(binary::server()?.canonicalize()?);
    command.arg("build").arg(".").arg("-o").arg(out).current_dir(folder);
    command.output().context("cannot run the build")
}

#[tokio::test]
async fn the_guides_word_count_keeps_its_counts_over_a_kill() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    program(node.folder(), &std::fs::read_to_string(root().join("tests/sdk/guide-word-count.txt"))?)?;
    let printed = cli::printed(build(node.folder())?)?;
    assert!(printed.starts_with("Built ") && printed.contains("(component: packed, processor)"), "{printed}");
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

/// The conformance program on a server: what a function is asked by its users, and a record that it panics at.
#[tokio::test]
async fn a_running_function_is_asked_and_survives_a_panic() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let archive = node.folder().join("conformance.wasm");
    cli::printed(build_to(&root().join("tests/sdk/go"), &archive)?)?;
    std::fs::write(node.folder().join("module"), "1")?;

    let url = node.start().await?.url().to_owned();
    let client = Cli::new(&url, node.folder())?;
    let create = "create -n f -a conformance.wasm -i in -o out --on-error skip";
    client.prints(&create.split(' ').collect::<Vec<_>>())?;
    let answer = |record: &str| {
        client.prints(&["produce", "-n", "in", "-c", record])?;
        client.prints(&["consume", "-n", "out"])
    };
    assert_eq!(answer("put a 1\nget a")?, "\"a=1\"\n");
    assert_eq!(client.prints(&["custom", "-n", "f", "-c", "ping"])?, "custom ping\n");
    let refused = client.refuses(&["custom", "-n", "f", "-c", "fail"], "FS-1401")?;
    assert!(refused.contains("refused"), "{refused}");
    client.prints(&["exec", "-n", "f", "--class-name", "my.Class", "-m", "a=module"])?;
    assert_eq!(answer("get exec")?, "\"exec=my.Class a=1\"\n");
    client.prints(&["produce", "-n", "in", "-c", "put a 2\npanic too bad"])?;
    assert_eq!(answer("get a")?, "\"a=1\"\n");
    Ok(())
}

#[test]
fn what_the_compiler_says_is_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    program(folder.path(), "package main\n\nfunc main() { nothing() }\n")?;
    let said = cli::complaint(build(folder.path())?, "FS-1803")?;
    assert!(said.contains("go build failed:\n  # guide\n  ./main.go:3:15: undefined: nothing\n"), "{said}");
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
