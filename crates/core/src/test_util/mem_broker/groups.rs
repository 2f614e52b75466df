// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Groups of processes that share the tasks of a function, and the lease of each task.
//!
//! ```text
//!          assign(process)                revoke                      the process says done
//!   free ─────────────────► held, lease+1 ───────► being given up ────────────────────────► free
//!    ▲                        │ lose                 │ lose
//!    └────────────────────────┴──────────────────────┘
//! ```

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::topics::Topics;
use crate::broker::{Assignment, AssignmentListener, Subscription, TaskInput};
use crate::epoch::{FunctionId, TaskId};
use crate::error::Result;

pub(super) struct Member {
    /// Which of several joins of the process this is.
    pub id: u64,
    pub listener: Arc<dyn AssignmentListener>,
}

pub(super) struct Group {
    pub subscription: Subscription,
    pub members: BTreeMap<u32, Member>,
}

/// Who runs a task.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Slot {
    /// Of the latest assignment; goes on counting when the task becomes free.
    pub lease: u64,
    pub holder: Option<u32>,
    pub revoking: bool,
}

#[derive(Default)]
pub(super) struct Groups {
    pub groups: BTreeMap<FunctionId, Group>,
    pub slots: BTreeMap<TaskId, Slot>,
    /// Assignments that their process said it gave up: it may commit nothing under them.
    pub given_up: HashSet<(TaskId, u64)>,
    last_member: u64,
}

impl Groups {
    /// Puts a process into a group; answers its membership's id and the membership that it replaces.
    pub(super) fn join(
        &mut self,
        process: u32,
        subscription: Subscription,
        listener: Arc<dyn AssignmentListener>,
    ) -> (u64, Option<Member>) {
        self.last_member += 1;
        let function = subscription.function;
        let group = self
            .groups
            .entry(function)
            .or_insert_with(|| Group { subscription: subscription.clone(), members: BTreeMap::new() });
        group.subscription = subscription;
        let before = group.members.insert(process, Member { id: self.last_member, listener });
        if before.is_some() {
            self.free_all(process, Some(function));
        }
        (self.last_member, before)
    }

    /// Takes a membership out of its group, if it is still the one of its process.
    pub(super) fn leave(&mut self, process: u32, function: FunctionId, id: u64) -> Option<Member> {
        let group = self.groups.get_mut(&function)?;
        if group.members.get(&process)?.id != id {
            return None;
        }
        self.free_all(process, Some(function));
        self.groups.get_mut(&function)?.members.remove(&process)
    }

    /// Takes a process out of all groups.
    pub(super) fn remove_process(&mut self, process: u32) -> Vec<Member> {
        self.free_all(process, None);
        self.groups.values_mut().filter_map(|group| group.members.remove(&process)).collect()
    }

    /// Frees what a process holds, of one function or of all, without telling it.
    fn free_all(&mut self, process: u32, function: Option<FunctionId>) {
        for (task, slot) in &mut self.slots {
            if slot.holder == Some(process) && function.is_none_or(|f| f == task.function) {
                slot.holder = None;
                slot.revoking = false;
            }
        }
    }

    pub(super) fn slot(&self, task: TaskId) -> Slot {
        self.slots.get(&task).copied().unwrap_or_default()
    }

    pub(super) fn listener(&self, process: u32, function: FunctionId) -> Option<Arc<dyn AssignmentListener>> {
        Some(self.groups.get(&function)?.members.get(&process)?.listener.clone())
    }

    /// The tasks that a function's inputs make.
    pub(super) fn tasks(&self, function: FunctionId, topics: &Topics) -> Result<Vec<TaskId>> {
        Ok(self.inputs(function, topics)?.into_keys().map(|index| TaskId::new(function, index)).collect())
    }

    fn inputs(&self, function: FunctionId, topics: &Topics) -> Result<BTreeMap<u32, Vec<TaskInput>>> {
        match self.groups.get(&function) {
            Some(group) => group.subscription.tasks(|topic| topics.partitions(topic)),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Gives a free task to a process.
    pub(super) fn assign(&mut self, task: TaskId, process: u32, topics: &Topics) -> Result<Assignment> {
        let inputs = self.inputs(task.function, topics)?.remove(&task.index).unwrap_or_default();
        let slot = self.slots.entry(task).or_default();
        slot.lease += 1;
        slot.holder = Some(process);
        slot.revoking = false;
        Ok(Assignment { task, lease: slot.lease, inputs })
    }

    /// A process says that it gave up a task; `false` when the task was taken from it meanwhile.
    pub(super) fn give_up(&mut self, task: TaskId, lease: u64) -> bool {
        let Some(slot) = self.slots.get_mut(&task).filter(|s| s.lease == lease && s.revoking) else { return false };
        slot.holder = None;
        slot.revoking = false;
        self.given_up.insert((task, lease))
    }

    /// Whether the assignment is the task's latest and not over.
    pub(super) fn is_current(&self, task: TaskId, lease: u64, process: u32) -> bool {
        let slot = self.slot(task);
        slot.lease == lease && slot.holder == Some(process)
    }
}
