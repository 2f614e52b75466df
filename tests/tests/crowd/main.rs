// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server among very many clients that hold back what they owe it (requests in part, answers unread, connections in silence)
//! and among functions that all take as much memory as one may have.
//!
//! It goes on serving those who behave, within its memory and with few open files. The runs here are short; `make crowd` lasts
//! for minutes, with more of everything, and demands that the 99th percentile of a good function is within five times of what it
//! is alone.
//!
//! `FNSTREAM_SECONDS=n` sets how long the crowd is there, `FNSTREAM_CROWD=n` how many slow connections there are at a time,
//! `FNSTREAM_HOGS=n` how many functions take memory; `FNSTREAM_P99_TIMES=n` makes the comparison a demand. Where this user may
//! make control groups, the server is in one whose limit is its budget and a quarter.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod files;
mod hogs;
mod holding;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ConsumeOptions, Function, ProduceOptions, ReadFrom};
use fnstream_tests::cgroup::MemoryGroup;
use fnstream_tests::latency::{self, Copied};
use fnstream_tests::node::Node;
use fnstream_tests::seed::number;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, usage};

use hogs::Hogs;
use holding::Crowd;

/// The memory that the server is given. With all of the crowd it has no more.
const MEMORY: u64 = 1638 << 20;

/// What a container would let it have.
const GROUP: u64 = 2 << 30;

/// What it has at most when they have gone and were forgotten.
const AFTERWARDS: u64 = 512 << 20;

/// Functions that take memory, unless said otherwise: more than there is memory for.
const HOGS: usize = 8;

/// Seconds with the crowd, unless said otherwise.
const SECONDS: usize = 8;

/// Slow connections, unless said otherwise: more than a server has places for in all.
const SLOW: usize = 1_000;

/// Of each sort that takes memory.
const HOLDING: usize = 200;

const GOOD: Copied<'_> =
    Copied { input: "good-in", output: "good-out", record: |number| format!("{{\"name\":\"{number}\",\"money\":1}}") };

#[tokio::test(flavor = "multi_thread")]
async fn a_good_function_keeps_its_pace_in_a_crowd_and_the_server_its_bounds() -> Result<()> {
    let seconds = Duration::from_secs(number("FNSTREAM_SECONDS", SECONDS)? as u64);
    let slow = number("FNSTREAM_CROWD", SLOW)?;
    let hogs = number("FNSTREAM_HOGS", HOGS)?;
    let mut options = ServerOptions::durable(binary::server()?).arg("--memory", MEMORY);
    let group = MemoryGroup::new(GROUP);
    match &group {
        Some(group) => options = group.with(options),
        None => println!("this user cannot make a control group: nothing but its budget bounds the server"),
    }
    let mut node = Node::new(options)?;
    let client = node.start().await?;
    let artifact = std::fs::read(binary::example("pass_through_rust")?)?;
    let digest = format!("sha256:{}", client.upload_artifact(artifact).await?.digest);
    client.create_function("good", &Function::new(&digest, vec![GOOD.input.into()], GOOD.output)).await?;
    client.produce("large", vec![b'x'; holding::LARGE], &ProduceOptions::default()).await?;
    let alone = latency::measure(&client, GOOD, seconds / 4).await?;

    let pid = node.server()?.pid();
    let hogs = Hogs::deploy(&client, hogs).await?;
    let crowd = Crowd::gather(client.url(), HOLDING, slow)?;
    let beside = latency::measure(&client, GOOD, seconds).await?;
    let peak = usage::memory(pid)?.peak;
    let opened = crowd.leave()?;
    println!("alone:  {alone}\nbeside: {beside}\n{opened}\npeak memory: {} MiB", peak >> 20);
    ensure!(peak < MEMORY, "the server took {} MiB", peak >> 20);
    if let Some(group) = &group {
        ensure!(group.kills()? == 0, "the server was killed for its memory");
    }
    println!("{}", hogs.end(&client).await?);
    if let Ok(times) = std::env::var("FNSTREAM_P99_TIMES") {
        let demanded = alone.p99 * times.parse()?;
        ensure!(beside.p99 <= demanded, "the 99th percentile is {:?}, not within {demanded:?}", beside.p99);
    }
    // All of it is given back, and what is large is served again.
    let options = ConsumeOptions {
        from: Some(ReadFrom::Earliest),
        timeout: Some(fnstream_tests::PATIENCE),
        ..ConsumeOptions::default()
    };
    let large = client.consume("large", &options).await?.context("it is gone")?;
    ensure!(large.json.len() == holding::LARGE + 2);
    forgotten(&client, pid).await
}

/// Comes back when the server has little in memory again.
async fn forgotten(client: &Client, pid: u32) -> Result<()> {
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    let small = async {
        loop {
            looks.tick().await;
            // A process that does nothing at all gives nothing back.
            client.list_topics().await?;
            if usage::memory(pid)?.resident < AFTERWARDS {
                return anyhow::Ok(());
            }
        }
    };
    fnstream_tests::within("the memory to be given back", small).await?
}
