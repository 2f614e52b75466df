// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How functions fare, in a line for each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::function::FunctionStatus;

/// How a function fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionSummary {
    /// The name.
    pub name: String,
    /// What it does.
    pub status: FunctionStatus,
    /// Counts the changes, from 1: the number that `rollback` takes. Stops and starts may leave numbers out.
    pub revision: u64,
    /// Records of the input consumed and committed since the function exists. Replays of their dead letters do not count here.
    pub records_in: u64,
    /// Records written and committed since the function exists, dead letters included. One that fails again in a replay is written
    /// once more.
    pub records_out: u64,
    /// Attempts at a record that failed since the server was started.
    pub failed: u64,
    /// Records that went to the dead letters since the server was started; one that fails again in a replay is counted once.
    pub dead_lettered: u64,
    /// Records that were given up and not kept since the server was started.
    pub skipped: u64,
    /// Records whose timestamps were too far ahead of the clock to move the watermark, since the server was started.
    #[serde(default)]
    pub ahead: u64,
    /// Times that a task was opened again, or its instance replaced, after a failure, since the server was started.
    pub restarts: u64,
    /// Records of its inputs that it has not committed yet; not known while it does not run, or when a broker does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// Bytes of memory that its instances use.
    pub memory_bytes: u64,
    /// Why it does not run, or what keeps it from going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
