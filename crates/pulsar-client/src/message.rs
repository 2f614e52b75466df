// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is sent, and how one message or a batch of them becomes the metadata and the payload of an entry.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use crate::base64;
use crate::compression::Compression;
use crate::error::{Error, Result};
use crate::proto::{CompressionType, MessageMetadata, SingleMessageMetadata, pairs};

/// A message to be sent.
///
/// ```
/// use fnstream_pulsar_client::Message;
///
/// let message = Message::new("paid").key("order-7").property("source", "shop").event_time(1_700_000_000_000);
/// assert_eq!(message.payload.as_deref(), Some(&b"paid"[..]));
/// let tombstone = Message::null().key("order-7");
/// assert_eq!(tombstone.payload, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The value. None is the null value, which topic compaction takes for a tombstone. So it takes an empty value: it
    /// judges by the stored size. An empty value arrives as an empty one all the same.
    pub payload: Option<Bytes>,
    /// The key. One that is not UTF-8 is sent in base64 with a flag, as by `keyBytes` of the Java client, and arrives as
    /// it was.
    pub key: Option<Bytes>,
    /// The key that key-shared subscriptions go by, instead of `key`.
    pub ordering_key: Option<Bytes>,
    /// Pairs of the application's own, in order.
    pub properties: Vec<(String, String)>,
    /// When it happened, in milliseconds since 1970; 0 is not told apart from none.
    pub event_time: Option<u64>,
    /// The sequence id; none leaves it to the producer's counter.
    pub sequence_id: Option<u64>,
    /// The clusters to replicate to, instead of those of the namespace.
    pub replicate_to: Vec<String>,
    /// Not to be delivered before this time, in milliseconds since 1970, by shared subscriptions. Not in batches.
    pub deliver_at: Option<u64>,
    /// The version of the schema that the payload was written with; none is the producer's.
    pub schema_version: Option<Bytes>,
}

impl Message {
    /// A message with a value.
    pub fn new(payload: impl Into<Bytes>) -> Message {
        Message { payload: Some(payload.into()), ..Message::default() }
    }

    /// A message with the null value.
    pub fn null() -> Message {
        Message::default()
    }

    /// Sets the key.
    pub fn key(mut self, key: impl Into<Bytes>) -> Message {
        self.key = Some(key.into());
        self
    }

    /// Sets the key that key-shared subscriptions go by.
    pub fn ordering_key(mut self, key: impl Into<Bytes>) -> Message {
        self.ordering_key = Some(key.into());
        self
    }

    /// Adds a property.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Message {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Sets when it happened, in milliseconds since 1970.
    pub fn event_time(mut self, unix_ms: u64) -> Message {
        self.event_time = Some(unix_ms);
        self
    }

    /// Sets the sequence id.
    pub fn sequence_id(mut self, sequence_id: u64) -> Message {
        self.sequence_id = Some(sequence_id);
        self
    }

    /// Keeps shared subscriptions from delivering it before this time, in milliseconds since 1970.
    pub fn deliver_at(mut self, unix_ms: u64) -> Message {
        self.deliver_at = Some(unix_ms);
        self
    }

    fn wire_key(&self) -> (Option<Bytes>, Option<bool>) {
        match &self.key {
            None => (None, None),
            Some(key) if std::str::from_utf8(key).is_ok() => (Some(key.clone()), None),
            Some(key) => (Some(base64::encode(key).into()), Some(true)),
        }
    }

    /// The metadata of an entry that has this message alone or first, without what differs between the two.
    fn metadata(&self, producer_name: &str, sequence_id: u64, publish_time: u64) -> MessageMetadata {
        let (partition_key, partition_key_b64_encoded) = self.wire_key();
        MessageMetadata {
            producer_name: producer_name.to_owned(),
            sequence_id,
            publish_time,
            partition_key,
            partition_key_b64_encoded,
            ordering_key: self.ordering_key.clone(),
            replicate_to: self.replicate_to.clone(),
            schema_version: self.schema_version.clone(),
            ..MessageMetadata::default()
        }
    }
}

/// What an entry is made of, all but its place on the wire.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) metadata: MessageMetadata,
    pub(crate) payload: Bytes,
}

impl Encoded {
    /// What the broker's limit is about.
    pub(crate) fn size(&self) -> usize {
        self.metadata.encoded_len() + self.payload.len()
    }
}

