// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics of Apache Kafka.
mod admin;
mod delta_log;
mod error;
mod feed;
mod groups;
mod lane;
mod native;
mod place;
mod properties;
mod ring;
mod source;
mod topics;

pub use groups::KafkaGroups;
pub use place::{Kafka, Options};
pub use properties::{AUTO_OFFSET_RESET, Properties};
pub use topics::KafkaTopics;
