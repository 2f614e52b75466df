// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task that processes: its open epoch, the one in flight, and what it waits for.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::broker::{Assignment, PollLimit, Polled, Source};
use fnstream_core::committer::{Acquired, CommitResult};
use fnstream_core::epoch::{FrozenEpoch, Generation, Progress, TaskId};
use fnstream_core::error::{Error, ErrorCode, Fault};
use fnstream_core::failpoint;
use fnstream_core::record::Positions;
use fnstream_core::runtime::{CallFailure, CallResult, Instance};
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use super::decide::{
    Action, DirtyBounds, DirtyFacts, Facts, Recovery, after_call_failure, after_commit_failure, backoff, is_congested,
    isolation_limit, next_action, should_apply,
};
use super::host::TaskHost;
use super::view::View;
use crate::config::StateMode;
use crate::engine::EngineCore;
use crate::function::Function;
use crate::state::{ApplyJob, TaskBase};
use crate::status::TaskState;

/// What a turn of a running task leads to.
pub(super) enum Turn {
    /// There is more to do.
    Again,
    /// An epoch was committed, and there may be more to do.
    Committed,
    /// Nothing until a wake or that time.
    Wait(Option<Duration>),
    /// All is committed, the task has ended.
    End,
}

/// A failure with what it leads to.
type Failed = (Recovery, CallFailure);

pub(super) struct Running {
    task: TaskId,
    generation: Generation,
    host: Arc<Mutex<TaskHost>>,
    instance: Box<dyn Instance>,
    source: Box<dyn Source>,
    base: Arc<TaskBase>,
    committed: Progress,
    /// Where the task stands, the open epoch included.
    open: Progress,
    records: u64,
    bytes: usize,
    opened_at: Duration,
    in_flight: Option<InFlight>,
    drained: bool,
    closed: bool,
    heartbeat_at: Duration,
    dirty: DirtyAccount,
    /// The open epoch says for the first time where an input is read from.
    unplaced: bool,
}

/// An epoch that the committer has.
struct InFlight {
    epoch: Arc<FrozenEpoch>,
    result: Arc<Mutex<Option<CommitResult>>>,
    refusals: u32,
    /// Set while a refused epoch waits before it is handed in again.
    retry_at: Option<Duration>,
}

/// A commit whose answer nobody needs any more, but that may still become visible until it is answered.
pub(super) struct Unanswered(Arc<Mutex<Option<CommitResult>>>);

impl Unanswered {
    pub(super) fn is_answered(&self) -> bool {
        self.0.lock().is_some()
    }
}

/// This task's part of the process's unapplied state.
struct DirtyAccount {
    engine: Arc<EngineCore>,
    bytes: usize,
    since: Option<Duration>,
}

impl Drop for DirtyAccount {
    fn drop(&mut self) {
        self.engine.add_dirty(0usize.wrapping_sub(self.bytes));
    }
}

impl Running {
    pub(super) fn new(
        engine: &Arc<EngineCore>,
        assignment: &Assignment,
        acquired: Acquired,
        base: Arc<TaskBase>,
        host: Arc<Mutex<TaskHost>>,
        instance: Box<dyn Instance>,
        source: Box<dyn Source>,
    ) -> Self {
        let now = engine.deps.clock.now();
        let mut running = Running {
            task: assignment.task,
            generation: acquired.generation,
            host,
            instance,
            source,
            base,
            open: acquired.progress.clone(),
            committed: acquired.progress,
            records: 0,
            bytes: 0,
            opened_at: now,
            in_flight: None,
            drained: false,
            closed: false,
            heartbeat_at: now + engine.config.heartbeat,
            dirty: DirtyAccount { engine: engine.clone(), bytes: 0, since: None },
            unplaced: false,
        };
        running.account_dirty(now);
        running
    }

    /// Begins at these positions inputs that have none yet, and commits that before anything is read: what retention drops
    /// from then on is missed loudly.
    pub(super) fn begin_at(&mut self, earliest: Positions) {
        self.unplaced = !earliest.is_empty();
        self.open.positions.extend(earliest);
    }

