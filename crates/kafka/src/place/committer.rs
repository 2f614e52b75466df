// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Epochs on their way to Kafka.

use std::sync::Arc;

use fnstream_core::broker::Assignment;
use fnstream_core::committer::{Acquired, CommitDone, Committer, Replay};
use fnstream_core::epoch::{Epoch, FrozenEpoch, TaskId};
use fnstream_core::state::Marker;
use fnstream_core::{Error, Result};

use super::Kafka;
use crate::lane::Job;

impl Committer for Kafka {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        self.take_over(assignment, applied, replay)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let lane = self.lane(epoch.task);
        let arrival = {
            let mut owners = self.shared.owners.lock();
            let owner = owners.entry(epoch.task).or_default();
            owner.arrivals += 1;
            owner.arrivals - 1
        };
        lane.hand_in(Job::Commit { arrival, epoch, done });
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        // Deltas are dropped behind the state topic only: the local disk may be lost.
        let through = through.min(self.closed(task).0);
        let Ok(function) = self.shared.function(task.function) else { return };
        let mut owners = self.shared.owners.lock();
        let Some(owner) = owners.get_mut(&task) else { return };
        let mut below = None;
        while let Some((epoch, offset)) = owner.offsets.front().copied().filter(|(epoch, _)| *epoch <= through) {
            // The entry itself stays: it says where the task stands, and that the topic has it comes behind it.
            below = Some(offset);
            if epoch == through {
                break;
            }
            owner.offsets.pop_front();
        }
        drop(owners);
        if let Some(below) = below {
            self.states.hand_in(Job::Trim { topic: function.log.clone(), partition: task.index, below });
        }
    }

    fn trouble(&self, _task: TaskId) -> Option<Error> {
        self.shared.health.trouble()
    }
}
