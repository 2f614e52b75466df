// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An asynchronous client of Apache Pulsar's binary protocol, for programs that count on every detail of it.
//!
//! It leaves to its user what other clients decide by themselves: sequence ids, what is a batch, who has a topic to
//! itself, how many messages may come, and what to do when a subscription was taken over. In return it reports what the
//! broker said: whether a message was a duplicate, which sequence id was stored last, whether an acknowledgement was
//! taken note of, whether this consumer is the active one.
//!
//! # Producing
//!
//! ```no_run
//! # async fn example() -> fnstream_pulsar_client::Result<()> {
//! use fnstream_pulsar_client::{Access, Client, Message};
//!
//! let client = Client::builder("pulsar://localhost:6650").build()?;
//! let producer = client.producer("orders").name("shop-1").access(Access::ExclusiveWithFencing).create().await?;
//! // Goes on where the last producer of this name ended, if the broker deduplicates.
//! let first = producer.last_sequence_id().map_or(0, |last| last + 1);
//! let batch = vec![Message::new("one").key("a"), Message::new("two").key("b")];
//! let receipt = producer.send_batch(first, batch).await?;
//! assert!(!receipt.duplicate);
//! # Ok(())
//! # }
//! ```
//!
//! # Consuming
//!
//! ```no_run
//! # async fn example(client: fnstream_pulsar_client::Client) -> fnstream_pulsar_client::Result<()> {
//! use fnstream_pulsar_client::{Event, InitialPosition, SubscriptionType};
//!
//! let consumer = client
//!     .consumer("orders")
//!     .subscription("billing")
//!     .subscription_type(SubscriptionType::Failover)
//!     .initial_position(InitialPosition::Earliest)
//!     .subscribe()
//!     .await?;
//! loop {
//!     match consumer.recv().await? {
//!         Event::Messages(entry) => {
//!             for message in &entry.messages {
//!                 println!("{}: {:?}", message.id, message.payload);
//!             }
//!             consumer.ack_cumulative(&entry.id).await?;
//!         }
//!         Event::Active(active) => println!("active: {active}"),
//!         Event::Reconnected => println!("what follows may come again"),
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! # What it does not do
//!
//! It takes part in no transactions, does not encrypt or decrypt, does not send messages in chunks (it reads them), and
//! does not consume topics by pattern: it tells when a namespace has [others](Client::watch_topics).
//!
//! # Reading order
//!
//! [`client`] is where everything begins. Below it, `frame` is the wire, `connection` one connection, `pool` all of
//! them, and `lookup` the questions to the service; `message` and `entry` are the two directions of what is stored.
//! [`producer`] and [`consumer`] say what they promise when brokers come and go.

pub mod client;
pub mod consumer;
#[doc(hidden)]
pub mod fuzz;
pub mod producer;

mod acks;
mod address;
mod auth;
mod backoff;
mod base64;
mod compression;
mod connection;
mod entry;
mod error;
mod frame;
mod hash;
mod lookup;
mod message;
mod message_id;
mod partitioned;
mod pool;
mod proto;
mod reader;
mod schema;
#[cfg(test)]
mod scripted;
mod tls;
mod topic_watch;

pub use auth::Authentication;
pub use client::{Client, ClientBuilder, TopicsMode};
pub use compression::Compression;
pub use consumer::{Consumer, ConsumerBuilder, Event, InitialPosition, LastMessageId, SeekTo, SubscriptionType};
pub use entry::{Entry, ReceivedMessage};
pub use error::{Error, Result};
pub use hash::Hashing;
pub use message::Message;
pub use message_id::MessageId;
pub use partitioned::{PartitionedConsumer, PartitionedProducer};
pub use producer::{Access, Batching, BatchingProducer, Producer, ProducerBuilder, Receipt, SendFuture};
pub use reader::{Reader, ReaderBuilder};
pub use schema::{Schema, SchemaKind};
pub use tls::TlsOptions;
pub use topic_watch::TopicWatch;
