// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a committer keeps to when epochs fail and owners change.

use std::time::Instant;

use super::committer::{Owner, commit, commit_all, emitted, epoch, hand_in, own, stands_at, start};
use super::log::{Failing, LogHarness, acquire, join};
use super::must;
use crate::committer::{CommitFailure, CommitResult};
use crate::epoch::{Epoch, FrozenEpoch, Generation, Progress};
use crate::error::{ErrorCode, Fault};
use crate::test_util::support::Told;

fn is_fenced(result: &CommitResult) -> bool {
    matches!(result, Err(CommitFailure::Fenced(_)))
}

pub(super) fn a_fenced_generation_never_commits(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=2);
    let newer = acquire(harness, &owner.assignment, None).0.generation;
    assert!(newer > owner.generation, "a take-over has a higher generation than any before");
    let result = commit(harness, epoch(owner.generation, 3));
    assert!(is_fenced(&result), "generation {} was fenced, its commit answered {result:?}", owner.generation.0);
    let generation = stands_at(harness, &owner.assignment, 2).generation;
    commit_all(harness, generation, 3..=3);
    let result = commit(harness, epoch(newer, 4));
    assert!(is_fenced(&result), "also the owner fences itself by taking over again: {result:?}");
    stands_at(harness, &owner.assignment, 3);
}

pub(super) fn what_was_under_way_at_a_take_over_is_there_or_never(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    let answers: Vec<_> = (2..=5).map(|number| hand_in(harness, epoch(owner.generation, number))).collect();
    let (acquired, _) = acquire(harness, &owner.assignment, None);
    let last = acquired.progress.epoch.0;
    for (answer, number) in answers.iter().zip(2..) {
        let result = answer.wait(harness);
        if number <= last {
            assert!(result.is_ok(), "epoch {number} is committed, but was answered {result:?}");
        } else {
            assert!(
                is_fenced(&result),
                "epoch {number} came after the take-over at {last}, but was answered {result:?}"
            );
        }
    }
    stands_at(harness, &owner.assignment, last);
}

pub(super) fn a_stale_assignment_is_refused_and_fences_nobody(harness: &mut dyn LogHarness) {
    let Owner { member, assignment: stale, generation: old, .. } = start(harness);
    drop(member);
    harness.settle();
    let member = join(harness, &["in"]);
    let assignment = member.assignment(0);
    let generation = acquire(harness, &assignment, None).0.generation;
    commit_all(harness, generation, 1..=1);
    let mut replayed = 0;
    let result = harness.committer().acquire(&stale, None, &mut |_, _| {
        replayed += 1;
        Ok(())
    });
    assert_eq!(result.err().map(|e| e.code), Some(ErrorCode::Fenced), "a take-over by a stale assignment");
    assert_eq!(replayed, 0, "a refused take-over replays nothing");
    must("a commit after a stale take-over was refused", commit(harness, epoch(generation, 2)));
    let result = commit(harness, epoch(old, 3));
    assert!(is_fenced(&result), "the owner before is fenced: {result:?}");
    stands_at(harness, &assignment, 2);
}

pub(super) fn a_generation_of_a_dead_process_is_fenced(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    let old = owner.generation;
    drop(owner);
    harness.reopen();
    let owner = own(harness, 0);
    let result = commit(harness, epoch(old, 2));
    assert!(is_fenced(&result), "generation {} is of a dead process, its commit answered {result:?}", old.0);
    stands_at(harness, &owner.assignment, 1);
}

/// Commits epoch 1, makes epoch 2 fail; gives the answer to it. `None` when failing cannot be arranged.
fn fail_second(harness: &dyn LogHarness, generation: Generation, how: Failing) -> Option<CommitResult> {
    commit_all(harness, generation, 1..=1);
    harness.fail_next(how).then(|| commit(harness, epoch(generation, 2)))
}

pub(super) fn a_retriable_epoch_leaves_no_trace_and_can_be_handed_in_again(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let Some(result) = fail_second(harness, owner.generation, Failing::Retriable) else { return };
    assert!(matches!(result, Err(CommitFailure::Retriable(_))), "a retriable failure was answered {result:?}");
    assert_eq!(emitted(harness), [1], "a failed epoch leaves no trace");
    must("the same epoch again", commit(harness, epoch(owner.generation, 2)));
    stands_at(harness, &owner.assignment, 2);
}

pub(super) fn an_aborted_epoch_leaves_no_trace(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let Some(result) = fail_second(harness, owner.generation, Failing::Abortable) else { return };
    assert!(matches!(result, Err(CommitFailure::Abortable(_))), "an abortable failure was answered {result:?}");
    let generation = stands_at(harness, &owner.assignment, 1).generation;
    assert!(harness.fail_next(Failing::Abortable) && commit(harness, epoch(generation, 2)).is_err());
    must("another epoch of its number, without acquiring anew", commit(harness, epoch(generation, 2)));
    stands_at(harness, &owner.assignment, 2);
}

