// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a running task gives its instance: input, and dead letters that are replayed. And what becomes of a call that fails.

use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::broker::{PollLimit, Polled};
use fnstream_core::error::{ErrorCode, Fault};
use fnstream_core::failpoint;
use fnstream_core::record::Position;
use fnstream_core::runtime::CallFailure;
use fnstream_core::spec::ErrorAction;
use fnstream_frame::RecordView;

use super::{Cx, Failed, Running};
use crate::letters::LetterAction;
use crate::task::decide::{Recovery, Verdict};
use crate::task::hunt::Suspect;
use crate::task::letters::{self, LetterReader, Letters};

impl Running {
    /// Takes a batch and has it processed.
    pub(super) fn feed(&mut self, cx: &mut Cx<'_>, now: Duration) -> Result<(), Failed> {
        let usual = cx.function.engine.config.batch;
        let records = cx.hunt.limit().unwrap_or(usual.records).min(usual.records).min(self.fitting);
        let limit = PollLimit { records: records.max(1), ..usual };
        if self.letters_wait(cx) {
            return self.feed_letters(cx, limit, now);
        }
        while let Some(group) = self.turns.next() {
            let polled = self.source.poll(Some(group), limit).map_err(|error| match error.code {
                // Repeating does not bring dropped records back: a human says where to go on.
                ErrorCode::PositionDropped | ErrorCode::PositionUnknown => (Recovery::Fail, error.into()),
                _ => (Recovery::Reopen, error.into()),
            })?;
            match polled {
                Polled::Pending => self.turns.had_none(),
                Polled::Watermark { from, watermark } => {
                    self.event_time.emitted(&from, watermark, now);
                    return Ok(());
                }
                // It goes along with the next commit; alone it is not worth one.
                Polled::Skipped { partition, to } => {
                    self.open.positions.insert(partition, to);
                    return Ok(());
                }
                Polled::Batch(batch) => {
                    let Some(end) = batch.end() else { return Ok(()) };
                    self.turns.had_some();
                    self.process(cx, &batch, None, now)?;
                    self.consumed(&batch, end);
                    self.event_time.consumed(&batch, now);
                    return Ok(());
                }
            }
        }
        self.drained = true;
        self.event_time.drained(now);
        Ok(())
    }

    /// The same for dead letters: before further input, in their order.
    fn feed_letters(&mut self, cx: &mut Cx<'_>, limit: PollLimit, now: Duration) -> Result<(), Failed> {
        let reopen = |error: fnstream_core::Error| (Recovery::Reopen, error.into());
        let (Some(at), Some(order)) = (self.dead_letters.clone(), cx.order.clone()) else { return Ok(()) };
        if self.letters.is_none() {
            let from = self.open.positions.get(&at).copied().unwrap_or_default();
            let reader = LetterReader::open(cx.function, &self.assignment, &at, from, cx.waker).map_err(reopen)?;
            self.letters = Some(reader);
        }
        let Some(reader) = &mut self.letters else { return Ok(()) };
        // Whatever comes of it, the place of the task in its letters moves, and that is committed.
        self.urgent = true;
        let Some(letters) = reader.next(limit, order.until).map_err(reopen)? else {
            self.open.positions.insert(at, order.until);
            self.letters = None;
            return Ok(());
        };
        let count = letters.records.len() as u64;
        match order.action {
            LetterAction::Drop => self.counts.dropped += count,
            _ if count == 0 => {}
            _ => {
                let given_up = self.counts.failed_again;
                self.process(cx, &letters.records, Some(&letters), now)?;
                self.counts.replayed += count - (self.counts.failed_again - given_up);
                self.consumed(&letters.records, letters.end);
            }
        }
        self.open.positions.insert(at, letters.end);
        Ok(())
    }

    /// Has a batch processed; or gives its record up, when it is the one that cannot be.
    fn process(
        &mut self,
        cx: &mut Cx<'_>,
        batch: &Batch,
        letters: Option<&Letters>,
        now: Duration,
    ) -> Result<(), Failed> {
        if self.records + self.told == 0 {
            self.opened_at = now;
        }
        if let Some(suspect) = cx.hunt.doomed(batch) {
            return self.give_up(cx, batch, letters, suspect).map_err(|error| (Recovery::Reopen, error.into()));
        }
        let emitted_before = {
            let mut host = self.host.lock();
            host.begin_call(batch.len());
            host.outbox.bytes()
        };
        let clock = &cx.function.engine.deps.clock;
        let outcome = self.instance.process(batch);
        cx.function.meter.call(clock.now().saturating_sub(now));
        failpoint!("engine.processed");
        outcome.map_err(|failure| self.blame(cx, failure, Some(batch)))?;
        let emitted = self.host.lock().outbox.bytes() - emitted_before;
        self.fitting = fitting(batch.len(), emitted, cx.function.engine.config.epoch.bytes);
        Ok(())
    }

