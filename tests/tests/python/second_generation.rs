// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A class of the second generation, made by its client, whose calls and names are the old ones.

use std::process::Command;

use anyhow::{Context, Result};
use fnstream_tests::binary::root;
use fnstream_tests::cli::{self, Cli};
use fnstream_tests::python::python_for;
use fnstream_tests::scripts::consumed;

use crate::server;

/// What the script prints of a step.
fn client(python: &str, address: &str, step: &str) -> Result<String> {
    let script = Command::new(python)
        .arg("-B")
        .arg(root().join("tests/python/second_generation.py"))
        .args([address, step])
        .env("PYTHONPATH", root().join("sdks/python/src").canonicalize()?)
        .output()
        .context("cannot run python")?;
    cli::printed(script)
}

#[tokio::test]
async fn a_class_of_two_modules_counts_over_a_restart() -> Result<()> {
    let Some(python) = python_for("sdks/python/tests/requirements.txt")? else { return Ok(()) };
    let (mut node, client_, cli) = server().await?;
    let address = client_.url().trim_start_matches("http://").to_owned();
    assert_eq!(client(&python, &address, "create")?, "True\n");
    assert_eq!(client(&python, &address, "show")?, "word-count processor Running\n");
    assert_eq!(client(&python, &address, "create-again")?, "ConflictError 409 FS-1101\n");
    for words in ["a b", "", "a"] {
        cli.prints(&["produce", "-n", "in", "-c", &format!("words {words}")])?;
    }
    assert_eq!(consumed(&cli, "out", 3)?, ["A=1", "B=1", "A=2"]);
    node.kill()?;
    let restarted = node.start().await?;
    let address = restarted.url().trim_start_matches("http://").to_owned();
    let cli = Cli::new(restarted.url(), node.folder())?;
    cli.prints(&["produce", "-n", "in", "-c", "words b"])?;
    assert_eq!(consumed(&cli, "out", 1)?, ["B=2"]);
    assert_eq!(client(&python, &address, "stop")?, "True\nword-count processor Stopped\n");
    assert_eq!(client(&python, &address, "start")?, "True\nword-count processor Running\n");
    assert_eq!(client(&python, &address, "drop")?, "True\n");
    assert_eq!(client(&python, &address, "show")?, "");
    Ok(())
}
