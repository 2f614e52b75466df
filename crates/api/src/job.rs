// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Jobs: work on dead letters that a request starts, and that goes on by itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::dead_letter::{DeadLetterResult, is_zero};
use crate::failure::ErrorBody;

/// The work that a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// The function processes dead letters again.
    Replay,
    /// Dead letters are dropped.
    Drop,
    /// Another artifact is tried on dead letters.
    Trial,
}

/// How far a job is.
///
/// ```text
/// running ──► done | failed          interrupted: the server ended meanwhile
///    └──► cancelling ──► cancelled
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Under way.
    Running,
    /// Somebody cancelled it; what it has begun is finished.
    Cancelling,
    /// It did everything.
    Done,
    /// It was cancelled. What it did before stays done.
    Cancelled,
    /// It could not do everything: `error` says why. What it did before stays done.
    Failed,
    /// The server ended while it was under way, and it does not go on. What it did before stays done.
    Interrupted,
}

impl JobState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Running => "running",
            JobState::Cancelling => "cancelling",
            JobState::Done => "done",
            JobState::Cancelled => "cancelled",
            JobState::Failed => "failed",
            JobState::Interrupted => "interrupted",
        }
    }

    /// Reports whether nothing more will change.
    pub fn is_over(self) -> bool {
        !matches!(self, JobState::Running | JobState::Cancelling)
    }
}

impl JobKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Replay => "replay",
            JobKind::Drop => "drop",
            JobKind::Trial => "trial",
        }
    }
}

/// A job and what it has done so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// The function whose dead letters it is about.
    pub function: String,
    /// The work.
    pub kind: JobKind,
    /// How far it is.
    pub state: JobState,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    /// How many dead letters it is about; not known on every log, and more than there are where functions share a topic of dead
    /// letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letters: Option<u64>,
    /// How many of them it is through with. Committed, but for a trial, which commits nothing.
    pub processed: u64,
    /// Letters that the function processed.
    pub replayed: u64,
    /// Letters that it failed at once more: they wait again, behind the others.
    pub failed_again: u64,
    /// Letters that were dropped.
    pub dropped: u64,
    /// Letters that moved to the end and got new ids, because one behind them was dropped by its id.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub moved: u64,
    /// Letters that the tried artifact would process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_succeed: Option<u64>,
    /// How many letters waited when it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Why it could not do everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

impl Job {
    /// The numbers of a replay or a drop.
    pub fn result(&self) -> DeadLetterResult {
        DeadLetterResult {
            replayed: self.replayed,
            failed_again: self.failed_again,
            dropped: self.dropped,
            moved: self.moved,
            waiting: self.waiting.unwrap_or_default(),
            finished: self.state == JobState::Done,
        }
    }
}