pub(super) fn a_rejected_epoch_leaves_no_trace_and_another_takes_its_number(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let Some(result) = fail_second(harness, owner.generation, Failing::Rejected) else { return };
    let Err(CommitFailure::Rejected { error, output }) = &result else {
        panic!("a refusal for good was answered {result:?}")
    };
    assert_eq!(error.code.fault(), Fault::User, "somebody has to be found who is to blame: {error}");
    assert!(output.is_none_or(|output| output == 0), "batch {output:?} of an outbox of 1 is to blame");
    assert_eq!(emitted(harness), [1], "a rejected epoch leaves no trace");
    must("another epoch of its number, without acquiring anew", commit(harness, epoch(owner.generation, 2)));
    stands_at(harness, &owner.assignment, 2);
}

pub(super) fn a_fenced_owner_hears_that_it_lost_the_task(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    let Some(result) = fail_second(harness, owner.generation, Failing::Fenced) else { return };
    assert!(is_fenced(&result), "a fenced owner was answered {result:?}");
    harness.settle();
    let lease = owner.assignment.lease;
    let ended = |told: &Told| matches!(told, Told::Lost(task) if *task == owner.assignment.task);
    let anew = |told: &Told| matches!(told, Told::Assigned(a) if a.task == owner.assignment.task && a.lease > lease);
    let told =
        owner.member.listener.wait_for(harness.patience(), |told| told.iter().any(ended) && told.iter().any(anew));
    let Some(lost) = told.iter().position(ended) else { panic!("nobody told the owner that it is none: {told:?}") };
    for told in &told[lost..] {
        if let Told::Assigned(anew) = told
            && anew.task == owner.assignment.task
        {
            assert!(anew.lease > lease, "lease {} came after {lease}", anew.lease);
        }
    }
    let assignment = owner.member.assignment(0);
    assert!(assignment.lease > lease, "the only member is assigned the task anew");
    stands_at(harness, &assignment, 1);
}

pub(super) fn other_tasks_go_on_while_one_is_restored(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=2);
    let other = owner.member.assignment(1);
    let mut next = 0;
    let restored = harness.committer().acquire(&owner.assignment, None, &mut |_, _| {
        next += 1;
        let generation = acquire(harness, &other, None).0.generation;
        let of_other = FrozenEpoch {
            task: other.task,
            progress: Progress { epoch: Epoch(next), ..Progress::default() },
            outbox: Vec::new(),
            ..epoch(generation, next)
        };
        must("a commit of another task in the middle of a restore", commit(harness, of_other));
        Ok(())
    });
    must("a restore", restored);
    assert_eq!(acquire(harness, &other, None).0.progress.epoch, Epoch(2));
}

pub(super) fn a_committer_that_cannot_commit_says_why(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    let trouble = || harness.committer().trouble(owner.assignment.task);
    assert!(trouble().is_none(), "all is well, but the committer says: {:?}", trouble());
    if !harness.set_away(true) {
        return;
    }
    let waiting = hand_in(harness, epoch(owner.generation, 2));
    harness.settle();
    assert!(waiting.now().is_none(), "a commit is not answered before it is known how it ended");
    // That it cannot be reached may be found out a moment later.
    let begun = Instant::now();
    while trouble().is_none() && begun.elapsed() < harness.patience() {
        std::thread::yield_now();
    }
    assert_eq!(trouble().map(|e| e.code.fault()), Some(Fault::External), "the broker cannot be reached");
    harness.set_away(false);
    must("the commit that waited", waiting.wait(harness));
    assert!(trouble().is_none(), "the broker is back, but the committer says: {:?}", trouble());
    stands_at(harness, &owner.assignment, 2);
}

pub(super) fn what_follows_a_failed_epoch_fails_too(harness: &mut dyn LogHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    if !harness.fail_next(Failing::Abortable) {
        return;
    }
    let answers: Vec<_> = (2..=4).map(|number| hand_in(harness, epoch(owner.generation, number))).collect();
    for (answer, number) in answers.iter().zip(2..) {
        let result = answer.wait(harness);
        assert!(result.is_err(), "epoch {number} was committed although epoch 2 before it failed");
    }
    stands_at(harness, &owner.assignment, 1);
}

pub(super) fn a_fatal_commit_is_there_or_not_as_a_whole(harness: &mut dyn LogHarness) {
    let mut owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    let mut last = 1;
    for how in [Failing::FatalNotCommitted, Failing::FatalCommitted] {
        if !harness.fail_next(how) {
            continue;
        }
        let result = commit(harness, epoch(owner.generation, last + 1));
        assert!(matches!(result, Err(CommitFailure::Fatal(_))), "a fatal failure was answered {result:?}");
        let (acquired, _) = acquire(harness, &owner.assignment, None);
        let found = acquired.progress.epoch.0;
        assert!(found == last || found == last + 1, "epoch {found} after {last} and one that is not known");
        last = found;
        owner.generation = stands_at(harness, &owner.assignment, last).generation;
    }
}
