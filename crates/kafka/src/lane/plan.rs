// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which of the commits that wait go into the next transaction, and what the others are answered.

use std::collections::HashMap;

use fnstream_core::committer::{CommitFailure, CommitResult};
use fnstream_core::epoch::{Epoch, FrozenEpoch, TaskId};
use fnstream_core::{Error, ErrorCode};

use super::{Decided, Job, log_end};
use crate::place::Owner;

/// How many commits a delta log can be trimmed to.
const OFFSETS: usize = 100_000;
/// How many entries of a task without state are dropped at a time.
const WITHOUT_STATE: usize = 1_000;

/// See the module.
pub(super) struct Planned {
    pub jobs: Vec<Job>,
    pub decided: Vec<Decided>,
}

type Owners = HashMap<TaskId, Owner>;

/// Keeps the order of the jobs. `is_lost` says whether the task that one takes over is somebody else's. What is behind a fence of the same transaction is fenced by it.
pub(super) fn plan(owners: &mut Owners, jobs: Vec<Job>, is_lost: &dyn Fn(&Job) -> bool) -> Planned {
    let mut planned = Planned { jobs: Vec::new(), decided: Vec::new() };
    let mut last: HashMap<TaskId, Epoch> = HashMap::new();
    let mut fenced = Vec::new();
    for job in jobs {
        if is_lost(&job) {
            let error = Error::new(ErrorCode::Fenced, "the task has fallen to another process");
            super::refuse(job, &error);
            continue;
        }
        match job {
            Job::Commit { arrival, epoch, done } => {
                let owner = owners.entry(epoch.task).or_default();
                let before = *last.entry(epoch.task).or_insert(owner.committed);
                match decide(owner, &epoch, arrival, before, fenced.contains(&epoch.task)) {
                    None => {
                        last.insert(epoch.task, epoch.progress.epoch);
                        planned.jobs.push(Job::Commit { arrival, epoch, done });
                    }
                    Some(result) => planned.decided.push((epoch, done, result)),
                }
            }
            Job::Note { fences, .. } => {
                fenced.extend(fences);
                planned.jobs.push(job);
            }
            Job::Write { task: Some(task), reply, .. }
                if owners.get(&task).is_none_or(|owner| owner.generation.is_none()) =>
            {
                let error = Error::new(ErrorCode::Fenced, format!("task {task} is not run by this process any more"));
                // Whoever asked may have gone.
                drop(reply.send(Err(error)));
            }
            Job::Write { .. } | Job::Trim { .. } | Job::Rejoin(_) => planned.jobs.push(job),
        }
    }
    planned
}

/// The answer to a commit that is not made; `None` for one that is.
fn decide(owner: &Owner, epoch: &FrozenEpoch, arrival: u64, before: Epoch, is_fenced: bool) -> Option<CommitResult> {
    let (task, number) = (epoch.task, epoch.progress.epoch);
    if is_fenced || owner.generation != Some(epoch.generation) {
        let message = format!("generation {} of task {task} was fenced", epoch.generation.0);
        return Some(Err(CommitFailure::Fenced(Error::new(ErrorCode::Fenced, message))));
    }
    if arrival < owner.doomed {
        let message = format!("an epoch of task {task} before epoch {} failed", number.0);
        return Some(Err(CommitFailure::Abortable(Error::new(ErrorCode::CommitAborted, message))));
    }
    if number <= owner.committed && owner.committed_by == Some(epoch.generation) {
        return Some(Ok(log_end(owner.log_end)));
    }
    if number != before.next() {
        let message = format!("epoch {} of task {task} does not follow {}", number.0, before.0);
        return Some(Err(CommitFailure::Abortable(Error::new(ErrorCode::CommitAborted, message))));
    }
    None
}

/// What was handed in after a commit that fails, fails too.
pub(super) fn doom(owners: &mut Owners, jobs: &[Job]) {
    for job in jobs {
        if let Job::Commit { epoch, .. } = job {
            let owner = owners.entry(epoch.task).or_default();
            owner.doomed = owner.arrivals;
        }
    }
}

/// Notes a commit. Answers below which offset the log of a task without state may be dropped, now and then.
pub(super) fn committed(owners: &mut Owners, epoch: &FrozenEpoch, offset: i64) -> Option<i64> {
    let owner = owners.entry(epoch.task).or_default();
    owner.committed = epoch.progress.epoch;
    owner.committed_by = Some(epoch.generation);
    owner.log_end = offset;
    owner.has_state |= !epoch.delta.is_empty();
    owner.offsets.push_back((epoch.progress.epoch, offset));
    if !owner.has_state && owner.offsets.len() >= WITHOUT_STATE {
        // The last entry says all.
        owner.offsets.drain(..owner.offsets.len() - 1);
        return Some(offset);
    }
    if owner.offsets.len() > OFFSETS {
        owner.offsets.pop_front();
    }
    None
}