    /// Works for about a slice of time.
    pub(super) fn turn(
        &mut self,
        function: &Arc<Function>,
        ending: bool,
        isolation: &mut Option<usize>,
        waker: &Waker,
    ) -> Result<Turn, Failed> {
        let engine = &function.engine;
        let begun = engine.deps.clock.now();
        let mut now = begun;
        // Whatever woke us may have been input.
        self.drained = false;
        for _ in 0..engine.config.slice_batches() {
            if self.settle_commit(function, waker, now)? {
                *isolation = isolation.map(|limit| limit * 2).filter(|limit| *limit < engine.config.batch.records);
                self.apply_if_due(engine, waker, now)?;
                return Ok(Turn::Committed);
            }
            self.settle_apply(engine, now);
            self.apply_if_due(engine, waker, now)?;
            match next_action(&self.facts(engine, ending, isolation.is_some(), now), &engine.config.epoch) {
                Action::Poll => self.poll(engine, isolation, now)?,
                Action::Freeze => self.freeze(engine, waker).map_err(|e| self.call_failed(e, 1))?,
                Action::Close => {
                    self.instance.close().map_err(|e| self.call_failed(e, 1))?;
                    self.closed = true;
                }
                Action::End => return Ok(Turn::End),
                Action::Wait => {
                    if !ending && now >= self.heartbeat_at {
                        self.heartbeat_at = now + engine.config.heartbeat;
                        self.check_heartbeat()?;
                    }
                    return Ok(Turn::Wait(self.next_alarm(engine, ending)));
                }
            }
            now = engine.deps.clock.now();
            if now.saturating_sub(begun) >= engine.config.slice {
                break;
            }
        }
        Ok(Turn::Again)
    }

    /// The answer that is still to come for the epoch in flight.
    pub(super) fn unanswered(&self) -> Option<Unanswered> {
        let in_flight = self.in_flight.as_ref().filter(|in_flight| in_flight.retry_at.is_none())?;
        Some(Unanswered(in_flight.result.clone()))
    }

    /// Shows where the task stands.
    pub(super) fn show(&self, view: &mut View, ending: bool) {
        view.state = if ending { TaskState::Draining } else { TaskState::Running };
        if view.progress.epoch != self.committed.epoch {
            view.progress = self.committed.clone();
        }
        if self.drained || view.memory_bytes == 0 {
            view.ends = self.source.ends();
            view.memory_bytes = self.instance.memory_bytes();
        }
    }

    fn facts(&self, engine: &EngineCore, ending: bool, isolating: bool, now: Duration) -> Facts {
        let host = self.host.lock();
        let has_work = self.unplaced || self.records > 0 || !host.layers.is_clean() || host.outbox.records() > 0;
        Facts {
            records: self.records,
            bytes: self.bytes + host.layers.overlay_bytes() + host.outbox.bytes(),
            age: now.saturating_sub(self.opened_at),
            has_work,
            drained: self.drained,
            in_flight: self.in_flight.is_some(),
            ending,
            closed: self.closed,
            unplaced: self.unplaced,
            congested: is_congested(&self.dirty_facts(&host, engine, now), &bounds(engine)),
            isolating,
        }
    }

