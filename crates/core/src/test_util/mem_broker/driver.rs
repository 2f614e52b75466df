// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the test decides: who runs which task, how commits end, who dies when.

use std::sync::Arc;

use super::processes::{Call, make_calls};
use super::{MemBroker, MemClient, Outcome, PendingCommit, Shared, State, expect};
use crate::broker::RevokeDone;
use crate::committer::CommitFailure;
use crate::epoch::{FunctionId, TaskId};

impl MemBroker {
    /// Connects a process. One of the same number that was connected before is dead from now on.
    pub fn connect(&self, process: u32) -> Arc<MemClient> {
        self.crash(process, |_| false);
        let (session, unheard) = {
            let mut state = self.shared.state.lock();
            let stale = state.weather.manners.stale_lookups;
            state.processes.connect(process, stale)
        };
        drop(unheard);
        Arc::new(MemClient { shared: self.shared.clone(), process, session })
    }

    /// Gives a free task to a process that has joined the function's group.
    pub fn assign(&self, task: TaskId, process: u32) {
        {
            let mut state = self.shared.state.lock();
            let State { ledger, groups, processes, .. } = &mut *state;
            let slot = groups.slot(task);
            assert!(slot.holder.is_none(), "task {task} is held by process {:?}: revoke or lose it first", slot.holder);
            let tasks = expect(groups.tasks(task.function, &ledger.topics));
            assert!(tasks.contains(&task), "there is no task {task}");
            let listener = groups
                .listener(process, task.function)
                .unwrap_or_else(|| panic!("process {process} has not joined the group of task {task}"));
            let assignment = expect(groups.assign(task, process, &ledger.topics));
            processes.tell(process, Call::Assigned(listener, assignment));
        }
        self.shared.make_calls(process);
    }

    /// Gives all free tasks of a function to a process.
    pub fn assign_free(&self, function: FunctionId, process: u32) {
        for task in self.tasks(function) {
            if self.holder(task).is_none() {
                self.assign(task, process);
            }
        }
    }

    /// Asks the holder of a task to give it up. The task is free when it says that it did.
    pub fn revoke(&self, task: TaskId) {
        let process = {
            let mut state = self.shared.state.lock();
            let State { groups, processes, .. } = &mut *state;
            let slot = groups.slot(task);
            let process = slot.holder.unwrap_or_else(|| panic!("nobody holds task {task}"));
            if slot.revoking {
                return;
            }
            groups.slots.entry(task).or_default().revoking = true;
            let shared = Arc::downgrade(&self.shared);
            let done = RevokeDone::new(move || {
                if let Some(shared) = shared.upgrade() {
                    shared.given_up(task, slot.lease);
                }
            });
            let Some(listener) = groups.listener(process, task.function) else { return };
            processes.tell(process, Call::Revoked(listener, task, done));
            process
        };
        self.shared.make_calls(process);
    }

    /// Takes a task from its holder at once, who is told that it is lost.
    pub fn lose(&self, task: TaskId) {
        let process = {
            let mut state = self.shared.state.lock();
            let State { groups, processes, .. } = &mut *state;
            let slot = groups.slots.entry(task).or_default();
            let process = slot.holder.take().unwrap_or_else(|| panic!("nobody holds task {task}"));
            slot.revoking = false;
            let Some(listener) = groups.listener(process, task.function) else { return };
            processes.tell(process, Call::Lost(listener, task));
            process
        };
        self.shared.make_calls(process);
    }

    /// Makes the present owner of a task stale, as a broker does that mistrusts it: it is told that the task is lost, and
    /// commits nothing more. The task is free.
    pub fn fence(&self, task: TaskId) {
        self.shared.state.lock().ledger.tasks.entry(task).or_default().fence();
        self.lose(task);
    }

    /// Who holds a task, also while it is being given up.
    pub fn holder(&self, task: TaskId) -> Option<u32> {
        self.shared.state.lock().groups.slot(task).holder
    }

    /// Whether the holder of a task was asked to give it up and has not said yet that it did.
    pub fn is_being_revoked(&self, task: TaskId) -> bool {
        self.shared.state.lock().groups.slot(task).revoking
    }

    /// The tasks of a function that somebody has joined.
    pub fn tasks(&self, function: FunctionId) -> Vec<TaskId> {
        let state = self.shared.state.lock();
        expect(state.groups.tasks(function, &state.ledger.topics))
    }

