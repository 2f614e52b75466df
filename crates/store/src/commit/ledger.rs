// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Decides who owns a task, and which epoch of it may be committed next.
//!
//! ```text
//!            acquire          epoch = last + 1, written
//!  unowned ──────────► owned ───────────────────────────► owned, last = epoch
//!                        └─ not written: last stays; what comes after fails too until that epoch is handed in again
//! ```

use std::collections::{HashMap, HashSet};

use fnstream_core::committer::CommitFailure;
use fnstream_core::epoch::{Epoch, FunctionId, Generation, TaskId};
use fnstream_core::{Error, ErrorCode, Result};

/// The tasks that the committer knows.
#[derive(Debug)]
pub(crate) struct Ledger {
    tasks: HashMap<TaskId, Task>,
    /// Functions that were removed since the store was opened: nothing of theirs may come back.
    removed: HashSet<FunctionId>,
    last_lease: u64,
}

#[derive(Debug, Default)]
struct Task {
    /// The latest assignment that is known.
    lease: u64,
    owner: Option<Owner>,
    /// Deltas up to here may be gone.
    trimmed: Epoch,
}

/// The present owner of a task.
#[derive(Debug)]
struct Owner {
    generation: Generation,
    /// The epoch at which the task was taken over: what is below was committed by others.
    acquired_at: Epoch,
    /// The last commit.
    last: Epoch,
    /// The last epoch of the group that is being prepared.
    staged: Epoch,
    /// Why the epoch after `last` failed, until it is committed after all.
    failed: Option<CommitFailure>,
}

/// The decision on an epoch that was handed in.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is next.
    Commit,
    /// It is committed already.
    Committed,
    /// It is in the group that is being prepared: its fate is the group's.
    Staged,
    /// It may not be committed.
    Refuse(CommitFailure),
}

impl Ledger {
    /// The ledger of an opening of the store; a later one has a higher number, and so are its leases.
    pub(crate) fn new(opening: u32) -> Self {
        Ledger { tasks: HashMap::new(), removed: HashSet::new(), last_lease: u64::from(opening) << 32 }
    }

    /// The tasks of a function that were assigned since the store was opened.
    pub(crate) fn tasks_of(&self, function: FunctionId) -> impl Iterator<Item = TaskId> {
        self.tasks.keys().filter(move |task| task.function == function).copied()
    }

    /// A new assignment of a task.
    pub(crate) fn lease(&mut self, task: TaskId) -> Result<u64> {
        self.check_not_removed(task)?;
        self.last_lease += 1;
        self.tasks.entry(task).or_default().lease = self.last_lease;
        Ok(self.last_lease)
    }

    /// Checks that an assignment may take its task over, from deltas after `applied` on.
    pub(crate) fn check_acquire(&self, task: TaskId, lease: u64, applied: Option<Epoch>) -> Result<()> {
        self.check_not_removed(task)?;
        let Some(known) = self.tasks.get(&task) else {
            return Ok(());
        };
        if lease < known.lease {
            return Err(Error::new(
                ErrorCode::Fenced,
                format!("task {task} was assigned again: assignment {lease} is older than {}", known.lease),
            ));
        }
        if applied.is_some_and(|applied| applied < known.trimmed) {
            return Err(Error::new(
                ErrorCode::CommitAborted,
                format!("the state of task {task} moved on while it was being taken over: read its marker again"),
            ));
        }
        Ok(())
    }

    /// The task has a new owner.
    pub(crate) fn acquired(&mut self, task: TaskId, lease: u64, generation: Generation, at: Epoch) {
        let known = self.tasks.entry(task).or_default();
        known.lease = lease;
        known.owner = Some(Owner { generation, acquired_at: at, last: at, staged: at, failed: None });
    }

