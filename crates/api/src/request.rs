// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Requests to a running function.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Code or modules for a function that takes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// What is to be run of it.
    pub class_name: String,
    /// The modules.
    #[serde(default)]
    pub modules: Vec<ExecModule>,
}

/// One module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecModule {
    /// Its name.
    pub name: String,
    /// Its bytes in base64.
    pub bytes: String,
}