/// Who sends, and when.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) name: &'a str,
    pub(crate) unix_ms: u64,
}

/// Compresses a payload and notes it in the metadata. The size is noted always, as other clients do.
fn pack(metadata: &mut MessageMetadata, payload: Bytes, compression: Compression) -> Result<Bytes> {
    let size = payload.len();
    metadata.uncompressed_size = Some(u32::try_from(size).map_err(|_| too_long())?);
    let packed = compression.compress(payload)?;
    if compression != Compression::None && size > 0 {
        metadata.compression = Some(compression.kind() as i32);
    } else {
        metadata.compression = Some(CompressionType::None as i32);
    }
    Ok(packed)
}

fn too_long() -> Error {
    Error::InvalidMessage("its size does not fit the protocol".into())
}

/// One message as an entry of its own.
pub(crate) fn encode_single(
    message: Message,
    sequence_id: u64,
    sender: Sender<'_>,
    compression: Compression,
) -> Result<Encoded> {
    let mut metadata = MessageMetadata {
        properties: pairs(&message.properties),
        event_time: message.event_time.filter(|time| *time > 0),
        deliver_at_time: message.deliver_at.map(|time| time as i64),
        null_value: message.payload.is_none().then_some(true),
        ..message.metadata(sender.name, sequence_id, sender.unix_ms)
    };
    let payload = pack(&mut metadata, message.payload.unwrap_or_default(), compression)?;
    Ok(Encoded { metadata, payload })
}

/// Several messages as one entry, whose sequence ids go from `first` to `first + n - 1`. A message's own sequence id may
/// differ from what its place gives; consumers see it, the broker does not.
///
/// What the broker looks at is told by the entry's metadata, which come from the first message: its key, its clusters and
/// its schema version. The latter two must therefore be the same for all.
pub(crate) fn encode_batch(
    first: u64,
    messages: &[Message],
    sender: Sender<'_>,
    compression: Compression,
) -> Result<Encoded> {
    let invalid = |what: &str| Err(Error::InvalidMessage(what.to_owned()));
    let Some(head) = messages.first() else { return invalid("a batch without messages") };
    if messages.iter().any(|message| message.deliver_at.is_some()) {
        return invalid("a batch has no time of delivery");
    }
    if messages.iter().any(|message| message.schema_version != head.schema_version) {
        return invalid("a batch has one schema version");
    }
    if messages.iter().any(|message| message.replicate_to != head.replicate_to) {
        return invalid("a batch goes to the same clusters");
    }
    let Ok(count) = i32::try_from(messages.len()) else { return Err(too_long()) };
    let Some(highest) = first.checked_add(messages.len() as u64 - 1) else {
        return invalid("the sequence ids do not fit");
    };
    let mut batch = BytesMut::with_capacity(messages.iter().map(estimated_size).sum());
    for (index, message) in messages.iter().enumerate() {
        let (partition_key, partition_key_b64_encoded) = message.wire_key();
        let payload = message.payload.as_deref().unwrap_or_default();
        let single = SingleMessageMetadata {
            properties: pairs(&message.properties),
            partition_key,
            partition_key_b64_encoded,
            ordering_key: message.ordering_key.clone(),
            payload_size: i32::try_from(payload.len()).map_err(|_| too_long())?,
            event_time: message.event_time.filter(|time| *time > 0),
            sequence_id: Some(message.sequence_id.unwrap_or(first + index as u64)),
            null_value: message.payload.is_none().then_some(true),
            ..SingleMessageMetadata::default()
        };
        batch.put_u32(single.encoded_len() as u32);
        single.encode(&mut batch).map_err(|error| Error::InvalidMessage(error.to_string()))?;
        batch.extend_from_slice(payload);
    }
    let mut metadata = MessageMetadata {
        num_messages_in_batch: Some(count),
        highest_sequence_id: Some(highest),
        ..head.metadata(sender.name, first, sender.unix_ms)
    };
    let payload = pack(&mut metadata, batch.freeze(), compression)?;
    Ok(Encoded { metadata, payload })
}

fn estimated_size(message: &Message) -> usize {
    let properties: usize = message.properties.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    properties
        + message.payload.as_ref().map_or(0, Bytes::len)
        + message.key.as_ref().map_or(0, Bytes::len)
        + message.ordering_key.as_ref().map_or(0, Bytes::len)
        + 48
}
