// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The answer to producing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where events went. They are durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Produced {
    /// How many events were appended.
    pub count: u64,
    /// One run for each partition that got some. If all events of a request were there already: where they went when the same
    /// request came first, if that is one of the producer's last five, and nothing otherwise.
    pub runs: Vec<AppendedRun>,
    /// How many events were there already and were not appended again; of a request with `producer` alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duplicates: u64,
    /// The number that the producer's next event has; of a request with `producer` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_sequence: Option<u64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How far a producer that numbers its events has got in a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProducerDescription {
    /// The producer's name.
    pub producer: String,
    /// The number that its next event has. Events are numbered from 0, so it is also how many of them are in the topic, those
    /// included that retention has dropped.
    pub next_sequence: u64,
    /// When its last events came, in milliseconds since the Unix epoch.
    pub last_ms: i64,
}

/// Events that follow each other in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppendedRun {
    /// The partition.
    pub partition: u32,
    /// The position of the first of them.
    pub first: String,
    /// How many there are.
    pub count: u32,
}
