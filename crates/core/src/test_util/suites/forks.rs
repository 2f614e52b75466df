// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Forks`] keeps to.

use std::sync::Arc;

use super::committer::{commit, commit_all, emitted, epoch, hand_in, own, start};
use super::log::{ALL, FUNCTION, at, open, task};
use super::tasks::{TasksHarness, peek};
use super::{Check, checks, must};
use crate::broker::Subscription;
use crate::committer::CommitFailure;
use crate::epoch::{Epoch, FrozenEpoch, FunctionId, Progress, TaskId};
use crate::forks::Forks;
use crate::metadata::Metadata;
use crate::record::Position;
use crate::spec::{DesiredState, FunctionSpec, InputSelector};
use crate::tasks::Standing;
use crate::test_util::support::RecordingListener;

/// A fresh place where topics live, with a register whose changes claim forks.
pub trait ForksHarness: TasksHarness {
    /// The forks.
    fn forks(&self) -> Arc<dyn Forks>;

    /// The register.
    fn metadata(&self) -> Arc<dyn Metadata>;

    /// Has the tasks of a function, which is not the suites' own, assigned to its only member. An implementation that does so by
    /// itself has nothing to do here.
    fn assign(&self, _function: FunctionId) {}
}

/// The contract of [`Forks`].
pub const CHECKS: &[Check<dyn ForksHarness>] = checks![
    a_fork_has_what_its_function_has,
    nothing_is_committed_between_fencing_and_copying,
    a_fork_and_its_function_are_apart,
    a_task_goes_on_from_a_fork,
    a_fork_can_be_placed_elsewhere_and_keeps_its_epochs,
    a_function_begins_where_a_fork_of_none_was_placed,
    a_discarded_fork_is_gone,
    a_claimed_fork_is_not_discarded_or_placed,
    ids_of_forks_are_never_given_again,
    a_fork_that_nobody_claimed_is_gone_after_a_crash,
];

fn fork(harness: &dyn ForksHarness, from: FunctionId) -> FunctionId {
    must("forking", harness.forks().fork(from))
}

fn standing(harness: &dyn ForksHarness, of: FunctionId) -> Standing {
    must("reading the progress", harness.tasks().progress(of))
}

fn state(harness: &dyn ForksHarness, of: FunctionId) -> Vec<(Vec<u8>, Vec<u8>)> {
    peek(&*harness.tasks(), TaskId::new(of, 0), b"", 100)
}

fn spec(replicas: u32) -> FunctionSpec {
    FunctionSpec {
        name: "f".into(),
        artifact: "ab".repeat(32),
        inputs: vec![vec!["in".into()]],
        outputs: vec!["out".into()],
        replicas,
        ..FunctionSpec::default()
    }
}

/// Keeps a fork with a revision of a function that is made for it.
fn claim(harness: &dyn ForksHarness, fork: FunctionId) {
    let metadata = harness.metadata();
    let entry = must("creating", metadata.create(spec(1), DesiredState::Stopped));
    must("claiming", metadata.update(spec(2), DesiredState::Stopped, entry.revision, Some(fork)));
}

fn a_fork_has_what_its_function_has(harness: &mut dyn ForksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=3);
    let copy = fork(harness, FUNCTION);
    assert_ne!(copy, FUNCTION);
    assert_eq!(standing(harness, copy).get(&0), standing(harness, FUNCTION).get(&0));
    assert_eq!(state(harness, copy), state(harness, FUNCTION));
    let again = fork(harness, copy);
    assert_eq!(
        (standing(harness, again).get(&0), state(harness, again)),
        (standing(harness, copy).get(&0), state(harness, copy))
    );
    let nothing = fork(harness, FunctionId(99));
    assert_eq!((standing(harness, nothing), state(harness, nothing)), (Standing::new(), vec![]), "of no function");
}

fn nothing_is_committed_between_fencing_and_copying(harness: &mut dyn ForksHarness) {
    let mut owner = start(harness);
    let mut number = 0;
    // The ids of the copies stay below the suites' own function.
    for _ in 0..5 {
        let answers: Vec<_> = (1..=3).map(|n| hand_in(harness, epoch(owner.generation, number + n))).collect();
        let copy = fork(harness, FUNCTION);
        for answer in answers {
            let _ = answer.wait(harness);
        }
        let failure = commit(harness, epoch(owner.generation, number + 4)).err();
        assert!(matches!(failure, Some(CommitFailure::Fenced(_))), "an epoch after the fork: {failure:?}");
        assert_eq!(standing(harness, copy).get(&0), standing(harness, FUNCTION).get(&0), "what was under way");
        assert_eq!(state(harness, copy), state(harness, FUNCTION));
        number = standing(harness, copy).get(&0).map_or(0, |progress| progress.epoch.0);
        assert_eq!(emitted(harness).len() as u64, number);
        drop(owner.member);
        owner = own(harness, 0);
    }
}

fn a_fork_and_its_function_are_apart(harness: &mut dyn ForksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    let copy = fork(harness, FUNCTION);
    let (stood, had) = (standing(harness, copy), state(harness, copy));
    drop(owner.member);
    let next = own(harness, 0);
    commit_all(harness, next.generation, 2..=3);
    assert_eq!((standing(harness, copy), state(harness, copy)), (stood, had), "what the function does later");
    assert_eq!(standing(harness, FUNCTION)[&0].epoch, Epoch(3));
}

