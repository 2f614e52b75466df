// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producing and consuming.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};

use super::{Client, ClientError};
use crate::header;
use crate::record::Produced;

/// How events are produced; the default leaves all to the server.
#[derive(Debug, Clone, Default)]
pub struct ProduceOptions {
    /// The partition; without it the key decides, and without a key the server takes turns.
    pub partition: Option<u32>,
    /// The key of each event.
    pub key: Option<Vec<u8>>,
    /// The headers of each event.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The time of each event in milliseconds since the Unix epoch; without it that of its arrival.
    pub timestamp: Option<i64>,
}

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the oldest event that is still there.
    Earliest,
    /// At the next event that comes.
    Latest,
    /// At this position.
    Position(String),
}

impl std::str::FromStr for ReadFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(ReadFrom::Earliest),
            "latest" => Ok(ReadFrom::Latest),
            _ if text.parse::<u128>().is_ok() => Ok(ReadFrom::Position(text.to_owned())),
            _ => Err(format!("'{}' is not earliest, latest or a position", text.escape_debug())),
        }
    }
}

impl std::fmt::Display for ReadFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReadFrom::Earliest => "earliest",
            ReadFrom::Latest => "latest",
            ReadFrom::Position(position) => position,
        })
    }
}

/// How an event is consumed; the default waits for ever on behalf of the group `default`.
#[derive(Debug, Clone, Default)]
pub struct ConsumeOptions {
    /// Gives up after this time; without it the call waits until there is an event.
    pub timeout: Option<Duration>,
    /// The group whose cursor moves; events go to one consumer of each group.
    pub group: Option<String>,
    /// Reads from there without moving any cursor.
    pub from: Option<ReadFrom>,
    /// Reads this partition only.
    pub partition: Option<u32>,
}

/// An event with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// The payload as one JSON string, as the server gave it; `null` when the value is null.
    pub json: Bytes,
    /// Whether the value is null, which is not an empty one.
    pub is_null: bool,
    /// Whether the payload was not UTF-8, so that the string is its base64.
    pub base64: bool,
    /// The partition.
    pub partition: u32,
    /// The position.
    pub position: String,
    /// Where reading goes on.
    pub next_position: String,
    /// The event's time in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Where the group stood, when retention dropped events that it had not consumed.
    pub skipped_from: Option<String>,
}

/// Events of one partition that follow each other, in a packed frame with their keys, headers and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedBatch {
    /// The records, not checked yet.
    pub frame: Bytes,
    /// The partition.
    pub partition: u32,
    /// The position of the first.
    pub position: String,
    /// Where reading goes on.
    pub next_position: String,
    /// Where the group stood, when retention dropped events that it had not consumed.
    pub skipped_from: Option<String>,
}

impl Client {
    /// Appends one event and waits until it is durable.
    pub async fn produce(
        &self,
        topic: &str,
        payload: impl Into<Body>,
        options: &ProduceOptions,
    ) -> Result<Produced, ClientError> {
        self.json(self.producing(topic, options)?.body(payload)).await
    }

    /// Appends one event whose value is null and waits until it is durable.
    pub async fn produce_null(&self, topic: &str, options: &ProduceOptions) -> Result<Produced, ClientError> {
        self.json(self.producing(topic, options)?.query(&[("null", true)])).await
    }

    /// Appends many events, one per line, and waits until all are durable.
    pub async fn produce_lines(
        &self,
        topic: &str,
        lines: impl Into<Body>,
        options: &ProduceOptions,
    ) -> Result<Produced, ClientError> {
        self.json(self.producing(topic, options)?.header("content-type", header::LINES).body(lines)).await
    }

    /// Appends the records of a packed frame, with keys, headers and times of their own, and waits until all are durable.
    pub async fn produce_frame(&self, topic: &str, frame: impl Into<Body>) -> Result<Produced, ClientError> {
        self.produce_frame_to(topic, None, frame).await
    }

    /// The same to one partition, if one is given.
    pub async fn produce_frame_to(
        &self,
        topic: &str,
        partition: Option<u32>,
        frame: impl Into<Body>,
    ) -> Result<Produced, ClientError> {
        let request = self.producing(topic, &ProduceOptions { partition, ..ProduceOptions::default() })?;
        self.json(request.header("content-type", header::FRAME).body(frame)).await
    }

