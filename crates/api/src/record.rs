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
    /// One run for each partition that got some.
    pub runs: Vec<AppendedRun>,
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
