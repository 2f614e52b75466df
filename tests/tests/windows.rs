// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Tumbling windows of event time, counted in Go: two inputs out of order, one of which falls silent, records that are late,
//! and a server that is killed in between. Every window is exact and is emitted once.
#![allow(clippy::print_stdout, reason = "a test says its seed and what it did")]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ConsumeOptions, Function, ProduceOptions, ReadFrom};
use fnstream_core::ErrorCode;
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_tests::binary::{self, root};
use fnstream_tests::node::Node;
use fnstream_tests::seed::{Seed, number};
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, cli};
use rand::RngExt;

const INPUTS: [&str; 2] = ["clicks-web", "clicks-app"];
const OUTPUT: &str = "clicks-per-window";
const WINDOW_MS: i64 = 10_000;
/// The delay of the inputs' watermarks.
const DELAY_MS: i64 = 2_000;
/// How many frames are produced, a second of event time apart.
const FRAMES: i64 = 240;

/// How often each key came in each window, by the window's beginning.
type Counts = BTreeMap<(String, i64), u64>;

async fn produce(client: &Client, topic: &str, records: &[(String, i64)]) -> Result<()> {
    let mut frame = FrameBuilder::new();
    for (key, time) in records {
        frame.push(RecordRef::new(b"click").with_key(Some(key.as_bytes())).at(*time));
    }
    client.produce_frame(topic, frame.to_bytes()).await?;
    Ok(())
}

/// Reads the count that was emitted at a position, and moves the position.
async fn next(client: &Client, at: &mut ReadFrom) -> Result<Option<((String, i64), u64)>> {
    let options =
        ConsumeOptions { timeout: Some(PATIENCE), from: Some(at.clone()), partition: Some(0), ..Default::default() };
    let Some(event) = client.consume(OUTPUT, &options).await? else { return Ok(None) };
    *at = ReadFrom::Position(event.next_position);
    let text: String = serde_json::from_slice(&event.json)?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let field = |name: &str| value[name].as_i64().with_context(|| format!("no {name} in {text}"));
    let key = value["key"].as_str().context("no key")?.to_owned();
    Ok(Some(((key, field("window")?), u64::try_from(field("count")?)?)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn windows_are_exact_and_emitted_once_however_often_the_server_is_killed() -> Result<()> {
    let seed = Seed::of("windows")?;
    let mut rng = seed.rng(0);
    let kills = number("WINDOW_KILLS", 12)? as i64;
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let archive = node.folder().join("window.wasm");
    let mut build = Command::new(binary::server()?.canonicalize()?);
    cli::printed(build.arg("build").arg(root().join("examples/window/go")).arg("-o").arg(&archive).output()?)?;

    let mut client = node.start().await?;
    let artifact = client.upload_artifact(std::fs::read(&archive)?).await?;
    let watermark = serde_json::json!({"strategy": "bounded", "delay": "2s", "idle-timeout": "1s"});
    let function: Function = serde_json::from_value(serde_json::json!({
        "archive": format!("sha256:{}", artifact.digest), "inputs": INPUTS, "output": OUTPUT, "config": {"window": "10s"},
        "watermarks": {INPUTS[0]: watermark, INPUTS[1]: watermark},
    }))?;
    client.create_function("window", &function).await?;

    // The second input falls silent in the last third. Each frame is out of order within the delay.
    let mut expected = Counts::new();
    for frame in 0..FRAMES {
        let input = if frame < FRAMES / 3 * 2 { rng.random_range(0..2) } else { 0 };
        let records: Vec<_> = (0..rng.random_range(1..20))
            .map(|_| (format!("k{}", rng.random_range(0..5)), frame * 1_000 + rng.random_range(0..DELAY_MS)))
            .collect();
        produce(&client, INPUTS[input], &records).await?;
        for (key, time) in records {
            *expected.entry((key, time / WINDOW_MS * WINDOW_MS)).or_default() += 1;
        }
        if rng.random_ratio(kills as u32, FRAMES as u32) {
            node.kill()?;
            client = node.start().await?;
        }
    }
    // Far ahead: everything before is over, although the other input says nothing any more.
    let end = (FRAMES + 100) * 1_000;
    produce(&client, INPUTS[0], &[("end".to_owned(), end)]).await?;

    let mut counted = Counts::new();
    let mut at = ReadFrom::Earliest;
    while counted.len() < expected.len() {
        let Some((window, count)) = next(&client, &mut at).await? else { break };
        ensure!(counted.insert(window.clone(), count).is_none(), "{window:?} was emitted twice");
        if rng.random_ratio(1, 40) {
            node.kill()?;
            client = node.start().await?;
        }
    }
    ensure!(counted == expected, "counted {counted:?}\nexpected {expected:?}");

    // Beyond the delay: dropped, and counted as that.
    for (dropped, time) in [(1, 0), (2, end - DELAY_MS - WINDOW_MS)] {
        produce(&client, INPUTS[1], &[("late".to_owned(), time)]).await?;
        asked_dropped(&client, dropped, end).await?;
        node.kill()?;
        client = node.start().await?;
        asked_dropped(&client, dropped, end).await?;
    }
    let options = ConsumeOptions {
        timeout: Some(Duration::from_millis(1_500)),
        from: Some(at),
        partition: Some(0),
        ..Default::default()
    };
    ensure!(client.consume(OUTPUT, &options).await?.is_none(), "a late record made a window");
    println!("{} windows of {} records", counted.len(), expected.values().sum::<u64>());
    Ok(())
}

/// Waits until the function says that it has dropped so many records.
async fn asked_dropped(client: &Client, wanted: u64, end: i64) -> Result<()> {
    let mut answer = Vec::new();
    for _ in 0..200 {
        answer = match client.custom("window", 0, "dropped").await {
            Ok(answer) => answer.to_vec(),
            // Just after a start its task is not up yet.
            Err(error) if error.is(ErrorCode::FunctionStopped) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        if answer == wanted.to_string().into_bytes() {
            return Ok(());
        }
        // Every produced record wakes the task; this one is of a window that is not over.
        client.produce(INPUTS[0], "click", &ProduceOptions { timestamp: Some(end), ..Default::default() }).await?;
    }
    anyhow::bail!("dropped are {}, not {wanted}", String::from_utf8_lossy(&answer))
}
