// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics of Apache Kafka: [`Kafka`] is the [`Broker`](fnstream_core::broker::Broker) and the
//! [`Committer`](fnstream_core::committer::Committer) of one cluster; [`KafkaStates`] are stores of a local disk whose state can be had
//! again from it.
//!
//! It owns everything that is said to Kafka, and knows nothing of functions' code, of disks or of the server.
//!
//! # Guarantee
//!
//! One transaction has the outputs of all epochs that waited, their deltas and progress (in the delta log), and the offsets of their
//! groups. It begins when the epochs are frozen, so it is never open while user code runs.
//!
//! # Reading order
//!
//! `properties`: what clients are told. `error`: what they answer. `native`: the calls of librdkafka that are made directly, and all of
//! the crate's `unsafe`. `admin`: seldom asked questions. `feed`, `ring`, `source`: reading. `delta_log`, `state`, `watermarks`: what is written of a task.
//! `lane`: committing. `place`: the seams over all of it. `writer`: small transactions. `group_log`: what several processes share. `topics`, `groups`: the seams for clients ([`KafkaTopics`], [`KafkaGroups`]).
//!
//! ```no_run
//! use fnstream_core::broker::Broker;
//! use fnstream_kafka::{Kafka, Options, Properties};
//!
//! let kafka = Kafka::connect(Options {
//!     cluster: "kafka://b1:9092".parse()?,
//!     properties: Properties::new("b1:9092", &Default::default())?,
//!     server: "orders".to_owned(),
//!     connection: String::new(),
//!     process: String::new(),
//!     sharing: None,
//!     incarnation: String::new(),
//!     namespace: String::new(),
//!     replication: Some(3),
//!     lanes: 1,
//! })?;
//! println!("{} partitions", kafka.partitions(&"events@kafka://b1:9092".parse()?)?);
//! # Ok::<(), fnstream_core::Error>(())
//! ```

mod admin;
mod delta_log;
mod error;
mod feed;
mod group_log;
mod groups;
mod lane;
mod meter;
mod native;
mod place;
mod properties;
mod ring;

mod source;
mod state;
mod tasks;
mod topics;
mod watermarks;
mod writer;

pub use group_log::KafkaLog;
pub use groups::KafkaGroups;
pub use meter::Transactions;
pub use place::{Kafka, Options, Sharing};
pub use properties::{AUTO_OFFSET_RESET, Properties};

pub use state::KafkaStates;
pub use tasks::KafkaTasks;
pub use topics::KafkaTopics;
