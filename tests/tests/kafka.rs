// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `kill -9` of a server whose function counts words between two topics of a real Kafka cluster: each count comes once and in order.
//!
//! `FNSTREAM_KAFKA` names the cluster (`scripts/kafka.sh start`); without it the test is skipped, and says so. `FNSTREAM_SEED` repeats its
//! choices, `FNSTREAM_KAFKA_KILLS` and `FNSTREAM_KAFKA_RECORDS` make them more.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test says its seed and what it did")]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ConsumeOptions, Function, FunctionDescription, ReadFrom, TopicRequest};
use fnstream_core::topic::TopicRef;
use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, seed, within};
use rand::RngExt;

const WORDS: usize = 50;
const PARTITIONS: u32 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_on_kafka_that_is_killed_loses_and_doubles_nothing() -> Result<()> {
    let Ok(broker) = std::env::var("FNSTREAM_KAFKA") else {
        ensure!(std::env::var_os("CI").is_none(), "FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        eprintln!("SKIPPED: FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        return Ok(());
    };
    let mut rng = seed::Seed::of("kafka")?.rng(0);
    let (kills, records) = (seed::number("FNSTREAM_KAFKA_KILLS", 6)?, seed::number("FNSTREAM_KAFKA_RECORDS", 40_000)?);
    let id: u64 = rand::random();
    let named = |what: &str| format!("{what}-{id:016x}@kafka://{broker}");
    let (input, output) = (named("words"), named("counts"));

    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let client = node.start().await?;
    for topic in [&input, &output] {
        client.create_topic(topic, &TopicRequest { partitions: Some(PARTITIONS), ..TopicRequest::default() }).await?;
    }
    let archive = client.upload_artifact(std::fs::read(binary::example("word_count_rust")?)?).await?.digest;
    let (from, to): (TopicRef, TopicRef) = (input.parse()?, output.parse()?);
    client.create_function("count", &Function::new(format!("sha256:{archive}"), vec![from], to)).await?;
    let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
    let words: Vec<_> = (0..records).map(|_| format!("word{}", rng.random_range(0..WORDS))).collect();
    for word in &words {
        *wanted.entry(word.clone()).or_default() += 1;
    }
    for words in words.chunks(1_000) {
        let mut frame = FrameBuilder::new();
        words.iter().for_each(|word| frame.push(RecordRef::new(word.as_bytes()).with_key(Some(word.as_bytes())).at(1)));
        client.produce_frame(&input, frame.to_bytes()).await?;
    }

    let mut client = client;
    for _ in 0..kills {
        let moment = Duration::from_millis(rng.random_range(0..1_500));
        node.server()?.runs_for(moment).await?;
        node.kill()?;
        client = node.start().await?;
    }
    let done = |f: &FunctionDescription| f.tasks.iter().map(|task| task.records_in).sum::<u64>() == records as u64;
    within("all words to be counted", async {
        while !client.describe_function("count").await.is_ok_and(|f| done(&f)) {}
    })
    .await?;

    // Each word is in one partition, whose order is that of its counts.
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for (word, count) in read(&client, &output, partition).await? {
            let last = counts.entry(word.clone()).or_default();
            ensure!(count == *last + 1, "'{word}' is counted {count} after {last}");
            *last = count;
        }
    }
    ensure!(counts == wanted, "the counts are {counts:?}, and should be {wanted:?}");
    println!("{records} records, {kills} kills, the last start took {:?}", node.last_start());
    Ok(())
}

/// The keys and values of a partition.
async fn read(client: &Client, topic: &str, partition: u32) -> Result<Vec<(String, u64)>> {
    let mut options = ConsumeOptions {
        from: Some(ReadFrom::Earliest),
        partition: Some(partition),
        timeout: Some(Duration::ZERO),
        ..ConsumeOptions::default()
    };
    let mut pairs = Vec::new();
    while let Some((frame, next)) = client.consume_frame(topic, &options, 10_000).await? {
        for record in Frame::parse(&frame)?.iter() {
            let key = record.key.context("a count without its word")?;
            let text = String::from_utf8_lossy(record.bytes()).into_owned();
            pairs.push((String::from_utf8_lossy(key).into_owned(), text.parse().with_context(|| text.clone())?));
        }
        options.from = Some(ReadFrom::Position(next));
    }
    Ok(pairs)
}
