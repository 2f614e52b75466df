// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A function whose output takes no records, because its backlog has reached its quota.

use anyhow::{Result, ensure};
use fnstream_api::{Client, Function};
use fnstream_tests::binary;
use fnstream_tests::node::Node;
use fnstream_tests::pulsar::Pulsar;
use fnstream_tests::server::ServerOptions;

use super::{reach_by, until, wait};

/// The records before the output is full, and those that come meanwhile.
const RECORDS: [usize; 2] = [100, 2_000];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_output_whose_backlog_is_full_is_waited_for() -> Result<()> {
    // The input has a namespace of its own, which is not held.
    let (Some(cluster), Some(full)) = (Pulsar::find("open")?, Pulsar::find("full")?) else { return Ok(()) };
    let (input, output) = (cluster.topic("money", "in"), full.topic("money", "out"));
    cluster.create(2, &[input.clone(), output.clone()])?;
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let mut client = node.start().await?;
    let archive = client.upload_artifact(std::fs::read(binary::example("basic_rust")?)?).await?.digest;
    let mut function = Function::new(format!("sha256:{archive}"), vec![cluster.named(&input)?], full.named(&output)?);
    function.replicas = 2;
    client.create_function("money", &function).await?;
    fill(&cluster, &input, 0, RECORDS[0]).await?;
    reach_by(&node, &client, "money", RECORDS[0]).await?;

    full.hold(&output)?;
    fill(&cluster, &input, RECORDS[0], RECORDS[1]).await?;
    says_that_it_is_full(&node, &client).await?;
    // One that is started meanwhile has no producer yet.
    node.kill()?;
    client = node.start().await?;
    says_that_it_is_full(&node, &client).await?;

    full.free(&output)?;
    let records = RECORDS.iter().sum();
    reach_by(&node, &client, "money", records).await?;
    let status = client.status(Some("money")).await?.remove(0);
    ensure!(status.dead_lettered == 0 && status.failed == 0, "no record was to blame: {status:?}");
    cluster.check_all("money", &input, &output, records)
}

async fn says_that_it_is_full(node: &Node, client: &Client) -> Result<()> {
    let reason = until(node, "the reason", async || {
        let reason = client.status(Some("money")).await?.remove(0).reason.unwrap_or_default();
        Ok(reason.contains("backlog quota exceeded").then_some(reason))
    });
    let reason = reason.await?;
    ensure!(reason.contains("FS-1704"), "{reason}");
    Ok(())
}

async fn fill(cluster: &Pulsar, input: &str, first: usize, count: usize) -> Result<()> {
    wait(cluster.fill_topic("money", input, count, &["--first", &first.to_string()])?).await
}
