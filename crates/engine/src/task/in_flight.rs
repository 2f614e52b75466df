// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An epoch that the committer has, until its answer is read.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::committer::{CommitFailure, CommitResult};
use fnstream_core::epoch::FrozenEpoch;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode};
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
    /// The answer was read: none is to come.
    answered: bool,
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

/// An answer that somebody waits for. One that is dropped without having been given, because the committer panicked, says that
/// it will not come.
struct Due {
    /// Taken when it is given.
    answer: Option<Arc<Mutex<Option<CommitResult>>>>,
    waker: Waker,
}

impl Due {
    fn give(mut self, result: CommitResult) {
        if let Some(answer) = self.answer.take() {
            *answer.lock() = Some(result);
        }
        // Dropping it wakes.
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            let lost = Error::new(ErrorCode::CommitFatal, "the committer gave no answer");
            *answer.lock() = Some(Err(CommitFailure::Fatal(lost)));
        }
        self.waker.wake();
    }
}

impl Unanswered {
    pub(super) fn probe(&self) -> Probe {
        Probe(self.0.answer.clone())
    }

    /// Reports whether the answer has come; counts what was committed.
    pub(super) fn settle(&mut self, env: &TaskEnv, order: Option<&DeadLetterOrder>, now: Duration) -> bool {
        if self.0.answered {
            return true;
        }
        let Some(result) = self.0.take_answer() else { return false };
        if result.is_ok() {
            self.0.count(env, order, now);
        }
        true
    }
}

impl InFlight {
    /// An epoch that is handed in next, see [`Self::submit`].
    pub(super) fn new(frozen: Arc<FrozenEpoch>, ended: OpenEpoch, now: Duration) -> Self {
        let answer = Arc::default();
        InFlight { frozen, ended, handed_in: now, answer, answered: false, refusals: 0, retry_at: None }
    }

    /// Hands it in again, when it was refused and has waited.
    pub(super) fn resubmit_if_due(&mut self, env: &TaskEnv, waker: &Waker, now: Duration) {
        if self.retry_at.is_some_and(|at| now >= at) {
            self.submit(env, waker);
        }
    }

    /// The answer, once.
    pub(super) fn take_answer(&mut self) -> Option<CommitResult> {
        let answer = self.answer.lock().take();
        self.answered |= answer.is_some();
        answer
    }

    /// It was refused, and will be handed in again after a wait.
    pub(super) fn refused(&mut self, env: &TaskEnv, now: Duration) {
        self.refusals = self.refusals.saturating_add(1);
        let config = &env.core.config;
        self.retry_at = Some(now + backoff(self.refusals, config.backoff_min, config.backoff_max));
    }

    /// Tells when the answer has come, unless none is to come: a refused epoch is with nobody.
    pub(super) fn probe(&self) -> Option<Probe> {
        self.is_awaited().then(|| Probe(self.answer.clone()))
    }

    fn is_awaited(&self) -> bool {
        self.retry_at.is_none() && !self.answered
    }

    /// Itself, when an answer is still to come.
    pub(super) fn unanswered(self) -> Option<Unanswered> {
        self.is_awaited().then_some(Unanswered(self))
    }

    /// Adds the epoch's numbers to those who keep them, now that it is committed.
    pub(super) fn count(&self, env: &TaskEnv, order: Option<&DeadLetterOrder>, now: Duration) {
        let OpenEpoch { records, counts, .. } = &self.ended;
        let (input, dead_letters) =
            (self.ended.input_records(), counts.dead_lettered.saturating_sub(counts.failed_again));
        if let Some(order) = order {
            order.tally.note(|report| {
                report.replayed += counts.replayed;
                report.failed_again += counts.failed_again;
                report.dropped += counts.dropped;
                report.moved += counts.moved;
            });
        }
        let age = (*records > 0).then(|| self.ended.age(self.handed_in));
        env.meter.committed(input, counts.emitted, age, now.saturating_sub(self.handed_in));
        env.meter.dead_lettered(dead_letters);
        env.meter.replayed(counts.replayed, counts.failed_again);
        env.meter.skipped(counts.skipped);
        env.meter.ahead(counts.ahead);
    }

    /// Hands it in. From here on the answer is waited for, also when this does not return: it comes in any case.
    pub(super) fn submit(&mut self, env: &TaskEnv, waker: &Waker) {
        (self.retry_at, self.answered) = (None, false);
        let due = Due { answer: Some(self.answer.clone()), waker: waker.clone() };
        let meter = env.meter.clone();
        let answered = move |result: CommitResult| {
            if matches!(result, Err(CommitFailure::Fenced(_))) {
                meter.fenced();
            }
            due.give(result);
        };
        env.backend.committer.commit(self.frozen.clone(), Box::new(answered));
    }
}
