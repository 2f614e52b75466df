// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Every decision of a task, as functions from facts to what is to be done. No I/O, no time, no locks.

use std::time::Duration;

use fnstream_core::committer::CommitFailure;
use fnstream_core::error::{Error, ErrorCode, Fault};
use fnstream_core::spec::{ErrorAction, ErrorPolicy};

use crate::config::EpochBounds;

/// What a running task knows when it looks for the next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Records consumed in the open epoch, and what was told of time in it.
    pub(crate) records: u64,
    /// Bytes consumed, emitted and written in it.
    pub(crate) bytes: usize,
    /// Time since its first record.
    pub(crate) age: Duration,
    /// Whether there is anything to commit.
    pub(crate) has_work: bool,
    /// The source had nothing when it was last asked.
    pub(crate) drained: bool,
    /// An epoch is being committed.
    pub(crate) in_flight: bool,
    /// The task is to end: no more input.
    pub(crate) ending: bool,
    /// The instance was told that it ends.
    pub(crate) closed: bool,
    /// More committed state waits for the store than may be kept.
    pub(crate) congested: bool,
    /// The culprit of a failure is being looked for: an epoch is one batch.
    pub(crate) isolating: bool,
    /// The open epoch is to be committed whatever is in it: it says for the first time where an input begins, or what
    /// became of a dead letter, or somebody waits for a task without an open epoch.
    pub(crate) urgent: bool,
    /// Timers are due, or the function's watermark has risen.
    pub(crate) time_due: bool,
    /// What is told of time is to be in epochs of its own: it has failed.
    pub(crate) time_apart: bool,
}

/// What a running task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take a batch and process it.
    Poll,
    /// Tell the instance of time.
    TellTime,
    /// End the open epoch and hand it in.
    Freeze,
    /// Tell the instance that it ends.
    Close,
    /// Wait for whatever comes: input, the commit in flight, the store.
    Wait,
    /// All is committed and the task was to end.
    End,
}

pub(crate) fn next_action(facts: &Facts, bounds: &EpochBounds) -> Action {
    let full = facts.records >= bounds.records
        || facts.bytes >= bounds.bytes
        || (facts.records > 0 && facts.age >= bounds.age)
        || (facts.isolating && facts.records > 0)
        || (facts.time_apart && facts.has_work && (facts.time_due || facts.records > 0))
        || facts.urgent;
    let drained = facts.drained && !facts.time_due;
    let next = if facts.time_due { Action::TellTime } else { Action::Poll };
    if facts.ending {
        return match (facts.closed, facts.has_work, facts.in_flight) {
            // What the instance writes and emits while it closes belongs to the last epoch.
            (false, _, _) => Action::Close,
            (true, true, false) => Action::Freeze,
            (true, false, false) => Action::End,
            (true, _, true) => Action::Wait,
        };
    }
    if facts.has_work && (full || drained || facts.congested) {
        return match (facts.in_flight, full) {
            (false, _) => Action::Freeze,
            (true, true) => Action::Wait,
            // One epoch is in flight and the open one has room: more input may join it.
            (true, false) if drained || facts.congested => Action::Wait,
            (true, false) => next,
        };
    }
    if drained || facts.congested { Action::Wait } else { next }
}

/// What a task knows of its committed state that the store does not have yet, and of that of all tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirtyFacts {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
    /// Time since the first of it was committed.
    pub(crate) age: Duration,
    /// Bytes of all tasks of the process.
    pub(crate) all_bytes: usize,
    pub(crate) applying: bool,
}

/// How much may stay unapplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirtyBounds {
    pub(crate) keys: usize,
    pub(crate) all_bytes: usize,
    pub(crate) age: Duration,
}

/// Whether to hand the dirty map to the store now: when it is large itself, when it is old, or when all of them together
/// are too large and this one is here to do something about it.
pub(crate) fn should_apply(facts: &DirtyFacts, bounds: &DirtyBounds) -> bool {
    facts.keys > 0
        && !facts.applying
        && (facts.keys >= bounds.keys
            || facts.bytes >= bounds.all_bytes / 2
            || facts.age >= bounds.age
            || facts.all_bytes >= bounds.all_bytes)
}

