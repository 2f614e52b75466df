// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics and artifacts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
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
}

/// A topic and how full it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicDescription {
    /// The name.
    pub name: String,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Events older than this may be dropped; absent = kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// The oldest events of a partition may be dropped as long as this many bytes are left; absent = without bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_bytes: Option<u64>,
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
    /// About how many bytes it takes.
    pub bytes: u64,
}

/// The answer to an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadedArtifact {
    /// SHA-256 of the bytes in lowercase hexadecimal; a function names it as `sha256:<digest>`.
    pub digest: String,
    /// How many bytes were stored.
    pub bytes: u64,
}
