// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that fill their memory at each record and keep it: each within its own limit, and together far above what the
//! process may have.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, Function, LogOptions, ProduceOptions};
use fnstream_core::ErrorCode;
use tokio::task::JoinSet;

/// What each fills: all but a little of what one may have.
const PAGES: usize = 200 << 4;

/// How often each is asked to.
const PACE: Duration = Duration::from_secs(1);

/// All of them, and their producers until it is dropped.
pub(crate) struct Hogs {
    count: usize,
    producers: JoinSet<()>,
}

impl Hogs {
    pub(crate) async fn deploy(client: &Client, count: usize) -> Result<Hogs> {
        let text = format!(
            r#"(module (memory (export "memory") 1) (func (export "process")
                (if (i32.lt_u (memory.size) (i32.const {PAGES})) (then
                    (if (i32.eq (memory.grow (i32.const {PAGES})) (i32.const -1)) (then unreachable))))
                (memory.fill (i32.const 65536) (i32.const 1) (i32.const {}))))"#,
            PAGES << 16
        );
        let artifact = wat::parse_str(text).context("the text of a guest is wrong")?;
        let digest = format!("sha256:{}", client.upload_artifact(artifact).await?.digest);
        let mut producers = JoinSet::new();
        for number in 0..count {
            let input = format!("hog-in-{number}");
            let function = Function::new(&digest, vec![input.as_str().into()], "hog-out");
            client.create_function(&format!("hog-{number}"), &function).await?;
            producers.spawn(feed(client.clone(), input));
        }
        Ok(Hogs { count, producers })
    }

    /// Deletes them. Answers what became of them, and fails if none of them was told that it takes too much.
    pub(crate) async fn end(self, client: &Client) -> Result<String> {
        drop(self.producers);
        let mut short = 0;
        for number in 0..self.count {
            let name = format!("hog-{number}");
            let log = client.function_logs(&name, &LogOptions::default()).await?;
            short += usize::from(log.lines.iter().any(|line| line.text.contains(ErrorCode::GuestMemoryShort.as_str())));
            client.delete_function(&name).await?;
        }
        ensure!(self.count == 0 || short > 0, "there was memory for all of them");
        Ok(format!("{} functions that take memory, of which {short} were refused some", self.count))
    }
}

async fn feed(client: Client, input: String) {
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        // A server that is short of room may refuse it; the next one comes soon.
        let _ = client.produce(&input, "fill", &ProduceOptions::default()).await;
    }
}
