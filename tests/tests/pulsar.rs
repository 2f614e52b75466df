// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `kill -9` of a server whose functions read and write topics of a real Pulsar cluster: each output comes once and in order. One function
//! changes records (money), the other counts the records of each key in state (keyed count). The input comes in batches, with keys, event
//! times and properties.
//!
//! What functions do with patterns of topics, with schemas and with outputs that are full is in files of its own.
//!
//! Topics are filled, and outputs compared with inputs, by a client of Pulsar that has nothing of ours (`tests/pulsar/check.py`).
//!
//! `FNSTREAM_PULSAR` and `FNSTREAM_PULSAR_ADMIN` name the cluster (`scripts/pulsar.sh env`); without them, or without Python, the test is
//! skipped, and says so. `FNSTREAM_SEED` repeats its choices, `FNSTREAM_PULSAR_KILLS` and `FNSTREAM_PULSAR_RECORDS` make them more.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test says its seed and what it did")]

#[path = "pulsar/full.rs"]
mod full;
#[path = "pulsar/patterns.rs"]
mod patterns;
#[path = "pulsar/schemas.rs"]
mod schemas;

use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use fnstream_api::{Client, Function};
use fnstream_tests::node::Node;
use fnstream_tests::pulsar::Pulsar;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, seed};
use rand::RngExt;

/// How often it is looked how far the functions are.
const STEP: Duration = Duration::from_millis(5);
const PARTITIONS: u32 = 4;

/// The functions, and the examples that they are.
const WORKS: [(&str, &str); 2] = [("money", "basic_rust"), ("keyed-count", "keyed_count_rust")];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_on_pulsar_that_is_killed_loses_and_doubles_nothing() -> Result<()> {
    let Some(cluster) = Pulsar::find("kills")? else { return Ok(()) };
    let mut rng = seed::Seed::of("pulsar")?.rng(0);
    let (kills, records) =
        (seed::number("FNSTREAM_PULSAR_KILLS", 5)?, seed::number("FNSTREAM_PULSAR_RECORDS", 100_000)?);
    let topics: Vec<_> =
        WORKS.iter().flat_map(|(work, _)| ["in", "out"].map(|what| cluster.topic(work, what))).collect();
    cluster.create(PARTITIONS, &topics)?;
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let mut client = node.start().await?;
    for (work, example) in WORKS {
        let archive = client.upload_artifact(std::fs::read(binary::example(example)?)?).await?.digest;
        let (input, output) = (cluster.named(&cluster.topic(work, "in"))?, cluster.named(&cluster.topic(work, "out"))?);
        let mut function = Function::new(format!("sha256:{archive}"), vec![input], output);
        function.replicas = PARTITIONS;
        client.create_function(work, &function).await?;
    }

    // The topics are filled meanwhile, so that each life dies amidst of the work.
    let fills: Vec<_> = WORKS.iter().map(|(work, _)| cluster.fill(work, records)).collect::<Result<_>>()?;
    reach(&node, &client, 1).await?;
    let (mut amidst, mut slowest) = (0, Duration::ZERO);
    for _ in 0..kills {
        node.server()?.runs_for(Duration::from_millis(rng.random_range(0..400))).await?;
        amidst += usize::from(done(&client).await? < WORKS.len() * records);
        node.kill()?;
        client = node.start().await?;
        slowest = slowest.max(node.last_start());
    }
    for fill in fills {
        wait(fill).await?;
    }
    let began = Instant::now();
    reach(&node, &client, WORKS.len() * records).await?;
    println!(
        "{records} records each, {kills} kills, {amidst} of them amidst of the work; the slowest start took {slowest:?}, the last of the \
         work {:?}",
        began.elapsed()
    );
    for (work, _) in WORKS {
        cluster.check_all(work, &cluster.topic(work, "in"), &cluster.topic(work, "out"), records)?;
    }
    Ok(())
}

/// How many records the functions have committed.
async fn done(client: &Client) -> Result<usize> {
    let mut done = 0;
    for (work, _) in WORKS {
        done += done_by(client, work).await?;
    }
    Ok(done)
}

/// The same of one function, whether or not its tasks run.
async fn done_by(client: &Client, function: &str) -> Result<usize> {
    Ok(client.status(Some(function)).await?.iter().map(|function| function.records_in as usize).sum())
}

/// Waits until the functions have committed so many records.
async fn reach(node: &Node, client: &Client, wanted: usize) -> Result<()> {
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let done = done(client).await?;
        if done >= wanted {
            return Ok(());
        }
        if done > last {
            (last, moved) = (done, Instant::now());
        }
        if moved.elapsed() > PATIENCE {
            bail!("stopped at {last} of {wanted}\n{}", node.server()?.last_words());
        }
        node.server()?.runs_for(STEP).await?;
    }
}

/// Waits until a topic is filled.
async fn wait(mut fill: Child) -> Result<()> {
    ensure!(tokio::task::spawn_blocking(move || fill.wait()).await??.success(), "a topic could not be filled");
    Ok(())
}

/// Waits until one function has committed so many records.
async fn reach_by(node: &Node, client: &Client, function: &str, wanted: usize) -> Result<()> {
    let what = format!("{wanted} records of {function}");
    until(node, &what, async || Ok((done_by(client, function).await? >= wanted).then_some(()))).await
}

/// Waits until something is there.
async fn until<T>(node: &Node, what: &str, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if began.elapsed() > PATIENCE {
            bail!("waited in vain for {what}\n{}", node.server()?.last_words());
        }
        node.server()?.runs_for(STEP).await?;
    }
}
