// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producing: appended and durable before the answer.

use bytes::Bytes;
use fnstream_api::{AppendedRun, Produced};
use fnstream_core::error::internal;
use fnstream_core::topic::Topic;
use fnstream_core::topics::Appended;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::FrameBuilder;

use super::Records;
use crate::app::places::named;

impl Records {
    /// Appends records, all or none of those that go to one partition; a topic that is not there is made with one
    /// partition.
    ///
    /// A caller that goes away does not take the records back: they are appended or not, as if the answer was lost.
    pub(crate) async fn produce(&self, topic: &str, partition: Option<u32>, records: FrameBuilder) -> Result<Produced> {
        let began = self.clock.now();
        if records.is_empty() {
            return Err(Error::new(ErrorCode::EmptyBody, "there is no event in the request"));
        }
        let topic = &Topic::own(named(topic)?);
        let frame = Bytes::from(records.to_bytes());
        let bytes = frame.len() as u64;
        let appended = match self.append(topic, partition, frame.clone()).await {
            Err(error) if error.code == ErrorCode::TopicNotFound => {
                self.ensure_topic(topic).await?;
                self.append(topic, partition, frame).await?
            }
            appended => appended?,
        };
        let runs: Vec<_> = appended
            .into_iter()
            .map(|(partition, first, count)| AppendedRun { partition, first: first.to_string(), count })
            .collect();
        let count = runs.iter().map(|run| u64::from(run.count)).sum();
        self.meter.produced(count, bytes, self.clock.now().saturating_sub(began));
        Ok(Produced { count, runs })
    }

    async fn append(&self, topic: &Topic, partition: Option<u32>, frame: Bytes) -> Result<Appended> {
        let _running = self.ops.begin().await?;
        let (done, durable) = tokio::sync::oneshot::channel();
        self.topics.topics.append(topic, partition, frame, Box::new(move |appended| drop(done.send(appended))));
        durable.await.map_err(|_| internal("the store forgot to answer an append"))?
    }
}
