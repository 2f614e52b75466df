// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is received: stored entries and the messages in them.

use bytes::{Buf, Bytes};
use prost::Message as _;

use crate::acks;
use crate::base64;
use crate::compression::decompress;
use crate::error::{Error, Result};
use crate::message_id::MessageId;
use crate::proto::{CommandMessage, KeyValue, MessageMetadata, SingleMessageMetadata};

/// An entry of a topic: one message, or a batch that was sent in one piece.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The entry as a whole, without a batch index.
    pub id: MessageId,
    /// Its messages in order, without those that were acknowledged already, compacted away, or lie before the place that
    /// the consumer started at. Never empty.
    pub messages: Vec<ReceivedMessage>,
    /// How often it was delivered before, as far as the broker remembers. Only shared subscriptions count.
    pub redelivery_count: u32,
    /// When the broker stored it, in milliseconds since 1970, if the broker tells.
    pub broker_time: Option<u64>,
    /// The offset of its last message, counted by the broker, if the broker tells.
    pub broker_index: Option<u64>,
}

/// A message as it was stored.
#[derive(Clone, Debug)]
pub struct ReceivedMessage {
    /// Where it is stored.
    pub id: MessageId,
    /// The value, a slice of the entry. None is the null value.
    ///
    /// An empty payload that is not marked as null is an empty value, here as in the Java client, although compaction
    /// takes both for tombstones.
    pub payload: Option<Bytes>,
    /// The key.
    pub key: Option<Bytes>,
    /// The key that key-shared subscriptions went by, if it is not `key`.
    pub ordering_key: Option<Bytes>,
    /// Pairs of the application's own, in order.
    pub properties: Vec<(String, String)>,
    /// When it happened, in milliseconds since 1970, if the producer told.
    pub event_time: Option<u64>,
    /// When its producer sent it, in milliseconds since 1970.
    pub publish_time: u64,
    /// The name of its producer.
    pub producer_name: String,
    /// The sequence id that its producer gave it.
    pub sequence_id: u64,
    /// The version of the schema that it was written with, if there is one.
    pub schema_version: Option<Bytes>,
    /// The cluster that it was replicated from, if it was.
    pub replicated_from: Option<String>,
}

/// Where in an entry a consumer begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) id: MessageId,
    pub(crate) inclusive: bool,
}

impl Start {
    pub(crate) fn new(id: MessageId, inclusive: bool) -> Start {
        match id.first_chunk {
            // A message of several chunks begins with its first.
            Some((ledger, entry)) if inclusive => Start { id: MessageId::of_entry(ledger, entry), inclusive },
            _ => Start { id, inclusive },
        }
    }

    /// Whether a message lies before the start. An entry as a whole stands for all its messages.
    pub(crate) fn is_after(&self, id: &MessageId) -> bool {
        if self.id.batch_index.is_none() && self.id.same_entry(id) {
            return !self.inclusive;
        }
        if self.inclusive { *id < self.id } else { *id <= self.id }
    }
}

/// An entry that was decoded, and the permits that its messages took.
pub(crate) struct Decoded {
    pub(crate) messages: Vec<ReceivedMessage>,
    /// Messages that the broker counted and the user will not see.
    pub(crate) skipped: u32,
}

/// The id of an entry that arrived.
pub(crate) fn id_of(command: &CommandMessage, partition: i32) -> MessageId {
    let data = &command.message_id;
    MessageId { partition, ..MessageId::of_entry(data.ledger_id, data.entry_id) }
}

/// Refuses what cannot be read or would need more memory than allowed, and undoes the compression.
pub(crate) fn unpack(metadata: &MessageMetadata, payload: Bytes, max_size: usize) -> Result<Bytes> {
    if !metadata.encryption_keys.is_empty() {
        return Err(Error::Encrypted);
    }
    let size = metadata.uncompressed_size() as usize;
    if size > max_size {
        return Err(Error::Damaged(format!("{size} bytes when decompressed, more than the limit of {max_size}")));
    }
    decompress(metadata.compression.unwrap_or(0), payload, size)
}

/// The messages of an entry whose payload is not compressed (any longer).
pub(crate) fn messages(
    id: MessageId,
    metadata: &MessageMetadata,
    payload: Bytes,
    ack_set: &[i64],
    start: Option<&Start>,
) -> Result<Decoded> {
    let Some(count) = metadata.num_messages_in_batch else {
        let message = single(id, metadata, payload)?;
        let skip = start.is_some_and(|start| start.is_after(&id));
        return Ok(if skip {
            Decoded { messages: Vec::new(), skipped: 1 }
        } else {
            Decoded { messages: vec![message], skipped: 0 }
        });
    };
    batch(id, metadata, payload, count, ack_set, start)
}

