// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How long a function takes: from when a record is sent until it can be read from the output.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fnstream_api::{Client, ConsumeOptions, ProduceOptions, ReadFrom};
use fnstream_frame::Frame;

/// Where the function reads and writes, and what it is sent: a function that copies its records, of which no two are the same.
#[derive(Debug, Clone, Copy)]
pub struct Copied<'a> {
    /// The topic that it reads.
    pub input: &'a str,
    /// The topic that it writes.
    pub output: &'a str,
    /// The record of a number.
    pub record: fn(u64) -> String,
}

/// How far apart two records are.
const PACE: Duration = Duration::from_millis(10);

/// Some percentiles.
#[derive(Debug)]
pub struct Latency {
    /// Half take no longer.
    pub p50: Duration,
    /// One in a hundred takes longer.
    pub p99: Duration,
    /// The slowest.
    pub most: Duration,
    /// How many were measured.
    pub count: usize,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { p50, p99, most, count } = self;
        write!(f, "{count} records, p50 {p50:.1?}, p99 {p99:.1?}, most {most:.1?}")
    }
}

/// Sends records to a function for a while, at a fixed pace, and times each.
pub async fn measure(client: &Client, function: Copied<'_>, during: Duration) -> Result<Latency> {
    let count = during.as_millis() as usize / PACE.as_millis() as usize;
    let end: usize = client.describe_topic(function.output).await?.partitions[0].end.parse()?;
    let reading = tokio::spawn(read(client.clone(), function.output.to_owned(), end, count));
    let mut sent = HashMap::with_capacity(count);
    let mut pace = tokio::time::interval(PACE);
    let mut sending = tokio::task::JoinSet::new();
    for number in end..end + count {
        pace.tick().await;
        let record = (function.record)(number as u64);
        sent.insert(record.clone(), Instant::now());
        let (client, input) = (client.clone(), function.input.to_owned());
        sending.spawn(async move { client.produce(&input, record, &ProduceOptions::default()).await });
    }
    while let Some(done) = sending.join_next().await {
        done??;
    }
    let read = reading.await??;
    let mut times = Vec::with_capacity(count);
    for (record, at) in read {
        times.push(at - *sent.get(&record).context("a record that was not sent")?);
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Latency { p50: at(0.5), p99: at(0.99), most: at(1.0), count: times.len() })
}

/// Reads so many records from a position on, with the time at which each could be read.
async fn read(client: Client, output: String, from: usize, count: usize) -> Result<Vec<(String, Instant)>> {
    let mut read = Vec::with_capacity(count);
    while read.len() < count {
        let options = ConsumeOptions {
            from: Some(ReadFrom::Position((from + read.len()).to_string())),
            timeout: Some(crate::PATIENCE),
            ..ConsumeOptions::default()
        };
        let came = client.consume_frame(&output, &options, 10_000).await?;
        let (bytes, _) = came.context("the function stands still")?;
        let now = Instant::now();
        let frame = Frame::parse(&bytes).map_err(|e| anyhow::anyhow!("{e}"))?;
        read.extend(frame.iter().map(|record| (String::from_utf8_lossy(record.bytes()).into_owned(), now)));
    }
    Ok(read)
}
