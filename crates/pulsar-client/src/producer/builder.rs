// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The options of a producer.

use crate::address::topic_name;
use crate::client::Client;
use crate::compression::Compression;
use crate::error::Result;
use crate::producer::Producer;
use crate::producer::core::Core;
use crate::proto::ProducerAccessMode;
use crate::schema::Schema;

/// Who else may write to the topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    #[default]
    Shared,
    /// Nobody: creating the producer fails if somebody is there.
    Exclusive,
    /// Nobody: creating the producer waits, for as long as it takes, until all others are gone.
    WaitForExclusive,
    /// Nobody: whoever is there is fenced off, and cannot return.
    ExclusiveWithFencing,
}

impl Access {
    pub(crate) fn mode(self) -> ProducerAccessMode {
        match self {
            Access::Shared => ProducerAccessMode::Shared,
            Access::Exclusive => ProducerAccessMode::Exclusive,
            Access::WaitForExclusive => ProducerAccessMode::WaitForExclusive,
            Access::ExclusiveWithFencing => ProducerAccessMode::ExclusiveWithFencing,
        }
    }
}

/// Options of a producer, with which it is [created](ProducerBuilder::create).
#[derive(Clone, Debug)]
#[must_use]
pub struct ProducerBuilder {
    client: Client,
    topic: String,
    options: ProducerOptions,
}

#[derive(Clone, Debug)]
pub(crate) struct ProducerOptions {
    pub(crate) name: Option<String>,
    pub(crate) access: Access,
    pub(crate) topic_epoch: Option<u64>,
    pub(crate) initial_sequence_id: Option<u64>,
    pub(crate) schema: Option<Schema>,
    pub(crate) compression: Compression,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) max_pending_messages: usize,
    pub(crate) max_pending_bytes: usize,
}

impl ProducerBuilder {
    pub(crate) fn new(client: Client, topic: String) -> ProducerBuilder {
        let options = ProducerOptions {
            name: None,
            access: Access::Shared,
            topic_epoch: None,
            initial_sequence_id: None,
            schema: None,
            compression: Compression::None,
            properties: Vec::new(),
            max_pending_messages: 100_000,
            max_pending_bytes: 64 << 20,
        };
        ProducerBuilder { client, topic, options }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn with_topic(mut self, topic: String) -> ProducerBuilder {
        self.topic = topic;
        self
    }

    /// Sets the name, which the broker deduplicates by. Without one the broker makes one up.
    pub fn name(mut self, name: impl Into<String>) -> ProducerBuilder {
        self.options.name = Some(name.into());
        self
    }

    /// Sets who else may write to the topic; anybody unless set.
    pub fn access(mut self, access: Access) -> ProducerBuilder {
        self.options.access = access;
        self
    }

    /// Sets the epoch under which an earlier producer had the topic to itself, to go on in its place: this one is fenced
    /// if somebody took the topic over since.
    pub fn initial_topic_epoch(mut self, epoch: Option<u64>) -> ProducerBuilder {
        self.options.topic_epoch = epoch;
        self
    }

    /// Sets the sequence id of the first message that brings none. Unless set, it follows the last one that the broker
    /// knows of.
    pub fn initial_sequence_id(mut self, sequence_id: u64) -> ProducerBuilder {
        self.options.initial_sequence_id = Some(sequence_id);
        self
    }

    /// Sets the schema of the messages. The broker refuses one that does not fit the topic's.
    pub fn schema(mut self, schema: Schema) -> ProducerBuilder {
        self.options.schema = Some(schema);
        self
    }

    /// Sets the compression; none unless set.
    pub fn compression(mut self, compression: Compression) -> ProducerBuilder {
        self.options.compression = compression;
        self
    }

    /// Adds properties that the broker shows in its statistics.
    pub fn properties<K: Into<String>, V: Into<String>>(
        mut self,
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> ProducerBuilder {
        self.options.properties.extend(properties.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// Sets how much may be pending: 100,000 messages and 64 MiB unless set. Beyond either, messages are refused with
    /// [`Error::QueueFull`](crate::Error::QueueFull); a single message or batch is accepted always.
    pub fn max_pending(mut self, messages: usize, bytes: usize) -> ProducerBuilder {
        self.options.max_pending_messages = messages;
        self.options.max_pending_bytes = bytes;
        self
    }

    /// Creates the producer: finds the topic's broker, and waits until it accepts the producer.
    ///
    /// What may pass is tried again for as long as operations may take. A [busy](crate::Error::ProducerBusy) topic or name
    /// is not, nor one whose [backlog is full](crate::Error::QuotaExceeded): the caller decides whether to wait.
    pub async fn create(self) -> Result<Producer> {
        let topic = topic_name(&self.topic)?;
        Core::create(self.client.inner, topic, self.options).await.map(Producer::new)
    }
}