fn a_task_goes_on_from_a_fork(harness: &mut dyn ForksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=2);
    let copy = fork(harness, FUNCTION);
    claim(harness, copy);
    let groups = vec![vec!["in".into()]];
    let subscription = Subscription {
        function: copy,
        name: "fork".into(),
        groups,
        outputs: Vec::new(),
        selector: InputSelector::default(),
        elsewhere: Default::default(),
    };
    let listener = RecordingListener::new();
    let membership = must("joining", harness.broker().join(subscription, listener.clone()));
    harness.assign(copy);
    let of = TaskId::new(copy, 0);
    let assignment = listener.wait_for_assignment(of, harness.patience()).unwrap_or_else(|| panic!("no assignment"));
    let mut deltas = 0;
    let acquired = harness.committer().acquire(&assignment, None, &mut |_, _| {
        deltas += 1;
        Ok(())
    });
    let acquired = must("taking over", acquired);
    assert_eq!((acquired.progress.epoch, deltas), (Epoch(2), 2), "progress and deltas of the fork");
    let mut reader = open(harness, &assignment, &acquired.progress.positions);
    let left = reader.drain(harness, ALL, 1);
    assert_eq!(left.iter().filter(|seen| seen.at == at("in", 0)).count(), 1, "it reads on where the function stood");
    let third = FrozenEpoch { task: of, ..epoch(acquired.generation, 3) };
    must("a commit of the fork's task", commit(harness, third));
    assert_eq!(emitted(harness), [1, 2, 3]);
    assert_eq!(standing(harness, FUNCTION)[&0].epoch, Epoch(2), "its function stays where it was");
    drop(membership);
}

fn a_fork_can_be_placed_elsewhere_and_keeps_its_epochs(harness: &mut dyn ForksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=2);
    let copy = fork(harness, FUNCTION);
    let mut placed = standing(harness, copy);
    placed.values_mut().for_each(|progress| {
        progress.positions.insert(at("in", 0), Position(1));
        progress.records_in += 100;
    });
    must("placing", harness.forks().place(copy, &placed));
    assert_eq!(standing(harness, copy), placed);
    assert_ne!(standing(harness, FUNCTION).get(&0), placed.get(&0), "its function stands where it stood");
    let mut wrong = placed.clone();
    wrong.values_mut().for_each(|progress| progress.epoch = progress.epoch.next());
    assert!(harness.forks().place(copy, &wrong).is_err(), "an epoch that is not the state's");
    assert_eq!(standing(harness, copy), placed, "a refused place changes nothing");
    assert!(harness.forks().place(FUNCTION, &standing(harness, FUNCTION)).is_err(), "a function is no fork");
}

fn a_function_begins_where_a_fork_of_none_was_placed(harness: &mut dyn ForksHarness) {
    let fork = fork(harness, FunctionId::NONE);
    assert_eq!((standing(harness, fork), state(harness, fork)), (Standing::new(), vec![]));
    let positions = [(at("in", 0), Position(2))].into();
    let placed = Standing::from([(0, Progress { positions, ..Progress::default() })]);
    must("placing", harness.forks().place(fork, &placed));
    let entry = must("creating", harness.metadata().create_from(spec(1), DesiredState::Stopped, Some(fork)));
    assert_eq!((entry.id, entry.revision), (fork, 1));
    must("discarding a claimed fork", harness.forks().discard(fork));
    harness.reopen();
    assert_eq!(standing(harness, fork), placed);
}

fn a_discarded_fork_is_gone(harness: &mut dyn ForksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    let copy = fork(harness, FUNCTION);
    must("discarding", harness.forks().discard(copy));
    assert_eq!((standing(harness, copy), state(harness, copy)), (Standing::new(), vec![]));
    assert_eq!(state(harness, FUNCTION).len(), 2, "its function is there");
    must("discarding what is gone", harness.forks().discard(copy));
}

fn a_claimed_fork_is_not_discarded_or_placed(harness: &mut dyn ForksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    let copy = fork(harness, FUNCTION);
    claim(harness, copy);
    must("discarding a claimed fork", harness.forks().discard(copy));
    assert_eq!(state(harness, copy), state(harness, FUNCTION));
    assert!(harness.forks().place(copy, &standing(harness, copy)).is_err(), "placing a claimed fork");
}

fn ids_of_forks_are_never_given_again(harness: &mut dyn ForksHarness) {
    let mut given = Vec::new();
    for _ in 0..3 {
        let copy = fork(harness, FUNCTION);
        must("discarding", harness.forks().discard(copy));
        let entry = must("creating", harness.metadata().create(spec(1), DesiredState::Stopped));
        must("removing", harness.metadata().remove("f", entry.revision));
        given.extend([copy, entry.id]);
        harness.reopen();
    }
    let mut distinct = given.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), given.len(), "{given:?}");
}

fn a_fork_that_nobody_claimed_is_gone_after_a_crash(harness: &mut dyn ForksHarness) {
    let owner = start(harness);
    commit_all(harness, owner.generation, 1..=1);
    drop(owner.member);
    let [claimed, forgotten] = [(); 2].map(|()| fork(harness, FUNCTION));
    claim(harness, claimed);
    harness.reopen();
    assert_eq!(state(harness, claimed).len(), 2);
    assert_eq!((standing(harness, forgotten), state(harness, forgotten)), (Standing::new(), vec![]));
    assert_eq!(peek(&*harness.tasks(), task(0), b"", 10).len(), 2);
}
