// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A hand that takes tasks away while their state is being restored.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use fnstream_core::epoch::TaskId;
use fnstream_core::test_util::mem_broker::MemBroker;
use fnstream_core::test_util::rng::Rng;
use parking_lot::Mutex;

/// It does something at about every tenth delta of a restore, when it is on.
pub(crate) struct Restless {
    rng: Mutex<Rng>,
    broker: MemBroker,
    is_on: AtomicBool,
}

impl Restless {
    pub(crate) fn new(seed: u64, broker: MemBroker) -> Self {
        Restless { rng: Mutex::new(Rng::new(seed)), broker, is_on: AtomicBool::new(false) }
    }

    pub(crate) fn set(&self, on: bool) {
        self.is_on.store(on, Relaxed);
    }

    /// Called between two deltas of a restore.
    pub(crate) fn interrupt(&self, task: TaskId) {
        if !self.is_on.load(Relaxed) || self.broker.holder(task).is_none() {
            return;
        }
        let (acts, revokes, moves, to) = {
            let mut rng = self.rng.lock();
            (rng.chance(10), rng.chance(60), rng.chance(50), rng.below(8))
        };
        if !acts {
            return;
        }
        if revokes {
            self.broker.revoke(task);
            return;
        }
        self.broker.lose(task);
        let members = self.broker.members(task.function);
        if moves && !members.is_empty() {
            // Perhaps to the very process that restores it, as a new assignment.
            self.broker.assign(task, members[to % members.len()]);
        }
    }
}
