// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The broker as one process sees it.

use std::sync::Arc;

use super::source::MemSource;
use super::{Shared, State};
use crate::broker::{Assignment, AssignmentListener, Broker, Membership, Source, Subscription};
use crate::committer::{Acquired, CommitDone, CommitFailure, Committer, Replay};
use crate::epoch::{Epoch, FrozenEpoch, FunctionId, TaskId};
use crate::error::{Error, ErrorCode, Result};
use crate::record::{Position, Positions, TopicPartition};
use crate::state::Marker;
use crate::topic::Topic;
use crate::waker::Waker;

/// A process' connection: its [`Broker`] and its [`Committer`].
pub struct MemClient {
    pub(super) shared: Arc<Shared>,
    pub(super) process: u32,
    pub(super) session: u64,
}

impl MemClient {
    /// The number that the process was connected as.
    pub fn process(&self) -> u32 {
        self.process
    }
}

impl MemClient {
    /// Lets the test do what it likes; whether the process knows now that the task is to be given up.
    fn before_replay(&self, assignment: &Assignment) -> bool {
        let hook = self.shared.state.lock().weather.on_replay.clone();
        if let Some(hook) = hook {
            hook(assignment.task);
        }
        let mut state = self.shared.state.lock();
        let State { groups, processes, weather, .. } = &mut *state;
        let slot = groups.slot(assignment.task);
        let is_ours = groups.is_current(assignment.task, assignment.lease, self.process) && !slot.revoking;
        weather.manners.strict_restores && !is_ours && processes.has_heard_all(self.process)
    }
}

impl Broker for MemClient {
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>> {
        let function = subscription.function;
        let (id, replaced) = {
            let mut state = self.shared.state.lock();
            state.check_alive(self.process, self.session)?;
            subscription.tasks(|topic| state.ledger.topics.partitions(topic))?;
            state.groups.join(self.process, subscription, listener)
        };
        drop(replaced);
        self.shared.balance();
        Ok(Box::new(MemMembership { shared: self.shared.clone(), process: self.process, function, id }))
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        let source = MemSource::open(self, assignment, from, waker)?;
        Ok(Box::new(source))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32> {
        let mut state = self.shared.state.lock();
        state.look_up(self.process, self.session)?;
        state.ledger.topics.partitions(topic)
    }

    fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
        let mut state = self.shared.state.lock();
        state.look_up(self.process, self.session)?;
        Ok(state.ledger.topics.get(partition)?.earliest())
    }

    fn latest(&self, partition: &TopicPartition) -> Result<Position> {
        let mut state = self.shared.state.lock();
        state.look_up(self.process, self.session)?;
        Ok(state.ledger.topics.get(partition)?.end)
    }
}

impl Committer for MemClient {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        let task = assignment.task;
        let (acquired, deltas) = {
            let mut state = self.shared.state.lock();
            state.check_alive(self.process, self.session)?;
            state.weather.check_reachable()?;
            if !state.groups.is_current(task, assignment.lease, self.process) {
                let why = format!("assignment {} of task {task} is over", assignment.lease);
                return Err(Error::new(ErrorCode::Fenced, why));
            }
            let State { ledger, landings, weather, .. } = &mut *state;
            let log = ledger.tasks.entry(task).or_default();
            let generation = log.take_over(self.process, assignment.lease);
            if weather.manners.state_topic {
                landings.settle(self.process, task).into_iter().for_each(|landing| log.land(landing));
                log.catch_up(applied)?;
            }
            let acquired = Acquired { generation, progress: log.progress.clone(), log_end: log.log_end() };
            (acquired, log.after(applied)?)
        };
        for (marker, delta) in deltas {
            let given_up = self.before_replay(assignment);
            replay(marker, delta)?;
            if given_up {
                self.shared
                    .state
                    .lock()
                    .ledger
                    .violations
                    .push(format!("task {task} is restored after it was given up"));
            }
        }
        Ok(acquired)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let refused = {
            let mut state = self.shared.state.lock();
            if state.check_alive(self.process, self.session).is_ok() {
                state.note_hand_in(&epoch);
                state.ledger.hand_in(self.process, epoch, done);
                None
            } else {
                Some(done)
            }
        };
        let Some(refused) = refused else { return self.shared.handed_in() };
        refused(Err(CommitFailure::Fatal(Error::new(ErrorCode::CommitFatal, "the process is dead"))));
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        let mut state = self.shared.state.lock();
        if state.check_alive(self.process, self.session).is_ok() {
            state.trim(task, through);
        }
    }

    fn trouble(&self, _task: TaskId) -> Option<Error> {
        let state = self.shared.state.lock();
        state.check_alive(self.process, self.session).and_then(|()| state.weather.check_reachable()).err()
    }
}

struct MemMembership {
    shared: Arc<Shared>,
    process: u32,
    function: FunctionId,
    id: u64,
}

impl Membership for MemMembership {}

impl Drop for MemMembership {
    fn drop(&mut self) {
        let mut unheard = Vec::new();
        let left = {
            let mut state = self.shared.state.lock();
            let left = state.groups.leave(self.process, self.function, self.id);
            if left.is_some() {
                let calls = &mut state.processes.get(self.process).calls;
                let (theirs, others) = std::mem::take(calls).into_iter().partition(|c| c.tells_of(self.function));
                *calls = others;
                unheard = Vec::from_iter::<std::collections::VecDeque<_>>(theirs);
            }
            left
        };
        // Dropped without the lock: a listener or a revocation's end may call the broker.
        drop((left, unheard));
        self.shared.balance();
    }
}
