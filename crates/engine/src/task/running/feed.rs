// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a running task gives its instance: input, and dead letters that are replayed. And what becomes of a call that fails.

use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::broker::{PollLimit, Polled};
use fnstream_core::error::{Fault, Result, internal};
use fnstream_core::failpoint;
use fnstream_core::record::TopicPartition;
use fnstream_core::runtime::CallFailure;
use fnstream_core::spec::ErrorAction;
use fnstream_frame::RecordView;

use super::{Cx, Running};
use crate::dead_letters::DeadLetterAction;
use crate::task::dead_letters::{self, DeadLetterReader, DeadLetters, Read};
use crate::task::decide::{Recovery, after_source_failure};
use crate::task::failure::Failure;
use crate::task::hunt::Suspect;

impl Running {
    /// Takes a batch and has it processed.
    pub(super) fn feed(&mut self, cx: &mut Cx<'_>, now: Duration) -> Result<(), Failure> {
        self.pace.input();
        let usual = cx.env.core.config.batch;
        let records =
            cx.hunt.limit(self.epoch.records).unwrap_or(usual.records).min(usual.records).min(self.guest.fitting);
        let limit = PollLimit { records: records.max(1), ..usual };
        if self.has_dead_letters(cx) {
            return self.feed_dead_letters(cx, limit, now);
        }
        while let Some(group) = self.turns.next() {
            match self.own.source.poll(Some(group), limit).map_err(after_source_failure)? {
                Polled::Pending => self.turns.had_none(),
                Polled::Watermark { from, watermark } => {
                    self.event_time.emitted(&from, watermark, now);
                    return Ok(());
                }
                // It goes along with the next commit; alone it waits a while for one.
                Polled::Skipped { partition, to } => {
                    self.epoch.progress.positions.insert(partition, to);
                    self.epoch.skipped.get_or_insert(now);
                    return Ok(());
                }
                Polled::Batch(batch) => {
                    let Some(end) = batch.end() else { return Ok(()) };
                    self.turns.had_some();
                    self.process(cx, &batch, None, now)?;
                    self.epoch.consumed(&batch, end);
                    let ahead = self.event_time.consumed(&batch, now, cx.env.core.deps.clock.unix_ms());
                    self.note_ahead(cx, batch.from(), ahead);
                    return Ok(());
                }
            }
        }
        self.drained = true;
        self.event_time.drained(now);
        Ok(())
    }

    /// Counts records whose timestamps were too far ahead of the clock; the first time in an instance's life the function's log
    /// says so.
    fn note_ahead(&mut self, cx: &Cx<'_>, from: &TopicPartition, records: u64) {
        self.epoch.counts.ahead += records;
        if records > 0 && self.event_time.first_ahead() {
            cx.env.say(
                self.own.assignment.task.index,
                format_args!(
                    "{records} of the records just read from {from} have timestamps further ahead of the clock than \
                     max-ahead: they are processed, but do not move the watermark; there may be more"
                ),
            );
        }
    }

    /// The same for dead letters: before further input, in their order.
    fn feed_dead_letters(&mut self, cx: &mut Cx<'_>, limit: PollLimit, now: Duration) -> Result<(), Failure> {
        let (Some(at), Some(order)) = (self.own.dead_letters.clone(), cx.order.clone()) else { return Ok(()) };
        if self.reader.is_none() {
            let from = self.epoch.progress.positions.get(&at).copied().unwrap_or_default();
            self.reader = Some(DeadLetterReader::open(cx.env, &self.own.assignment, &at, from, cx.waker)?);
        }
        let Some(reader) = &mut self.reader else { return Ok(()) };
        let found = match reader.next(limit, order.until)? {
            Read::Some(found) => found,
            Read::End => {
                self.epoch.urgent = true;
                self.epoch.progress.positions.insert(at, order.until);
                self.reader = None;
                return Ok(());
            }
            // They come before further input, so there is none until they are there.
            Read::Pending => {
                self.drained = true;
                return Ok(());
            }
        };
        // Whatever comes of it, the place of the task in its dead letters moves, and that is committed.
        self.epoch.urgent = true;
        let count = found.records.len() as u64;
        match order.action {
            DeadLetterAction::Drop => self.epoch.counts.dropped += count,
            _ if count == 0 => {}
            _ => {
                let given_up = self.epoch.counts.failed_again;
                self.process(cx, &found.records, Some(&found), now)?;
                self.epoch.counts.replayed += count - (self.epoch.counts.failed_again - given_up);
                self.epoch.consumed(&found.records, found.end);
            }
        }
        self.epoch.progress.positions.insert(at, found.end);
        Ok(())
    }

