// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The parts of a task that come from taking it over: they stay for as long as this process owns it, whichever instance
//! runs.
//!
//! ```text
//!  acquire ──► generation, committed progress, layers over the store, source
//!                 │
//!                 ├── epochs: hand_in ──► in flight ──► settle_commit ──► committed
//!                 └── dirty map ──► apply_if_due ──► settle_apply
//! ```

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::broker::{Assignment, Source};
use fnstream_core::committer::CommitFailure;
use fnstream_core::epoch::{FrozenEpoch, Generation, OutboxBatch, OutboxWatermark, Progress};
use fnstream_core::error::{Error, Result};
use fnstream_core::failpoint;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::runtime::{CallFailure, InstanceSpec};
use fnstream_core::spec::ErrorPolicy;
use fnstream_core::waker::Waker;

use super::dead_letters::DeadLetterReader;
use super::decide::{Recovery, after_commit_failure, after_source_failure};
use super::dirty::Dirty;
use super::env::TaskEnv;
use super::epoch::OpenEpoch;
use super::failure::Failure;
use super::host::SharedTaskHost;
use super::hunt::Hunt;
use super::in_flight::{InFlight, Probe, Unanswered};
use super::view::View;
use crate::dead_letters::DeadLetterOrder;
use crate::state::TaskBase;

/// See the module.
pub(super) struct Ownership {
    pub(super) assignment: Assignment,
    pub(super) generation: Generation,
    /// The overlay and the outbox of the open epoch, and the layers below.
    pub(super) host: SharedTaskHost,
    /// The description that each instance of the task is made of.
    pub(super) spec: InstanceSpec,
    pub(super) source: Box<dyn Source>,
    /// The source was polled since it was opened or sought.
    pub(super) polled: bool,
    pub(super) base: Arc<TaskBase>,
    /// The task's progress, as committed.
    pub(super) committed: Progress,
    /// Places of inputs that were never read, until they are committed.
    pub(super) unplaced: Positions,
    /// The partition of the task's dead letters, if its function keeps any.
    pub(super) dead_letters: Option<TopicPartition>,
    /// Open while it is not known yet where the dead letters end of a task that never had any.
    pub(super) dead_letters_end: Option<DeadLetterReader>,
    pub(super) dirty: Dirty,
    pub(super) in_flight: Option<InFlight>,
    /// Why the epoch in flight was refused when it was last handed in.
    pub(super) refused: Option<Error>,
}

impl Ownership {
    /// The open epoch that follows the last commit. It begins inputs that have no place yet, and commits that before
    /// anything is read: what retention drops from then on is missed loudly.
    pub(super) fn next_epoch(&self) -> OpenEpoch {
        let mut epoch = OpenEpoch::after(self.committed.clone());
        epoch.urgent = !self.unplaced.is_empty();
        epoch.progress.positions.extend(self.unplaced.clone());
        epoch
    }

    /// The task's place in its dead letters at some progress, if its function keeps any.
    pub(super) fn place_in_dead_letters(&self, progress: &Progress) -> Option<Position> {
        let at = self.dead_letters.as_ref()?;
        Some(progress.positions.get(at).copied().unwrap_or_default())
    }

    /// Finds the place of a task that never had dead letters, which is after those of a former function of its name. An end
    /// that is not known yet is waited for: taking it for the beginning would adopt what is another's.
    pub(super) fn find_dead_letters(&mut self) {
        let Some(end) = self.dead_letters_end.as_ref().and_then(DeadLetterReader::end) else { return };
        self.dead_letters_end = None;
        if let Some(at) = self.dead_letters.clone() {
            self.unplaced.insert(at, end);
        }
    }

    /// Freezes an epoch that has ended and hands it in. Nothing is in flight when this is called.
    pub(super) fn hand_in(
        &mut self,
        env: &TaskEnv,
        waker: &Waker,
        mut ended: OpenEpoch,
        watermarks: Vec<OutboxWatermark>,
        now: Duration,
    ) -> Result<()> {
        let mut host = self.host.lock();
        let delta = host.freeze();
        let frozen = Arc::new(FrozenEpoch {
            task: self.assignment.task,
            generation: self.generation,
            progress: std::mem::take(&mut ended.progress),
            delta,
            watermarks,
            outbox: host.outbox.take(),
        });
        host.layers.set_frozen(frozen.clone());
        drop(host);
        failpoint!("engine.after-freeze");
        // Known before it is handed in, so that it is waited for whatever happens then.
        self.in_flight.insert(InFlight::new(frozen, ended, now)).submit(env, waker);
        Ok(())
    }

