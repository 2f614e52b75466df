// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Positions that retention has dropped: nobody jumps over what is gone without a word.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fnstream_api::{ConsumeOptions, FunctionStatus, ProduceOptions, ReadFrom, TopicRequest};
use fnstream_core::ErrorCode;
use fnstream_tests::{PATIENCE, usage};

use super::site::{Site, function, input, money, output};

/// More than the topic keeps.
const EVENTS: usize = 200;
const EVENT: usize = 4096;
const KEPT: u64 = 64 << 10;

#[tokio::test]
async fn a_dropped_position_is_gone_and_says_so() -> Result<()> {
    let mut site = Site::new().await?;
    let topic = "short";
    create(&site, topic).await?;
    fill(&site, topic).await?;
    ensure!(site.cli.prints(&["consume", "-n", topic])?.starts_with("\"0 "), "the oldest event comes first");
    drop_old(&mut site, topic).await?;

    let answer = site.send("GET", &format!("/api/v1/consume/{topic}?from=0"), b"").await?;
    answer.refused(ErrorCode::PositionDropped)?;
    site.cli.refuses(&["consume", "-n", topic, "--from", "0"], "FS-1304")?;

    // A group is served on, and told what it missed.
    let output = site.cli.run(&["consume", "-n", topic])?;
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() && warning.contains("events of partition 0, from position 1 on"), "{warning}");
    let earliest = site.client.describe_topic(topic).await?.partitions[0].earliest.clone();
    let event = String::from_utf8(output.stdout)?;
    ensure!(event.starts_with(&format!("\"{earliest} ")), "not the oldest that is left: {event:.20}");
    site.still_processes().await
}

/// A function that stood at such a position goes on with what is left, and says what it missed.
#[tokio::test]
async fn a_function_whose_position_was_dropped_goes_on_and_says_so() -> Result<()> {
    let mut site = Site::new().await?;
    let (name, topic) = ("late", input("late"));
    create(&site, &topic).await?;
    let archive = site.file("late.wasm", &money()?)?;
    site.client.create_function(name, &function(&archive, name)).await?;
    // It stands after the first event, not wherever the topic begins.
    site.client.produce(&topic, r#"{"money":1}"#, &ProduceOptions::default()).await?;
    site.client.consume(&output(name), &ConsumeOptions::default()).await?;
    let stopped = site.client.stop_function(name).await?;
    ensure!(stopped.status == FunctionStatus::Stopped, "{stopped:?}");
    fill(&site, &topic).await?;
    drop_old(&mut site, &topic).await?;

    let earliest: u64 = site.client.describe_topic(&topic).await?.partitions[0].earliest.parse()?;
    site.client.start_function(name).await?;
    site.node.server()?.logged(&[name, "before they were read", "from position 1 on"]).await?;
    let described = site.cli.prints(&["describe", "-n", name])?;
    ensure!(described.contains("running") && described.contains("FS-1304"), "{described}");
    let metrics = String::from_utf8(site.send("GET", "/metrics", b"").await?.body)?;
    let counted = format!("fnstream_function_records_dropped_unread_total{{function=\"{name}\"}} {}", earliest - 1);
    ensure!(metrics.contains(&counted), "not {counted}: {metrics}");
    site.still_processes().await?;
    site.cli.prints(&["delete", "-n", name])?;
    site.is_free(name).await
}

async fn create(site: &Site, topic: &str) -> Result<()> {
    let request = TopicRequest { retention_bytes: Some(KEPT), ..Default::default() };
    site.client.create_topic(topic, &request).await?;
    Ok(())
}

async fn fill(site: &Site, topic: &str) -> Result<()> {
    for number in 0..EVENTS {
        let event = format!("{:EVENT$}", format!("{number} "));
        site.client.produce(topic, event, &ProduceOptions::default()).await?;
    }
    Ok(())
}

/// Restarts the server, which enforces retention at its start, and waits until it has.
async fn drop_old(site: &mut Site, topic: &str) -> Result<()> {
    site.restart().await?;
    let options = ConsumeOptions { from: Some(ReadFrom::Position("0".into())), ..Default::default() };
    let begun = Instant::now();
    loop {
        match site.client.consume(topic, &options).await {
            Err(error) if error.is(ErrorCode::PositionDropped) => return Ok(()),
            other => other.map(drop).context("reading what retention has not dropped yet")?,
        }
        ensure!(begun.elapsed() < PATIENCE, "nothing is dropped");
        // Nothing tells when retention has been enforced: it is looked at.
        usage::window(Duration::from_millis(20));
    }
}
