// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts that take a compiler long, or much memory, on a real server: nobody else waits for them, and none of them takes more
//! memory than there is for it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ClientError, ConsumeOptions, ProduceOptions};
use fnstream_core::{ErrorCode, budget};
use fnstream_tests::cgroup::MemoryGroup;
use fnstream_tests::chain::function;
use fnstream_tests::guests::{self, Input, Life};
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, usage, within};

/// Functions of a monster: few bytes, and a compiler takes some kilobytes and a good part of a millisecond for each.
const FUNCTIONS: usize = 60_000;

/// A section of a module, of that number.
fn section(number: u8, contents: &[u8]) -> Vec<u8> {
    [&[number][..], &length(contents.len()), contents].concat()
}

/// A number in LEB128.
fn length(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A module of very many functions; each number gives another one.
fn monster(number: u8) -> Vec<u8> {
    let count = length(FUNCTIONS);
    // No local variables; i32.const, drop.
    let body = [5, 0, 0x41, number, 0x1a, 0x0b];
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[&count[..], &vec![0; FUNCTIONS]].concat()),
        section(7, b"\x01\x07process\x00\x00"),
        section(10, &[&count[..], &body.repeat(FUNCTIONS)].concat()),
    ]
    .concat()
}

async fn create(client: &Client, name: &str, artifact: Vec<u8>) -> Result<(), ClientError> {
    let digest = client.upload_artifact(artifact).await?.digest;
    let described = function(&format!("sha256:{digest}"), &format!("{name}-in"), &format!("{name}-out"), 1);
    client.create_function(name, &described).await.map(drop)
}

/// The example of the README, as Go's own compiler makes it.
fn go() -> Result<Vec<u8>> {
    Ok(std::fs::read(binary::example("basic")?)?)
}

fn ordinary() -> Result<Vec<u8>> {
    guests::money(Life::StartThenProcess, Input::Stdin)
}

async fn processes(client: &Client, name: &str) -> Result<()> {
    let event = format!(r#"{{"name":"{name}","money":1}}"#);
    client.produce(&format!("{name}-in"), event, &ProduceOptions::default()).await?;
    let options = ConsumeOptions { timeout: Some(PATIENCE), ..Default::default() };
    let answer = client.consume(&format!("{name}-out"), &options).await?.context("the function is silent")?;
    let json = String::from_utf8_lossy(&answer.json);
    ensure!(json.contains("expected"), "{json}");
    Ok(())
}

/// How many artifacts wait to be compiled.
async fn waiting(client: &Client) -> Result<u32> {
    let text = reqwest::get(format!("{}/metrics", client.url())).await?.text().await?;
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("fnstream_artifacts_loading{state=\"waiting\"} "));
    Ok(count.context("no metric")?.parse()?)
}

#[tokio::test]
async fn an_ordinary_function_is_made_while_monsters_wait() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?).arg("--memory", "16GiB"))?;
    let client = node.start().await?;
    for number in 0..8 {
        let client = client.clone();
        tokio::spawn(async move { create(&client, &format!("monster-{number}"), monster(number)).await });
    }
    let mut turns = tokio::time::interval(Duration::from_millis(10));
    let all_wait = async {
        while waiting(&client).await? < 5 {
            turns.tick().await;
        }
        anyhow::Ok(())
    };
    within("the monsters to wait", all_wait).await??;
    create(&client, "ordinary", ordinary()?).await?;
    let left = waiting(&client).await?;
    ensure!(left > 0, "the ordinary one was made after all monsters");
    processes(&client, "ordinary").await
}

#[tokio::test]
async fn with_the_least_memory_a_monster_is_refused_and_the_rest_works() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?).arg("--memory", "384MiB"))?;
    let client = node.start().await?;
    create(&client, "before", ordinary()?).await?;
    create(&client, "go", go()?).await?;
    let refused = create(&client, "monster", monster(0)).await;
    ensure!(refused.as_ref().is_err_and(|e| e.is(ErrorCode::CompileMemory)), "{refused:?}");
    create(&client, "after", [ordinary()?, section(0, b"\x04name")].concat()).await?;
    for name in ["before", "go", "after"] {
        processes(&client, name).await.context(name)?;
    }
    let metrics = reqwest::get(format!("{}/metrics", client.url())).await?.text().await?;
    ensure!(metrics.contains("\nfnstream_memory_refused_total{part=\"compiling\"} 1\n"), "{metrics}");
    client.produce("large", vec![b'x'; 8 << 20], &ProduceOptions::default()).await?;
    let options = ConsumeOptions { timeout: Some(PATIENCE), ..Default::default() };
    let large = client.consume("large", &options).await?.context("it is not there")?;
    ensure!(large.json.len() == (8 << 20) + 2, "{} bytes", large.json.len());
    let peak = usage::memory(node.server()?.pid())?.peak;
    ensure!(peak < 384 << 20, "the server took {:.0} MiB", usage::mib(peak));
    node.kill()?;
    let client = node.start().await?;
    processes(&client, "after").await
}

/// A container of 512 MiB, and a server that is told nothing.
#[tokio::test]
async fn the_first_function_of_the_readme_runs_in_a_small_container() -> Result<()> {
    let Some(group) = MemoryGroup::new(512 << 20) else {
        println!("no control group can be made here");
        return Ok(());
    };
    let mut node = Node::new(group.with(ServerOptions::new(binary::server()?)))?;
    let client = node.start().await?;
    node.server()?.logged(&["memory is shared out", &format!("total={}", budget::LEAST)]).await?;
    create(&client, "go", go()?).await?;
    processes(&client, "go").await?;
    ensure!(group.kills()? == 0, "the memory killer was there");
    node.kill()?;
    Ok(())
}
