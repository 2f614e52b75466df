// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The protocol's messages, generated from `proto/pulsar.proto`.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]

include!(concat!(env!("OUT_DIR"), "/pulsar.rs"));

pub(crate) use base_command::Body;

impl Body {
    /// The number of this command, which is the number of its field in the envelope.
    pub(crate) fn kind(&self) -> i32 {
        match self {
            Body::Connect(_) => 2,
            Body::Connected(_) => 3,
            Body::Subscribe(_) => 4,
            Body::Producer(_) => 5,
            Body::Send(_) => 6,
            Body::SendReceipt(_) => 7,
            Body::SendError(_) => 8,
            Body::Message(_) => 9,
            Body::Ack(_) => 10,
            Body::Flow(_) => 11,
            Body::Unsubscribe(_) => 12,
            Body::Success(_) => 13,
            Body::Error(_) => 14,
            Body::CloseProducer(_) => 15,
            Body::CloseConsumer(_) => 16,
            Body::ProducerSuccess(_) => 17,
            Body::Ping(_) => 18,
            Body::Pong(_) => 19,
            Body::RedeliverUnacknowledgedMessages(_) => 20,
            Body::PartitionMetadata(_) => 21,
            Body::PartitionMetadataResponse(_) => 22,
            Body::LookupTopic(_) => 23,
            Body::LookupTopicResponse(_) => 24,
            Body::ReachedEndOfTopic(_) => 27,
            Body::Seek(_) => 28,
            Body::GetLastMessageId(_) => 29,
            Body::GetLastMessageIdResponse(_) => 30,
            Body::ActiveConsumerChange(_) => 31,
            Body::GetTopicsOfNamespace(_) => 32,
            Body::GetTopicsOfNamespaceResponse(_) => 33,
            Body::GetSchema(_) => 34,
            Body::GetSchemaResponse(_) => 35,
            Body::AuthChallenge(_) => 36,
            Body::AuthResponse(_) => 37,
            Body::AckResponse(_) => 38,
            Body::GetOrCreateSchema(_) => 39,
            Body::GetOrCreateSchemaResponse(_) => 40,
            Body::WatchTopicList(_) => 64,
            Body::WatchTopicListSuccess(_) => 65,
            Body::WatchTopicUpdate(_) => 66,
            Body::WatchTopicListClose(_) => 67,
            Body::TopicMigrated(_) => 68,
        }
    }
}

/// Pairs in the form of the protocol.
pub(crate) fn pairs<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| KeyValue { key: key.as_ref().into(), value: value.as_ref().into() }).collect()
}