fn batch(
    entry: MessageId,
    metadata: &MessageMetadata,
    mut payload: Bytes,
    count: i32,
    ack_set: &[i64],
    start: Option<&Start>,
) -> Result<Decoded> {
    let damaged = |what: &str| Error::Damaged(format!("batch: {what}"));
    let count = u32::try_from(count).map_err(|_| damaged("a negative count"))?;
    // A message takes six bytes at least, so that a wrong count reserves no memory.
    let mut messages = Vec::with_capacity((count as usize).min(payload.len() / 6));
    let mut skipped = 0;
    for index in 0..count {
        let size = payload.try_get_u32().map_err(|_| damaged("it ends early"))? as usize;
        if size > payload.len() {
            return Err(damaged("it ends early"));
        }
        let single =
            SingleMessageMetadata::decode(payload.split_to(size)).map_err(|error| damaged(&error.to_string()))?;
        let size = usize::try_from(single.payload_size).map_err(|_| damaged("a negative size"))?;
        if size > payload.len() {
            return Err(damaged("it ends early"));
        }
        let value = payload.split_to(size);
        let id = entry.at_index(index, count);
        if !acks::is_outstanding(ack_set, index) {
            // The broker did not count it, since it is acknowledged.
            continue;
        }
        if single.compacted_out() || start.is_some_and(|start| start.is_after(&id)) {
            skipped += 1;
            continue;
        }
        let key =
            key(single.partition_key, single.partition_key_b64_encoded.unwrap_or(false), single.null_partition_key)?;
        messages.push(ReceivedMessage {
            id,
            payload: (single.null_value != Some(true)).then_some(value),
            key,
            ordering_key: single.ordering_key,
            properties: properties(single.properties),
            event_time: single.event_time.filter(|time| *time > 0),
            publish_time: metadata.publish_time,
            producer_name: metadata.producer_name.clone(),
            // Older producers leave it to the place in the batch.
            sequence_id: single.sequence_id.unwrap_or(metadata.sequence_id.wrapping_add(index.into())),
            schema_version: metadata.schema_version.clone(),
            replicated_from: metadata.replicated_from.clone(),
        });
    }
    Ok(Decoded { messages, skipped })
}

fn single(id: MessageId, metadata: &MessageMetadata, payload: Bytes) -> Result<ReceivedMessage> {
    Ok(ReceivedMessage {
        id,
        payload: (!metadata.null_value()).then_some(payload),
        key: key(metadata.partition_key.clone(), metadata.partition_key_b64_encoded(), metadata.null_partition_key)?,
        ordering_key: metadata.ordering_key.clone(),
        properties: properties(metadata.properties.clone()),
        event_time: metadata.event_time.filter(|time| *time > 0),
        publish_time: metadata.publish_time,
        producer_name: metadata.producer_name.clone(),
        sequence_id: metadata.sequence_id,
        schema_version: metadata.schema_version.clone(),
        replicated_from: metadata.replicated_from.clone(),
    })
}

fn key(stored: Option<Bytes>, is_base64: bool, is_null: Option<bool>) -> Result<Option<Bytes>> {
    match stored {
        Some(_) if is_null == Some(true) => Ok(None),
        Some(key) if is_base64 => match base64::decode(&key) {
            Some(key) => Ok(Some(key.into())),
            None => Err(Error::Damaged("its key is no base64".into())),
        },
        key => Ok(key),
    }
}