    fn poll(&mut self, engine: &EngineCore, isolation: &mut Option<usize>, now: Duration) -> Result<(), Failed> {
        let usual = engine.config.batch;
        let limit = PollLimit { records: isolation.map_or(usual.records, |most| most.min(usual.records)), ..usual };
        let polled = self.source.poll(limit).map_err(|error| match error.code {
            // Repeating does not bring dropped records back: a human says where to go on.
            ErrorCode::PositionDropped | ErrorCode::PositionUnknown => (Recovery::Fail, error.into()),
            _ => (Recovery::Reopen, error.into()),
        })?;
        let Polled::Batch(batch) = polled else {
            self.drained = true;
            return Ok(());
        };
        if self.records == 0 {
            self.opened_at = now;
        }
        let outcome = self.instance.process(&batch);
        failpoint!("engine.processed");
        match outcome {
            Ok(()) => {
                self.consumed(&batch);
                Ok(())
            }
            Err(failure) => {
                let size = self.records as usize + batch.len();
                let good = self.records as usize + failure.record.unwrap_or(0) as usize;
                *isolation = Some(isolation_limit(size, good, failure.record.is_some()));
                Err(self.call_failed(located(failure, &batch), size))
            }
        }
    }

    fn consumed(&mut self, batch: &Batch) {
        if let Some(end) = batch.end() {
            self.open.positions.insert(batch.from().clone(), end);
        }
        self.records += batch.len() as u64;
        self.bytes += batch.bytes().len();
    }

    /// Ends the open epoch and hands it in.
    fn freeze(&mut self, engine: &EngineCore, waker: &Waker) -> CallResult {
        let number = self.committed.epoch.next();
        self.instance.take_checkpoint(number)?;
        failpoint!("engine.before-freeze");
        let mut host = self.host.lock();
        self.open.epoch = number;
        self.open.records_in += self.records;
        self.open.records_out += host.outbox.records();
        let delta = match engine.config.state_mode {
            StateMode::Lazy => host.layers.freeze(),
            StateMode::WrittenByCommitter => host.layers.freeze_resolved()?,
        };
        let epoch = Arc::new(FrozenEpoch {
            task: self.task,
            generation: self.generation,
            progress: self.open.clone(),
            delta,
            outbox: host.outbox.take(),
        });
        host.layers.set_frozen(epoch.clone());
        drop(host);
        failpoint!("engine.after-freeze");
        self.unplaced = false;
        self.records = 0;
        self.bytes = 0;
        let mut in_flight = InFlight { epoch, result: Arc::default(), refusals: 0, retry_at: None };
        in_flight.submit(engine, waker);
        self.in_flight = Some(in_flight);
        Ok(())
    }

    /// Looks for the answer of the epoch in flight; true when it was committed.
    fn settle_commit(&mut self, function: &Function, waker: &Waker, now: Duration) -> Result<bool, Failed> {
        let engine = &function.engine;
        let Some(in_flight) = &mut self.in_flight else { return Ok(false) };
        if in_flight.retry_at.is_some_and(|at| now >= at) {
            in_flight.submit(engine, waker);
        }
        let Some(result) = in_flight.result.lock().take() else { return Ok(false) };
        match result {
            Ok(log_end) => {
                self.committed = in_flight.epoch.progress.clone();
                // Let go of the epoch, so that its delta moves into the dirty map.
                self.in_flight = None;
                let written = engine.config.state_mode == StateMode::WrittenByCommitter;
                self.host.lock().layers.settle(log_end, written);
                self.account_dirty(now);
                Ok(true)
            }
            Err(failure) => match after_commit_failure(&failure) {
                Recovery::Resubmit => {
                    in_flight.refusals += 1;
                    let error = failure.error();
                    tracing::warn!(function = function.entry.spec.name, task = %self.task, %error, "commit refused, handing it in again");
                    let wait = backoff(in_flight.refusals, engine.config.backoff_min, engine.config.backoff_max);
                    in_flight.retry_at = Some(now + wait);
                    Ok(false)
                }
                recovery => {
                    self.in_flight = None;
                    Err((recovery, failure.error().clone().into()))
                }
            },
        }
    }

    fn settle_apply(&mut self, engine: &EngineCore, now: Duration) {
        let Some(settled) = self.host.lock().layers.settle_apply() else { return };
        match settled {
            Ok(marker) => engine.deps.committer.trim(self.task, marker.epoch),
            Err(error) => {
                // It stays in memory and in the delta log; the next attempt comes with the next due date.
                tracing::warn!(task = %self.task, %error, "state could not be applied, it will be tried again");
                self.dirty.since = Some(now);
            }
        }
        self.account_dirty(now);
    }

