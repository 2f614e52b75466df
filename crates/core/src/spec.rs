// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a user asks for: a function's description.

mod beginning;
mod event_time;
mod limits;
mod on_error;
mod problem;
mod topics;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use crate::epoch::FunctionId;
use crate::error::{Error, ErrorCode, Result};
use crate::topic::{Topic, TopicRef};

pub use beginning::Beginning;
pub use event_time::{InputSelector, Watermark, WatermarkStrategy};
pub use limits::Limits;
pub use on_error::{ErrorAction, ErrorPolicy};
pub use problem::{Field, SpecProblem};

/// The longest name of a function, topic or cursor in bytes.
pub const MAX_NAME: usize = 255;
/// The most input groups of a function, and the most topics of a group.
pub const MAX_GROUPS: usize = 64;
/// The most retries of a record.
pub const MAX_RETRIES: u32 = 1_000_000;
/// What the name of a function's dead-letter topic ends with, unless it is named.
pub const DEAD_LETTER_SUFFIX: &str = ".dlq";
/// The most replicas, and the most partitions of a topic.
pub const MAX_PARTITIONS: u32 = 1024;

/// A function as its user describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FunctionSpec {
    /// The name, unique among the functions.
    pub name: String,
    /// The artifact: SHA-256 in lowercase hexadecimal.
    pub artifact: String,
    /// The topics of each input group, of whichever clusters; the index of a group is the source id that the function sees.
    pub inputs: Vec<Vec<TopicRef>>,
    /// Which of the groups is read next.
    #[serde(default, skip_serializing_if = "is_default")]
    pub selector: InputSelector,
    /// Where it began to read when it was created.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: Beginning,
    /// How event time is known, by input topic; [`Watermark::default`] for those that are not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub watermarks: BTreeMap<Topic, Watermark>,
    /// The outputs; the index is the target id.
    pub outputs: Vec<TopicRef>,
    /// How many tasks may run at once.
    pub replicas: u32,
    /// Given to the function at its start.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// What each of its instances may use.
    #[serde(default)]
    pub limits: Limits,
    /// Whether it does not join its inputs, so that they may have different numbers of partitions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_join: bool,
    /// What becomes of a record that it fails at.
    #[serde(default)]
    pub on_error: ErrorPolicy,
    /// The environment variables that it sees: these and no others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The folders that it may read: these and no others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileGrant>,
}

/// A folder of the server that a function may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGrant {
    /// Where it is on the server: an absolute path.
    pub host: String,
    /// Where the function finds it: an absolute path.
    pub guest: String,
}

/// What the user wants of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesiredState {
    /// It processes its inputs, also after a restart of the server.
    Running,
    /// It does not, also after a restart.
    Stopped,
}

/// A registered function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionEntry {
    /// Never given to another function.
    pub id: FunctionId,
    /// Counts the changes, from 1.
    pub revision: u64,
    /// What the user wants.
    pub desired: DesiredState,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Its description.
    pub spec: FunctionSpec,
}

impl FunctionSpec {
    /// Checks everything that can be checked without looking anything up; reports all problems at once.
    pub fn validate(&self) -> Result<()> {
        check_name("function", &self.name)?;
        let problems = self.problems();
        if problems.is_empty() {
            return Ok(());
        }
        let messages: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
        Err(Error::new(ErrorCode::InvalidSpec, messages.join("; ")))
    }

    /// Everything that is wrong with it, each with the field that it is about.
    pub fn problems(&self) -> Vec<SpecProblem> {
        let mut problems = Vec::new();
        if let Err(e) = check_name("function", &self.name) {
            problems.push(SpecProblem::new(Field::Name, e.message));
        }
        self.check_topics(&mut problems);
        for (topic, watermark) in &self.watermarks {
            watermark.check(topic, &mut problems);
        }
        self.limits.check(&mut problems);
        self.on_error.check(&mut problems);
        self.check_grants(&mut problems);
        if self.replicas == 0 || self.replicas > MAX_PARTITIONS {
            let message = format!("replicas is {}, not 1 to {MAX_PARTITIONS}", self.replicas);
            problems.push(SpecProblem::new(Field::Replicas, message));
        }
        problems
    }

    /// The index of the task that reads a partition of an input group.
    pub fn task_of(&self, group: u32, partition: u32) -> u32 {
        self.selector.task_of(self.inputs.len() as u32, group, partition)
    }

    /// The indexes of the function's tasks. `partitions` says how many a topic has.
    pub fn task_indexes(&self, mut partitions: impl FnMut(&Topic) -> Result<u32>) -> Result<BTreeSet<u32>> {
        let mut indexes = BTreeSet::new();
        for (group, topics) in (0u32..).zip(&self.inputs) {
            for named in topics {
                let read = (0..partitions(&named.topic)?).filter(|partition| named.covers(*partition));
                indexes.extend(read.map(|partition| self.task_of(group, partition)));
            }
        }
        Ok(indexes)
    }

    /// How many tasks the function has; their indexes need not be without holes.
    pub fn task_count(&self, partitions: impl FnMut(&Topic) -> Result<u32>) -> Result<u32> {
        Ok(self.task_indexes(partitions)?.len() as u32)
    }

    /// The partition, of so many, that a task's dead letters go to.
    pub fn dead_letter_partition(task: u32, partitions: u32) -> u32 {
        task % partitions.max(1)
    }

    fn check_grants(&self, problems: &mut Vec<SpecProblem>) {
        for (name, value) in &self.env {
            let mut found = |message| problems.push(SpecProblem::new(Field::Env(name.clone()), message));
            if name.is_empty() || name.contains(['=', '\0']) {
                found(format!("'{}' cannot be the name of an environment variable", name.escape_debug()));
            }
            if value.contains('\0') {
                let name = name.escape_debug();
                found(format!("the value of the environment variable '{name}' holds a zero byte"));
            }
        }
        let mut guests = HashSet::new();
        for (index, FileGrant { host, guest }) in self.files.iter().enumerate() {
            let mut found = |message| problems.push(SpecProblem::new(Field::File(index), message));
            // One folder under its own name is one path, told of once.
            for path in if host == guest { vec![host] } else { vec![host, guest] } {
                if !path.starts_with('/') || path.contains('\0') || path.split('/').any(|part| part == "..") {
                    found(format!("'{}' is not an absolute path without '..'", path.escape_debug()));
                }
            }
            if !guests.insert(guest.trim_end_matches('/')) {
                found(format!("two folders are granted as '{}'", guest.escape_debug()));
            }
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Durations that are stored as milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// Checks a name of a function, cluster or cursor: it becomes part of paths, metrics and keys. Topics may have others as
/// well, see [`crate::topic::check_topic_name`].
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let invalid = |why: String| Err(Error::new(ErrorCode::InvalidName, format!("{what} name {why}")));
    if name.is_empty() {
        return invalid("is empty".into());
    }
    if name.len() > MAX_NAME {
        return invalid(format!("has {} bytes, more than {MAX_NAME}", name.len()));
    }
    if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        return invalid(format!("'{}' holds {bad:?}", name.escape_debug()));
    }
    if name.starts_with(['.', '-']) {
        return invalid(format!("'{name}' begins with '{}'", &name[..1]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_a_folder_are_refused() {
        for bad in ["", "../x", "a/b", "a\\b", ".", "..", ".hidden", "-n", "ä", "a b", "a\n", &"x".repeat(256)] {
            assert!(check_name("function", bad).is_err(), "{bad:?}");
        }
        for good in ["example", "a.b-c_d", "9", "_x", &"x".repeat(255)] {
            assert!(check_name("function", good).is_ok(), "{good:?}");
        }
    }
}
