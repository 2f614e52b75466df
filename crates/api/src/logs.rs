// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The log of a function.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One line of a function's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When, in milliseconds since the Unix epoch.
    pub ms: i64,
    /// The index of the task; none when it concerns the function as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// Who says it: `stdout` or `stderr` of the function, or the `host`, which tells what became of it.
    #[schema(example = "stderr")]
    pub speaker: String,
    /// The line.
    pub text: String,
}

/// A part of a function's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// The lines in the order in which they came.
    pub lines: Vec<LogLine>,
    /// Where reading goes on.
    pub next: String,
}