    fn apply_if_due(&mut self, engine: &Arc<EngineCore>, waker: &Waker, now: Duration) -> Result<(), Failed> {
        let mut host = self.host.lock();
        if !should_apply(&self.dirty_facts(&host, engine, now), &bounds(engine)) {
            return Ok(());
        }
        let started = host.layers.start_apply().map_err(|error| (Recovery::Reopen, error.into()))?;
        drop(host);
        if let Some(applying) = started {
            let job = engine.scheduler.job(|_| ApplyJob::new(self.base.clone(), applying, waker.clone()));
            job.wake();
        }
        self.account_dirty(now);
        Ok(())
    }

    fn dirty_facts(&self, host: &TaskHost, engine: &EngineCore, now: Duration) -> DirtyFacts {
        let (bytes, keys) = host.layers.dirty_size();
        DirtyFacts {
            keys,
            bytes,
            age: self.dirty.since.map_or(Duration::ZERO, |since| now.saturating_sub(since)),
            all_bytes: engine.dirty_bytes(),
            applying: host.layers.is_applying(),
        }
    }

    fn account_dirty(&mut self, now: Duration) {
        let (bytes, keys) = self.host.lock().layers.dirty_size();
        self.dirty.engine.add_dirty(bytes.wrapping_sub(self.dirty.bytes));
        self.dirty.bytes = bytes;
        self.dirty.since = if keys == 0 { None } else { self.dirty.since.or(Some(now)) };
    }

    fn check_heartbeat(&mut self) -> Result<(), Failed> {
        match self.instance.check_heartbeat() {
            Ok(true) => Ok(()),
            Ok(false) => {
                let error = Error::new(ErrorCode::GuestError, "the instance said that it is not well");
                Err((Recovery::Reopen, error.into()))
            }
            Err(failure) => Err(self.call_failed(failure, 1)),
        }
    }

    fn call_failed(&self, failure: CallFailure, batch: usize) -> Failed {
        (after_call_failure(&failure.error, batch), failure)
    }

    /// When to look again although nobody wakes us.
    fn next_alarm(&self, engine: &EngineCore, ending: bool) -> Option<Duration> {
        let heartbeat = (!ending).then_some(self.heartbeat_at);
        let retry = self.in_flight.as_ref().and_then(|in_flight| in_flight.retry_at);
        let apply =
            self.dirty.since.filter(|_| !self.host.lock().layers.is_applying()).map(|s| s + engine.config.dirty_age);
        [heartbeat, retry, apply].into_iter().flatten().min()
    }
}

impl InFlight {
    fn submit(&mut self, engine: &EngineCore, waker: &Waker) {
        self.retry_at = None;
        let (result, waker) = (self.result.clone(), waker.clone());
        engine.deps.committer.commit(
            self.epoch.clone(),
            Box::new(move |answer| {
                *result.lock() = Some(answer);
                waker.wake();
            }),
        );
    }
}

/// Says at which record a call failed, as exactly as it is known.
fn located(failure: CallFailure, batch: &Batch) -> CallFailure {
    let index = failure.record.map(|index| index as usize).filter(|index| *index < batch.len());
    let place = match index.or((batch.len() == 1).then_some(0)) {
        _ if failure.error.code.fault() != Fault::User => return failure,
        Some(index) => format!("at position {} of {}", batch.position(index), batch.from()),
        None => {
            format!(
                "between positions {} and {} of {}",
                batch.position(0),
                batch.position(batch.len() - 1),
                batch.from()
            )
        }
    };
    CallFailure { error: failure.error.context(place), ..failure }
}

fn bounds(engine: &EngineCore) -> DirtyBounds {
    DirtyBounds { keys: engine.config.dirty_keys, all_bytes: engine.config.dirty_bytes, age: engine.config.dirty_age }
}
