// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Dead letters: records that a function failed at.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A record that a function failed at, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// Where it is in the topic of dead letters: `PARTITION:POSITION`.
    pub id: String,
    /// The error's code.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Where in the function's code, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
    /// The revision of the function that failed.
    pub revision: u64,
    /// The topic that the record came from.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its position there.
    pub position: String,
    /// How often it was tried alone.
    pub attempts: u64,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub failed_at_ms: i64,
    /// The record's own timestamp, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The record's key; in base64 when `encoding` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The record's headers in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<RecordHeader>,
    /// The record's payload; in base64 when `encoding` says so, `null` when its value is null.
    pub value: Option<String>,
    /// `utf-8`, or `base64` when key, payload or a header are not UTF-8: then all of them are in base64.
    pub encoding: String,
}

/// One header of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordHeader {
    /// Its name.
    pub name: String,
    /// Its value, in the encoding of the record.
    pub value: String,
}

pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The dead letters of a function that wait, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetters {
    /// The topic that they are in.
    pub topic: String,
    /// How many wait: they were neither replayed nor dropped. Not in the pages that follow the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Given as `true` when there are too many to be counted. `waiting` is then the number of records that the function has not
    /// gone past; where several functions share a topic of dead letters, those of others are among them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// Those of this page.
    pub dead_letters: Vec<DeadLetter>,
    /// How many records of the topic retention has dropped since the page before, or while this one was read: they may have been
    /// dead letters that waited. Only when there were any, and not on every log.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// The cursor with which the next page is asked for; none on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which of the waiting dead letters are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterSelection {
    /// The oldest so many; all that wait now when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub count: Option<u64>,
}

/// Which of the waiting dead letters are to be dropped: some by their ids, a count, or all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterDrop {
    /// These, each as `PARTITION:POSITION`; at most 1,000. Nothing is dropped when one of them does not wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1000)]
    pub ids: Vec<String>,
    /// The oldest so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub count: Option<u64>,
    /// All that wait now.
    #[serde(default)]
    pub all: bool,
}

/// What a replay or a drop did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterResult {
    /// Letters that the function processed.
    pub replayed: u64,
    /// Letters that it failed at once more: they wait again, behind the others.
    pub failed_again: u64,
    /// Letters that were dropped.
    pub dropped: u64,
    /// Letters that moved to the end and got new ids, because one behind them was dropped by its id.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub moved: u64,
    /// How many wait now.
    pub waiting: u64,
    /// False when it was cancelled or interrupted: `waiting` says how many are left.
    pub finished: bool,
}

/// Which artifact to try on the waiting dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterTrial {
    /// `sha256:<digest>` of an uploaded artifact, or a path on the server as when a function is created.
    pub archive: String,
    /// The oldest so many; all that wait now when it is not given. At most 10,000 are tried at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// What another artifact made of a dead letter. Nothing of it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriedDeadLetter {
    /// The dead letter.
    pub id: String,
    /// How many records it emitted, when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitted: Option<u64>,
    /// The error's code, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What another artifact made of some dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriedDeadLetters {
    /// Those of this page.
    pub tried: Vec<TriedDeadLetter>,
    /// The cursor with which the next page is asked for; none on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