/// Whether to take no more input until the store has caught up.
pub(crate) fn is_congested(facts: &DirtyFacts, bounds: &DirtyBounds) -> bool {
    facts.applying && (facts.keys >= 2 * bounds.keys || facts.bytes >= bounds.all_bytes / 2)
}

/// What becomes of a task after something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Hand the same epoch in again after a wait.
    Resubmit,
    /// Drop everything uncommitted and open the task again from the last commit, after a wait.
    Reopen,
    /// The same, at once: a culprit is looked for, and nothing suggests that waiting helps.
    ReopenNow,
    /// The same, after this wait: the culprit is tried again.
    Retry(Duration),
    /// Somebody else owns the task.
    GiveUp,
    /// Repeating would fail again: wait for a human.
    Fail,
}

pub(crate) fn after_commit_failure(failure: &CommitFailure) -> Recovery {
    match failure {
        CommitFailure::Retriable(_) => Recovery::Resubmit,
        CommitFailure::Abortable(_) | CommitFailure::Rejected { .. } | CommitFailure::Fatal(_) => Recovery::Reopen,
        CommitFailure::Fenced(_) => Recovery::GiveUp,
    }
}

/// A task could not be opened: taken over, recovered, its source opened or its instance started.
pub(crate) fn after_open_failure(error: &Error) -> Recovery {
    match (error.code, error.code.fault()) {
        (ErrorCode::Fenced, _) => Recovery::GiveUp,
        // A busy machine, perhaps.
        (ErrorCode::GuestTimeout, _) => Recovery::Reopen,
        (_, Fault::User) => Recovery::Fail,
        _ => Recovery::Reopen,
    }
}

/// How many records a batch may have after a call failed in an epoch of `size` records, of which the first `good` are
/// known to be good: fewer each time, down to the culprit alone, so that the records before it are committed.
pub(crate) fn isolation_limit(size: usize, good: usize, culprit_is_known: bool) -> usize {
    match (good, culprit_is_known) {
        (1.., _) => good,
        (0, true) => 1,
        (0, false) => (size / 2).max(1),
    }
}

/// What becomes of a record that failed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Try it again after this wait.
    Retry(Duration),
    /// It cannot be processed: send it away or skip it, as the policy says.
    GiveUpRecord,
    /// The task stops before it.
    StopTask,
}

/// What becomes of a record that failed alone for the `attempts`th time.
pub(crate) fn after_lone_failure(policy: &ErrorPolicy, attempts: u32) -> Verdict {
    match policy.action {
        _ if attempts <= policy.retries => Verdict::Retry(backoff(attempts, policy.backoff, policy.max_backoff)),
        ErrorAction::DeadLetter { .. } | ErrorAction::Skip => Verdict::GiveUpRecord,
        ErrorAction::Stop => Verdict::StopTask,
    }
}

/// What becomes of a task when what it has to tell of time failed for the `attempts`th time, alone.
pub(crate) fn after_time_failure(policy: &ErrorPolicy, attempts: u32) -> Recovery {
    match policy.action {
        _ if attempts <= policy.retries => Recovery::Retry(backoff(attempts, policy.backoff, policy.max_backoff)),
        ErrorAction::Stop => Recovery::Fail,
        ErrorAction::DeadLetter { .. } | ErrorAction::Skip => Recovery::Reopen,
    }
}

