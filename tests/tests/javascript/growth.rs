// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An instance does not grow with the records that it has seen.

use std::time::Duration;

use anyhow::{Context, Result};
use fnstream_api::client::{ConsumeOptions, ProduceOptions};
use fnstream_frame::Frame;
use fnstream_tests::scripts::write;
use fnstream_tests::within;

use crate::server;

/// Text, JSON, state and promises, so that whatever leaks does it here.
const SOURCE: &str = "export default class Echo {
  init(ctx) {
    this.counts = ctx.store('counts');
  }
  async process(record, ctx) {
    const event = record.json();
    this.counts.put(`k${event.n % 100}`, String(event.n));
    await null;
    ctx.emit({ n: event.n, echo: record.text.length }, { key: `k${event.n % 10}`, headers: { h: 'v' } });
  }
}
";

async fn echoes(events: usize) -> Result<()> {
    let (node, client, cli) = server().await?;
    write(&node, &[("app.js", SOURCE)])?;
    // What an instance has at its start is a little more than 2 MiB; a leak of ten bytes for each of a million would not fit.
    cli.prints(&["create", "-n", "f", "-a", "app.js", "-i", "in", "-o", "out", "--limit", "memory=8MiB"])?;
    let padding = "x".repeat(80);
    let mut seen = 0;
    let mut options = ConsumeOptions { group: Some("test".into()), ..ConsumeOptions::default() };
    options.timeout = Some(Duration::from_secs(10));
    for first in (0..events).step_by(10_000) {
        let last = (first + 10_000).min(events);
        let lines: String = (first..last).map(|n| format!("{{\"n\":{n},\"of\":\"{padding}\"}}\n")).collect();
        client.produce_lines("in", lines, &ProduceOptions::default()).await?;
        while seen < last {
            let polled = within("more results", client.poll("out", &options, 5000)).await??;
            let batch = polled.ok().with_context(|| format!("only {seen} results"))?;
            for record in Frame::parse(&batch.frame)?.iter() {
                let text = std::str::from_utf8(record.bytes())?;
                assert!(text.starts_with(&format!("{{\"n\":{seen},")), "{text} is not the echo of {seen}");
                seen += 1;
            }
        }
    }
    let log = cli.prints(&["logs", "-n", "f"])?;
    assert!(!log.contains("the instance is replaced"), "{log}");
    assert!(!log.contains("error"), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_instance_does_not_grow() -> Result<()> {
    echoes(50_000).await
}

/// Some minutes: `cargo test --release -p fnstream-tests --test javascript -- --ignored`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn an_instance_does_not_grow_with_a_million_records() -> Result<()> {
    echoes(1_000_000).await
}
