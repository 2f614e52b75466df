// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Every decision of a task, as functions from facts to what is to be done. No I/O, no time, no locks.
//!
//! Here: the next thing that a running task does. [`recovery`] decides after failures, [`dirty`] when state goes to the store.

mod dirty;
mod recovery;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use self::dirty::{DirtyBounds, DirtyFacts, Retry, is_congested, should_apply};
pub(crate) use self::recovery::{
    Recovery, Verdict, after_call_failure, after_commit_failure, after_lone_failure, after_open_failure,
    after_source_failure, after_time_failure, backoff,
};
use crate::config::EpochBounds;

/// The distance of a running task from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It takes input.
    Open,
    /// It is to end: no more input. Its instance does not know yet.
    Ending,
    /// Its instance was told that it ends.
    Closed,
}

/// The content of the open epoch, as far as it asks for a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// There is nothing to commit.
    Nothing,
    /// There is something to commit.
    Some,
    /// It is to be committed whatever is in it: it says for the first time where an input begins, or what became of
    /// a dead letter, or somebody waits for a task without an open epoch.
    Urgent,
}

/// The input that the task may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supply {
    /// There may be more input.
    More,
    /// The source had nothing when it was last asked.
    Drained,
    /// The task takes nothing, neither input nor timers: more committed state waits for the store than may be kept.
    Congested,
}

/// The state of the one epoch that may be with the committer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InFlight {
    Nothing,
    /// An epoch is being committed.
    Epoch,
}

/// The need to call the instance because of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    Quiet,
    /// Timers are due, or the function's watermark has risen.
    Due,
    /// The same, but they have had their share: input comes first, if there is any.
    Yields,
}

/// The search after a failure, which makes epochs small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    Nothing,
    /// The culprit among records: the epoch takes no further batch.
    Record,
    /// One among calls of time: they get epochs of their own.
    Time,
    Both,
}

impl Search {
    /// The search for what was asked.
    pub(crate) fn of(record: bool, time: bool) -> Self {
        match (record, time) {
            (false, false) => Search::Nothing,
            (true, false) => Search::Record,
            (false, true) => Search::Time,
            (true, true) => Search::Both,
        }
    }

    fn isolates_records(self) -> bool {
        matches!(self, Search::Record | Search::Both)
    }

    fn sets_time_apart(self) -> bool {
        matches!(self, Search::Time | Search::Both)
    }
}

/// The facts that a running task looks at to find the next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Records consumed in the open epoch, and calls of time in it.
    pub(crate) size: u64,
    /// Bytes consumed, emitted and written in it.
    pub(crate) bytes: usize,
    /// Time since its first record.
    pub(crate) age: Duration,
    pub(crate) life: Life,
    pub(crate) work: Work,
    pub(crate) supply: Supply,
    pub(crate) in_flight: InFlight,
    pub(crate) time: Time,
    pub(crate) search: Search,
}

/// The next thing that a running task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take a batch and process it.
    Poll,
    /// Call the instance because of time.
    CallTime,
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
    let free = facts.in_flight == InFlight::Nothing;
    let has_work = facts.work != Work::Nothing;
    match facts.life {
        // What the instance writes and emits while it closes belongs to the last epoch.
        Life::Ending => return Action::Close,
        Life::Closed if has_work && free => return Action::Freeze,
        Life::Closed if free => return Action::End,
        Life::Closed => return Action::Wait,
        Life::Open => {}
    }
    // What there is to do beside a commit.
    let next = match (facts.supply, facts.time) {
        (Supply::Congested, _) | (Supply::Drained, Time::Quiet) => Action::Wait,
        (_, Time::Due) | (Supply::Drained, Time::Yields) => Action::CallTime,
        (Supply::More, Time::Quiet | Time::Yields) => Action::Poll,
    };
    let full = is_full(facts, bounds, next);
    match (has_work && (full || next == Action::Wait), free) {
        (false, _) => next,
        (true, true) => Action::Freeze,
        (true, false) if full => Action::Wait,
        // One epoch is in flight and the open one has room: more input may join it.
        (true, false) => next,
    }
}

/// Reports whether nothing more may join the open epoch.
fn is_full(facts: &Facts, bounds: &EpochBounds, next: Action) -> bool {
    let begun = facts.size > 0;
    facts.size >= bounds.records
        || facts.bytes >= bounds.bytes
        || (begun && facts.age >= bounds.age)
        || (begun && facts.search.isolates_records())
        || (facts.search.sets_time_apart() && (begun || next == Action::CallTime))
        || facts.work == Work::Urgent
}
