// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consumer groups: what they are, and what consumers of those with acknowledgement say and are given.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::units::Quantity;

/// A consumer group of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupSummary {
    /// Its name.
    pub name: String,
    /// Whether its consumers acknowledge; if not, its place moves when events are given.
    pub acknowledges: bool,
    /// How many events it has not consumed or acknowledged; null when that is not known, as in Apache Pulsar but at the end.
    pub lag: Option<u64>,
    /// How many are leased to consumers.
    pub leased: u64,
    /// How many were delivered in vain and wait to be given again.
    pub returned: u64,
}

/// A consumer group and how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupDescription {
    /// Its name.
    pub name: String,
    /// The topic.
    pub topic: String,
    /// Whether its consumers acknowledge; if not, its place moves when events are given.
    pub acknowledges: bool,
    /// How many events it has not consumed or acknowledged; null when that is not known, as in Apache Pulsar but at the end.
    pub lag: Option<u64>,
    /// The most events of a partition that are out and not acknowledged.
    pub most_unacknowledged: u64,
    /// Where events go that were delivered as often as they may be; absent when the name would be too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_topic: Option<String>,
    /// The topic's partitions in order.
    pub partitions: Vec<GroupPartition>,
}

/// How far a group is in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupPartition {
    /// Its number.
    pub partition: u32,
    /// The oldest event that the group has not consumed or acknowledged.
    pub position: String,
    /// The position that the next event of the topic will get.
    pub end: String,
    /// How many events the group has not consumed or acknowledged; null when that is not known, as in Apache Pulsar but at the end.
    pub lag: Option<u64>,
    /// How many are leased to consumers.
    pub leased: u64,
    /// How many were delivered in vain and wait to be given again.
    pub returned: u64,
    /// The time of the event at `position`, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<i64>,
    /// Whether so many events are out that no new ones are given until some are acknowledged.
    pub is_full: bool,
}

/// Where a group is to go on: exactly one of `to`, `position` and `time_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupReset {
    /// `earliest`, `latest`, or the first event of a time or later: in UTC such as `2026-01-31T08:00:00Z`, or `time=MS` in milliseconds
    /// since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// At this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// At the first event of this time or later, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<i64>,
    /// In this partition only; needed with `position` when the topic has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
}

/// Bytes: text where they are UTF-8, or else their base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Data {
    /// UTF-8.
    Text(String),
    /// Other bytes.
    Base64 {
        /// Their base64, with padding.
        base64: String,
    },
}

/// A header of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Data,
}

/// An event that is leased to a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeasedEvent {
    /// What it is acknowledged by.
    pub receipt: String,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    /// The partition.
    pub partition: u32,
    /// The position.
    pub position: String,
    /// The event's time in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Data>,
    /// The headers in order.
    pub headers: Vec<EventHeader>,
    /// The value; `null` is a null value, which is not an empty one.
    pub value: Option<Data>,
}

/// Events of a partition that retention dropped before the group had acknowledged them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SkippedEvents {
    /// The partition.
    pub partition: u32,
    /// The position of the oldest of them, where the group stood.
    pub from: String,
    /// How many they are.
    pub events: u64,
}

/// Events that are leased to a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeasedEvents {
    /// The events; none if none came in time.
    pub events: Vec<LeasedEvent>,
    /// What the group missed since the last answer; absent if it missed nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedEvents>,
}

/// What a consumer says of events that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipts {
    /// The receipts of the events, at most 10,000.
    pub receipts: Vec<String>,
    /// Of `nack`: the events are given again after this time at the earliest, such as `"10s"`, or a number of milliseconds such as
    /// `10000`; at once without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Quantity>,
    /// Of `extend`: the leases end after this time from now, such as `"30s"`, or a number of milliseconds such as `30000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Quantity>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettledEvents {
    /// For how many of the events it was done.
    pub done: u64,
    /// The receipts of events that are not the consumer's any more.
    #[serde(default)]
    pub refused: Vec<String>,
}