    /// Decides about an epoch; `Commit` stages it.
    pub(crate) fn admit(&mut self, task: TaskId, generation: Generation, epoch: Epoch) -> Verdict {
        if let Err(e) = self.check_not_removed(task) {
            return Verdict::Refuse(CommitFailure::Fenced(e));
        }
        let owner = self.tasks.get_mut(&task).and_then(|task| task.owner.as_mut());
        let Some(owner) = owner.filter(|owner| owner.generation == generation) else {
            return Verdict::Refuse(CommitFailure::Fenced(Error::new(
                ErrorCode::Fenced,
                format!("generation {} of task {task} is not its owner", generation.0),
            )));
        };
        if epoch > owner.acquired_at && epoch <= owner.last {
            return Verdict::Committed;
        }
        if epoch > owner.acquired_at && epoch <= owner.staged {
            return Verdict::Staged;
        }
        if epoch == owner.staged.next() {
            owner.staged = epoch;
            return Verdict::Commit;
        }
        Verdict::Refuse(match &owner.failed {
            Some(failure) if epoch > owner.staged => failure.clone(),
            _ => CommitFailure::Abortable(Error::new(
                ErrorCode::CommitAborted,
                format!("epoch {} of task {task} does not follow epoch {}", epoch.0, owner.staged.0),
            )),
        })
    }

    /// An epoch that was admitted cannot be part of the group after all.
    pub(crate) fn unstage(&mut self, task: TaskId, epoch: Epoch) {
        if let Some(owner) = self.owner(task) {
            owner.staged = Epoch(epoch.0 - 1);
        }
    }

    /// The group with the task's epochs was written.
    pub(crate) fn committed(&mut self, task: TaskId) {
        if let Some(owner) = self.owner(task) {
            owner.last = owner.staged;
            owner.failed = None;
        }
    }

    /// The group with the task's epochs was not written.
    pub(crate) fn failed(&mut self, task: TaskId, failure: &CommitFailure) {
        if let Some(owner) = self.owner(task) {
            owner.staged = owner.last;
            owner.failed = Some(failure.clone());
        }
    }

    /// The task's next epoch cannot be written now.
    pub(crate) fn put_off(&mut self, task: TaskId, generation: Generation, failure: &CommitFailure) {
        if let Some(owner) = self.owner(task).filter(|owner| owner.generation == generation) {
            owner.failed = Some(failure.clone());
        }
    }

    /// Why the last write with an epoch of the task failed, until one succeeds.
    pub(crate) fn trouble(&self, task: TaskId) -> Option<Error> {
        let owner = self.tasks.get(&task)?.owner.as_ref()?;
        owner.failed.as_ref().map(|failure| failure.error().clone())
    }

    /// Which deltas can go when everything up to `through` is in the state store: from the first, inclusive, to the
    /// second, exclusive.
    pub(crate) fn trim(&mut self, task: TaskId, through: Epoch) -> Option<(Epoch, Epoch)> {
        let known = self.tasks.entry(task).or_default();
        let from = known.trimmed.next();
        known.trimmed = known.trimmed.max(through);
        (through >= from).then(|| (from, through.next()))
    }

    /// A trim from that epoch on was not written.
    pub(crate) fn untrim(&mut self, task: TaskId, from: Epoch) {
        if let Some(known) = self.tasks.get_mut(&task) {
            known.trimmed = known.trimmed.min(Epoch(from.0.saturating_sub(1)));
        }
    }

    /// The owners of a function's tasks commit nothing more. Whoever has a task's assignment may take it over again.
    pub(crate) fn fence(&mut self, function: FunctionId) {
        self.tasks.iter_mut().filter(|(task, _)| task.function == function).for_each(|(_, known)| known.owner = None);
    }

    /// Nothing of the function is committed any more.
    pub(crate) fn remove(&mut self, function: FunctionId) {
        self.removed.insert(function);
        self.tasks.retain(|task, _| task.function != function);
    }

    fn check_not_removed(&self, task: TaskId) -> Result<()> {
        if self.removed.contains(&task.function) {
            return Err(Error::new(ErrorCode::Fenced, format!("the function of task {task} was removed")));
        }
        Ok(())
    }