    fn consumed(&mut self, batch: &Batch, end: Position) {
        self.open.positions.insert(batch.from().clone(), end);
        self.records += batch.len() as u64;
        self.bytes += batch.bytes().len();
        self.last = Some((batch.from().clone(), batch.position(batch.len() - 1)));
    }

    /// Does with a record that cannot be processed what the policy says, in this epoch.
    fn give_up(
        &mut self,
        cx: &Cx<'_>,
        batch: &Batch,
        letters: Option<&Letters>,
        suspect: &Suspect,
    ) -> fnstream_core::Result<()> {
        let (function, task) = (cx.function, self.assignment.task.index);
        let Suspect { attempts, failure, .. } = suspect;
        let position = batch.position(0);
        self.gave_up = true;
        if let ErrorAction::DeadLetter { .. } = function.entry.spec.on_error.action {
            let source = letters.map_or(batch, |letters| &letters.raw);
            let found = source.iter().find(|(at, _)| *at == position);
            let Some((_, record)) = found else {
                return Err(fnstream_core::error::internal("a record that is given up is not where it was"));
            };
            let place = (batch.from(), position, &record);
            let headers = letters::headers(function, place, letters.is_some(), (*attempts, failure))?;
            let letter = RecordView { headers: headers.as_headers(), ..record };
            self.host.lock().outbox.push_dead_letter(letter)?;
            self.counts.dead_lettered += 1;
            self.counts.failed_again += u64::from(letters.is_some());
            function.say(task, format_args!("dead letter after {attempts} attempts: {}", failure.error));
        } else {
            self.counts.skipped += 1;
            self.counts.failed_again += u64::from(letters.is_some());
            function.say(task, format_args!("skipped after {attempts} attempts: {}", failure.error));
        }
        Ok(())
    }

    /// What a failed call leads to; the culprit is looked for among the records of the open epoch and of `batch`.
    pub(super) fn blame(&self, cx: &mut Cx<'_>, failure: CallFailure, batch: Option<&Batch>) -> Failed {
        let len = batch.map_or(0, Batch::len);
        let size = self.records as usize + len;
        // A fault of the host is no record's fault, and neither is one of a call that has no records; nor of an epoch whose
        // record was given up without a call.
        if failure.error.code.fault() != Fault::User || size == 0 || (self.gave_up && len == 0) {
            return (Recovery::Reopen, failure);
        }
        cx.function.meter.failed();
        let good = self.records as usize + failure.record.unwrap_or(0) as usize;
        let known = batch.is_some() && failure.record.is_some();
        let failure = match batch {
            Some(batch) => located(failure, batch),
            None => failure,
        };
        if size > 1 {
            cx.hunt.failed_among(size, if known { good } else { 0 }, known);
            return (Recovery::ReopenNow, failure);
        }
        let culprit = batch.map(|batch| (batch.from().clone(), batch.position(0))).or_else(|| self.last.clone());
        let Some((from, position)) = culprit else { return (Recovery::Reopen, failure) };
        let recovery = match cx.hunt.failed_alone(&from, position, &failure, &cx.function.entry.spec.on_error) {
            Verdict::Retry(wait) => Recovery::Retry(wait),
            Verdict::GiveUpRecord => Recovery::ReopenNow,
            Verdict::StopTask => Recovery::Fail,
        };
        (recovery, failure)
    }
}

/// How many records the next batch may have, when a batch of so many emitted so many bytes: one batch must not fill many
/// epochs with what it emits, all of which waits in memory.
fn fitting(records: usize, emitted: usize, epoch: usize) -> usize {
    if emitted <= epoch {
        return usize::MAX;
    }
    (records * epoch / emitted).max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_shrink_to_what_an_epoch_holds() {
        assert_eq!(fitting(1000, 100, 1000), usize::MAX);
        assert_eq!(fitting(1000, 10_000, 1000), 100);
        assert_eq!(fitting(2, 10_000, 1000), 1);
    }
}