    /// Has a batch processed; or gives its record up, when it is the one that cannot be.
    fn process(
        &mut self,
        cx: &mut Cx<'_>,
        batch: &Batch,
        dead_letters: Option<&DeadLetters>,
        now: Duration,
    ) -> Result<(), Failure> {
        self.epoch.begin(now);
        if let Some(suspect) = cx.hunt.doomed(batch) {
            return Ok(self.give_up(cx, batch, dead_letters, suspect)?);
        }
        let emitted_before = {
            let mut host = self.own.host.lock();
            host.begin_call(batch.len());
            host.outbox.bytes()
        };
        let outcome = self.guest.instance.process(batch);
        cx.env.meter.call(cx.env.now().saturating_sub(now));
        failpoint!("engine.processed");
        outcome.map_err(|failure| self.blame(cx, failure, Some(batch)))?;
        let emitted = self.own.host.lock().outbox.bytes() - emitted_before;
        self.guest.emitted(batch.len(), emitted, cx.env.backend.epoch.bytes);
        Ok(())
    }

    /// Does with a record that cannot be processed what the policy says, in this epoch.
    fn give_up(
        &mut self,
        cx: &Cx<'_>,
        batch: &Batch,
        dead_letters: Option<&DeadLetters>,
        suspect: &Suspect,
    ) -> Result<()> {
        let (env, task) = (cx.env, self.own.assignment.task.index);
        let Suspect { attempts, failure, .. } = suspect;
        let (position, is_dead_letter) = (batch.position(0), dead_letters.is_some());
        self.epoch.gave_up = true;
        if let ErrorAction::DeadLetter { .. } = env.spec().on_error.action {
            let source = dead_letters.map_or(batch, |found| &found.raw);
            let found = source.iter().find(|(at, _)| *at == position);
            let Some((_, record)) = found else {
                return Err(internal("a record that is given up is not where it was"));
            };
            let place = (batch.from(), position, &record);
            let headers = dead_letters::headers(env, place, is_dead_letter, (*attempts, failure))?;
            let dead_letter = RecordView { headers: headers.as_headers(), ..record };
            self.own.host.lock().outbox.push_dead_letter(dead_letter)?;
            self.epoch.counts.dead_lettered += 1;
            self.epoch.counts.failed_again += u64::from(is_dead_letter);
            env.say(task, format_args!("dead letter after {attempts} attempts: {}", failure.error));
        } else {
            self.epoch.counts.skipped += 1;
            self.epoch.counts.failed_again += u64::from(is_dead_letter);
            env.say(task, format_args!("skipped after {attempts} attempts: {}", failure.error));
        }
        Ok(())
    }

    /// Decides what a failed call leads to; the culprit is looked for among the records of the open epoch and of `batch`.
    pub(super) fn blame(&self, cx: &mut Cx<'_>, failure: CallFailure, batch: Option<&Batch>) -> Failure {
        let len = batch.map_or(0, Batch::len);
        let size = self.epoch.records as usize + len;
        // A fault of the host is no record's fault, and neither is one of a call that has no records; nor of an epoch whose
        // record was given up without a call.
        if failure.error.code.fault() != Fault::User || size == 0 || (self.epoch.gave_up && len == 0) {
            return failure.into();
        }
        cx.env.meter.failed();
        let good = self.epoch.records as usize + failure.record.unwrap_or(0) as usize;
        let known = batch.is_some() && failure.record.is_some();
        let failure = match batch {
            Some(batch) => located(failure, batch),
            None => failure,
        };
        if size > 1 {
            cx.hunt.failed_among(size, known.then_some(good));
            return Failure::new(Recovery::RestartNow, failure);
        }
        let culprit = batch.map(|batch| (batch.from().clone(), batch.position(0))).or_else(|| self.epoch.last.clone());
        let Some((from, position)) = culprit else { return failure.into() };
        let verdict = cx.hunt.failed_alone(&from, position, &failure, &cx.env.spec().on_error);
        Failure::new(Recovery::from(verdict), failure)
    }
}

/// The failure with the place of the record that failed, as exactly as it is known.
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
