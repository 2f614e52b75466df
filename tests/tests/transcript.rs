// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The transcript of the README on the real binary, to the letter: with the example of `make build_all`, and with modules
//! of each way in which first-generation functions come to life and read their record.
//!
//! Every server has a port and a data folder of its own, so the client is told where it is; nothing else differs from
//! what a user types.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use fnstream_tests::binary;
use fnstream_tests::cli::{self, Cli};
use fnstream_tests::guests::{self, Input, Life};
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::within;

const CONTENT: &str = r#"{"name":"rbt","money":2}"#;
const RESULT: &str = r#""{\"name\":\"rbt\",\"money\":3,\"expected\":0}""#;

#[tokio::test]
async fn the_example_behaves_as_the_readme_says() -> Result<()> {
    transcript(&std::fs::read(binary::example("basic")?)?).await
}

#[tokio::test]
async fn first_generation_modules_behave_as_the_readme_says() -> Result<()> {
    for life in [Life::StartThenProcess, Life::ExitThenProcess, Life::InitializeThenProcess, Life::StartOnly] {
        for input in [Input::Stdin, Input::File] {
            transcript(&guests::money(life, input)?).await.with_context(|| format!("{life:?}, {input:?}"))?;
        }
    }
    Ok(())
}

/// What was produced before anybody asked is not missed, and one consumer after the other walks through the topic.
#[tokio::test]
async fn producing_before_consuming_gives_the_same() -> Result<()> {
    let (_node, cli) = standalone(&guests::money(Life::StartThenProcess, Input::Stdin)?).await?;
    for money in 2..5 {
        let content = CONTENT.replace('2', &money.to_string());
        assert_eq!(cli.prints(&["produce", "-n", "example-input", "-c", &content])?, "Event produced\n");
    }
    for money in 3..6 {
        let result = RESULT.replace('3', &money.to_string());
        assert_eq!(cli.prints(&["consume", "-n", "example-output"])?, format!("{result}\n"));
    }
    Ok(())
}

/// The README's steps in its order: the consumer waits before the event is there.
async fn transcript(archive: &[u8]) -> Result<()> {
    let (mut node, cli) = standalone(archive).await?;
    let mut consuming = cli.command(&["consume", "-n", "example-output"]);
    let consuming = consuming.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    assert_eq!(cli.prints(&["produce", "-n", "example-input", "-c", CONTENT])?, "Event produced\n");
    let consumed = tokio::task::spawn_blocking(|| consuming.wait_with_output());
    let consumed = within("the consumer to print the event", consumed).await???;
    assert_eq!(cli::printed(consumed)?, format!("{RESULT}\n"));
    cli.prints(&["delete", "-n", "example"])?;
    assert_eq!(cli.prints(&["list"])?, "");
    let (status, log) = node.terminate().await?;
    ensure!(status.success(), "{status}:\n{}", log.join("\n"));
    Ok(())
}

/// A server with the function of the README, created by its command from a folder that has the archive in `bin/`.
async fn standalone(archive: &[u8]) -> Result<(Node, Cli)> {
    let mut options = ServerOptions::new(binary::server()?);
    options.args.clear();
    let mut node = Node::new(options)?;
    std::fs::create_dir(node.folder().join("bin"))?;
    std::fs::write(node.folder().join("bin/example_basic.wasm"), archive)?;
    let client = node.start().await?;
    let cli = Cli::new(client.url(), node.folder())?;
    let create = "create -n example -a bin/example_basic.wasm -i example-input -o example-output -r 1";
    cli.prints(&create.split(' ').collect::<Vec<_>>())?;
    Ok((node, cli))
}
