// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The values that are stored, each with a version byte first. Bytes of every released version stay readable: the tests
//! below hold them.
//!
//! ```text
//! stored batch      1, flags u8, bytes of the partition before it u64 BE, arrival in ms i64 BE, a packed frame with channel 0
//!                   (flags 1; 0 is the same without the arrival, as format 1 of the data folder has it)
//! topic             2, postcard {id, name, partitions, max age in ms?, max bytes?, created, by event time}
//!                   (1 is the same without the last)
//! floor             1, earliest position u64 BE, bytes of the partition before it u64 BE
//! cursor            1, position u64 BE
//! acknowledged         1, postcard Acknowledged: what a group has acknowledged
//! counter           1, next id u32 BE
//! progress          1, postcard (generation, Progress)
//! marker            1, postcard Marker
//! unfinished apply  1, postcard Unfinished
//! function entry    1, JSON of FunctionEntry
//! revisions         1, JSON of the Revisions, the oldest first
//! unclaimed fork    1
//! watermark         1, milliseconds u64 BE
//! producer          1, postcard {next number, milliseconds, last appends}
//! writer            1, milliseconds u64 BE, idle u8 (0 or 1)
//! ```

use fnstream_core::Result;
use fnstream_core::acks::Acknowledged;
use fnstream_core::epoch::{Generation, Progress};
use fnstream_core::metadata::Revision;
use fnstream_core::spec::FunctionEntry;
use fnstream_core::state::{Marker, Unfinished};
use fnstream_frame::Frame;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::corrupt;
use crate::log::producers::Producer;
use crate::log::watermarks::Writer;

const VERSION: u8 = 1;

/// The flag of a stored batch that has the time of its arrival.
const HAS_ARRIVAL: u8 = 1;

/// Bytes of a stored batch before its frame.
const BATCH_HEADER: usize = 18;

/// A batch of the log as it is stored.
pub(crate) struct StoredBatch<'a> {
    /// Frame bytes of the partition before this batch, since the partition exists.
    pub bytes_before: u64,
    /// When it was appended, in milliseconds since the Unix epoch, if that is known.
    pub arrived_ms: Option<i64>,
    /// The packed records.
    pub bytes: &'a [u8],
    /// The same, checked.
    pub frame: Frame<'a>,
}

impl<'a> StoredBatch<'a> {
    pub(crate) fn decode(value: &'a [u8]) -> Result<Self> {
        let rest = versioned("a stored batch", value)?;
        let (flags, rest) = rest.split_first().ok_or_else(|| corrupt("a stored batch is truncated"))?;
        let truncated = || corrupt("a stored batch is truncated");
        let (before, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
        let (arrived_ms, bytes) = match *flags {
            0 => (None, rest),
            HAS_ARRIVAL => {
                let (arrived, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
                (Some(i64::from_be_bytes(*arrived)), rest)
            }
            _ => return Err(corrupt(format_args!("a stored batch has unknown flags {flags:#x}"))),
        };
        let frame = Frame::parse(bytes).map_err(|e| corrupt(format_args!("a stored batch: {e}")))?;
        if frame.is_empty() {
            return Err(corrupt("a stored batch has no records"));
        }
        Ok(StoredBatch { bytes_before: u64::from_be_bytes(*before), arrived_ms, bytes, frame })
    }

    pub(crate) fn encode(out: &mut Vec<u8>, bytes_before: u64, arrived_ms: i64, frame: &[u8]) {
        out.clear();
        out.reserve(BATCH_HEADER + frame.len());
        out.extend_from_slice(&[VERSION, HAS_ARRIVAL]);
        out.extend_from_slice(&bytes_before.to_be_bytes());
        out.extend_from_slice(&arrived_ms.to_be_bytes());
        out.extend_from_slice(frame);
    }
}

/// A topic as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicDescriptor {
    pub id: u32,
    pub name: String,
    pub partitions: u32,
    pub max_age_ms: Option<u64>,
    pub max_bytes: Option<u64>,
    pub created_ms: i64,
    pub by_event_time: bool,
}

/// The version of a topic's descriptor that is written.
const TOPIC_VERSION: u8 = 2;

/// A topic as version 1 stored it.
#[derive(Deserialize)]
struct TopicV1 {
    id: u32,
    name: String,
    partitions: u32,
    max_age_ms: Option<u64>,
    max_bytes: Option<u64>,
    created_ms: i64,
}

/// The bytes of a watermark.
pub(crate) fn encode_watermark(watermark: u64) -> [u8; 9] {
    let mut out = [VERSION; 9];
    out[1..].copy_from_slice(&watermark.to_be_bytes());
    out
}

/// The watermark of these bytes.
pub(crate) fn decode_watermark(value: &[u8]) -> Result<u64> {
    let rest: &[u8; 8] = fixed("a watermark", value)?;
    Ok(u64::from_be_bytes(*rest))
}

/// The bytes of what a task has said of event time.
pub(crate) fn encode_writer(writer: Writer) -> [u8; 10] {
    let mut out = [u8::from(writer.idle); 10];
    out[..9].copy_from_slice(&encode_watermark(writer.watermark));
    out
}

/// Decodes the last watermark of a task.
pub(crate) fn decode_writer(value: &[u8]) -> Result<Writer> {
    let rest: &[u8; 9] = fixed("a writer", value)?;
    let (watermark, idle) = rest.split_at(8);
    match idle {
        [idle @ 0..=1] => Ok(Writer { watermark: be_u64(watermark), idle: *idle == 1 }),
        _ => Err(corrupt("a writer is neither idle nor not")),
    }
}

/// The beginning of a partition after retention took records off it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Floor {
    pub position: u64,
    pub bytes_before: u64,
}

