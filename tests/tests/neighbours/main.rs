// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One good function beside four that misbehave, on one server under load.
//!
//! Every record of every function is accounted for: emitted, in order, or a dead letter once, with the right reason; also
//! when the server is killed again and again. The good function's latency beside the others is compared with its latency
//! alone in the same run: the runs here print it, `make neighbours` runs for minutes and demands that the 99th percentile
//! is within three times.
//!
//! `FNSTREAM_SECONDS=n` sets how long a run is under load; `FNSTREAM_P99_TIMES=n` makes the comparison a demand.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod account;
mod load;

use std::time::Duration;

use anyhow::{Result, ensure};
use fnstream_api::Client;
use fnstream_api::function::{Function, Limits};
use fnstream_tests::latency::{self, Copied};
use fnstream_tests::node::Node;
use fnstream_tests::seed::{Seed, number};
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, usage};
use rand::RngExt;

use load::{Kind, Load};

/// The most memory of the server with all of it: its own, what its functions may have, and what waits.
const MEMORY: u64 = 1 << 30;

/// Seconds under load, unless said otherwise.
const SECONDS: usize = 15;

async fn create(client: &Client, kind: Kind, digest: &str) -> Result<()> {
    let mut limits = Limits::default();
    // Filling the memory takes a while, and is not to end at the limit of time.
    let call_time = if kind == Kind::Loop { "500ms" } else { "10s" };
    for (name, value) in [("memory", "64MiB"), ("call-time", call_time)] {
        limits.set(name, value).map_err(anyhow::Error::msg)?;
    }
    let function = Function { limits, ..Function::new(digest, vec![kind.input().into()], kind.output()) };
    client.create_function(kind.name(), &function).await?;
    Ok(())
}

async fn upload(client: &Client) -> Result<String> {
    let artifact = std::fs::read(binary::example("unruly_rust")?)?;
    Ok(format!("sha256:{}", client.upload_artifact(artifact).await?.digest))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_function_keeps_its_pace_beside_bad_ones_and_every_record_is_accounted_for() -> Result<()> {
    let seconds = Duration::from_secs(number("FNSTREAM_SECONDS", SECONDS)? as u64);
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let client = node.start().await?;
    let digest = upload(&client).await?;
    create(&client, Kind::Good, &digest).await?;
    let (input, output) = (Kind::Good.input(), Kind::Good.output());
    let good = Copied { input: &input, output: &output, record: |number| Kind::Good.record(number) };
    let alone = latency::measure(&client, good, seconds / 4).await?;
    for kind in Kind::BAD {
        create(&client, kind, &digest).await?;
    }
    let load = Load::start(&node, Seed::of("neighbours")?);
    let beside = latency::measure(&client, good, seconds).await?;
    load.stop().await?;
    let sums = account::settle(&client).await?;
    let peak = usage::memory(node.server()?.pid())?.peak;
    println!("alone:  {alone}\nbeside: {beside}\n{sums}server's peak memory: {} MiB", peak >> 20);
    ensure!(peak < MEMORY, "the server took {} MiB", peak >> 20);
    if let Ok(times) = std::env::var("FNSTREAM_P99_TIMES") {
        let demanded = alone.p99 * times.parse()?;
        ensure!(beside.p99 <= demanded, "the 99th percentile is {:?}, not within {demanded:?}", beside.p99);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_a_server_with_bad_functions_is_killed() -> Result<()> {
    let seconds = number("FNSTREAM_SECONDS", SECONDS)?;
    let seed = Seed::of("killed neighbours")?;
    let mut rng = seed.rng(0);
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let client = node.start().await?;
    let digest = upload(&client).await?;
    for kind in Kind::ALL {
        create(&client, kind, &digest).await?;
    }
    let load = Load::start(&node, seed);
    let kills = seconds.div_ceil(2);
    for _ in 0..kills {
        node.server()?.runs_for(Duration::from_millis(rng.random_range(200..3_000))).await?;
        node.kill()?;
        node.start().await?;
    }
    load.stop().await?;
    let client = node.finder().alive().await?.client;
    let sums = account::settle(&client).await?;
    println!("{kills} kills\n{sums}");
    Ok(())
}
