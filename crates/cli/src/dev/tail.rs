// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What comes to topics and to the function's log, followed as long as somebody listens.

use std::time::Duration;

use fnstream_api::{Client, ConsumeOptions, LogOptions, ReadFrom};
use fnstream_core::ErrorCode;
use fnstream_frame::Frame;

use super::{Event, Events};
use crate::test::Emitted;

/// How long one request waits.
const WAIT: Duration = Duration::from_secs(20);

/// The most records of one answer.
const MOST: u32 = 1_000;

/// What somebody follows a topic for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
    /// Records that the function failed at.
    Failed,
}

/// Records of a topic.
pub(super) struct Came {
    pub(super) side: Side,
    pub(super) topic: String,
    pub(super) records: Vec<Emitted>,
}

/// A place in each partition.
pub(super) type Places = Vec<(u32, ReadFrom)>;

/// Where a topic is followed from: a place in each partition that it has; a topic that is not there yet from its beginning.
pub(super) async fn places(client: &Client, topic: &str, back: u32) -> Places {
    let Ok(described) = client.describe_topic(topic).await else { return Vec::new() };
    let place = |end: &str, earliest: &str| match (end.parse::<u128>(), earliest.parse::<u128>()) {
        (Ok(end), Ok(earliest)) => ReadFrom::Position(end.saturating_sub(back.into()).max(earliest).to_string()),
        _ => ReadFrom::Latest,
    };
    described.partitions.iter().map(|of| (of.partition, place(&of.end, &of.earliest))).collect()
}

/// Follows each partition of a topic, those that were not there before from their beginning.
pub(super) async fn follow(client: &Client, side: Side, topic: String, from: Places, events: &Events) {
    let partitions = match client.describe_topic(&topic).await {
        Ok(described) => described.partitions.iter().map(|of| of.partition).collect(),
        // It is made with the first record.
        Err(_) => vec![0],
    };
    for partition in partitions {
        let known = from.iter().find(|(of, _)| *of == partition).map(|(_, place)| place.clone());
        let (client, topic, events) = (client.clone(), topic.clone(), events.clone());
        tokio::spawn(async move {
            let from = known.unwrap_or(ReadFrom::Earliest);
            if let Err(why) = partition_of(&client, side, &topic, partition, from, &events).await {
                let _ = events.send(Event::Lost(why));
            }
        });
    }
}

async fn partition_of(
    client: &Client,
    side: Side,
    topic: &str,
    partition: u32,
    mut from: ReadFrom,
    events: &Events,
) -> Result<(), String> {
    loop {
        let options = ConsumeOptions {
            timeout: Some(WAIT),
            from: Some(from.clone()),
            partition: Some(partition),
            ..ConsumeOptions::default()
        };
        let batch = match client.poll(topic, &options, MOST).await {
            Ok(Ok(batch)) => batch,
            Ok(Err(next)) => {
                from = next.map_or(from, ReadFrom::Position);
                continue;
            }
            Err(error) if error.is(ErrorCode::TopicNotFound) && side == Side::Failed => return Ok(()),
            Err(error) => return Err(format!("'{topic}' cannot be followed any more: {error}")),
        };
        let frame =
            Frame::parse(&batch.frame).map_err(|e| format!("'{topic}' has a record that cannot be read: {e}"))?;
        let records = frame.iter().map(|record| Emitted::of(&record)).collect();
        from = ReadFrom::Position(batch.next_position);
        if events.send(Event::Came(Came { side, topic: topic.to_owned(), records })).is_err() {
            return Ok(());
        }
    }
}

/// Follows the log of a function.
pub(super) fn log(client: &Client, function: String, events: Events) {
    let client = client.clone();
    tokio::spawn(async move {
        let mut options = LogOptions { tail: Some(100), ..LogOptions::default() };
        loop {
            match client.function_logs(&function, &options).await {
                Ok(page) => {
                    for line in page.lines {
                        if events.send(Event::Said(line)).is_err() {
                            return;
                        }
                    }
                    options = LogOptions { tail: None, after: Some(page.next), wait: Some(WAIT) };
                }
                Err(error) => {
                    let _ = events.send(Event::Lost(format!("the log cannot be followed any more: {error}")));
                    return;
                }
            }
        }
    });
}
