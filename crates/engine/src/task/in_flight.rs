// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An epoch that the committer has, until its answer is read.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::committer::CommitResult;
use fnstream_core::epoch::FrozenEpoch;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use super::decide::backoff;
use super::env::TaskEnv;
use super::epoch::OpenEpoch;
use crate::dead_letters::DeadLetterOrder;

/// See the module.
pub(super) struct InFlight {
    pub(super) frozen: Arc<FrozenEpoch>,
    /// The epoch as it was when it ended.
    pub(super) ended: OpenEpoch,
    handed_in: Duration,
    answer: Arc<Mutex<Option<CommitResult>>>,
    refusals: u32,
    /// Set while a refused epoch waits before it is handed in again.
    pub(super) retry_at: Option<Duration>,
}

/// A commit whose answer comes when the ownership that handed it in is over: until then it may still become visible, and
/// when it does, the work in it counts.
pub(super) struct Unanswered(InFlight);

/// Reports whether the answer to a commit has come, to those who are not its task.
pub(crate) struct Probe(Arc<Mutex<Option<CommitResult>>>);

impl Probe {
    pub(crate) fn is_answered(&self) -> bool {
        self.0.lock().is_some()
    }
}

impl Unanswered {
    pub(super) fn probe(&self) -> Probe {
        Probe(self.0.answer.clone())
    }

    /// Reports whether the answer has come; counts what was committed.
    pub(super) fn settle(&mut self, env: &TaskEnv, order: Option<&DeadLetterOrder>, now: Duration) -> bool {
        let Some(result) = self.0.take_answer() else { return false };
        if result.is_ok() {
            self.0.count(env, order, now);
        }
        true
    }
}

impl InFlight {
    /// Hands an epoch in.
    pub(super) fn begin(
        env: &TaskEnv,
        waker: &Waker,
        frozen: Arc<FrozenEpoch>,
        ended: OpenEpoch,
        now: Duration,
    ) -> Self {
        let mut in_flight =
            InFlight { frozen, ended, handed_in: now, answer: Arc::default(), refusals: 0, retry_at: None };
        in_flight.submit(env, waker);
        in_flight
    }

    /// Hands it in again, when it was refused and has waited.
    pub(super) fn resubmit_if_due(&mut self, env: &TaskEnv, waker: &Waker, now: Duration) {
        if self.retry_at.is_some_and(|at| now >= at) {
            self.submit(env, waker);
        }
    }

    /// The answer, once.
    pub(super) fn take_answer(&mut self) -> Option<CommitResult> {
        self.answer.lock().take()
    }

    /// It was refused, and will be handed in again after a wait.
    pub(super) fn refused(&mut self, env: &TaskEnv, now: Duration) {
        self.refusals = self.refusals.saturating_add(1);
        let config = &env.core.config;
        self.retry_at = Some(now + backoff(self.refusals, config.backoff_min, config.backoff_max));
    }

    /// Tells when the answer has come, unless none is to come: a refused epoch is with nobody.
    pub(super) fn probe(&self) -> Option<Probe> {
        self.retry_at.is_none().then(|| Probe(self.answer.clone()))
    }

    /// Itself, when an answer is still to come.
    pub(super) fn unanswered(self) -> Option<Unanswered> {
        self.retry_at.is_none().then_some(Unanswered(self))
    }

    /// Adds the epoch's numbers to those who keep them, now that it is committed.
    pub(super) fn count(&self, env: &TaskEnv, order: Option<&DeadLetterOrder>, now: Duration) {
        let OpenEpoch { records, counts, .. } = &self.ended;
        if let Some(order) = order {
            order.tally.note(|report| {
                report.replayed += counts.replayed;
                report.failed_again += counts.failed_again;
                report.dropped += counts.dropped;
            });
        }
        let age = (*records > 0).then(|| self.ended.age(self.handed_in));
        env.meter.committed(*records, counts.emitted, age, now.saturating_sub(self.handed_in));
        env.meter.dead_lettered(counts.dead_lettered);
        env.meter.skipped(counts.skipped);
        env.meter.ahead(counts.ahead);
    }

    fn submit(&mut self, env: &TaskEnv, waker: &Waker) {
        self.retry_at = None;
        let (answer, waker) = (self.answer.clone(), waker.clone());
        env.backend.committer.commit(
            self.frozen.clone(),
            Box::new(move |result| {
                *answer.lock() = Some(result);
                waker.wake();
            }),
        );
    }
}
