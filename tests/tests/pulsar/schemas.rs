// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions between topics whose messages have schemas, in a namespace that takes none without one.

use std::time::Duration;

use anyhow::{Result, ensure};
use fnstream_api::{Client, Function};
use fnstream_core::topic::TopicRef;
use fnstream_tests::binary;
use fnstream_tests::node::Node;
use fnstream_tests::pulsar::Pulsar;
use fnstream_tests::server::ServerOptions;

use super::{reach_by, until};

/// The records of each version of a schema.
const RECORDS: usize = 5_000;

async fn create(client: &Client, name: &str, example: &str, input: TopicRef, output: TopicRef) -> Result<()> {
    let archive = client.upload_artifact(std::fs::read(binary::example(example)?)?).await?.digest;
    let mut function = Function::new(format!("sha256:{archive}"), vec![input], output);
    function.replicas = 2;
    client.create_function(name, &function).await?;
    Ok(())
}

fn keeping(output: TopicRef) -> Result<TopicRef> {
    Ok(format!("{output}&schema=input").parse()?)
}

/// Two versions of a schema in the input, and a server that is killed amidst of them.
async fn each_record_keeps_its_schema(kind: &str) -> Result<()> {
    let Some(cluster) = Pulsar::find("schemas")? else { return Ok(()) };
    let (input, output) = (cluster.topic("people", "in"), cluster.topic("people", "out"));
    cluster.schemas(&["create", &cluster.admin, "2", &input, &output])?;
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let mut client = node.start().await?;
    create(&client, "copy", "pass_through_rust", cluster.named(&input)?, keeping(cluster.named(&output)?)?).await?;
    let count = RECORDS.to_string();
    cluster.schemas(&["write", &cluster.url, &input, kind, "1", &count])?;
    reach_by(&node, &client, "copy", 1).await?;
    node.kill()?;
    cluster.schemas(&["write", &cluster.url, &input, kind, "2", &count, "--first", &count])?;
    node.start().await?;
    node.server()?.runs_for(Duration::from_millis(50)).await?;
    node.kill()?;
    client = node.start().await?;
    reach_by(&node, &client, "copy", 2 * RECORDS).await?;
    // What is committed last is published a moment later.
    let copied = async || {
        let found = cluster.schemas(&["copied", &cluster.url, &cluster.admin, &input, &output, kind])?;
        Ok((found["outputs"] == 2 * RECORDS).then_some(found))
    };
    let found = until(&node, "all outputs", copied).await?;
    println!("{kind}, by the client of Pulsar in Python: {found}");
    for (what, wanted) in [
        ("inputs", 2 * RECORDS),
        ("lost", 0),
        ("strange", 0),
        ("schemas", 2),
        ("without", 0),
        ("decoded", 2 * RECORDS),
        ("undecodable", 0),
    ] {
        ensure!(found[what] == wanted, "{kind}: {what} is {}, and should be {wanted}", found[what]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_record_is_written_with_the_avro_schema_that_it_was_read_with() -> Result<()> {
    each_record_keeps_its_schema("avro").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_record_is_written_with_the_json_schema_that_it_was_read_with() -> Result<()> {
    each_record_keeps_its_schema("json").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_function_makes_has_the_schema_of_its_output() -> Result<()> {
    let Some(cluster) = Pulsar::find("schemas")? else { return Ok(()) };
    let (input, output) = (cluster.topic("money", "in"), cluster.topic("money", "out"));
    cluster.schemas(&["create", &cluster.admin, "2", &input, &output])?;
    cluster.schemas(&["define", &cluster.admin, &output, "json", "1"])?;
    cluster.schemas(&["write", &cluster.url, &input, "json", "1", "1000"])?;
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let client = node.start().await?;
    create(&client, "money", "basic_rust", cluster.named(&input)?, cluster.named(&output)?).await?;
    let read = async || {
        let found = cluster.schemas(&["read", &cluster.url, &cluster.admin, &output, "json"])?;
        Ok((found["records"].as_u64() >= Some(1_000)).then_some(found))
    };
    let found = until(&node, "all outputs", read).await?;
    ensure!(found["records"] == 1_000 && found["names"] == 1_000 && found["with_schema"] == 1_000, "{found}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_schema_that_the_output_does_not_take_is_waited_for() -> Result<()> {
    let Some(cluster) = Pulsar::find("schemas")? else { return Ok(()) };
    let (input, output) = (cluster.topic("strict", "in"), cluster.topic("strict", "out"));
    cluster.schemas(&["create", &cluster.admin, "1", &input, &output])?;
    cluster.schemas(&["define", &cluster.admin, &output, "avro", "3"])?;
    cluster.schemas(&["write", &cluster.url, &input, "avro", "1", "100"])?;
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let client = node.start().await?;
    create(&client, "strict", "pass_through_rust", cluster.named(&input)?, keeping(cluster.named(&output)?)?).await?;
    let refused = async || {
        let reason = client.status(Some("strict")).await?.remove(0).reason.unwrap_or_default();
        Ok(reason.contains("FS-1539").then_some(reason))
    };
    let reason = until(&node, "a reason", refused).await?;
    ensure!(reason.contains("cannot commit and tries again") && reason.contains("registering the schema"), "{reason}");
    cluster.schemas(&["allow", &cluster.admin, &output, "ALWAYS_COMPATIBLE"])?;
    reach_by(&node, &client, "strict", 100).await?;
    let status = client.status(Some("strict")).await?.remove(0);
    ensure!(status.dead_lettered == 0 && status.records_out == 100, "no record was to blame: {status:?}");
    Ok(())
}
