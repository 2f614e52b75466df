// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The end of a running task's epoch: freezing it, handing it in, and what the answer means.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::committer::CommitResult;
use fnstream_core::epoch::{Epoch, FrozenEpoch};
use fnstream_core::failpoint;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use super::{Counts, Cx, Failed, Running};
use crate::config::StateMode;
use crate::engine::EngineCore;
use crate::function::Function;
use crate::letters::LetterOrder;
use crate::task::decide::{Recovery, after_commit_failure, backoff};

/// An epoch that the committer has.
pub(super) struct InFlight {
    epoch: Arc<FrozenEpoch>,
    counts: Counts,
    /// From the epoch's first record to its freezing.
    took: Option<Duration>,
    handed_in: Duration,
    result: Arc<Mutex<Option<CommitResult>>>,
    refusals: u32,
    /// Set while a refused epoch waits before it is handed in again.
    pub(super) retry_at: Option<Duration>,
}

/// A commit whose answer comes when the life of the task that handed it in is over: until then it may still become
/// visible, and when it does, what it did counts.
pub(in crate::task) struct Unanswered(InFlight);

impl Unanswered {
    /// Whether the answer has come; counts what was committed.
    pub(in crate::task) fn settle(&mut self, function: &Function, order: Option<&LetterOrder>, now: Duration) -> bool {
        let Some(result) = self.0.result.lock().take() else { return false };
        if result.is_ok() {
            self.0.count(function, order, now);
        }
        true
    }
}

impl Running {
    /// Ends the open epoch and hands it in.
    pub(super) fn freeze(&mut self, cx: &mut Cx<'_>, now: Duration) -> Result<(), Failed> {
        let number = self.committed.epoch.next();
        // What it emits now it could have emitted for each of the epoch's records.
        self.host.lock().begin_call(self.records as usize);
        self.instance.take_checkpoint(number).map_err(|failure| self.blame(cx, failure, None))?;
        failpoint!("engine.before-freeze");
        let emitted = self.host.lock().outbox.records();
        let epoch = self.frozen(&cx.function.engine, number).map_err(|error| (Recovery::Reopen, error.into()))?;
        failpoint!("engine.after-freeze");
        let counts = Counts { records: self.records, emitted, ..std::mem::take(&mut self.counts) };
        let took = (counts.records > 0).then(|| now.saturating_sub(self.opened_at));
        self.urgent = false;
        self.gave_up = false;
        self.records = 0;
        self.told = 0;
        self.bytes = 0;
        let result = Arc::default();
        let mut in_flight = InFlight { epoch, counts, took, handed_in: now, result, refusals: 0, retry_at: None };
        in_flight.submit(&cx.function.engine, cx.waker);
        self.in_flight = Some(in_flight);
        Ok(())
    }

    fn frozen(&mut self, engine: &EngineCore, number: Epoch) -> fnstream_core::Result<Arc<FrozenEpoch>> {
        let mut host = self.host.lock();
        self.open.epoch = number;
        self.open.records_in += self.records;
        self.open.time = self.event_time.keep();
        let (idle, news) = self.event_time.tell_idle();
        self.open.records_out += host.outbox.all_records();
        let delta = match engine.config.state_mode {
            StateMode::Lazy => host.layers.freeze(),
            StateMode::WrittenByCommitter => host.layers.freeze_resolved()?,
        };
        let epoch = Arc::new(FrozenEpoch {
            task: self.assignment.task,
            generation: self.generation,
            progress: self.open.clone(),
            delta,
            watermarks: host.outbox.take_watermarks(idle, news),
            outbox: host.outbox.take(),
        });
        host.layers.set_frozen(epoch.clone());
        Ok(epoch)
    }

    /// Looks for the answer of the epoch in flight; true when it was committed.
    pub(super) fn settle_commit(&mut self, cx: &mut Cx<'_>, now: Duration) -> Result<bool, Failed> {
        let engine = &cx.function.engine;
        let Some(in_flight) = &mut self.in_flight else { return Ok(false) };
        if in_flight.retry_at.is_some_and(|at| now >= at) {
            in_flight.submit(engine, cx.waker);
        }
        let Some(result) = in_flight.result.lock().take() else { return Ok(false) };
        match result {
            Ok(log_end) => {
                let Some(done) = self.in_flight.take() else { return Ok(false) };
                self.committed = done.epoch.progress.clone();
                self.refused = None;
                done.count(cx.function, cx.order.as_ref(), now);
                // Let go of the epoch, so that its delta moves into the dirty map.
                drop(done);
                let written = engine.config.state_mode == StateMode::WrittenByCommitter;
                self.host.lock().layers.settle(log_end, written);
                self.account_dirty(now);
                cx.hunt.committed(&self.committed.positions, engine.config.batch.records);
                self.finish_order(cx);
                Ok(true)
            }
            Err(failure) => match after_commit_failure(&failure) {
                Recovery::Resubmit => {
                    in_flight.refusals += 1;
                    let error = failure.error();
                    cx.function.warn(
                        self.assignment.task.index,
                        format_args!("commit refused, it is handed in again: {error}"),
                    );
                    let wait = backoff(in_flight.refusals, engine.config.backoff_min, engine.config.backoff_max);
                    in_flight.retry_at = Some(now + wait);
                    self.refused = Some(error.clone());
                    Ok(false)
                }
                recovery => {
                    self.in_flight = None;
                    Err((recovery, failure.error().clone().into()))
                }
            },
        }
    }
}

impl InFlight {
    /// Itself, when an answer is still to come.
    pub(super) fn unanswered(self) -> Option<Unanswered> {
        self.retry_at.is_none().then_some(Unanswered(self))
    }

    /// Tells those who count it what the epoch did, now that it is committed.
    fn count(&self, function: &Function, order: Option<&LetterOrder>, now: Duration) {
        let counts = &self.counts;
        if let Some(order) = order {
            order.tally.note(|report| {
                report.replayed += counts.replayed;
                report.failed_again += counts.failed_again;
                report.dropped += counts.dropped;
            });
        }
        let meter = &function.meter;
        meter.committed(counts.records, counts.emitted, self.took, now.saturating_sub(self.handed_in));
        meter.dead_lettered(counts.dead_lettered);
        meter.skipped(counts.skipped);
    }

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
