// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One event through a function, on a copy of its state.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::dead_letter::{RecordHeader, is_zero};

/// An event that a function is given aside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The input topic that it seems to come from; the first one when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The partition that it seems to be in, which says whose state it meets; that of its key when it is not given, or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Its timestamp, in milliseconds since the Unix epoch; the present when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_ms: Option<i64>,
    /// Its key; in base64 when `encoding` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its headers in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<RecordHeader>,
    /// Its payload; in base64 when `encoding` says so, `null` for a value that is null.
    pub value: Option<String>,
    /// `utf-8`, which is meant when it is not given, or `base64` for key, payload and the values of headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// What a function would do with an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Triggered {
    /// The revision of the function that was called.
    pub revision: u64,
    /// The task on whose state.
    pub task: u32,
    /// What it would emit, by output and partition; nothing if it failed.
    pub emitted: Vec<TriggeredEvent>,
    /// How many more it would emit that are too large to be told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub emitted_left_out: u64,
    /// The keys of its state that it would write or delete, timers not among them.
    pub state: Vec<TriggeredKey>,
    /// How many keys of its state it would write or delete, and how many timers it would set or delete.
    pub state_changes: u64,
    /// See `state_changes`.
    pub timer_changes: u64,
    /// What it printed.
    pub logs: Vec<TriggeredLine>,
    /// How many more lines it printed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub logs_left_out: u64,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TriggeredError>,
}

/// An event that would be emitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriggeredEvent {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The timestamp, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The key; in base64 when `encoding` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The headers in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<RecordHeader>,
    /// The payload; in base64 when `encoding` says so, `null` when the value is null.
    pub value: Option<String>,
    /// `utf-8`, or `base64` when key, payload or a header are not UTF-8: then all of them are in base64.
    pub encoding: String,
}

/// A key of the state that would be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriggeredKey {
    /// The store.
    pub store: String,
    /// The key, as `SHOW STATE` shows it.
    pub key: String,
    /// `put` or `delete`.
    pub change: String,
}

/// A line that a function printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriggeredLine {
    /// `stdout` or `stderr`.
    pub from: String,
    /// The line without its end.
    pub text: String,
}

/// Why a function failed at an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriggeredError {
    /// The error's code.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Where in the function's code, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
}