fn properties(stored: Vec<KeyValue>) -> Vec<(String, String)> {
    stored.into_iter().map(|pair| (pair.key, pair.value)).collect()
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;

    use super::*;
    use crate::compression::Compression;
    use crate::message::{Message, Sender, encode_batch, encode_single};

    const SENDER: Sender<'static> = Sender { name: "p", unix_ms: 9 };
    const ID: MessageId = MessageId::of_entry(1, 2);

    fn read(encoded: crate::message::Encoded, ack_set: &[i64], start: Option<Start>) -> Result<Decoded> {
        let payload = unpack(&encoded.metadata, encoded.payload, 1 << 20)?;
        messages(ID, &encoded.metadata, payload, ack_set, start.as_ref())
    }

    fn three() -> crate::message::Encoded {
        let all = [Message::new("a").key("k"), Message::null().key(&[0xff][..]), Message::new("")];
        encode_batch(5, &all, SENDER, Compression::Lz4).unwrap()
    }

    #[test]
    fn a_batch_arrives_as_it_was_sent() {
        let decoded = read(three(), &[], None).unwrap();
        let seen: Vec<_> = decoded
            .messages
            .iter()
            .map(|m| (m.id.batch_index, m.payload.as_deref(), m.key.as_deref(), m.sequence_id))
            .collect();
        let some = |bytes: &'static [u8]| Some(bytes);
        let told =
            [(Some(0), some(b"a"), some(b"k"), 5), (Some(1), None, some(b"\xff"), 6), (Some(2), some(b""), None, 7)];
        assert_eq!(seen, told);
    }

    #[test]
    fn the_ack_set_hides_what_was_acknowledged_and_takes_no_permit() {
        let decoded = read(three(), &[0b101], None).unwrap();
        let seen: Vec<_> = decoded.messages.iter().map(|m| m.id.batch_index.unwrap()).collect();
        assert_eq!((seen, decoded.skipped), (vec![0, 2], 0));
    }

    #[test]
    fn what_lies_before_the_start_is_skipped() {
        for (index, inclusive, left) in [(None, true, 3), (None, false, 0), (Some(1), true, 2), (Some(1), false, 1)] {
            let start = Start { id: MessageId { batch_index: index, ..ID }, inclusive };
            let decoded = read(three(), &[], Some(start)).unwrap();
            assert_eq!((decoded.messages.len(), decoded.skipped), (left, 3 - left as u32), "{start:?}");
        }
    }

    #[test]
    fn a_message_that_compaction_removed_is_skipped() {
        let mut payload = BytesMut::new();
        for compacted in [true, false] {
            let single =
                SingleMessageMetadata { payload_size: 0, compacted_out: Some(compacted), ..Default::default() };
            payload.put_u32(single.encoded_len() as u32);
            single.encode(&mut payload).unwrap();
        }
        let metadata = MessageMetadata { num_messages_in_batch: Some(2), ..Default::default() };
        let decoded = messages(ID, &metadata, payload.freeze(), &[], None).unwrap();
        assert_eq!((decoded.messages.len(), decoded.messages[0].id.batch_index, decoded.skipped), (1, Some(1), 1));
    }

    #[test]
    fn an_encrypted_entry_is_refused() {
        let mut encoded = three();
        encoded.metadata.encryption_keys.push(Default::default());
        assert_eq!(read(encoded, &[], None).err(), Some(Error::Encrypted));
    }

    #[test]
    fn an_entry_that_would_grow_beyond_the_limit_is_refused() {
        let encoded = encode_single(Message::new(vec![0; 2 << 20]), 0, SENDER, Compression::Zstd).unwrap();
        assert!(matches!(read(encoded, &[], None), Err(Error::Damaged(_))));
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..12));
        (
            bytes(),
            bytes(),
            bytes(),
            proptest::collection::vec((".{0,4}", ".{0,4}"), 0..3),
            proptest::option::of(1u64..9),
        )
            .prop_map(|(payload, key, ordering_key, properties, event_time)| Message {
                payload: payload.map(Bytes::from),
                key: key.map(Bytes::from),
                ordering_key: ordering_key.map(Bytes::from),
                properties,
                event_time,
                ..Message::default()
            })
    }

    fn assert_same(sent: &Message, got: &ReceivedMessage) {
        assert_eq!((&sent.payload, &sent.key, &sent.ordering_key), (&got.payload, &got.key, &got.ordering_key));
        assert_eq!((&sent.properties, sent.event_time), (&got.properties, got.event_time));
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(sent in proptest::collection::vec(any_message(), 1..6), first in 0u64..1000) {
            for compression in [Compression::None, Compression::Lz4, Compression::Zlib, Compression::Zstd, Compression::Snappy] {
                let decoded = read(encode_batch(first, &sent, SENDER, compression).unwrap(), &[], None).unwrap();
                prop_assert_eq!(decoded.messages.len(), sent.len());
                for (sent, got) in sent.iter().zip(&decoded.messages) {
                    assert_same(sent, got);
                }
                let decoded = read(encode_single(sent[0].clone(), first, SENDER, compression).unwrap(), &[], None).unwrap();
                assert_same(&sent[0], &decoded.messages[0]);
                prop_assert_eq!(decoded.messages[0].sequence_id, first);
            }
        }

        #[test]
        fn any_bytes_are_a_batch_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..80), count in any::<i32>()) {
            let metadata = MessageMetadata { num_messages_in_batch: Some(count), ..Default::default() };
            let _ = messages(ID, &metadata, payload.into(), &[], None);
        }
    }
}
