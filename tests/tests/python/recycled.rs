// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The interpreter's memory grows with what is emitted. An instance that comes near to its limit is replaced between epochs: nothing
//! is lost, doubled or out of order.

use anyhow::{Context, Result};
use fnstream_api::client::{ConsumeOptions, ProduceOptions};
use fnstream_frame::Frame;
use fnstream_tests::scripts::write;
use fnstream_tests::within;

use crate::server;

const EVENTS: usize = 3000;

#[tokio::test]
async fn more_than_the_limit_is_emitted_without_a_loss() -> Result<()> {
    let (node, client, cli) = server().await?;
    let source =
        "from functionstream import function\n@function\ndef f(record): return record.value + b' ' + b'x' * 50_000\n";
    write(&node, &[("app.py", source)])?;
    let create = ["create", "-n", "f", "-a", "app.py", "-i", "in", "-o", "out", "--limit", "memory=96MiB"];
    cli.prints(&create)?;
    let lines: String = (0..EVENTS).map(|i| format!("{i}\n")).collect();
    client.produce_lines("in", lines, &ProduceOptions::default()).await?;
    let mut seen = 0;
    let mut options = ConsumeOptions { group: Some("test".into()), ..ConsumeOptions::default() };
    options.timeout = Some(std::time::Duration::from_secs(10));
    while seen < EVENTS {
        let polled = within("more results", client.poll("out", &options, 500)).await??;
        let batch = polled.ok().with_context(|| format!("only {seen} results"))?;
        let frame = Frame::parse(&batch.frame)?;
        for record in frame.iter() {
            let text = std::str::from_utf8(record.bytes())?;
            assert_eq!(text.split(' ').next(), Some(&*seen.to_string()));
            seen += 1;
        }
    }
    let log = cli.prints(&["logs", "-n", "f"])?;
    assert!(log.contains("the instance is replaced"), "{log}");
    assert!(!log.contains("error"), "{log}");
    Ok(())
}
