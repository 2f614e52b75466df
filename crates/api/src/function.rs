// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions: what a user asks for, and what the server tells about it.

mod apply;
mod change;
mod event_time;
mod limits;
mod on_error;
mod seek;

use std::collections::BTreeMap;

use fnstream_core::spec::Beginning;
use fnstream_core::topic::TopicRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::failure::ErrorBody;
use crate::topic::TopicReference;

pub use apply::{Applied, ApplyOutcome, FieldChange};
pub use change::{Emitted, FunctionUpdate, RevisionDescription, RollbackRequest, RolledBack};
pub use event_time::{Selector, Strategy, Watermark};
pub use limits::Limits;
pub use on_error::{OnError, OnErrorAction};
pub use seek::{Moved, Place, SeekRequest, Sought};

/// A function as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// The name; when it is given it must be the one of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What to run: `sha256:<digest>` of an uploaded artifact, or a path on the server, which only clients on the same
    /// machine may use and others only within the folders that the server allows.
    #[schema(example = "bin/example_basic.wasm")]
    pub archive: String,
    /// The input topics; the index of each is the source id that the function sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<TopicReference>)]
    pub inputs: Vec<TopicRef>,
    /// The input topics by source id, instead of `inputs`: those of a group share one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Vec<TopicReference>>)]
    pub groups: Vec<Vec<TopicRef>>,
    /// Which input is read next; `round-robin` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// How event time is known, by input topic; inputs that are not named take no part in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub watermarks: BTreeMap<String, Watermark>,
    /// Where it begins in its inputs: `earliest`, which is the default, `latest`, or a time in UTC such as `2026-01-31T08:00:00Z` or `time=MS`:
    /// at the first record, in the order of the log, whose timestamp is not before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<Beginning>,
    /// The output topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TopicReference>)]
    pub output: Option<TopicRef>,
    /// The output topics, instead of `output`; the index of each is the target id that the function emits to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<TopicReference>)]
    pub outputs: Vec<TopicRef>,
    /// How many tasks may run at once; topics that have to be made get that many partitions.
    #[serde(default = "one")]
    #[schema(default = 1, minimum = 1)]
    pub replicas: u32,
    /// Whether the function does not join its inputs: then they may have different numbers of partitions.
    #[serde(default, rename = "no-join", skip_serializing_if = "std::ops::Not::not")]
    pub no_join: bool,
    /// Given to the function at its start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// What each of its instances may use.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// What becomes of a record that it fails at.
    #[serde(default, rename = "on-error", skip_serializing_if = "OnError::is_empty")]
    pub on_error: OnError,
    /// The environment variables that it sees: these and no others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The folders of the server that it may read: these and no others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileGrant>,
}

fn one() -> u32 {
    1
}

impl Function {
    /// A function with one task and the defaults of everything else.
    pub fn new(archive: impl Into<String>, inputs: Vec<TopicRef>, output: impl Into<TopicRef>) -> Self {
        Function {
            name: None,
            archive: archive.into(),
            inputs,
            groups: Vec::new(),
            selector: None,
            watermarks: BTreeMap::new(),
            from: None,
            output: Some(output.into()),
            outputs: Vec::new(),
            replicas: one(),
            no_join: false,
            config: BTreeMap::new(),
            limits: Limits::default(),
            on_error: OnError::default(),
            env: BTreeMap::new(),
            files: Vec::new(),
        }
    }
}

/// A folder of the server that a function may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileGrant {
    /// Where it is on the server: an absolute path within a folder that the server allows.
    #[schema(example = "/srv/lists")]
    pub host: String,
    /// Where the function finds it: an absolute path, the same as on the server when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
}

/// What a function does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FunctionStatus {
    /// Its code is being loaded or its tasks are coming up.
    Starting,
    /// It processes its inputs.
    Running,
    /// It failed and waits before it tries again.
    BackingOff,
    /// It finishes what it began.
    Stopping,
    /// It was told to stop.
    Stopped,
    /// It cannot go on by itself; the error says why.
    Failed,
}

impl FunctionStatus {
    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            FunctionStatus::Starting => "starting",
            FunctionStatus::Running => "running",
            FunctionStatus::BackingOff => "backing-off",
            FunctionStatus::Stopping => "stopping",
            FunctionStatus::Stopped => "stopped",
            FunctionStatus::Failed => "failed",
        }
    }
}

/// What a task does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskStatus {
    /// It is taken over, or starts an instance.
    Opening,
    /// It rebuilds its state from the log of its changes.
    Restoring,
    /// It processes.
    Running,
    /// It failed and waits before it tries again.
    BackingOff,
    /// It commits what it has and ends.
    Draining,
    /// It cannot go on by itself; the last error says why.
    Failed,
    /// It ended.
    Ended,
}

impl TaskStatus {
    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskStatus::Opening => "opening",
            TaskStatus::Restoring => "restoring",
            TaskStatus::Running => "running",
            TaskStatus::BackingOff => "backing-off",
            TaskStatus::Draining => "draining",
            TaskStatus::Failed => "failed",
            TaskStatus::Ended => "ended",
        }
    }
}

