// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A function's past, and how to go back to it.
//!
//! ```text
//! without state: an update with the old description: state and positions go on as they are
//! with state:    tasks fenced -> state that the revision ended with forked -> its tasks placed -> switched to the fork (durable)
//! ```
//!
//! With the state, a function goes on under the id of the fork. Where its inputs are read on is the user's choice: from
//! where they stand now, so that no record is processed twice, or from where the old state stood, so that none is missing
//! in it. The id that it had becomes what the replaced revision keeps, so that going back can itself be taken back.
//!
//! No rollback takes back what others have seen: the answer counts it. Counters of a task only ever grow, over rollbacks
//! too, so what was done between two revisions is the difference of theirs.

mod words;

use std::sync::Arc;

use fnstream_api::{Emitted, RevisionDescription, RollbackRequest, RolledBack};
use fnstream_core::epoch::{FunctionId, Progress};
use fnstream_core::metadata::Revision;
use fnstream_core::record::TopicPartition;
use fnstream_core::spec::{FunctionEntry, FunctionSpec, check_name};
use fnstream_core::tasks::Standing;
use fnstream_core::{Error, ErrorCode, Result};

use super::Functions;
use super::coming_up::{Changed, Wait};
use crate::app::grants;
use crate::app::ops::blocking;
use crate::app::places::joined;
use words::{notes, told};

/// What a rollback cannot undo.
#[derive(Debug, Default, PartialEq, Eq)]
struct Since {
    emitted: Vec<Emitted>,
    /// Dead letters that were replayed counted in.
    consumed: u64,
    /// Dead letters that were replayed or dropped, at most: others' in the same topic are counted in.
    dead_letters: u128,
}

impl Functions {
    /// The kept revisions, the newest first.
    pub(crate) async fn revisions(&self, name: String) -> Result<Vec<RevisionDescription>> {
        check_name("function", &name)?;
        let register = self.register.clone();
        blocking(move || {
            crate::app::entry(&*register, &name)?;
            Ok(told(&register.revisions(&name)?))
        })
        .await
    }

    /// Puts the description of an earlier revision in force again, and its state, if that is asked for.
    pub(crate) async fn rollback(
        self: &Arc<Self>,
        name: String,
        request: RollbackRequest,
        wait: Option<Wait>,
    ) -> Result<RolledBack> {
        let functions = self.clone();
        let done = self.ops.alone(name, move |name| async move {
            let (entry, since, notes) = functions.rollback_alone(name, request).await?;
            let started = functions.go_on(entry.clone()).await;
            Ok((entry, since, notes, started))
        });
        let (entry, since, notes, started) = done.await?;
        let (emitted, consumed) = since.map(|since| (since.emitted, since.consumed)).unzip();
        let done = format!("was rolled back to revision {}, as revision {}", request.to, entry.revision);
        let function = self.seen_up(done, Changed::for_good(entry), started, wait).await?;
        Ok(RolledBack { function, to: request.to, emitted, consumed, notes })
    }

    async fn rollback_alone(
        self: &Arc<Self>,
        name: String,
        request: RollbackRequest,
    ) -> Result<(FunctionEntry, Option<Since>, Vec<String>)> {
        let functions = self.clone();
        let (entry, history) = blocking(move || {
            let entry = crate::app::entry(&*functions.register, &name)?;
            let history = functions.register.revisions(&name)?;
            if request.with_state {
                functions.clusters.forks(&entry.spec)?;
            }
            let target = target(&entry, &history, request)?;
            grants::check(&functions.files_dirs, &target[0].spec)?;
            if let (true, Some(state)) = (request.reprocess, target[0].state) {
                functions.check_still_there(&entry.spec, state)?;
            }
            let history = target.to_vec();
            Ok((entry, history))
        })
        .await?;
        // Kept until the function runs, so that it need not be loaded again.
        let program = self.programs.load(&history[0].spec.artifact).await?;
        let new = program.clone();
        let change = move |functions: &Functions, entry: &FunctionEntry| {
            // Before anything is read: an epoch that is under way counts, or is never committed.
            let now = functions.tasks.fence(entry.id)?;
            let kept = history[0].state.filter(|_| request.with_state);
            functions.check_timers(&entry.spec.name, kept.unwrap_or(entry.id), &*new)?;
            let since = functions.since(&history, &now)?;
            let notes = notes(since.as_ref(), &history, request);
            let spec = history[0].spec.clone();
            let entry = match kept {
                None => functions.describe_anew(entry, spec)?,
                Some(state) => functions.go_back(entry, spec, state, &now, request.reprocess)?,
            };
            tracing::info!(
                function = entry.spec.name,
                revision = entry.revision,
                to = request.to,
                "function rolled back"
            );
            functions.note(&entry, &format!("rolled back to revision {}, as revision {}", request.to, entry.revision));
            Ok((entry, since, notes))
        };
        self.replace(entry, change).await
    }

    /// The new revision, which goes on from a kept state. None of the tasks runs. Blocks.
    fn go_back(
        &self,
        entry: &FunctionEntry,
        spec: FunctionSpec,
        state: FunctionId,
        now: &Standing,
        reprocess: bool,
    ) -> Result<FunctionEntry> {
        let forks = self.clusters.forks(&spec)?;
        let fork = forks.fork(state)?;
        let then = self.tasks.progress(fork)?;
        let (read, _) = self.clusters.expand(&entry.spec)?;
        self.with_fork(fork, &spec, |spec| {
            forks.place(fork, &placed(&read, &then, now, reprocess))?;
            self.register.switch(spec, entry.revision, fork)
        })
    }