    /// Looks for the answer of the epoch in flight; true when it was committed.
    pub(super) fn settle_commit(
        &mut self,
        env: &TaskEnv,
        waker: &Waker,
        hunt: &mut Hunt,
        order: Option<&DeadLetterOrder>,
        now: Duration,
    ) -> Result<bool, Failure> {
        let Some(in_flight) = &mut self.in_flight else { return Ok(false) };
        in_flight.resubmit_if_due(env, waker, now);
        let failure = match in_flight.take_answer() {
            None => return Ok(false),
            Some(Ok(log_end)) => {
                let Some(done) = self.in_flight.take() else { return Ok(false) };
                self.committed = done.frozen.progress.clone();
                self.unplaced.clear();
                self.refused = None;
                done.count(env, order, now);
                // Let go of the epoch, so that its delta moves into the dirty map.
                drop(done);
                self.host.lock().committed(log_end);
                self.account_dirty(now);
                hunt.committed(&self.committed.positions, env.core.config.batch.records);
                return Ok(true);
            }
            Some(Err(failure)) => failure,
        };
        let recovery = after_commit_failure(&failure);
        if recovery == Recovery::Resubmit {
            let (task, error) = (self.assignment.task.index, failure.error());
            env.warn(task, format_args!("commit refused, it is handed in again: {error}"));
            in_flight.refused(env, now);
            self.refused = Some(error.clone());
            return Ok(false);
        }
        let failed = self.in_flight.take();
        self.refused = None;
        match (failure, failed) {
            (CommitFailure::Rejected { error, output }, Some(failed)) => {
                let output = output.and_then(|index| failed.frozen.outbox.get(index as usize));
                Err(rejected(env, hunt, &failed.ended, output, error))
            }
            (failure, _) => Err(Failure::new(recovery, failure.error().clone())),
        }
    }

    /// Prepares the task for a new instance: drops what is not committed, and moves the source back to what is. Nothing is in
    /// flight when this is called.
    pub(super) fn rewind(&mut self) -> Result<(), Failure> {
        self.host.lock().abandon();
        if std::mem::take(&mut self.polled) {
            let mut to = self.committed.positions.clone();
            to.extend(self.unplaced.clone());
            self.source.seek(&to).map_err(after_source_failure)?;
        }
        Ok(())
    }

    /// Shows where the task stands; how far its inputs reach too, when it has just looked.
    pub(super) fn show(&self, view: &mut View, looked: bool) {
        view.refused = self.refused.clone();
        view.trouble = self.source.trouble().or_else(|| self.dead_letters_end.as_ref()?.trouble());
        if view.progress.epoch != self.committed.epoch {
            view.progress = self.committed.clone();
        }
        if looked || view.memory_bytes == 0 {
            view.ends = self.source.ends();
        }
    }

    /// When a refused epoch is to be handed in again, or the dirty map to the store.
    pub(super) fn next_alarm(&self, env: &TaskEnv) -> Option<Duration> {
        let retry = self.in_flight.as_ref().and_then(|in_flight| in_flight.retry_at);
        let apply = self.dirty.due_at(&env.core.config).filter(|_| !self.host.lock().layers.is_applying());
        [retry, apply].into_iter().flatten().min()
    }

    /// Tells when the answer for the epoch in flight has come.
    pub(super) fn probe(&self) -> Option<Probe> {
        self.in_flight.as_ref().and_then(InFlight::probe)
    }

    /// The answer that is still to come for the epoch in flight.
    pub(super) fn unanswered(&mut self) -> Option<Unanswered> {
        self.in_flight.take().and_then(InFlight::unanswered)
    }
}

/// The broker refuses what is in an epoch for good: the record that made it is looked for like one at which a call fails.
fn rejected(env: &TaskEnv, hunt: &mut Hunt, ended: &OpenEpoch, output: Option<&OutboxBatch>, error: Error) -> Failure {
    env.meter.failed();
    let error = match output {
        Some(output) => error.context(format_args!("output '{}'", output.topic)),
        None => error,
    };
    if ended.gave_up_all() && ended.size() == 1 {
        // Giving it up again would be refused again.
        return Failure::new(Recovery::Fail, error.context("a record is given up, but its dead letter is refused"));
    }
    let policy = &env.spec().on_error;
    match (ended.records, ended.time_calls, &ended.last) {
        (0, 0, _) => Failure::new(Recovery::RestartLater, error),
        (0, calls, _) => Failure::new(hunt.time_failed(calls as usize, true, policy), error),
        (1, 0, Some((from, position))) => {
            let cause = CallFailure::from(error.context(format_args!("at position {position} of {from}")));
            // The same output is refused however often it is made.
            let verdict = hunt.failed_alone(from, *position, &cause, &ErrorPolicy { retries: 0, ..policy.clone() });
            Failure::new(Recovery::from(verdict), cause)
        }
        _ => {
            hunt.failed_among(ended.size() as usize, None);
            Failure::new(Recovery::RestartNow, error)
        }
    }
}
