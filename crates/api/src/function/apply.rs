// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Applying a description: the function is created, or changed to what it says.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::FunctionDescription;

/// What applying a description does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyOutcome {
    /// There was no function of the name.
    Created,
    /// The function was another.
    Changed,
    /// The function is what the description says.
    Unchanged,
}

/// What was applied, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// The function's name.
    pub name: String,
    /// What is done.
    pub outcome: ApplyOutcome,
    /// The fields in which the function differs from the description, as its own description names them; every field of a
    /// function that there was not.
    pub changes: Vec<FieldChange>,
    /// What in the description has no effect.
    pub notes: Vec<String>,
    /// The function now; absent if nothing was to be done but to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionDescription>,
}

/// A field that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldChange {
    /// The field, such as `replicas` or `config.currency`.
    pub field: String,
    /// What it is; absent if it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it becomes; absent if it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
