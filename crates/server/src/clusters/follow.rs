// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clusters that are told how far a function has read there which commits elsewhere.

use std::sync::Arc;

use fnstream_core::Error;
use fnstream_core::Result;
use fnstream_core::broker::Assignment;
use fnstream_core::committer::{Acquired, CommitDone, Committer, Replay};
use fnstream_core::epoch::{Epoch, FrozenEpoch, FunctionId, TaskId};
use fnstream_core::record::Positions;
use fnstream_core::state::Marker;

/// Is told what was committed elsewhere. Does not block.
pub(crate) trait Follower: Send + Sync {
    /// A task of the function has committed these positions.
    fn reached(&self, function: FunctionId, positions: &Positions);
}

/// Commits at home, and tells the others afterwards.
pub(super) struct Followed {
    pub(super) home: Arc<dyn Committer>,
    pub(super) followers: Arc<[Arc<dyn Follower>]>,
}

impl Committer for Followed {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        self.home.acquire(assignment, applied, replay)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let (followers, function) = (self.followers.clone(), epoch.task.function);
        let positions = epoch.progress.positions.clone();
        let told: CommitDone = Box::new(move |result| {
            if result.is_ok() {
                followers.iter().for_each(|follower| follower.reached(function, &positions));
            }
            done(result);
        });
        self.home.commit(epoch, told);
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        self.home.trim(task, through);
    }

    fn trouble(&self, task: TaskId) -> Option<Error> {
        self.home.trouble(task)
    }
}
