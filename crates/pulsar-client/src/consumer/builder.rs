// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The options of a consumer.

use std::ops::RangeInclusive;

use crate::address::topic_name;
use crate::client::Client;
use crate::consumer::Consumer;
use crate::consumer::core::Core;
use crate::entry::Start;
use crate::error::{Error, Result};
use crate::message_id::MessageId;
use crate::schema::Schema;

/// How the consumers of a subscription share its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SubscriptionType {
    /// There is one consumer.
    #[default]
    Exclusive,
    /// Each message goes to one of them, in no order.
    Shared,
    /// All messages go to the active one; the others wait for their turn.
    Failover,
    /// Messages of one key go to one of them.
    KeyShared {
        /// The hashes, from 0 to 65535, of the keys that go to this consumer; empty to let the broker share them out.
        hash_ranges: Vec<RangeInclusive<u16>>,
        /// Whether messages of a key may overtake each other when consumers come or go.
        allow_out_of_order: bool,
    },
}

/// Where a new subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialPosition {
    /// With the first message that the topic still has.
    Earliest,
    /// With the next message that the topic gets.
    #[default]
    Latest,
}

/// Options of a consumer, with which it [subscribes](ConsumerBuilder::subscribe).
#[derive(Clone, Debug)]
#[must_use]
pub struct ConsumerBuilder {
    client: Client,
    topic: String,
    options: ConsumerOptions,
}

