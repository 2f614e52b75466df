// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a running task gives its instance: input, and dead letters that are replayed.

use std::collections::BTreeSet;
use std::time::Duration;

use fnstream_core::broker::{PollLimit, Polled};
use fnstream_core::error::{Result, internal};
use fnstream_core::failpoint;
use fnstream_core::record::{Position, TopicPartition};

use super::rest::Rest;
use super::{Cx, Running};
use crate::dead_letters::DeadLetterAction;
use crate::task::dead_letters::{DeadLetterReader, DeadLetters, Read};
use crate::task::decide::after_source_failure;
use crate::task::failure::Failure;
use crate::task::hunt::Suspect;

impl Running {
    /// Takes a batch and has it processed.
    pub(super) fn feed(&mut self, cx: &mut Cx<'_>, now: Duration) -> Result<(), Failure> {
        self.pace.input();
        if let Some(rest) = self.rest.take() {
            return self.work(cx, rest, now);
        }
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
                    if !batch.is_empty() {
                        self.turns.had_some();
                    }
                    return self.work(cx, Rest::of_input(batch), now);
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
                    "of the records just read from {from}, {records} had a timestamp further ahead of the clock than \
                     max-ahead: such a record is processed, but does not move the watermark; there may be more"
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
        let count = found.records.len() as u64;
        if count > 0 && order.action.is_replay() {
            // The place moves with the records, in an epoch like any other.
            return self.work(cx, Rest::of_dead_letters(found), now);
        }
        match &order.action {
            DeadLetterAction::Drop => self.epoch.counts.dropped += count,
            DeadLetterAction::DropOnly(chosen) => self.drop_only(chosen, &found)?,
            DeadLetterAction::Replay | DeadLetterAction::Try(_) => {}
        }
        // No record tells that there is something to commit.
        self.epoch.urgent = true;
        self.epoch.progress.positions.insert(at, found.end);
        Ok(())
    }

    /// Passes over the chosen ones, and writes the others to the end as they are, in the epoch that moves the place past them.
    fn drop_only(&mut self, chosen: &BTreeSet<Position>, found: &DeadLetters) -> Result<(), Failure> {
        let mut host = self.own.host.lock();
        for (position, _) in found.records.iter() {
            if chosen.contains(&position) {
                self.epoch.counts.dropped += 1;
                continue;
            }
            let kept = found.raw.record_at(position).ok_or_else(|| internal("a dead letter is not where it was"))?;
            host.outbox.push_dead_letter(kept)?;
            self.epoch.counts.moved += 1;
        }
        Ok(())
    }

    /// Has the next part of a batch processed. What is left of it comes next time, before anything else is read.
    fn work(&mut self, cx: &mut Cx<'_>, mut rest: Rest, now: Duration) -> Result<(), Failure> {
        if !rest.is_empty() {
            self.process(cx, &mut rest, now)?;
        }
        self.rest = Some(rest).filter(|rest| !rest.is_empty());
        Ok(())
    }

    /// Has a part processed; or gives its record up, when it is the one that cannot be.
    fn process(&mut self, cx: &mut Cx<'_>, rest: &mut Rest, now: Duration) -> Result<(), Failure> {
        if self.epoch.replaced {
            // Only one that fails first can be dealt with without doing again what comes before it.
            rest.one();
        }
        let part = rest.part();
        self.epoch.begin(now);
        if let Some(Suspect { attempts, failure, .. }) = cx.hunt.doomed(&part) {
            let (attempts, failure) = (*attempts, failure.clone());
            return Ok(self.give_up(cx, rest, attempts, &failure, now)?);
        }
        self.wake(cx.env)?;
        let emitted_before = {
            let mut host = self.own.host.lock();
            host.begin_call(part.len());
            host.outbox.bytes()
        };
        let outcome = self.guest.instance.process(&part);
        cx.env.meter.call(cx.env.now().saturating_sub(now));
        failpoint!("engine.processed");
        if let Err(failure) = outcome {
            return self.part_failed(cx, rest, &part, failure, now);
        }
        let emitted = self.own.host.lock().outbox.bytes() - emitted_before;
        self.guest.emitted(part.len(), emitted, cx.env.backend.epoch.bytes);
        self.processed(cx, rest, part.len(), now);
        rest.went_well();
        // The next one that fails would take back what was given up before.
        self.epoch.urgent |= self.epoch.replaced;
        Ok(())
    }

    /// The first records of a batch were processed.
    pub(super) fn processed(&mut self, cx: &Cx<'_>, rest: &mut Rest, records: usize, now: Duration) {
        if rest.is_of_dead_letters() {
            self.epoch.counts.replayed += records as u64;
        }
        self.consume(cx, rest, records, now);
    }

    /// The first records of a batch are done with, whatever became of them.
    pub(super) fn consume(&mut self, cx: &Cx<'_>, rest: &mut Rest, records: usize, now: Duration) {
        if records == 0 {
            return;
        }
        let (taken, end) = rest.take(records);
        self.epoch.consumed(&taken, end);
        if !rest.is_of_dead_letters() {
            let ahead = self.event_time.consumed(&taken, now, cx.env.core.deps.clock.unix_ms());
            self.note_ahead(cx, taken.from(), ahead);
        }
    }
}
