// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Changing a function, and its past.

use std::collections::BTreeMap;

use fnstream_core::topic::TopicRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FileGrant, FunctionDescription, Limits, OnError, Selector, Watermark};
use crate::topic::TopicReference;

/// What is to change about a function. What is not given stays; so do the limits and the parts of the error policy that are
/// not given. Watermarks, config, env and files are replaced as a whole; `config-changes` and `env-changes` change single entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionUpdate {
    /// The name; when it is given it must be the one of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What to run, as at the creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// The input topics. They cannot change, so those that the function has, with the options that they are to have. An option that is
    /// shown as `********` stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<TopicReference>>)]
    pub inputs: Option<Vec<TopicRef>>,
    /// The same by source id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Vec<TopicReference>>>)]
    pub groups: Option<Vec<Vec<TopicRef>>>,
    /// Which input is read next. It cannot become `group-parallel`, nor stop being it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// How event time is known, by input topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermarks: Option<BTreeMap<String, Watermark>>,
    /// The output topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TopicReference>)]
    pub output: Option<TopicRef>,
    /// The output topics, instead of `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<TopicReference>>)]
    pub outputs: Option<Vec<TopicRef>>,
    /// How many tasks may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub replicas: Option<u32>,
    /// Whether the function does not join its inputs.
    #[serde(default, rename = "no-join", skip_serializing_if = "Option::is_none")]
    pub no_join: Option<bool>,
    /// Given to the function at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<BTreeMap<String, String>>,
    /// Entries of `config` that are added or replaced; with `null`, removed. All others stay. Goes without `config`.
    #[serde(default, rename = "config-changes", skip_serializing_if = "BTreeMap::is_empty")]
    pub config_changes: BTreeMap<String, Option<String>>,
    /// What each of its instances may use.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// What becomes of a record that it fails at.
    #[serde(default, rename = "on-error", skip_serializing_if = "OnError::is_empty")]
    pub on_error: OnError,
    /// The environment variables that it sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// Entries of `env` that are added or replaced; with `null`, removed. All others stay. Goes without `env`.
    #[serde(default, rename = "env-changes", skip_serializing_if = "BTreeMap::is_empty")]
    pub env_changes: BTreeMap<String, Option<String>>,
    /// The folders of the server that it may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileGrant>>,
}

/// A revision of a function that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevisionDescription {
    /// Its number.
    pub revision: u64,
    /// When it came, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// The artifact, as `sha256:<digest>`.
    pub archive: String,
    /// The fields in which it differs from the kept revision before it.
    pub changed: Vec<String>,
    /// Whether the state is kept that it ended with, so that a rollback can bring it back.
    pub state: bool,
    /// Whether it is the one in force.
    pub current: bool,
}

/// A rollback as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The revision whose description is to be in force again.
    pub to: u64,
    /// Whether the state comes back too that this revision ended with.
    #[serde(default)]
    pub with_state: bool,
    /// With the state: whether its inputs are read again from where it stood then.
    #[serde(default)]
    pub reprocess: bool,
}

/// What a rollback did, and what it cannot undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolledBack {
    /// The function now. The rollback is a revision of its own.
    pub function: FunctionDescription,
    /// The revision whose description is in force again.
    pub to: u64,
    /// What was emitted since that revision was replaced, and stays; absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitted: Option<Vec<Emitted>>,
    /// How many input records were processed since that revision was replaced; absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumed: Option<u64>,
    /// What cannot be undone, in plain words.
    pub notes: Vec<String>,
}

/// What was emitted to a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Emitted {
    /// The topic; all of them, where a function has several outputs.
    pub topic: String,
    /// The number of records, with the dead letters of that time.
    pub records: u64,
}