    /// The processes that have joined a function.
    pub fn members(&self, function: FunctionId) -> Vec<u32> {
        let state = self.shared.state.lock();
        state.groups.groups.get(&function).map_or_else(Vec::new, |group| group.members.keys().copied().collect())
    }

    /// Makes a process deaf: what it is to be told waits. It can still be a zombie and call the broker.
    pub fn pause(&self, process: u32) {
        self.shared.state.lock().processes.get(process).paused = true;
    }

    /// Tells a paused process everything that it missed, in order.
    pub fn resume(&self, process: u32) {
        self.shared.state.lock().processes.get(process).paused = false;
        self.shared.make_calls(process);
    }

    /// Kills a process: nobody tells it anything any more, its sources fail, its tasks are free. Of the commits that it
    /// had handed in those are made that `survives` answers `true` for, as far as the order within a task allows.
    pub fn crash(&self, process: u32, survives: impl FnMut(&PendingCommit) -> bool) {
        let dead = {
            let mut state = self.shared.state.lock();
            let slot = state.processes.get(process);
            slot.session = None;
            slot.paused = false;
            let unheard = std::mem::take(&mut slot.calls);
            state.landings.forget(process);
            (unheard, state.groups.remove_process(process), state.ledger.crash(process, survives))
        };
        // Without the lock: dropping a listener, an answer or a revocation's end may call the broker.
        drop(dead);
        self.shared.balance();
        self.wake();
    }

    /// The commits that wait to be resolved, in the order in which they were handed in.
    pub fn pending_commits(&self) -> Vec<PendingCommit> {
        self.shared.state.lock().ledger.queue.iter().map(|queued| queued.info).collect()
    }

    /// Resolves the oldest commit of a process; `None` when there is none.
    pub fn resolve_next(&self, process: u32, outcome: Outcome) -> Option<PendingCommit> {
        self.resolve_together(process, 1, outcome).pop()
    }

    /// Resolves the oldest `count` commits of a process as one transaction.
    pub fn resolve_together(&self, process: u32, count: usize, outcome: Outcome) -> Vec<PendingCommit> {
        let resolved = {
            let mut state = self.shared.state.lock();
            let mut resolved = Vec::new();
            for (info, (done, result)) in state.ledger.resolve(process, count, outcome) {
                let fenced = matches!(result, Err(CommitFailure::Fenced(_)));
                state.processes.tell(process, Call::Answer(done, result));
                if fenced {
                    state.lose_fenced(&info);
                }
                resolved.push(info);
            }
            resolved
        };
        self.wake();
        self.shared.make_calls(process);
        resolved
    }

    /// Commits everything that is handed in, also what the answers bring about; answers how many commits that were.
    pub fn commit_all(&self) -> usize {
        let mut count = 0;
        while let Some(next) = self.pending_commits().first() {
            self.resolve_next(next.process, Outcome::Commit);
            count += 1;
        }
        count
    }

    /// The processes that were ever connected.
    pub fn processes(&self) -> Vec<u32> {
        self.shared.state.lock().processes.numbers()
    }
}

impl State {
    /// Takes a task from an owner that the broker has fenced, unless the owner has done it itself by acquiring anew.
    fn lose_fenced(&mut self, commit: &PendingCommit) {
        let PendingCommit { task, process, generation, .. } = *commit;
        let Some(log) = self.ledger.tasks.get(&task) else { return };
        let slot = self.groups.slot(task);
        let acquired_anew = log.leases.contains_key(&log.generation);
        let lease = log.leases.get(&generation).copied();
        if acquired_anew || lease != Some(slot.lease) || slot.holder != Some(process) {
            return;
        }
        let slot = self.groups.slots.entry(task).or_default();
        slot.holder = None;
        slot.revoking = false;
        if let Some(listener) = self.groups.listener(process, task.function) {
            self.processes.tell(process, Call::Lost(listener, task));
        }
    }
}

impl Shared {
    pub(super) fn make_calls(&self, process: u32) {
        make_calls(&self.state, |state: &mut State| &mut state.processes, process);
    }

    pub(super) fn given_up(&self, task: TaskId, lease: u64) {
        let mut state = self.state.lock();
        let State { ledger, groups, .. } = &mut *state;
        if !groups.give_up(task, lease) {
            return;
        }
        let log = ledger.tasks.entry(task).or_default();
        let open =
            ledger.queue.iter().any(|q| q.info.task == task && log.leases.get(&q.info.generation) == Some(&lease));
        if open {
            ledger.violations.push(format!("task {task} was given up while a commit of it was under way"));
        }
    }
}
