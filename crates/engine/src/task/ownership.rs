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
use fnstream_core::epoch::{FrozenEpoch, Generation, OutboxWatermark, Progress};
use fnstream_core::error::{Error, Result};
use fnstream_core::failpoint;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::runtime::InstanceSpec;
use fnstream_core::waker::Waker;

use super::decide::{Recovery, after_commit_failure};
use super::dirty::Dirty;
use super::env::TaskEnv;
use super::epoch::OpenEpoch;
use super::failure::Failure;
use super::host::SharedTaskHost;
use super::hunt::Hunt;
use super::in_flight::{InFlight, Unanswered};
use super::view::View;
use crate::config::StateMode;
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
    pub(super) base: Arc<TaskBase>,
    /// Where the task stands, as committed.
    pub(super) committed: Progress,
    /// Places of inputs that were never read, until they are committed.
    pub(super) unplaced: Positions,
    /// The partition of the task's dead letters, if its function keeps any.
    pub(super) dead_letters: Option<TopicPartition>,
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
        let delta = match env.core.config.state_mode {
            StateMode::Lazy => host.layers.freeze(),
            StateMode::WrittenByCommitter => host.layers.freeze_resolved()?,
        };
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
        self.in_flight = Some(InFlight::begin(env, waker, frozen, ended, now));
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
                let written = env.core.config.state_mode == StateMode::WrittenByCommitter;
                self.host.lock().layers.settle(log_end, written);
                self.account_dirty(now);
                hunt.committed(&self.committed.positions, env.core.config.batch.records);
                return Ok(true);
            }
            Some(Err(failure)) => failure,
        };
        let error = failure.error().clone();
        match after_commit_failure(&failure) {
            Recovery::Resubmit => {
                let task = self.assignment.task.index;
                env.warn(task, format_args!("commit refused, it is handed in again: {error}"));
                in_flight.refused(env, now);
                self.refused = Some(error);
                Ok(false)
            }
            recovery => {
                self.in_flight = None;
                Err(Failure::new(recovery, error))
            }
        }
    }

    /// Shows where the task stands; how far its inputs reach too, when it has just looked.
    pub(super) fn show(&self, view: &mut View, looked: bool) {
        view.refused = self.refused.clone();
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

    /// The answer that is still to come for the epoch in flight.
    pub(super) fn unanswered(&mut self) -> Option<Unanswered> {
        self.in_flight.take().and_then(InFlight::unanswered)
    }
}