/// The wait before attempt `failures + 1`.
pub(crate) fn backoff(failures: u32, min: Duration, max: Duration) -> Duration {
    min.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: EpochBounds = EpochBounds { records: 100, bytes: 1000, age: Duration::from_secs(1) };

    fn facts() -> Facts {
        Facts {
            records: 0,
            bytes: 0,
            age: Duration::ZERO,
            has_work: false,
            drained: false,
            in_flight: false,
            ending: false,
            closed: false,
            congested: false,
            isolating: false,
            urgent: false,
            time_due: false,
            time_apart: false,
        }
    }

    #[test]
    fn an_epoch_ends_as_soon_as_the_input_is_drained() {
        let drained = Facts { records: 1, has_work: true, drained: true, ..facts() };
        assert_eq!(next_action(&drained, &BOUNDS), Action::Freeze);
    }

    #[test]
    fn an_epoch_ends_at_each_bound() {
        let busy = Facts { records: 1, has_work: true, ..facts() };
        assert_eq!(next_action(&busy, &BOUNDS), Action::Poll);
        for full in [
            Facts { records: 100, ..busy },
            Facts { bytes: 1000, ..busy },
            Facts { age: BOUNDS.age, ..busy },
            Facts { isolating: true, ..busy },
        ] {
            assert_eq!(next_action(&full, &BOUNDS), Action::Freeze, "{full:?}");
            assert_eq!(next_action(&Facts { in_flight: true, ..full }, &BOUNDS), Action::Wait, "{full:?}");
        }
    }

    /// Else records that retention drops before the first commit would be skipped in silence.
    #[test]
    fn where_a_task_begins_is_committed_before_it_reads() {
        let new = Facts { urgent: true, has_work: true, ..facts() };
        assert_eq!(next_action(&new, &BOUNDS), Action::Freeze);
        assert_eq!(next_action(&Facts { in_flight: true, ..new }, &BOUNDS), Action::Wait);
    }

    #[test]
    fn the_next_epoch_runs_while_one_is_in_flight() {
        assert_eq!(next_action(&Facts { in_flight: true, ..facts() }, &BOUNDS), Action::Poll);
    }

    #[test]
    fn an_ending_task_closes_then_commits_then_ends() {
        let mut now = Facts { ending: true, records: 3, has_work: true, in_flight: true, ..facts() };
        assert_eq!(next_action(&now, &BOUNDS), Action::Close);
        now.closed = true;
        assert_eq!(next_action(&now, &BOUNDS), Action::Wait);
        now.in_flight = false;
        assert_eq!(next_action(&now, &BOUNDS), Action::Freeze);
        now.has_work = false;
        assert_eq!(next_action(&now, &BOUNDS), Action::End);
    }

    #[test]
    fn congestion_stops_the_input_but_not_the_commit() {
        let congested = Facts { congested: true, ..facts() };
        assert_eq!(next_action(&congested, &BOUNDS), Action::Wait);
        let with_work = Facts { has_work: true, records: 1, ..congested };
        assert_eq!(next_action(&with_work, &BOUNDS), Action::Freeze);
    }

    #[test]
    fn what_is_due_is_told_before_more_is_read_and_makes_work() {
        let due = Facts { time_due: true, drained: true, ..facts() };
        assert_eq!(next_action(&due, &BOUNDS), Action::TellTime);
        assert_eq!(next_action(&Facts { drained: false, ..due }, &BOUNDS), Action::TellTime);
        let full = Facts { records: 100, has_work: true, ..due };
        assert_eq!(next_action(&full, &BOUNDS), Action::Freeze, "timers that set timers do not keep an epoch open");
        assert_eq!(next_action(&Facts { ending: true, closed: true, ..due }, &BOUNDS), Action::End);
        assert_eq!(next_action(&Facts { congested: true, ..due }, &BOUNDS), Action::Wait);
    }

    #[test]
    fn what_failed_to_be_told_gets_an_epoch_of_its_own() {
        let apart = Facts { time_due: true, time_apart: true, ..facts() };
        assert_eq!(next_action(&apart, &BOUNDS), Action::TellTime);
        let behind = Facts { records: 3, has_work: true, ..apart };
        assert_eq!(next_action(&behind, &BOUNDS), Action::Freeze);
        assert_eq!(next_action(&Facts { in_flight: true, ..behind }, &BOUNDS), Action::Wait);
        let told = Facts { records: 1, has_work: true, time_due: false, ..apart };
        assert_eq!(next_action(&told, &BOUNDS), Action::Freeze);
    }

    #[test]
    fn isolation_reaches_one_record() {
        let mut batch = 1000;
        for _ in 0..10 {
            batch = isolation_limit(batch, 0, false);
        }
        assert_eq!(batch, 1);
        assert_eq!(isolation_limit(1000, 7, true), 7);
        assert_eq!(isolation_limit(7, 0, true), 1);
    }

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(30));
        assert_eq!(backoff(1, min, max), min);
        assert_eq!(backoff(3, min, max), 4 * min);
        assert_eq!(backoff(u32::MAX, min, max), max);
    }
}