    /// The next event; `None` when the time ran out.
    pub async fn consume(&self, topic: &str, options: &ConsumeOptions) -> Result<Option<Consumed>, ClientError> {
        let response = self.send(self.consuming(topic, options)?).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let (partition, position, next_position) = place(self.url(), &response)?;
        let text = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        let mut event = Consumed {
            json: Bytes::new(),
            is_null: text(header::NULL) == Some("true"),
            base64: text(header::ENCODING) == Some("base64"),
            partition,
            position,
            next_position,
            timestamp: text(header::TIMESTAMP).and_then(|t| t.parse().ok()).unwrap_or_default(),
            key: response.headers().get(header::KEY).and_then(|v| header::decode(v.as_bytes())),
            headers: response
                .headers()
                .get_all(header::HEADER)
                .iter()
                .filter_map(|v| header::decode_header(v.as_bytes()))
                .collect(),
            skipped_from: text(header::SKIPPED_FROM).map(str::to_owned),
        };
        event.json = response.bytes().await.map_err(|e| ClientError::broken(self.url(), &e))?;
        Ok(Some(event))
    }

    /// The next records of one partition as a packed frame, at most `max`, with the position to go on at; `None` when
    /// the time ran out.
    pub async fn consume_frame(
        &self,
        topic: &str,
        options: &ConsumeOptions,
        max: u32,
    ) -> Result<Option<(Bytes, String)>, ClientError> {
        let polled = self.poll(topic, options, max).await?;
        Ok(polled.ok().map(|batch| (batch.frame, batch.next_position)))
    }

    /// The same, with all that the server says of the place; when the time ran out, where reading from a position goes on.
    pub async fn poll(
        &self,
        topic: &str,
        options: &ConsumeOptions,
        max: u32,
    ) -> Result<Result<ConsumedBatch, Option<String>>, ClientError> {
        let request = self.consuming(topic, options)?.query(&[("format", "frame"), ("max", &max.to_string())]);
        let response = self.send(request).await?;
        let text = |name| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Err(text(header::NEXT_POSITION)));
        }
        let (partition, position, next_position) = place(self.url(), &response)?;
        let skipped_from = text(header::SKIPPED_FROM);
        let frame = response.bytes().await.map_err(|e| ClientError::broken(self.url(), &e))?;
        Ok(Ok(ConsumedBatch { frame, partition, position, next_position, skipped_from }))
    }

    pub(super) fn producing(&self, topic: &str, options: &ProduceOptions) -> Result<RequestBuilder, ClientError> {
        let mut request = self.request(Method::PUT, &["api", "v1", "produce", topic])?;
        if let Some(partition) = options.partition {
            request = request.query(&[("partition", partition)]);
        }
        if let Some(timestamp) = options.timestamp {
            request = request.query(&[("timestamp", timestamp)]);
        }
        if let Some(key) = &options.key {
            request = request.header(header::KEY, header::encode_key(key));
        }
        for (name, value) in &options.headers {
            request = request.header(header::HEADER, header::encode_header(name, value));
        }
        Ok(request)
    }

    fn consuming(&self, topic: &str, options: &ConsumeOptions) -> Result<RequestBuilder, ClientError> {
        let mut query = Vec::new();
        if let Some(timeout) = options.timeout {
            query.push(("timeout", format!("{}ms", timeout.as_millis())));
        }
        if let Some(group) = &options.group {
            query.push(("group", group.clone()));
        }
        if let Some(from) = &options.from {
            query.push(("from", from.to_string()));
        }
        if let Some(partition) = options.partition {
            query.push(("partition", partition.to_string()));
        }
        Ok(self.request(Method::GET, &["api", "v1", "consume", topic])?.query(&query))
    }
}

/// Partition, position and next position of an answer.
fn place(url: &str, response: &Response) -> Result<(u32, String, String), ClientError> {
    let text = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
    let place = || {
        let partition = text(header::PARTITION)?.parse().ok()?;
        Some((partition, text(header::POSITION)?.to_owned(), text(header::NEXT_POSITION)?.to_owned()))
    };
    place().ok_or_else(|| ClientError::Protocol { message: format!("{url} did not say where the event is from") })
}
