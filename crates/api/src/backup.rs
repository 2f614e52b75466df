// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Backups.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::failure::ErrorBody;

/// Where a backup is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// The absolute path of a folder on the server's machine that is not there yet.
    #[schema(example = "/backup/2026-01-31")]
    pub to: String,
    /// The most bytes that are copied in a second; without it, as many as the disk gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
}

/// A line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackupEvent {
    /// How far it is.
    Progress(BackupProgress),
    /// It is whole and on the disk.
    Done(BackupMade),
    /// Why there is none.
    Failed(ErrorBody),
}

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupProgress {
    /// The bytes that are copied.
    pub bytes: u64,
    /// The bytes to be copied in all.
    pub of: u64,
}

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupMade {
    /// Its moment, in milliseconds since the Unix epoch.
    pub at_unix_ms: i64,
    /// The topics in it, those of dead letters included.
    pub topics: u64,
    /// The functions in it.
    pub functions: u64,
    /// Its files.
    pub files: u64,
    /// The bytes of its files.
    pub bytes: u64,
}
