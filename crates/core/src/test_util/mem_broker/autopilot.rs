// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The broker on its own: it spreads tasks over those who have joined, and commits what is handed in.
//!
//! Task number i of a function belongs to member i modulo their number. A task that is another's is revoked first, and assigned
//! when it was given up; what a dead process had is assigned at once.

use std::sync::Arc;

use super::processes::Call;
use super::{MemBroker, Outcome, Shared, State};
use crate::broker::RevokeDone;

impl MemBroker {
    /// A broker that needs no driver.
    pub fn on_autopilot() -> Self {
        let broker = Self::default();
        broker.shared.state.lock().autopilot = true;
        broker
    }

    /// While it is held back, nothing that is handed in is committed, as at a broker that does not answer.
    pub fn hold_commits(&self, held: bool) {
        self.shared.state.lock().commits_held = held;
        if !held {
            self.commit_handed_in();
        }
    }

    fn commit_handed_in(&self) {
        loop {
            let next = {
                let state = self.shared.state.lock();
                let free = state.autopilot && !state.commits_held;
                state.ledger.queue.front().map(|queued| queued.info.process).filter(|_| free)
            };
            let Some(process) = next else { return };
            self.resolve_next(process, Outcome::Commit);
        }
    }
}

impl Shared {
    /// An epoch was handed in.
    pub(super) fn handed_in(self: &Arc<Self>) {
        MemBroker { shared: self.clone() }.commit_handed_in();
    }

    /// Members came or went, or a task is free.
    pub(super) fn balance(self: &Arc<Self>) {
        let told = {
            let mut state = self.state.lock();
            if state.autopilot { state.balance(self) } else { Vec::new() }
        };
        for process in told {
            self.make_calls(process);
        }
    }
}

impl State {
    /// Answers the processes that are to be told something.
    fn balance(&mut self, shared: &Arc<Shared>) -> Vec<u32> {
        let State { ledger, groups, processes, .. } = self;
        let mut told = Vec::new();
        let functions: Vec<_> = groups.groups.keys().copied().collect();
        for function in functions {
            let members: Vec<u32> = groups.groups[&function].members.keys().copied().collect();
            let tasks = groups.tasks(function, &ledger.topics).unwrap_or_default();
            for (number, task) in tasks.into_iter().enumerate().filter(|_| !members.is_empty()) {
                let owner = members[number % members.len()];
                let slot = groups.slot(task);
                match slot.holder {
                    Some(holder) if holder == owner || slot.revoking => {}
                    Some(holder) => {
                        let Some(listener) = groups.listener(holder, function) else { continue };
                        groups.slots.entry(task).or_default().revoking = true;
                        let shared = Arc::downgrade(shared);
                        let done = RevokeDone::new(move || {
                            if let Some(shared) = shared.upgrade() {
                                shared.given_up(task, slot.lease);
                                shared.balance();
                            }
                        });
                        processes.tell(holder, Call::Revoked(listener, task, done));
                        told.push(holder);
                    }
                    None => {
                        let Some(listener) = groups.listener(owner, function) else { continue };
                        let Ok(assignment) = groups.assign(task, owner, &ledger.topics) else { continue };
                        processes.tell(owner, Call::Assigned(listener, assignment));
                        told.push(owner);
                    }
                }
            }
        }
        told
    }
}
