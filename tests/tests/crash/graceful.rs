// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An orderly end under load: SIGTERM, exit code 0, every function closed, the last epoch committed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{ConsumeOptions, ReadFrom};
use fnstream_tests::chain::ledger::{Append, Record};
use fnstream_tests::chain::producer::{Load, Producer, Style};
use fnstream_tests::chain::step::Step;
use fnstream_tests::chain::{Chain, IN, check, function, reader};
use fnstream_tests::node::Node;
use fnstream_tests::seed::Seed;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, within};
use rand::RngExt;
use tokio::task::JoinSet;

use super::closer::{self, CLOSED};

const PARTITIONS: u32 = 2;

/// How often the server is ended.
const ENDS: usize = 20;

/// Where the component that tells of its end emits.
const CLOSER_OUT: &str = "closer-out";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_end_commits_everything_and_closes_every_function() -> Result<()> {
    let seed = Seed::of("an_orderly_end")?;
    let mut rng = seed.rng(0);
    let mut node = Node::new(ServerOptions::new(binary::server()?).arg("--state-dirty-keys", 16))?;
    let client = node.start().await?;
    let chain = Chain { partitions: PARTITIONS, first: Step::PassThrough, second: Step::KeyedCount };
    chain.create(&client).await?;
    let artifact = client.upload_artifact(closer::component()?).await?;
    let closer = function(&format!("sha256:{}", artifact.digest), IN, CLOSER_OUT, PARTITIONS);
    client.create_topic(CLOSER_OUT, &topic()).await?;
    client.create_function("closer", &closer).await?;

    let load = Load::new(40, 40);
    let mut producers = JoinSet::new();
    for (number, style) in (0..).zip([Style::Single, Style::Lines, Style::Frame]) {
        let producer = Producer { number, style, rng: seed.rng(1 + u64::from(number)), load: load.clone() };
        producers.spawn(producer.run(node.finder()));
    }
    for _ in 0..ENDS {
        has_come_up(&node).await?;
        let enough = *load.events.borrow() + rng.random_range(50..=1000);
        within("records to flow", load.events.subscribe().wait_for(|events| *events >= enough)).await??;
        node.server()?.runs_for(rng.random_range(Duration::ZERO..Duration::from_millis(3))).await?;
        let (status, log) = node.terminate().await?;
        ensure!(status.success(), "ended with {status}\n{}", log.join("\n"));
        node.start().await?;
    }
    load.stop();
    let ledgers = within("the producers to end", producers.join_all()).await?;
    let mut ledger = ledgers.into_iter().collect::<Result<Vec<Vec<Append>>>>()?.concat();

    let client = node.finder().alive().await?.client;
    chain.touch(&client, &mut ledger, &load, 0).await?;
    chain.settle(&client, &mut ledger, 0).await?.must_be_clean()?;
    for partition in 0..PARTITIONS {
        let last = reader::read_now(&client, IN, partition).await?.pop().map(keyless);
        reader::read_until(&client, CLOSER_OUT, partition, &last.context("no input")?).await?;
    }
    let (status, _) = node.terminate().await?;
    ensure!(status.success(), "ended with {status} when idle");

    // What the last close emitted was committed before the process ended: it is there before any function runs again.
    let client = node.start().await?;
    for partition in 0..PARTITIONS {
        let output = reader::read_now(&client, CLOSER_OUT, partition).await?;
        let input = reader::read_now(&client, IN, partition).await?;
        let closed = output.iter().filter(|record| record.value == CLOSED).count();
        ensure!(closed == ENDS + 1, "partition {partition}: closed {closed} times in {} orderly ends", ENDS + 1);
        ensure!(
            output.last().is_some_and(|record| record.value == CLOSED),
            "partition {partition}: committed after the close"
        );
        let output: Vec<_> = output.into_iter().filter(|record| record.value != CLOSED).collect();
        let input: Vec<_> = input.into_iter().map(keyless).collect();
        let problems = check::processed("closer", Step::PassThrough, &[input], &[output]);
        ensure!(problems.is_empty(), "partition {partition}: {}", check::report(&problems));
    }
    println!("an_orderly_end: {} orderly ends, {} appends, closed each time", ENDS + 1, ledger.len());
    Ok(())
}

/// Waits until every task of the component has committed something in this life: one that has not come up has nothing to
/// close.
async fn has_come_up(node: &Node) -> Result<()> {
    let client = node.finder().alive().await?.client;
    for partition in 0..PARTITIONS {
        let next = ConsumeOptions {
            from: Some(ReadFrom::Latest),
            partition: Some(partition),
            timeout: Some(PATIENCE),
            ..ConsumeOptions::default()
        };
        client.consume(CLOSER_OUT, &next).await?.context("the component emits nothing")?;
    }
    Ok(())
}

/// The world of one call per record knows no keys.
fn keyless(record: Record) -> Record {
    Record { key: Vec::new(), ..record }
}

fn topic() -> fnstream_api::TopicRequest {
    fnstream_api::TopicRequest { partitions: Some(PARTITIONS), ..Default::default() }
}