    fn owner(&mut self, task: TaskId) -> Option<&mut Owner> {
        self.tasks.get_mut(&task)?.owner.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskId = TaskId { function: FunctionId(1), index: 0 };
    const FIRST: Generation = Generation(1);

    fn owned() -> Ledger {
        let mut ledger = Ledger::new(1);
        ledger.acquired(TASK, 1, FIRST, Epoch(5));
        ledger
    }

    fn full() -> CommitFailure {
        CommitFailure::Retriable(Error::new(ErrorCode::StorageFull, "full"))
    }

    #[test]
    fn epochs_follow_each_other_within_a_group() {
        let mut ledger = owned();
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(6)), Verdict::Commit));
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(7)), Verdict::Commit));
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(6)), Verdict::Staged));
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(9)), Verdict::Refuse(CommitFailure::Abortable(_))));
        ledger.committed(TASK);
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(7)), Verdict::Committed));
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(5)), Verdict::Refuse(CommitFailure::Abortable(_))));
    }

    #[test]
    fn what_follows_a_failed_epoch_fails_like_it_until_it_is_committed() {
        let mut ledger = owned();
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(6)), Verdict::Commit));
        ledger.failed(TASK, &full());
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(7)), Verdict::Refuse(CommitFailure::Retriable(_))));
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(6)), Verdict::Commit));
        ledger.committed(TASK);
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(7)), Verdict::Commit));
    }

    #[test]
    fn only_the_latest_owner_commits() {
        let mut ledger = owned();
        ledger.acquired(TASK, 1, Generation(2), Epoch(5));
        for generation in [Generation(1), Generation(3)] {
            let verdict = ledger.admit(TASK, generation, Epoch(6));
            assert!(matches!(verdict, Verdict::Refuse(CommitFailure::Fenced(_))), "{verdict:?}");
        }
    }

    #[test]
    fn an_older_assignment_and_a_removed_function_are_fenced() {
        let mut ledger = Ledger::new(1);
        let old = ledger.lease(TASK).expect("leased");
        let new = ledger.lease(TASK).expect("leased");
        assert_eq!(ledger.check_acquire(TASK, old, None).expect_err("stale").code, ErrorCode::Fenced);
        assert!(ledger.check_acquire(TASK, new, None).is_ok());
        ledger.acquired(TASK, new, FIRST, Epoch(0));
        ledger.remove(TASK.function);
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(1)), Verdict::Refuse(CommitFailure::Fenced(_))));
        assert!(ledger.check_acquire(TASK, new, None).is_err());
    }

    #[test]
    fn a_fenced_owner_commits_nothing_until_its_task_is_taken_over_again() {
        let mut ledger = owned();
        let other = TaskId { function: FunctionId(2), index: 0 };
        ledger.acquired(other, 2, FIRST, Epoch(0));
        ledger.fence(TASK.function);
        assert!(matches!(ledger.admit(TASK, FIRST, Epoch(6)), Verdict::Refuse(CommitFailure::Fenced(_))));
        assert!(matches!(ledger.admit(other, FIRST, Epoch(1)), Verdict::Commit), "another function's");
        assert!(ledger.check_acquire(TASK, 1, None).is_ok());
        ledger.acquired(TASK, 1, Generation(2), Epoch(5));
        assert!(matches!(ledger.admit(TASK, Generation(2), Epoch(6)), Verdict::Commit));
    }

    #[test]
    fn trimming_covers_each_delta_once() {
        let mut ledger = owned();
        assert_eq!(ledger.trim(TASK, Epoch(3)), Some((Epoch(1), Epoch(4))));
        assert_eq!(ledger.trim(TASK, Epoch(2)), None);
        assert_eq!(ledger.trim(TASK, Epoch(5)), Some((Epoch(4), Epoch(6))));
        assert_eq!(ledger.check_acquire(TASK, 1, Some(Epoch(4))).expect_err("gone").code, ErrorCode::CommitAborted);
        ledger.untrim(TASK, Epoch(4));
        assert!(ledger.check_acquire(TASK, 1, Some(Epoch(4))).is_ok(), "they are there");
        assert_eq!(ledger.trim(TASK, Epoch(5)), Some((Epoch(4), Epoch(6))), "the trim that failed is repeated");
        assert!(ledger.check_acquire(TASK, 1, Some(Epoch(5))).is_ok());
    }
}
