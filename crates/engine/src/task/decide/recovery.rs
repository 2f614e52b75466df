// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Decisions after a failure: of a commit, of an opening, of a call.

use std::time::Duration;

use fnstream_core::committer::CommitFailure;
use fnstream_core::error::{Error, ErrorCode, Fault};
use fnstream_core::spec::{ErrorAction, ErrorPolicy};

use crate::task::failure::Failure;

/// The way on after something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Hand the same epoch in again after a wait.
    Resubmit,
    /// Drop everything uncommitted and the instance, and go on from the last commit with a new one, at once: a culprit is
    /// looked for, and nothing suggests that waiting helps.
    RestartNow,
    /// The same, after this wait: the culprit is tried again.
    RestartAfter(Duration),
    /// The same, after a wait that grows with each failure.
    RestartLater,
    /// Drop everything, and take the task over anew after such a wait: the fault is outside user code, and it is not sure
    /// what still holds.
    TakeOver,
    /// Somebody else owns the task.
    GiveUp,
    /// Repeating would fail again: wait for a human.
    Fail,
}

/// A call of user code failed, and no record is to blame.
pub(crate) fn after_call_failure(error: &Error) -> Recovery {
    match (error.code, error.code.fault()) {
        // Only the instance is in doubt.
        (ErrorCode::GuestMemoryShort, _) | (_, Fault::User) => Recovery::RestartLater,
        (_, Fault::External | Fault::Internal) => Recovery::TakeOver,
    }
}

pub(crate) fn after_commit_failure(failure: &CommitFailure) -> Recovery {
    match failure {
        CommitFailure::Retriable(_) => Recovery::Resubmit,
        CommitFailure::Abortable(_) | CommitFailure::Rejected { .. } => Recovery::RestartLater,
        CommitFailure::Fatal(_) => Recovery::TakeOver,
        CommitFailure::Fenced(_) => Recovery::GiveUp,
    }
}

/// A task could not be opened: taken over, recovered, its source opened or its instance started.
pub(crate) fn after_open_failure(error: &Error) -> Recovery {
    match (error.code, error.code.fault()) {
        (ErrorCode::Fenced, _) => Recovery::GiveUp,
        // A busy machine, perhaps; or others have the memory.
        (ErrorCode::GuestTimeout | ErrorCode::GuestMemoryShort, _) => Recovery::RestartLater,
        // Somebody may make the topic yet, or the broker does not know it yet.
        (ErrorCode::TopicNotFound | ErrorCode::PartitionNotFound | ErrorCode::PositionUnknown, _) => Recovery::TakeOver,
        // The topic may take the schema yet.
        (ErrorCode::SchemaIncompatible, _) => Recovery::TakeOver,
        // It goes on behind what was dropped.
        (ErrorCode::PositionDropped, _) => Recovery::TakeOver,
        (_, Fault::User) => Recovery::Fail,
        _ => Recovery::TakeOver,
    }
}

/// A source could not be read or moved.
pub(crate) fn after_source_failure(error: Error) -> Failure {
    Failure::new(Recovery::TakeOver, error)
}

/// The fate of a record that failed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Try it again after this wait.
    Retry(Duration),
    /// It cannot be processed: send it away or skip it, as the policy says.
    GiveUpRecord,
    /// The task stops before it.
    StopTask,
}

impl From<Verdict> for Recovery {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Retry(wait) => Recovery::RestartAfter(wait),
            Verdict::GiveUpRecord => Recovery::RestartNow,
            Verdict::StopTask => Recovery::Fail,
        }
    }
}

/// Decides about a record that failed alone for the `attempts`th time.
pub(crate) fn after_lone_failure(policy: &ErrorPolicy, attempts: u32) -> Verdict {
    match policy.action {
        _ if attempts <= policy.retries => Verdict::Retry(backoff(attempts, policy.backoff, policy.max_backoff)),
        ErrorAction::DeadLetter { .. } | ErrorAction::Skip => Verdict::GiveUpRecord,
        ErrorAction::Stop => Verdict::StopTask,
    }
}

/// Decides about timers or a watermark at which the function failed for the `attempts`th time, alone.
pub(crate) fn after_time_failure(policy: &ErrorPolicy, attempts: u32) -> Recovery {
    match policy.action {
        _ if attempts <= policy.retries => {
            Recovery::RestartAfter(backoff(attempts, policy.backoff, policy.max_backoff))
        }
        ErrorAction::Stop => Recovery::Fail,
        ErrorAction::DeadLetter { .. } | ErrorAction::Skip => Recovery::RestartLater,
    }
}

/// The wait before attempt `failures + 1`.
pub(crate) fn backoff(failures: u32, min: Duration, max: Duration) -> Duration {
    min.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(30));
        assert_eq!(backoff(1, min, max), min);
        assert_eq!(backoff(3, min, max), 4 * min);
        assert_eq!(backoff(u32::MAX, min, max), max);
    }
}