#[derive(Clone, Debug)]
pub(crate) struct ConsumerOptions {
    pub(crate) subscription: String,
    pub(crate) subscription_type: SubscriptionType,
    pub(crate) durable: bool,
    pub(crate) name: Option<String>,
    pub(crate) priority: i32,
    pub(crate) initial_position: InitialPosition,
    pub(crate) start: Option<Start>,
    pub(crate) read_compacted: bool,
    pub(crate) receiver_queue: u32,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) subscription_properties: Vec<(String, String)>,
    pub(crate) schema: Option<Schema>,
    pub(crate) force_topic_creation: bool,
    pub(crate) reconnects: bool,
    pub(crate) max_entry_size: usize,
    pub(crate) max_chunked_messages: usize,
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client, topic: String) -> ConsumerBuilder {
        let options = ConsumerOptions {
            subscription: String::new(),
            subscription_type: SubscriptionType::Exclusive,
            durable: true,
            name: None,
            priority: 0,
            initial_position: InitialPosition::Latest,
            start: None,
            read_compacted: false,
            receiver_queue: 1000,
            properties: Vec::new(),
            subscription_properties: Vec::new(),
            schema: None,
            force_topic_creation: true,
            reconnects: true,
            max_entry_size: 64 << 20,
            max_chunked_messages: 10,
        };
        ConsumerBuilder { client, topic, options }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// A new subscription of these options would begin with the first message.
    pub(crate) fn at_the_beginning(self) -> ConsumerBuilder {
        let start = self.options.start.map(|_| Start::new(MessageId::EARLIEST, true));
        let mut builder = self.initial_position(InitialPosition::Earliest);
        builder.options.start = start;
        builder
    }

    pub(crate) fn with_topic(mut self, topic: String) -> ConsumerBuilder {
        self.topic = topic;
        self
    }

    /// Sets the name of the subscription, which must be set.
    pub fn subscription(mut self, name: impl Into<String>) -> ConsumerBuilder {
        self.options.subscription = name.into();
        self
    }

    /// Sets how consumers share the subscription's messages; [`SubscriptionType::Exclusive`] unless set.
    pub fn subscription_type(mut self, subscription_type: SubscriptionType) -> ConsumerBuilder {
        self.options.subscription_type = subscription_type;
        self
    }

    /// Sets whether the broker keeps the subscription when its consumers are gone; it does unless set otherwise.
    pub fn durable(mut self, durable: bool) -> ConsumerBuilder {
        self.options.durable = durable;
        self
    }

    /// Sets the consumer's name, by which the broker orders the consumers of a failover subscription.
    pub fn name(mut self, name: impl Into<String>) -> ConsumerBuilder {
        self.options.name = Some(name.into());
        self
    }

    /// Sets the priority: consumers of a lower number come first. 0 unless set.
    pub fn priority(mut self, priority: i32) -> ConsumerBuilder {
        self.options.priority = priority;
        self
    }

    /// Sets where a new subscription begins; at [`InitialPosition::Latest`] unless set.
    pub fn initial_position(mut self, position: InitialPosition) -> ConsumerBuilder {
        self.options.initial_position = position;
        self
    }

    /// Begins at a message, or behind it if not `inclusive`. Only for subscriptions that are not durable.
    pub fn start(mut self, id: MessageId, inclusive: bool) -> ConsumerBuilder {
        self.options.start = Some(Start::new(id, inclusive));
        self
    }

    /// Sets whether to read the compacted topic: the latest message of each key. For exclusive and failover subscriptions.
    pub fn read_compacted(mut self, read_compacted: bool) -> ConsumerBuilder {
        self.options.read_compacted = read_compacted;
        self
    }

    /// Sets how many messages may wait in the consumer; 1000 unless set. With 0, nothing comes before
    /// [`Consumer::grant`].
    pub fn receiver_queue(mut self, messages: u32) -> ConsumerBuilder {
        self.options.receiver_queue = messages;
        self
    }

    /// Adds properties that the broker shows in its statistics.
    pub fn properties<K: Into<String>, V: Into<String>>(
        mut self,
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> ConsumerBuilder {
        self.options.properties.extend(properties.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// Adds properties that the broker keeps with a new subscription.
    pub fn subscription_properties<K: Into<String>, V: Into<String>>(
        mut self,
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> ConsumerBuilder {
        let properties = properties.into_iter().map(|(key, value)| (key.into(), value.into()));
        self.options.subscription_properties.extend(properties);
        self
    }

    /// Sets the schema that messages are expected in. The broker refuses one that does not fit the topic's.
    pub fn schema(mut self, schema: Schema) -> ConsumerBuilder {
        self.options.schema = Some(schema);
        self
    }

    /// Sets whether the topic is created if it does not exist and the broker allows it; it is unless set otherwise.
    pub fn force_topic_creation(mut self, force: bool) -> ConsumerBuilder {
        self.options.force_topic_creation = force;
        self
    }

    /// Sets whether the consumer subscribes again when it loses its broker; it does unless set otherwise. One that does not ends then, and
    /// so never makes a subscription anew that went with its topic. [Seeking](Consumer::seek) ends nobody.
    pub fn reconnects(mut self, reconnects: bool) -> ConsumerBuilder {
        self.options.reconnects = reconnects;
        self
    }

    /// Sets how large an entry may be after decompression, and a message of several chunks as a whole; 64 MiB unless set.
    /// Larger ones are [`Event::Unreadable`](crate::Event::Unreadable).
    pub fn max_entry_size(mut self, bytes: usize) -> ConsumerBuilder {
        self.options.max_entry_size = bytes;
        self
    }

    /// Sets of how many messages the chunks may be gathered at a time; 10 unless set. Beyond it, the one that was begun
    /// first is given up: it is not received.
    pub fn max_chunked_messages(mut self, messages: usize) -> ConsumerBuilder {
        self.options.max_chunked_messages = messages.max(1);
        self
    }

    /// Subscribes: finds the topic's broker, and waits until it accepts the consumer.
    ///
    /// What may pass is tried again for as long as operations may take. A [busy](Error::ConsumerBusy) subscription is
    /// not: the caller decides whether to wait.
    pub async fn subscribe(self) -> Result<Consumer> {
        let topic = topic_name(&self.topic)?;
        if self.options.subscription.is_empty() {
            return Err(Error::InvalidOptions("a consumer needs the name of a subscription".into()));
        }
        if self.options.durable && self.options.start.is_some() {
            return Err(Error::InvalidOptions("a durable subscription starts where it is: seek instead".into()));
        }
        Core::subscribe(self.client.inner, topic, self.options).await.map(Consumer::new)
    }
}
