// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics and artifacts.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A topic as a function names it: a text such as `orders`, `orders@prod?group_id=billing` or `persistent://shop/eu/orders`, or
/// its parts.
///
/// ```
/// # use fnstream_core::topic::TopicRef;
/// let text: TopicRef = serde_json::from_str(r#""orders@prod?group_id=billing""#).unwrap();
/// let parts = r#"{"name": "orders", "cluster": "prod", "options": {"group_id": "billing"}}"#;
/// assert_eq!(serde_json::from_str::<TopicRef>(parts).unwrap(), text);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum TopicReference {
    /// `NAME[@CLUSTER][?option=value&option=value]`, where `%` and two hexadecimal digits stand for a byte.
    Text(String),
    /// The same in parts.
    Parts(TopicParts),
}

/// A topic in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicParts {
    /// Its name.
    pub name: String,
    /// The cluster where it lives: a name of the server's configuration, or addresses such as `kafka://host:9092`; the
    /// server's own when it is not given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Options for who reads or writes it, such as `group_id` and `partition`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A topic as it is asked for; the empty object is one partition with the server's retention.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicRequest {
    /// The number of partitions; 1 when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1024)]
    pub partitions: Option<u32>,
    /// Events older than this many milliseconds may be dropped; the server's default when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// The oldest events of a partition may be dropped when it has more than this many bytes; the server's default when
    /// it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_bytes: Option<u64>,
    /// What the age of events is counted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_by: Option<RetentionBy>,
}

/// What the age of events is counted from when old ones are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RetentionBy {
    /// The time at which the server got them: events with old timestamps that are written now stay for the whole time.
    #[default]
    Arrival,
    /// Their own timestamps.
    EventTime,
}

impl RetentionBy {
    /// All of them with their names.
    pub const NAMES: [(&'static str, RetentionBy); 2] =
        [("arrival", RetentionBy::Arrival), ("event-time", RetentionBy::EventTime)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            RetentionBy::Arrival => "arrival",
            RetentionBy::EventTime => "event-time",
        }
    }
}

impl FromStr for RetentionBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = RetentionBy::NAMES.iter().find(|(name, _)| *name == text).map(|(_, by)| *by);
        found.ok_or_else(|| format!("'{}' is neither 'arrival' nor 'event-time'", text.escape_debug()))
    }
}

/// What is to change of a topic. What is not named stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicChange {
    /// The number of partitions: as many as there are, or more. Records stay where they are; later ones of a key may come to another
    /// partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1024)]
    pub partitions: Option<u32>,
    /// Events older than this many milliseconds may be dropped; null is the server's default.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub retention_ms: Option<Option<u64>>,
    /// The oldest events of a partition may be dropped as long as this many bytes are left; null is the server's default.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub retention_bytes: Option<Option<u64>>,
    /// What the age of events is counted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_by: Option<RetentionBy>,
    /// Whether it is fine that more partitions part keys from the state that functions keep for them. Else such a change is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_moved_keys: bool,
}

/// What was given is `Some`, also if it is null.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A topic that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicAltered {
    /// The topic as it is now.
    pub topic: TopicDescription,
    /// The functions that were restarted, so that they read and write the new partitions.
    pub restarted: Vec<String>,
    /// What else is to be known of the change.
    pub notes: Vec<String>,
}

/// A topic and how full it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicDescription {
    /// The name.
    pub name: String,
    /// When it was created, in milliseconds since the Unix epoch; absent if the topic's cluster does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ms: Option<i64>,
    /// Events older than this may be dropped; absent = kept for ever. Of a topic of another cluster: as it was set for the topic; absent =
    /// its cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// Whether that is the default of the server, or of the topic's cluster, since the topic does not say.
    #[serde(default)]
    pub retention_ms_is_default: bool,
    /// The oldest events of a partition may be dropped as long as this many bytes are left; absent = without bound. Of a topic of
    /// another cluster: see `retention_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_bytes: Option<u64>,
    /// Whether that is the default of the server, or of the topic's cluster, since the topic does not say.
    #[serde(default)]
    pub retention_bytes_is_default: bool,
    /// What the age of events is counted from.
    #[serde(default)]
    pub retention_by: RetentionBy,
    /// Its partitions in order.
    pub partitions: Vec<PartitionInfo>,
    /// The functions that read it.
    pub read_by: Vec<String>,
    /// The functions that write it.
    pub written_by: Vec<String>,
    /// How many consumers wait for its next event now.
    pub waiting_consumers: u64,
}

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionInfo {
    /// Its number.
    pub partition: u32,
    /// The position of the oldest event that is still there.
    pub earliest: String,
    /// The position that the next event will get.
    pub end: String,
    /// About how many bytes it takes; absent if the topic's cluster does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// The answer to an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadedArtifact {
    /// SHA-256 of the bytes in lowercase hexadecimal; a function names it as `sha256:<digest>`.
    pub digest: String,
    /// How many bytes were stored.
    pub bytes: u64,
}
