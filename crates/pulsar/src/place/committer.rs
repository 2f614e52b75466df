// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Epochs on their way to Pulsar.

use std::sync::Arc;

use fnstream_core::broker::Assignment;
use fnstream_core::committer::{Acquired, CommitDone, CommitFailure, Committer, Replay};
use fnstream_core::epoch::{Epoch, FrozenEpoch, TaskId};
use fnstream_core::state::Marker;
use fnstream_core::{Error, ErrorCode, Result};

use super::Pulsar;

impl Committer for Pulsar {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        self.take_over(assignment, applied, replay)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let lane = {
            let mut owners = self.shared.owners.lock();
            let owner = owners.entry(epoch.task).or_default();
            owner.has_state |= !epoch.delta.is_empty();
            owner.lane.clone()
        };
        match lane.filter(|lane| lane.generation == epoch.generation) {
            Some(lane) => lane.commit(epoch, done),
            None => {
                let message = format!("generation {} of task {} has been taken over", epoch.generation.0, epoch.task);
                drop(epoch);
                done(Err(CommitFailure::Fenced(Error::new(ErrorCode::Fenced, message))));
            }
        }
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        let (lane, has_state) = {
            let owners = self.shared.owners.lock();
            let Some(owner) = owners.get(&task) else { return };
            (owner.lane.clone(), owner.has_state)
        };
        // Deltas are dropped behind the state topic only: the local disk may be lost.
        let through =
            if has_state { self.shared.states.closed(task).map(|has| has.min(through)) } else { Some(through) };
        if let Some(place) = lane.zip(through).and_then(|(lane, through)| lane.droppable(through)) {
            self.shared.drop_through(task, place);
        }
    }

    fn trouble(&self, task: TaskId) -> Option<Error> {
        self.shared.owners.lock().get(&task).and_then(|owner| owner.lane.clone()).and_then(|lane| lane.trouble())
    }
}