/// A registered function and how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionDescription {
    /// The name.
    pub name: String,
    /// Counts the changes, from 1: the number that `rollback` takes. Stops and starts may leave numbers out.
    pub revision: u64,
    /// What the user wants: `running` or `stopped`.
    pub desired: String,
    /// What it does.
    pub status: FunctionStatus,
    /// What kind of artifact it is, once it was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The artifact, as `sha256:<digest>`.
    pub archive: String,
    /// The input topics.
    pub inputs: Vec<String>,
    /// The input topics by source id, where several of them share one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<String>>,
    /// Which input is read next.
    pub selector: Selector,
    /// How event time is known, by input topic.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub watermarks: BTreeMap<String, Watermark>,
    /// Where it began in its inputs when it was created; absent if that is `earliest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<Beginning>,
    /// The output topics, in the order of their target ids.
    pub outputs: Vec<String>,
    /// How many tasks may run at once.
    pub replicas: u32,
    /// How often each event counts: `exactly-once`.
    #[serde(default)]
    pub delivery: String,
    /// What it has done is committed as soon as its input is drained, and after this many milliseconds at the latest.
    #[serde(default)]
    pub commit_interval_ms: u64,
    /// Whether it does not join its inputs.
    #[serde(default, rename = "no-join", skip_serializing_if = "std::ops::Not::not")]
    pub no_join: bool,
    /// Given to the function at its start.
    pub config: BTreeMap<String, String>,
    /// What each of its instances may use, defaults included.
    pub limits: Limits,
    /// What becomes of a record that it fails at, defaults included.
    #[serde(rename = "on-error")]
    pub on_error: OnError,
    /// The environment variables that it sees.
    pub env: BTreeMap<String, String>,
    /// The folders of the server that it may read.
    pub files: Vec<FileGrant>,
    /// The memory that its instances hold, and what there is for all functions.
    #[serde(default)]
    pub memory: FunctionMemory,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// What was accepted and may not be meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why the function as a whole does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// Its tasks.
    pub tasks: Vec<TaskDescription>,
}

/// The memory of a function's instances beside that of all functions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionMemory {
    /// Bytes that its instances hold now.
    pub used_bytes: u64,
    /// Bytes that the instances of all functions of the process hold now, as they count in its memory budget.
    pub all_used_bytes: u64,
    /// Bytes that the instances of all functions of the process may hold together.
    pub all_limit_bytes: u64,
    /// Says that the function's own limit cannot be reached, since it is more than all functions may hold together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// One task of a function: the unit of order, state and commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskDescription {
    /// The index of the partitions that it reads.
    pub index: u32,
    /// What it does.
    pub status: TaskStatus,
    /// The number of its last commit.
    pub epoch: u64,
    /// Records of the input consumed and committed since the task exists. Replays of their dead letters do not count here.
    pub records_in: u64,
    /// Records written and committed since the task exists, dead letters included. One that fails again in a replay is written once
    /// more.
    pub records_out: u64,
    /// How often it was started anew after a failure.
    pub restarts: u64,
    /// Bytes of memory that its instance uses.
    pub memory_bytes: u64,
    /// The watermark that the function was told last, in milliseconds since the Unix epoch; not there before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<u64>,
    /// Where it stands in its inputs.
    pub partitions: Vec<PartitionDescription>,
    /// What went wrong last, also when it was overcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<TaskError>,
    /// Why it waits now, for the broker or for memory. It goes on by itself when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<ErrorBody>,
    /// While it rebuilds its state: how many changes of the log it has read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<u64>,
}

/// Where a task stands in one input partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionDescription {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next record to read; everything before it is committed.
    pub position: String,
    /// The position that the partition's next record will get, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// How many records the first is behind the second, where it is known: not every broker counts records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
}

impl TaskDescription {
    /// The records of all its inputs that it has not committed yet; `None` when it is not known of every one.
    pub fn lag(&self) -> Option<u64> {
        total_lag(self.partitions.iter().map(|partition| partition.lag))
    }
}

/// The sum of lags; `None` when one of them is not known.
pub fn total_lag(mut lags: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    lags.try_fold(0, |sum: u64, lag| Some(sum.saturating_add(lag?)))
}

/// A task's last failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskError {
    /// The stable code.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Where in the function's code, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_archive_is_required_since_inputs_and_outputs_have_two_forms() {
        let function: Function = serde_json::from_str(r#"{"archive":"a.wasm","inputs":["i"],"output":"o"}"#).unwrap();
        assert_eq!((function.name, function.replicas, function.config.len()), (None, 1, 0));
        let missing = serde_json::from_str::<Function>(r#"{"inputs":["i"],"output":"o"}"#).unwrap_err();
        assert!(missing.to_string().contains("archive"), "{missing}");
    }

    #[test]
    fn a_misspelt_field_is_refused_and_named() {
        let text = r#"{"archive":"a","inputs":["i"],"output":"o","replica":2}"#;
        let error = serde_json::from_str::<Function>(text).unwrap_err().to_string();
        assert!(error.contains("unknown field `replica`"), "{error}");
    }

    #[test]
    fn the_word_of_a_status_is_its_json() {
        for status in [
            FunctionStatus::Starting,
            FunctionStatus::Running,
            FunctionStatus::BackingOff,
            FunctionStatus::Stopping,
            FunctionStatus::Stopped,
            FunctionStatus::Failed,
        ] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for status in [
            TaskStatus::Opening,
            TaskStatus::Restoring,
            TaskStatus::Running,
            TaskStatus::BackingOff,
            TaskStatus::Draining,
            TaskStatus::Failed,
            TaskStatus::Ended,
        ] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
