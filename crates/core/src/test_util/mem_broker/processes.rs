// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What each process still has to be told, in order. A paused process is told when it is resumed, a crashed one never.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::broker::{Assignment, AssignmentListener, RevokeDone};
use crate::committer::{CommitDone, CommitResult};
use crate::epoch::{FunctionId, TaskId};

/// One call into a process.
pub(super) enum Call {
    Assigned(Arc<dyn AssignmentListener>, Assignment),
    Revoked(Arc<dyn AssignmentListener>, TaskId, RevokeDone),
    Lost(Arc<dyn AssignmentListener>, TaskId),
    Answer(CommitDone, CommitResult),
}

impl Call {
    fn make(self) {
        match self {
            Call::Assigned(listener, assignment) => listener.assigned(assignment),
            Call::Revoked(listener, task, done) => listener.revoked(task, done),
            Call::Lost(listener, task) => listener.lost(task),
            Call::Answer(done, result) => done(result),
        }
    }

    /// Whether it tells a listener of that function's tasks.
    pub(super) fn tells_of(&self, function: FunctionId) -> bool {
        match self {
            Call::Assigned(_, assignment) => assignment.task.function == function,
            Call::Revoked(_, task, _) | Call::Lost(_, task) => task.function == function,
            Call::Answer(..) => false,
        }
    }
}

#[derive(Default)]
pub(super) struct Process {
    /// Which connection of that number lives; a crash ends it.
    pub session: Option<u64>,
    pub paused: bool,
    /// So many look-ups find a process that does not know the topics yet.
    pub stale_lookups: u32,
    pub calls: VecDeque<Call>,
    /// Somebody is in a call already and goes on with the next: calls come one after the other.
    calling: bool,
}

#[derive(Default)]
pub(super) struct Processes {
    all: BTreeMap<u32, Process>,
    last_session: u64,
}

impl Processes {
    /// Begins a connection; ends the one before.
    pub(super) fn connect(&mut self, process: u32, stale_lookups: u32) -> (u64, VecDeque<Call>) {
        self.last_session += 1;
        let slot = self.all.entry(process).or_default();
        slot.stale_lookups = stale_lookups;
        slot.session = Some(self.last_session);
        slot.paused = false;
        (self.last_session, std::mem::take(&mut slot.calls))
    }

    pub(super) fn is_alive(&self, process: u32, session: u64) -> bool {
        self.all.get(&process).is_some_and(|p| p.session == Some(session))
    }

    pub(super) fn get(&mut self, process: u32) -> &mut Process {
        self.all.entry(process).or_default()
    }

    pub(super) fn tell(&mut self, process: u32, call: Call) {
        let slot = self.get(process);
        if slot.session.is_some() {
            slot.calls.push_back(call);
        }
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.all.keys().copied().collect()
    }

    /// Whether nothing waits to be told to a process.
    pub(super) fn has_heard_all(&self, process: u32) -> bool {
        self.all.get(&process).is_none_or(|slot| slot.calls.is_empty() && !slot.calling)
    }

    fn next_call(&mut self, process: u32) -> Option<Call> {
        let slot = self.all.get_mut(&process)?;
        if slot.paused || slot.calling {
            return None;
        }
        let call = slot.calls.pop_front()?;
        slot.calling = true;
        Some(call)
    }
}

/// Makes the calls that wait, without the lock: what is called may call the broker, and may panic, which costs no later call.
pub(super) fn make_calls<S>(state: &Mutex<S>, processes: impl Fn(&mut S) -> &mut Processes, process: u32) {
    loop {
        let Some(call) = processes(&mut state.lock()).next_call(process) else { return };
        let _called = Called(|| processes(&mut state.lock()).get(process).calling = false);
        call.make();
    }
}

/// Does something when it is dropped.
struct Called<F: FnMut()>(F);

impl<F: FnMut()> Drop for Called<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