impl Floor {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.position.to_be_bytes());
        out.extend_from_slice(&self.bytes_before.to_be_bytes());
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self> {
        let rest: &[u8; 16] = fixed("a partition's floor", value)?;
        let (position, bytes_before) = rest.split_at(8);
        Ok(Floor { position: be_u64(position), bytes_before: be_u64(bytes_before) })
    }
}

pub(crate) fn encode_topic(topic: &TopicDescriptor) -> Vec<u8> {
    // Plain data, as in `encode_postcard`.
    postcard::to_extend(topic, vec![TOPIC_VERSION]).expect("plain data is always encoded")
}

pub(crate) fn decode_topic(value: &[u8]) -> Result<TopicDescriptor> {
    const WHAT: &str = "a topic's descriptor";
    if let Some((&TOPIC_VERSION, rest)) = value.split_first() {
        return postcard::from_bytes(rest).map_err(|e| corrupt(format_args!("{WHAT}: {e}")));
    }
    let TopicV1 { id, name, partitions, max_age_ms, max_bytes, created_ms } = decode_postcard(WHAT, value)?;
    Ok(TopicDescriptor { id, name, partitions, max_age_ms, max_bytes, created_ms, by_event_time: false })
}

pub(crate) fn encode_progress(generation: Generation, progress: &Progress) -> Vec<u8> {
    encode_postcard(&(generation, progress))
}

pub(crate) fn decode_progress(value: &[u8]) -> Result<(Generation, Progress)> {
    decode_postcard("a task's progress", value)
}

pub(crate) fn encode_marker(marker: &Marker) -> Vec<u8> {
    encode_postcard(marker)
}

pub(crate) fn decode_marker(value: &[u8]) -> Result<Marker> {
    decode_postcard("the marker of a task's state", value)
}

pub(crate) fn encode_unfinished(unfinished: &Unfinished) -> Vec<u8> {
    encode_postcard(unfinished)
}

pub(crate) fn decode_unfinished(value: &[u8]) -> Result<Unfinished> {
    decode_postcard("an unfinished apply", value)
}

pub(crate) fn encode_producer(producer: &Producer) -> Vec<u8> {
    encode_postcard(producer)
}

pub(crate) fn decode_producer(value: &[u8]) -> Result<Producer> {
    decode_postcard("a producer's numbers", value)
}

pub(crate) fn encode_cursor(position: u64) -> Vec<u8> {
    [&[VERSION][..], &position.to_be_bytes()].concat()
}

pub(crate) fn decode_cursor(value: &[u8]) -> Result<u64> {
    fixed("a cursor", value).map(|bytes| u64::from_be_bytes(*bytes))
}

pub(crate) fn encode_acknowledged(acknowledged: &Acknowledged) -> Vec<u8> {
    encode_postcard(acknowledged)
}

pub(crate) fn decode_acknowledged(value: &[u8]) -> Result<Acknowledged> {
    decode_postcard("what a group has acknowledged", value)
}

pub(crate) fn encode_counter(next: u32) -> Vec<u8> {
    [&[VERSION][..], &next.to_be_bytes()].concat()
}

pub(crate) fn decode_counter(value: &[u8]) -> Result<u32> {
    fixed("a counter", value).map(|bytes| u32::from_be_bytes(*bytes))
}

pub(crate) fn encode_function(entry: &FunctionEntry) -> Vec<u8> {
    let mut out = vec![VERSION];
    // Strings, numbers and maps with string keys: nothing that JSON could refuse.
    serde_json::to_writer(&mut out, entry).expect("a function entry is always valid JSON");
    out
}

pub(crate) fn decode_function(value: &[u8]) -> Result<FunctionEntry> {
    serde_json::from_slice(versioned("a function entry", value)?)
        .map_err(|e| corrupt(format_args!("a function entry: {e}")))
}

pub(crate) fn encode_revisions(history: &[Revision]) -> Vec<u8> {
    let mut out = vec![VERSION];
    // Like a function entry.
    serde_json::to_writer(&mut out, history).expect("revisions are always valid JSON");
    out
}

pub(crate) fn decode_revisions(value: &[u8]) -> Result<Vec<Revision>> {
    serde_json::from_slice(versioned("the revisions of a function", value)?)
        .map_err(|e| corrupt(format_args!("the revisions of a function: {e}")))
}

pub(crate) fn encode_unclaimed() -> Vec<u8> {
    vec![VERSION]
}

fn encode_postcard<T: Serialize>(value: &T) -> Vec<u8> {
    // Plain data of known length into memory: there is nothing that could fail.
    postcard::to_extend(value, vec![VERSION]).expect("plain data is always encoded")
}

fn decode_postcard<T: DeserializeOwned>(what: &str, value: &[u8]) -> Result<T> {
    postcard::from_bytes(versioned(what, value)?).map_err(|e| corrupt(format_args!("{what}: {e}")))
}

fn versioned<'a>(what: &str, value: &'a [u8]) -> Result<&'a [u8]> {
    match value.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((version, _)) => Err(corrupt(format_args!("{what} has version {version}, which is not known"))),
        None => Err(corrupt(format_args!("{what} has no bytes"))),
    }
}

fn fixed<'a, const N: usize>(what: &str, value: &'a [u8]) -> Result<&'a [u8; N]> {
    let rest = versioned(what, value)?;
    rest.as_array().ok_or_else(|| corrupt(format_args!("{what} has {} bytes, not {N}", rest.len())))
}

fn be_u64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
