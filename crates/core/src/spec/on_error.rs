// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What becomes of a record that a function fails at.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Field, MAX_RETRIES, SpecProblem, millis};
use crate::topic::Topic;

/// What a task does with a record that its function fails at.
///
/// ```text
/// fails ── retries left ──► wait (doubling), try again
///     └─── none left ─────► action, in the epoch that also consumes the record
/// ```
///
/// Failures at which an earlier record may be the cause lead to a search, and the last try is one in which the record is alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorPolicy {
    /// What is done in the end.
    pub action: ErrorAction,
    /// How often the record is tried again before that.
    pub retries: u32,
    /// The wait before the first retry; it doubles with each further one. Milliseconds when stored.
    #[serde(with = "millis", rename = "backoff_ms")]
    pub backoff: Duration,
    /// The longest wait. Milliseconds when stored.
    #[serde(with = "millis", rename = "max_backoff_ms")]
    pub max_backoff: Duration,
}

/// What is done with a record that cannot be processed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorAction {
    /// It goes to a topic, with the reason, and the task goes on.
    DeadLetter {
        /// The topic; the function's name with [`super::DEAD_LETTER_SUFFIX`] when it is not named.
        topic: Option<Topic>,
    },
    /// It is consumed and forgotten, and the task goes on.
    Skip,
    /// The task stops before it until the function is started anew or updated.
    Stop,
}

impl ErrorAction {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            ErrorAction::DeadLetter { .. } => "dead-letter",
            ErrorAction::Skip => "skip",
            ErrorAction::Stop => "stop",
        }
    }
}

impl Default for ErrorPolicy {
    fn default() -> Self {
        ErrorPolicy {
            action: ErrorAction::DeadLetter { topic: None },
            retries: 1,
            // A function reaches nothing that might come to work again meanwhile.
            backoff: Duration::ZERO,
            max_backoff: Duration::from_secs(10),
        }
    }
}

impl ErrorPolicy {
    pub(super) fn check(&self, problems: &mut Vec<SpecProblem>) {
        if self.retries > MAX_RETRIES {
            let message = format!("on-error retries is {}, more than {MAX_RETRIES}", self.retries);
            problems.push(SpecProblem::new(Field::Retries, message));
        }
        if self.max_backoff < self.backoff {
            let (longest, first) = (self.max_backoff, self.backoff);
            let message = format!("on-error max-backoff {longest:?} is shorter than its backoff {first:?}");
            problems.push(SpecProblem::new(Field::Backoff, message));
        }
    }
}
