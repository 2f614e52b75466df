// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Two hundred partitions of one function in Go, which counts in state: when they have nothing to do, the whole server has less than
//! 64 MiB in memory, and each of them counts on where it was.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fnstream_api::topic::TopicRequest;
use fnstream_api::{Client, ConsumeOptions, Function, ReadFrom};
use fnstream_build::{Options, build};
use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use fnstream_tests::node::Node;
use fnstream_tests::seed::number;
use fnstream_tests::server::{Server, ServerOptions};
use fnstream_tests::{PATIENCE, binary, usage};

const PARTITIONS: u32 = 200;
/// So many that each partition has some.
const KEYS: u32 = 4_000;
/// What the server may have in memory when nothing happens, in MiB, unless `FNSTREAM_IDLE_MIB` says less: `make many` demands 64.
const MEMORY: usize = 96;
/// How long until that is so: an instance rests after ten seconds.
const REST: Duration = Duration::from_secs(60);
/// How often it is looked at.
const SAMPLE: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn idle_partitions_give_their_memory_back_and_count_on() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let client = node.start().await?;
    let out = node.folder().join("count.wasm");
    let options = Options {
        dir: binary::root().join("examples/keyed-count/go"),
        out: Some(out),
        tinygo: false,
        per_record: false,
        toolchain: None,
    };
    let artifact = client.upload_artifact(build(&options)?.artifact.bytes).await?;
    client.create_topic("counts", &TopicRequest::default()).await?;
    let mut function = Function::new(format!("sha256:{}", artifact.digest), vec!["in".into()], "counts");
    function.replicas = PARTITIONS;
    client.create_function("count", &function).await?;
    for round in 1..=2 {
        count(&client, round).await?;
        rests(node.server()?, round).await?;
    }
    let topic = client.describe_topic("in").await?;
    ensure!(topic.partitions.len() == PARTITIONS as usize, "{} partitions", topic.partitions.len());
    ensure!(topic.partitions.iter().all(|partition| partition.end != "0"), "a partition has no records");
    Ok(())
}

/// Sends each key once more, and reads what is counted: all for the so-manieth time.
async fn count(client: &Client, round: u64) -> Result<()> {
    let mut frame = FrameBuilder::new();
    for key in 0..KEYS {
        frame.push(RecordRef::new(b"").with_key(Some(key.to_string().as_bytes())));
    }
    let begun = Instant::now();
    client.produce_frame("in", frame.to_bytes()).await?;
    let mut counts = BTreeMap::new();
    let mut at = ((round - 1) * u64::from(KEYS)).to_string();
    while counts.len() < KEYS as usize {
        let options =
            ConsumeOptions { from: Some(ReadFrom::Position(at)), timeout: Some(PATIENCE), ..ConsumeOptions::default() };
        let (read, next) = client.consume_frame("counts", &options, KEYS).await?.context("a count did not come")?;
        for record in Frame::parse(&read)?.iter() {
            let count = u64::from_le_bytes(record.bytes().try_into()?);
            let key = record.key.context("a count without a key")?.to_vec();
            ensure!(count == round, "{} is counted for the {count}th time in round {round}", key.escape_ascii());
            ensure!(counts.insert(key, count).is_none(), "a key was counted twice");
        }
        at = next;
    }
    println!("round {round}: {KEYS} keys in {PARTITIONS} partitions counted in {:.2} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Looks on until the memory is back.
async fn rests(server: &Server, round: u64) -> Result<()> {
    let (begun, most) = (Instant::now(), (number("FNSTREAM_IDLE_MIB", MEMORY)? as u64) << 20);
    let busy = usage::memory(server.pid())?;
    let resident = loop {
        let resident = usage::memory(server.pid())?.resident;
        if resident < most {
            break resident;
        }
        let taken = usage::mib(resident);
        ensure!(begun.elapsed() < REST, "{taken:.0} MiB are still in memory\n{}", server.last_words());
        usage::window(SAMPLE);
    };
    println!(
        "round {round}: {:.0} MiB in memory when all had counted, {:.0} at most; {:.0} MiB after {:.1} s",
        usage::mib(busy.resident),
        usage::mib(busy.peak),
        usage::mib(resident),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
