// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Tasks`] keeps to.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::committer::{commit, commit_all, emitted, epoch, hand_in, own, start};
use super::log::{LogHarness, task};
use super::{Check, checks, must};
use crate::committer::CommitFailure;
use crate::epoch::{Epoch, FunctionId, Progress, TaskId};
use crate::tasks::{Standing, Tasks};
use crate::test_util::suites::log::FUNCTION;

/// A fresh place where topics live, and what its tasks have committed.
pub trait TasksHarness: LogHarness {
    /// The past of the tasks.
    fn tasks(&self) -> Arc<dyn Tasks>;
}

/// The contract of [`Tasks`].
pub const CHECKS: &[Check<dyn TasksHarness>] = checks![
    a_function_that_never_ran_stands_nowhere,
    the_standing_counts_what_is_committed,
    nothing_that_was_made_before_fencing_is_committed_after,
    what_is_under_way_counts_in_the_answer_or_never,
    fencing_one_function_leaves_others_alone,
    a_fenced_task_can_be_taken_over_from_where_it_stands,
    a_peek_shows_what_is_committed_in_order,
    a_peek_begins_and_ends_where_it_is_to,
];

/// What a task has committed, from a key on, at most so many pairs.
pub(super) fn peek(tasks: &dyn Tasks, of: TaskId, start: &[u8], most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut seen = Vec::new();
    let peeked = tasks.peek(of, start, &mut |key, value| {
        seen.push((key.to_vec(), value.to_vec()));
        if seen.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    must("peeking", peeked);
    seen
}

fn pair(key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}

fn last(standing: &Standing) -> Option<Epoch> {
    standing.get(&0).map(|progress| progress.epoch)
}

fn progress(harness: &dyn TasksHarness) -> Standing {
    must("reading the progress", harness.tasks().progress(FUNCTION))
}

fn fence(harness: &dyn TasksHarness) -> Standing {
    must("fencing", harness.tasks().fence(FUNCTION))
}

fn a_function_that_never_ran_stands_nowhere(harness: &mut dyn TasksHarness) {
    for standing in [progress(harness), fence(harness)] {
        assert_eq!(standing, Standing::new());
    }
    assert_eq!(peek(&*harness.tasks(), task(0), b"", 10), []);
}

fn the_standing_counts_what_is_committed(harness: &mut dyn TasksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=3);
    let expected = epoch(owner.generation, 3).progress;
    assert_eq!(progress(harness).get(&0), Some(&expected));
    assert_eq!(must("reading the progress", harness.tasks().progress(FunctionId(99))), Standing::new());
    assert_eq!(fence(harness).get(&0), Some(&expected), "fencing answers the same");
}

fn nothing_that_was_made_before_fencing_is_committed_after(harness: &mut dyn TasksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    let standing = fence(harness);
    assert_eq!(last(&standing), Some(Epoch(1)));
    for number in [2, 3] {
        let failure = commit(harness, epoch(owner.generation, number)).err();
        assert!(matches!(failure, Some(CommitFailure::Fenced(_))), "epoch {number} after fencing: {failure:?}");
    }
    assert_eq!(emitted(harness), [1]);
    assert_eq!(progress(harness), standing);
}

fn what_is_under_way_counts_in_the_answer_or_never(harness: &mut dyn TasksHarness) {
    let mut owner = start(harness);
    let (mut number, mut committed) = (0, Vec::new());
    for _ in 0..10 {
        let answers: Vec<_> = (1..=3).map(|n| hand_in(harness, epoch(owner.generation, number + n))).collect();
        let standing = fence(harness);
        for answer in answers {
            // Whatever it is, it is decided now.
            let _ = answer.wait(harness);
        }
        let stands_at = last(&standing).map_or(0, |epoch| epoch.0);
        committed.extend(number + 1..=stands_at);
        assert_eq!(emitted(harness), committed, "exactly what the answer counts is there");
        assert_eq!(progress(harness), standing);
        number = stands_at;
        drop(owner.member);
        owner = own(harness, 0);
    }
}

fn fencing_one_function_leaves_others_alone(harness: &mut dyn TasksHarness) {
    let owner = start(harness);
    must("fencing", harness.tasks().fence(FunctionId(FUNCTION.0 + 1)));
    must("fencing", harness.tasks().fence(FunctionId(FUNCTION.0 - 1)));
    commit_all(harness, owner.generation, 1..=2);
    assert_eq!(last(&progress(harness)), Some(Epoch(2)));
}

fn a_fenced_task_can_be_taken_over_from_where_it_stands(harness: &mut dyn TasksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=2);
    let standing = fence(harness);
    drop(owner.member);
    let next = own(harness, 0);
    assert_eq!(Some(&next.acquired.progress), standing.get(&0));
    commit_all(harness, next.generation, 3..=3);
    assert_eq!(emitted(harness), [1, 2, 3]);
}

fn a_peek_shows_what_is_committed_in_order(harness: &mut dyn TasksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=2);
    let expected = [pair(b"1", b""), pair(b"2", b""), pair(b"last", b"2")];
    assert_eq!(peek(&*harness.tasks(), task(0), b"", 10), expected);
    assert_eq!(peek(&*harness.tasks(), task(1), b"", 10), [], "another task has a state of its own");
    fence(harness);
    let _ = commit(harness, epoch(owner.generation, 3));
    assert_eq!(peek(&*harness.tasks(), task(0), b"", 10), expected, "what is not committed is not seen");
    assert_eq!(progress(harness).get(&1).map(|of| of.epoch).unwrap_or_default(), Progress::default().epoch);
}

fn a_peek_begins_and_ends_where_it_is_to(harness: &mut dyn TasksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=3);
    let tasks = harness.tasks();
    assert_eq!(peek(&*tasks, task(0), b"2", 10), [pair(b"2", b""), pair(b"3", b""), pair(b"last", b"3")]);
    assert_eq!(peek(&*tasks, task(0), b"20", 1), [pair(b"3", b"")]);
    assert_eq!(peek(&*tasks, task(0), b"m", 10), []);
}
