// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producing: appended and durable before the answer.

use std::sync::Arc;

use fnstream_api::{AppendedRun, Produced};
use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::FrameBuilder;

use super::App;

impl App {
    /// Appends records, all or none of those that go to one partition; a topic that is not there is made with one
    /// partition.
    ///
    /// A caller that goes away does not take the records back: they are appended or not, as if the answer was lost.
    pub async fn produce(
        self: &Arc<Self>,
        topic: &str,
        partition: Option<u32>,
        records: FrameBuilder,
    ) -> Result<Produced> {
        let began = self.clock.now();
        if records.is_empty() {
            return Err(Error::new(ErrorCode::EmptyBody, "there is no event in the request"));
        }
        // Before the next line: it is an operation of its own, and a shutdown that waits for this one would keep it waiting.
        let topic = self.ensure_topic(topic).await?;
        let _running = self.operations.clone().read_owned().await;
        self.check_open()?;
        let (done, durable) = tokio::sync::oneshot::channel();
        let frame = records.to_bytes();
        let bytes = frame.len() as u64;
        self.store.append(&topic, partition, frame, Box::new(move |appended| drop(done.send(appended))));
        let appended = durable.await.map_err(|_| internal("the store forgot to answer an append"))??;
        let runs: Vec<_> = appended
            .into_iter()
            .map(|(partition, first, count)| AppendedRun { partition, first: first.to_string(), count })
            .collect();
        let count = runs.iter().map(|run| u64::from(run.count)).sum();
        self.meter.produced(count, bytes, self.clock.now().saturating_sub(began));
        Ok(Produced { count, runs })
    }
}