    /// Whether the log still has all that came after a kept state.
    fn check_still_there(&self, spec: &FunctionSpec, state: FunctionId) -> Result<()> {
        let standing = self.tasks.progress(state)?;
        let positions = standing.values().flat_map(|progress| &progress.positions);
        for (at, position) in positions.filter(|(at, _)| is_input(spec, at)) {
            let topic = self.clusters.topics_of(spec).describe(&at.topic)?;
            let earliest = topic.partitions.get(at.partition as usize).map(|partition| partition.earliest);
            if earliest.is_some_and(|earliest| *position < earliest) {
                let message =
                    format!("the records of {at} from {position} on, which are to be processed again, were dropped");
                return Err(Error::new(ErrorCode::PositionDropped, message));
            }
        }
        Ok(())
    }

    /// What was done since the first revision of the history was replaced; `None` when it is not known.
    fn since(&self, history: &[Revision], now: &Standing) -> Result<Option<Since>> {
        let mut since = Since::default();
        let mut stood = None;
        for revision in history {
            let ended = revision.state.map(|state| self.tasks.progress(state)).transpose()?;
            let ended = ended.as_ref().unwrap_or(now);
            if let Some(began) = &stood {
                since.add(&revision.spec, began, ended);
            } else if revision.state.is_none() {
                return Ok(None);
            }
            stood = Some(ended.clone());
        }
        Ok(Some(since))
    }
}

impl Since {
    /// Counts what was done under a description between two standings.
    fn add(&mut self, spec: &FunctionSpec, began: &Standing, ended: &Standing) {
        let grown = |count: fn(&Progress) -> u64| {
            let sum = |of: &Standing| of.values().map(count).sum::<u64>();
            sum(ended).saturating_sub(sum(began))
        };
        self.consumed += grown(|progress| progress.records_in);
        self.dead_letters += passed(spec, began, ended);
        let (topic, records) = (joined(&spec.outputs), grown(|progress| progress.records_out));
        match self.emitted.iter_mut().find(|emitted| emitted.topic == topic) {
            Some(emitted) => emitted.records += records,
            None => self.emitted.push(Emitted { topic, records }),
        }
    }
}

/// How many dead letters the tasks have gone past between two standings. The embedded log counts records without gaps.
fn passed(spec: &FunctionSpec, began: &Standing, ended: &Standing) -> u128 {
    let Some(topic) = spec.dead_letter_topic() else { return 0 };
    let of_task = |(index, ended): (&u32, &Progress)| {
        let began = &began.get(index)?.positions;
        let (at, end) = ended.positions.iter().find(|(at, _)| at.topic == topic)?;
        Some(end.0.saturating_sub(began.get(at)?.0))
    };
    ended.iter().filter_map(of_task).sum()
}

/// The revision that is asked for and those after it, or why it cannot be.
fn target<'a>(entry: &FunctionEntry, history: &'a [Revision], request: RollbackRequest) -> Result<&'a [Revision]> {
    let (name, to) = (&entry.spec.name, request.to);
    let refused = |code, why: String| Err(Error::new(code, why));
    let Some(at) = history.iter().position(|revision| revision.revision == to) else {
        let kept: Vec<_> = history.iter().map(|revision| revision.revision.to_string()).collect();
        let kept = kept.join(", ");
        return refused(
            ErrorCode::RevisionNotFound,
            format!("function '{name}' has no revision {to}, kept are {kept}"),
        );
    };
    if at + 1 == history.len() {
        let why = format!("revision {to} is the one that function '{name}' is at");
        return refused(ErrorCode::InvalidRequest, why);
    }
    if request.reprocess && !request.with_state {
        let why = "reprocess goes with with_state: records are processed again only for the state of then";
        return refused(ErrorCode::InvalidRequest, why.to_owned());
    }
    if request.with_state && history[at].state.is_none() {
        let why = format!("the state that revision {to} of function '{name}' ended with was not kept");
        return refused(ErrorCode::RevisionStateGone, why);
    }
    if !request.with_state && history[at].spec == entry.spec {
        let why =
            format!("function '{name}' is described now as in revision {to}: only its state could be rolled back");
        return refused(ErrorCode::InvalidRequest, why);
    }
    Ok(&history[at..])
}

/// Where tasks stand that go on from a kept state: its epochs, which its deltas end with, and its timers; counters only
/// grow. Tasks that came later begin without state. Only inputs are read again: dead letters that were dealt with are.
fn placed(spec: &FunctionSpec, then: &Standing, now: &Standing, reprocess: bool) -> Standing {
    let indexes = then.keys().chain(now.keys());
    let place = |index: &u32| {
        let was = then.get(index).cloned().unwrap_or_default();
        let is = now.get(index).unwrap_or(&was);
        let mut positions = is.positions.clone();
        if reprocess {
            positions.retain(|at, _| !is_input(spec, at));
            let stood = was.positions.iter().filter(|(at, _)| is_input(spec, at));
            positions.extend(stood.map(|(at, position)| (at.clone(), *position)));
        }
        Progress { positions, records_in: is.records_in, records_out: is.records_out, ..was }
    };
    indexes.map(|index| (*index, place(index))).collect()
}

fn is_input(spec: &FunctionSpec, at: &TopicPartition) -> bool {
    spec.inputs.iter().flatten().any(|named| named.topic == at.topic)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
