// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records as messages of Pulsar, and messages as records.
//!
//! | record | message |
//! | --- | --- |
//! | value, null value | payload, `null_value` |
//! | key | partition key; in base64 if it is not text |
//! | header | property; one whose value is not text is in base64, and named in the property `fs.binary` |
//! | timestamp | event time; of a message without one, the time at which it was published |

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{Frame, FrameBuilder, HeadersBuilder, RecordRef};
use fnstream_pulsar_client::{Message, ReceivedMessage};

/// The property that has the indexes of those that are in base64.
const BINARY: &str = "fs.binary";
/// What the form of a message adds to its content, at most, but for what each property adds.
const OWN_FORM: usize = 256;
const PROPERTY: usize = 16;
/// How much one batch has at most, and how many messages. A resend has to be cut in the same way: they are part of the format.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_MESSAGES: usize = 1_000;

/// A record as a message.
pub(crate) fn message(record: &RecordRef<'_>, frame: &Bytes) -> Message {
    let mut binary: Vec<String> = Vec::new();
    let mut properties: Vec<(String, String)> = Vec::new();
    for (index, (name, value)) in record.headers.iter().enumerate() {
        let text = match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                binary.push(index.to_string());
                STANDARD.encode(value)
            }
        };
        properties.push((name.to_owned(), text));
    }
    if !binary.is_empty() {
        properties.push((BINARY.to_owned(), binary.join(",")));
    }
    Message {
        payload: record.value.map(|value| frame.slice_ref(value)),
        key: record.key.map(|key| frame.slice_ref(key)),
        properties,
        // Two's complement, as Java reads it: a time before 1970 comes back as it was.
        event_time: Some(record.timestamp as u64).filter(|time| *time != 0),
        ..Message::default()
    }
}

/// About how many bytes a record is as a message that is alone in its entry; never less.
pub(crate) fn weight(record: &RecordRef<'_>) -> usize {
    let properties: usize =
        record.headers.iter().map(|(name, value)| name.len() + value.len().div_ceil(3) * 4 + PROPERTY).sum();
    let key = record.key.map_or(0, |key| key.len().div_ceil(3) * 4);
    OWN_FORM + record.bytes().len() + key + properties
}

/// The records of a frame, cut into batches, each of which is one entry.
pub(crate) fn batches(frame: &Bytes) -> Result<Vec<Vec<Message>>> {
    let view = Frame::parse(frame).map_err(|e| Error::new(ErrorCode::InvalidRequest, e.to_string()))?;
    let mut batches: Vec<Vec<Message>> = Vec::new();
    let mut bytes = 0;
    for record in view.iter() {
        let weight = weight(&record);
        match batches.last_mut().filter(|batch| batch.len() < BATCH_MESSAGES && bytes + weight <= BATCH_BYTES) {
            Some(batch) => {
                batch.push(message(&record, frame));
                bytes += weight;
            }
            None => {
                batches.push(vec![message(&record, frame)]);
                bytes = weight;
            }
        }
    }
    Ok(batches)
}

/// Puts a message into a frame.
pub(crate) fn pack(message: &ReceivedMessage, channel: u32, frame: &mut FrameBuilder) -> Result<()> {
    let mut headers = HeadersBuilder::new();
    let binary = message.properties.iter().rev().find(|(name, _)| name == BINARY).map_or("", |(_, of)| of);
    let is_binary = |index: usize| binary.split(',').any(|of| of.parse() == Ok(index));
    for (index, (name, value)) in message.properties.iter().enumerate() {
        let decoded = if !binary.is_empty() && is_binary(index) { STANDARD.decode(value).ok() } else { None };
        if name == BINARY && !binary.is_empty() {
            continue;
        }
        let value = decoded.as_deref().unwrap_or(value.as_bytes());
        headers
            .push(name, value)
            .map_err(|e| Error::new(ErrorCode::DataCorrupt, format!("properties of a message: {e}")))?;
    }
    let record = message.payload.as_deref().map_or(RecordRef::null(), RecordRef::new);
    let key = message.key.as_deref();
    frame.push(record.with_key(key).with_headers(headers.as_headers()).at(timestamp(message)).on(channel));
    Ok(())
}

fn timestamp(message: &ReceivedMessage) -> i64 {
    message.event_time.filter(|time| *time != 0).unwrap_or(message.publish_time) as i64
}

/// About how much memory a message takes.
pub(crate) fn size(message: &ReceivedMessage) -> usize {
    let properties: usize = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    message.payload.as_ref().map_or(0, Bytes::len) + message.key.as_ref().map_or(0, Bytes::len) + properties + 100
}
