// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What becomes of a call that fails: which record is to blame for it, and whether that is dealt with where it is.
//!
//! ```text
//! an error, nothing left of its record ──► the epoch and the instance stay; the record is tried again or given up here
//! the first record that was called in its epoch ──► the epoch stays, the instance is replaced: see `replace`
//! anything else ──► the epoch and the instance are dropped, and the record is looked for: see `hunt`
//! ```
//!
//! Waits and stops are the machine's, so a record that is to wait before it is tried again takes the last way, too.

use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::error::{ErrorCode, Fault, Result, internal};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::runtime::CallFailure;
use fnstream_core::spec::ErrorAction;
use fnstream_core::units::counted;
use fnstream_frame::RecordView;

use super::rest::Rest;
use super::{Cx, Running};
use crate::task::dead_letters;
use crate::task::decide::{Recovery, Verdict};
use crate::task::failure::Failure;

impl Running {
    /// A part of a batch failed.
    pub(super) fn part_failed(
        &mut self,
        cx: &mut Cx<'_>,
        rest: &mut Rest,
        part: &Batch,
        failure: CallFailure,
        now: Duration,
    ) -> Result<(), Failure> {
        let undone = failure.record.filter(|_| failure.undone).map(|index| index as usize);
        let Some(index) = undone.filter(|index| *index < part.len()) else {
            return match self.replace_if_first(cx, rest, part, failure, now)? {
                Some(failure) => Err(self.blame(cx, failure, Some(part))),
                None => Ok(()),
            };
        };
        cx.env.meter.failed();
        let failure = located(failure, part);
        let (from, position) = (part.from(), part.position(index));
        let (verdict, attempts) = cx.hunt.failed_at(from, position, &failure, &cx.env.spec().on_error);
        match verdict {
            Verdict::Retry(Duration::ZERO) => {
                self.processed(cx, rest, index, now);
                rest.one();
            }
            Verdict::GiveUpRecord => {
                self.processed(cx, rest, index, now);
                self.give_up(cx, rest, attempts, &failure, now)?;
                rest.gave_up_after(index);
            }
            Verdict::Retry(_) | Verdict::StopTask => {
                let (size, good) = (self.epoch.records as usize + part.len(), self.epoch.records as usize + index);
                if size == 1 {
                    cx.hunt.is_alone();
                    return Err(Failure::new(Recovery::from(verdict), failure));
                }
                cx.hunt.failed_among(size, Some(good));
                return Err(Failure::new(among(verdict), failure));
            }
        }
        self.note_failure(cx, failure);
        Ok(())
    }

    /// A record failed and was dealt with where it is.
    pub(super) fn note_failure(&mut self, cx: &Cx<'_>, failure: CallFailure) {
        let (function, task) = (&cx.env.spec().name, self.own.assignment.task.index);
        let (code, message) = (failure.error.code, &failure.error.message);
        tracing::debug!(function, task, %code, message, "a record failed, nothing of it is kept");
        self.failed = Some((failure, cx.env.core.deps.clock.unix_ms()));
    }

    /// Does with the next record, which cannot be processed, what the policy says, in this epoch.
    pub(super) fn give_up(
        &mut self,
        cx: &Cx<'_>,
        rest: &mut Rest,
        attempts: u32,
        failure: &CallFailure,
        now: Duration,
    ) -> Result<()> {
        let (env, task) = (cx.env, self.own.assignment.task.index);
        let (batch, is_dead_letter) = (rest.part(), rest.is_of_dead_letters());
        let position = batch.position(0);
        if let ErrorAction::DeadLetter { .. } = env.spec().on_error.action {
            let source = rest.dead_letters().map_or(&batch, |found| &found.raw);
            let Some(record) = source.record_at(position) else {
                return Err(internal("a record that is given up is not where it was"));
            };
            let place = (batch.from(), position, &record);
            let headers = dead_letters::headers(env, place, is_dead_letter, (attempts, failure))?;
            let dead_letter = RecordView { headers: headers.as_headers(), ..record };
            self.own.host.lock().outbox.push_dead_letter(dead_letter)?;
            self.epoch.counts.dead_lettered += 1;
            env.say(task, format_args!("dead letter after {}: {}", counted(attempts, "attempt"), failure.error));
        } else {
            self.epoch.counts.skipped += 1;
            env.say(task, format_args!("skipped after {}: {}", counted(attempts, "attempt"), failure.error));
        }
        self.epoch.counts.failed_again += u64::from(is_dead_letter);
        self.epoch.given_up += 1;
        self.consume(cx, rest, 1, now);
        Ok(())
    }

    /// Decides what a failed call leads to; the culprit is looked for among the records of the open epoch and of `batch`.
    pub(super) fn blame(&self, cx: &mut Cx<'_>, failure: CallFailure, batch: Option<&Batch>) -> Failure {
        let len = batch.map_or(0, Batch::len);
        let size = self.epoch.records as usize + len;
        // A fault of the host is no record's fault, and neither is one of a call that has no records; nor of an epoch whose
        // records were all given up.
        if failure.error.code.fault() != Fault::User || size == 0 || (self.epoch.gave_up_all() && len == 0) {
            return failure.into();
        }
        cx.env.meter.failed();
        let policy = &cx.env.spec().on_error;
        let named = batch.and_then(|batch| named(&failure, batch));
        let good = self.epoch.records as usize + failure.record.unwrap_or(0) as usize;
        let known = batch.is_some() && failure.record.is_some();
        let failure = match batch {
            Some(batch) => located(failure, batch),
            None => failure,
        };
        if size > 1 {
            cx.hunt.failed_among(size, known.then_some(good));
            let wait = named.and_then(|(from, position)| cx.hunt.named_among(&from, position, &failure, policy));
            return Failure::new(wait.map_or(Recovery::RestartNow, |wait| among(Verdict::Retry(wait))), failure);
        }
        let culprit = batch.map(|batch| (batch.from().clone(), batch.position(0))).or_else(|| self.epoch.last.clone());
        let Some((from, position)) = culprit else { return failure.into() };
        let verdict = cx.hunt.failed_alone(&from, position, &failure, policy);
        Failure::new(Recovery::from(verdict), failure)
    }
}

/// The way on to a record that failed among others, which come before it once more.
fn among(verdict: Verdict) -> Recovery {
    match verdict {
        Verdict::Retry(wait) if wait > Duration::ZERO => Recovery::RestartAfter(wait),
        Verdict::Retry(_) | Verdict::GiveUpRecord | Verdict::StopTask => Recovery::RestartNow,
    }
}

/// The record at which a call ended by itself. At a limit it may be that others before it have used up what there was.
pub(super) fn named(failure: &CallFailure, batch: &Batch) -> Option<(TopicPartition, Position)> {
    let by_itself = matches!(failure.error.code, ErrorCode::GuestError | ErrorCode::GuestTrap | ErrorCode::GuestExit);
    let index = failure.record.filter(|index| by_itself && (*index as usize) < batch.len())?;
    Some((batch.from().clone(), batch.position(index as usize)))
}

/// The failure with the place of the record that failed, as exactly as it is known.
pub(super) fn located(failure: CallFailure, batch: &Batch) -> CallFailure {
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
