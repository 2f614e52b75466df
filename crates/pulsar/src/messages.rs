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
//! | header `fs.schema` | the schema that the message was read with, for a function that keeps it; see [`crate::schemas`] |

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{Frame, FrameBuilder, HeadersBuilder, RecordRef};
use fnstream_pulsar_client::{Message, ReceivedMessage};

use crate::delta_log::Schemas;

/// The property that has the indexes of those that are in base64.
const BINARY: &str = "fs.binary";
/// The header that has the schema with which a message was read.
pub(crate) const SCHEMA: &str = "fs.schema";
/// What the form of a message adds to its content, at most, but for what each property adds.
const OWN_FORM: usize = 256;
const PROPERTY: usize = 16;
/// How much one batch has at most, and how many messages. A resend has to be cut in the same way: they are part of the format.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_MESSAGES: usize = 1_000;

/// A record as a message. What says which schema it was read with is left out, if `bare`.
fn message(record: &RecordRef<'_>, frame: &Bytes, bare: bool) -> Message {
    let mut binary: Vec<String> = Vec::new();
    let mut properties: Vec<(String, String)> = Vec::new();
    let headers = record.headers.iter().filter(|(name, _)| !(bare && *name == SCHEMA));
    for (index, (name, value)) in headers.enumerate() {
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

/// The records of a frame, cut into batches, each of which is one entry and has one schema.
pub(crate) fn batches(frame: &Bytes, schemas: Option<&Schemas>) -> Result<Vec<Vec<Message>>> {
    let view = Frame::parse(frame).map_err(|e| Error::new(ErrorCode::InvalidRequest, e.to_string()))?;
    let bare = schemas.is_some_and(|schemas| schemas.are_of_input);
    let runs = schemas.iter().flat_map(|schemas| &schemas.runs);
    let mut versions = runs.flat_map(|(count, version)| {
        // What is empty stands for a record without a schema.
        let version = Some(Bytes::copy_from_slice(version)).filter(|version| !version.is_empty());
        std::iter::repeat_n(version, *count as usize)
    });
    let mut batches: Vec<Vec<Message>> = Vec::new();
    let mut bytes = 0;
    for record in view.iter() {
        let weight = weight(&record);
        let schema_version = versions.next().flatten();
        let next = Message { schema_version, ..message(&record, frame, bare) };
        let goes_on = |batch: &Vec<Message>| {
            batch.len() < BATCH_MESSAGES
                && bytes + weight <= BATCH_BYTES
                && batch.last().is_some_and(|last| last.schema_version == next.schema_version)
        };
        match batches.last_mut().filter(|batch| goes_on(batch)) {
            Some(batch) => {
                batch.push(next);
                bytes += weight;
            }
            None => {
                batches.push(vec![next]);
                bytes = weight;
            }
        }
    }
    Ok(batches)
}

/// Puts a message into a frame; `schema` says which one it was read with.
pub(crate) fn pack(
    message: &ReceivedMessage,
    channel: u32,
    schema: Option<&str>,
    frame: &mut FrameBuilder,
) -> Result<()> {
    let mut headers = HeadersBuilder::new();
    let binary = message.properties.iter().rev().find(|(name, _)| name == BINARY).map_or("", |(_, of)| of);
    let is_binary = |index: usize| binary.split(',').any(|of| of.parse() == Ok(index));
    for (index, (name, value)) in message.properties.iter().enumerate() {
        let decoded = if !binary.is_empty() && is_binary(index) { STANDARD.decode(value).ok() } else { None };
        if (name == BINARY && !binary.is_empty()) || (name == SCHEMA && schema.is_some()) {
            continue;
        }
        let value = decoded.as_deref().unwrap_or(value.as_bytes());
        headers
            .push(name, value)
            .map_err(|e| Error::new(ErrorCode::DataCorrupt, format!("properties of a message: {e}")))?;
    }
    if let Some(schema) = schema {
        headers.push(SCHEMA, schema.as_bytes()).map_err(|e| Error::new(ErrorCode::DataCorrupt, e.to_string()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use fnstream_pulsar_client::MessageId;

    fn received(properties: &[(&str, &str)]) -> ReceivedMessage {
        ReceivedMessage {
            id: MessageId::of_entry(1, 1),
            payload: Some(Bytes::from_static(b"v")),
            key: None,
            ordering_key: None,
            properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            event_time: None,
            publish_time: 0,
            producer_name: String::new(),
            sequence_id: 0,
            schema_version: None,
            replicated_from: None,
        }
    }

    fn frame(messages: &[(ReceivedMessage, Option<&str>)]) -> Bytes {
        let mut frame = FrameBuilder::new();
        messages.iter().for_each(|(message, schema)| pack(message, 0, *schema, &mut frame).unwrap());
        frame.to_bytes().into()
    }

    fn properties(message: &Message) -> Vec<(&str, &str)> {
        message.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn a_batch_ends_where_the_schema_changes() {
        let messages: Vec<_> = (0..6).map(|_| (received(&[]), None)).collect();
        let frame = frame(&messages);
        let cut = |schemas: Option<&Schemas>| {
            let batches = batches(&frame, schemas).unwrap().into_iter();
            batches
                .map(|batch| (batch.len(), batch[0].schema_version.as_deref().map(<[u8]>::to_vec)))
                .collect::<Vec<_>>()
        };
        let runs = vec![(2, b"1".to_vec()), (1, b"2".to_vec()), (2, vec![]), (1, b"2".to_vec())];
        let schemas = Schemas { are_of_input: true, runs };
        let (one, two) = (Some(b"1".to_vec()), Some(b"2".to_vec()));
        assert_eq!(cut(Some(&schemas)), [(2, one), (1, two.clone()), (2, None), (1, two)]);
        assert_eq!(cut(None), [(6, None)]);
    }

    #[test]
    fn what_a_record_was_read_with_reaches_the_function_and_no_topic() {
        // A property that only looks so is taken for none.
        let message = received(&[("a", "1"), (SCHEMA, "forged"), ("b", "/w=="), (BINARY, "2")]);
        let frame = frame(&[(message, Some("t#00"))]);
        let record = Frame::parse(&frame).unwrap();
        let headers: Vec<_> = record.iter().next().unwrap().headers.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(headers, ["a", "b", SCHEMA]);
        let of_input = Schemas { are_of_input: true, runs: vec![] };
        let written = batches(&frame, Some(&of_input)).unwrap();
        assert_eq!(properties(&written[0][0]), [("a", "1"), ("b", "/w=="), (BINARY, "1")]);
        // Dead letters keep it, for the day on which they are read again.
        let kept = batches(&frame, None).unwrap();
        assert_eq!(properties(&kept[0][0])[2], (SCHEMA, "t#00"));
    }
}
