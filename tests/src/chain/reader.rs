// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Reading topics from the start, by position.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fnstream_api::{Client, ClientError, ConsumeOptions, ReadFrom};
use fnstream_frame::Frame;

use super::ledger::Record;
use super::producer::{Load, is_broken, is_of_disk};
use crate::node::Finder;

/// How long one request waits for records.
const POLL: Duration = Duration::from_secs(5);

/// How long nothing may come before what is waited for counts as lost.
const QUIET: Duration = Duration::from_secs(30);

/// The most records of one answer.
const MAX: u32 = 10_000;

/// Reads a partition from its start until after a record; waits for it as long as anything comes.
pub async fn read_until(client: &Client, topic: &str, partition: u32, last: &Record) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut came = Instant::now();
    loop {
        let before = records.len();
        read_more(client, topic, partition, &mut records).await?;
        if records[before..].contains(last) {
            return Ok(records);
        }
        if records.len() > before {
            came = Instant::now();
        } else if came.elapsed() > QUIET {
            let tail: Vec<String> = records[before.saturating_sub(5)..].iter().map(Record::to_string).collect();
            let stand = where_all_stand(client).await;
            bail!("'{last}' does not come in {topic}/{partition}: {before} records, the last ones {tail:?}\n{stand}");
        }
    }
}

/// Reads what is in a partition now, from its start.
pub async fn read_now(client: &Client, topic: &str, partition: u32) -> Result<Vec<Record>> {
    let described = client.describe_topic(topic).await?;
    let end = described.partitions.get(partition as usize).context("no such partition")?.end.parse()?;
    let mut records = Vec::new();
    while records.len() < end {
        read_more(client, topic, partition, &mut records).await?;
    }
    records.truncate(end);
    Ok(records)
}

/// Follows a partition through every death of the server until the load is stopped; answers all that it has seen.
pub async fn follow(topic: &'static str, partition: u32, mut finder: Finder, load: Load) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut life = finder.alive().await?;
    while !load.is_stopped() {
        let before = records.len();
        match read_more(&life.client, topic, partition, &mut records).await {
            Ok(()) => load.happened(records.len() - before),
            Err(error) if is_of_disk(&error) => life = finder.pause(&life).await?,
            Err(error) if !is_broken(&error) => {
                return Err(error).with_context(|| format!("reading {topic}/{partition}"));
            }
            Err(_) if load.is_stopped() => break,
            Err(_) => life = finder.next(&life).await?,
        }
    }
    Ok(records)
}

/// Appends what comes next, if anything does.
async fn read_more(client: &Client, topic: &str, partition: u32, records: &mut Vec<Record>) -> Result<(), ClientError> {
    let options = ConsumeOptions {
        timeout: Some(POLL),
        from: Some(ReadFrom::Position(records.len().to_string())),
        partition: Some(partition),
        ..ConsumeOptions::default()
    };
    let Some((bytes, next)) = client.consume_frame(topic, &options, MAX).await? else { return Ok(()) };
    let odd = |what: String| ClientError::Invalid { message: format!("{topic}/{partition} answered {what}") };
    let frame = Frame::parse(&bytes).map_err(|e| odd(format!("no frame: {e}")))?;
    records.extend(
        frame
            .iter()
            .map(|record| Record { key: record.key.unwrap_or_default().to_vec(), value: record.bytes().to_vec() }),
    );
    // The embedded log has no gaps: a position is the number of records before it.
    if next != records.len().to_string() {
        return Err(odd(format!("to go on at {next} after {} records", records.len())));
    }
    Ok(())
}

/// What all functions say of themselves, for the report of a failure.
async fn where_all_stand(client: &Client) -> String {
    let mut text = String::new();
    for name in client.list_functions().await.unwrap_or_default() {
        match client.describe_function(&name).await {
            Ok(described) => text.push_str(&serde_json::to_string_pretty(&described).unwrap_or_default()),
            Err(error) => text.push_str(&error.to_string()),
        }
        text.push('\n');
    }
    text
}
