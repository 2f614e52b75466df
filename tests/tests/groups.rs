// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consumers with acknowledgement that take, hang and die, by a client in Python that has nothing of ours
//! (`tests/groups/consumers.py`): nothing is lost, and nothing that was acknowledged is given again.
//!
//! `FNSTREAM_GROUP_EVENTS` and `FNSTREAM_SEED` make it longer and another; `make groups` runs 100,000 events.

#![allow(clippy::print_stderr, reason = "a test that is passed over says so, and figures are told")]

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use fnstream_tests::binary::{self, root};
use fnstream_tests::cli::Cli;
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Runs the consumers; `None` on a machine without Python, where only continuous integration may not be.
async fn consumers(events: u64, early: bool) -> Result<Option<(Output, Node, Cli)>> {
    if Command::new("python3").arg("--version").output().is_err() && std::env::var_os("CI").is_none() {
        eprintln!("PASSED OVER, since there is no python3 here");
        return Ok(None);
    }
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let url = node.start().await?.url().to_owned();
    let mut command = Command::new("python3");
    command.arg(root().join("tests/groups/consumers.py")).arg(&url);
    command.args([events.to_string(), number("FNSTREAM_SEED", 1).to_string()]);
    if early {
        command.arg("early");
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await?.context("cannot run python3")?;
    eprint!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let cli = Cli::new(&url, node.folder())?;
    Ok(Some((output, node, cli)))
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_take_hang_and_die_lose_nothing() -> Result<()> {
    let events = number("FNSTREAM_GROUP_EVENTS", 5_000);
    let Some((output, _node, cli)) = consumers(events, false).await? else { return Ok(()) };
    ensure!(output.status.success(), "{}", output.status);
    // What the client says of the group, and what the metrics count.
    let described = cli.prints(&["group", "describe", "-n", "events", "-g", "workers"])?;
    ensure!(described.contains("acknowledges"), "{described}");
    let told: serde_json::Value = serde_json::from_str(&cli.prints(&["group", "list", "-n", "events", "--json"])?)?;
    ensure!((&told[0]["name"], &told[0]["lag"]) == (&"workers".into(), &0.into()), "{told}");
    Ok(())
}

/// The test above would notice a loss.
#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_acknowledge_before_they_process_lose_events() -> Result<()> {
    let Some((output, _node, _)) = consumers(3_000, true).await? else { return Ok(()) };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(1) && !told.contains("lost 0,"), "{}: {told}", output.status);
    Ok(())
}

/// A client that cannot print what it leased does not acknowledge it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_acknowledges_what_it_has_printed() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let cli = Cli::new(node.start().await?.url(), node.folder())?;
    cli.prints(&["topic", "create", "-n", "t"])?;
    cli.prints(&["produce", "-n", "t", "-c", "a"])?;
    cli.prints(&["produce", "-n", "t", "-c", "b"])?;
    let consume = ["consume", "-n", "t", "-g", "g", "--ack", "--lease", "10ms", "-t", "60s"];
    let full = cli.command(&consume).stdout(std::fs::OpenOptions::new().write(true).open("/dev/full")?).output()?;
    ensure!(!full.status.success(), "the output took nothing");
    // The other one may come first, as long as the lease has not ended.
    let again = ["consume", "-n", "t", "-g", "g", "--ack", "--lease", "1m", "-t", "60s"];
    let mut printed = [cli.prints(&again)?, cli.prints(&again)?];
    printed.sort();
    assert_eq!(printed, ["\"a\"\n", "\"b\"\n"], "it is given again, and what was printed is not");
    let none = cli.run(&["consume", "-n", "t", "-g", "g", "--ack", "-t", "50ms"])?;
    ensure!(none.status.code() == Some(1), "there is nothing left");
    let reset = cli.prints(&["group", "reset", "-n", "t", "-g", "g", "--to", "1"])?;
    assert_eq!(reset, "Group reset: g\n");
    let followed = cli.prints(&["consume", "-n", "t", "-g", "g", "--ack", "--follow", "-t", "200ms", "--json"])?;
    let event: serde_json::Value = serde_json::from_str(&followed)?;
    ensure!((&event["value"], &event["position"]) == (&"b".into(), &"1".into()), "{followed}");
    cli.refuses(&["consume", "-n", "t", "-g", "g"], "FS-1321")?;
    assert_eq!(cli.prints(&["group", "delete", "-n", "t", "-g", "g"])?, "Group deleted: g\n");
    cli.refuses(&["group", "describe", "-n", "t", "-g", "g"], "FS-1323")?;
    Ok(())
}
