// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producing: appended and durable before the answer.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_api::{AppendedRun, Produced, ProducerDescription};
use fnstream_core::error::internal;
use fnstream_core::producers::{Numbered, NumberedAppend, Producers};
use fnstream_core::topic::Topic;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::FrameBuilder;

use super::Records;
use crate::app::ops::blocking;
use crate::app::places::check_embedded;
use crate::clusters::Clusters;

impl Records {
    /// Appends records, all or none of those that go to one partition; a topic that is not there is made with one
    /// partition.
    ///
    /// A caller that goes away does not take the records back: they are appended or not, as if the answer was lost.
    ///
    /// Of records that are numbered those are appended that are not there yet.
    pub(crate) async fn produce(
        &self,
        topic: &str,
        partition: Option<u32>,
        numbered: Option<Numbered>,
        records: FrameBuilder,
    ) -> Result<Produced> {
        let began = self.clock.now();
        if records.is_empty() {
            let error = Error::new(ErrorCode::EmptyBody, "there is no event in the request");
            return Err(error.advising("send at least one event in the request's body"));
        }
        let topic = &self.named(topic)?;
        if numbered.is_some() {
            check_numbered(&self.topics.clusters, topic)?;
        }
        let frame = Bytes::from(records.to_bytes());
        let bytes = frame.len() as u64;
        let appended = match self.append(topic, partition, numbered.clone(), frame.clone()).await {
            Err(error) if error.code == ErrorCode::TopicNotFound => {
                if let Some(numbered) = numbered.as_ref().filter(|numbered| numbered.first() > 0) {
                    // A topic that is made for it would not know it.
                    return Err(numbered.unknown(topic));
                }
                self.ensure_topic(topic).await?;
                self.append(topic, partition, numbered.clone(), frame).await?
            }
            appended => appended?,
        };
        let runs: Vec<_> = appended
            .appended
            .into_iter()
            .map(|(partition, first, count)| AppendedRun { partition, first: first.to_string(), count })
            .collect();
        let count = (records.len() as u64).saturating_sub(appended.duplicates.into());
        if count > 0 {
            self.meter.produced(count, bytes, self.clock.now().saturating_sub(began));
        }
        let next_sequence = numbered.map(|_| appended.next);
        Ok(Produced { count, runs, duplicates: appended.duplicates.into(), next_sequence })
    }

    async fn append(
        &self,
        topic: &Topic,
        partition: Option<u32>,
        numbered: Option<Numbered>,
        frame: Bytes,
    ) -> Result<NumberedAppend> {
        let _running = self.ops.begin().await?;
        let (done, durable) = tokio::sync::oneshot::channel();
        let tell = move |appended| drop(done.send(appended));
        match numbered {
            Some(numbered) => self.producers()?.append_numbered(topic, numbered, partition, frame, Box::new(tell)),
            None => self.topics.topics.append(
                topic,
                partition,
                frame,
                Box::new(|appended| {
                    tell(appended.map(|appended| NumberedAppend { appended, duplicates: 0, next: 0 }));
                }),
            ),
        }
        durable.await.map_err(|_| internal("the store forgot to answer an append"))?
    }

    fn producers(&self) -> Result<&Arc<dyn Producers>> {
        // Whoever asks has looked at the topic first.
        self.producers.as_ref().ok_or_else(|| internal("no numbers of producers are kept here"))
    }

    /// How far a producer that numbers its events has got in a topic.
    pub(crate) async fn describe_producer(&self, topic: String, producer: String) -> Result<ProducerDescription> {
        let topic = self.named(&topic)?;
        check_numbered(&self.topics.clusters, &topic)?;
        let producers = self.producers()?.clone();
        blocking(move || match producers.producer(&topic, &producer)? {
            Some(place) => Ok(ProducerDescription { producer, next_sequence: place.next, last_ms: place.at_ms }),
            None => {
                let message = format!("topic '{topic}' knows no producer '{producer}'");
                Err(Error::new(ErrorCode::ProducerUnknown, message))
            }
        })
        .await
    }
}

/// Refuses a producer that numbers its events where nobody keeps the numbers.
fn check_numbered(clusters: &Clusters, topic: &Topic) -> Result<()> {
    let instead =
        "produce without numbers, or to a topic of this server from which a function copies the events exactly once";
    check_embedded(clusters, topic, "no numbers of producers are kept", instead)
}
