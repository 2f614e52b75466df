// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a running task does for users beside its records: requests to its instance, and orders about dead letters.

use fnstream_core::record::Position;

use super::rest::Rest;
use super::{Cx, Running};
use crate::dead_letters::{DeadLetterAction, DeadLetterOrder};
use crate::task::dead_letters::DeadLetterReader;
use crate::task::failure::Failure;
use crate::task::trial::Trial;

impl Running {
    /// Answers what users ask, and does what an order asks for that keeps nothing, between two epochs.
    pub(super) fn serve(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        self.finish_order(cx);
        if self.closed {
            // Dropping them answers that the task does not run.
            cx.requests.clear();
            return Ok(());
        }
        if !cx.requests.is_empty() {
            self.wake(cx.env)?;
        }
        while let Some(asked) = cx.requests.pop_front() {
            self.own.host.lock().begin_call(1);
            asked.ask(&mut *self.guest.instance, cx.env.now())?;
        }
        self.try_dead_letters(cx)
    }

    /// Reports whether dead letters are to be replayed or dropped before there is further input.
    pub(super) fn has_dead_letters(&self, cx: &Cx<'_>) -> bool {
        let Some(order) = cx.order.as_ref().filter(|order| order.moves()) else { return false };
        !order.is_cancelled() && self.place_in_dead_letters().is_some_and(|place| place < order.until)
    }

    /// Lets go of an order that moves the place in the dead letters, when it has moved for good, or is not to move further.
    pub(super) fn finish_order(&mut self, cx: &mut Cx<'_>) {
        let place = self.own.place_in_dead_letters(&self.own.committed);
        let is_reading = self.rest.as_ref().is_some_and(Rest::is_of_dead_letters);
        let rests = self.own.in_flight.is_none() && place == self.place_in_dead_letters() && !is_reading;
        let is_over = |order: &mut DeadLetterOrder| {
            order.moves() && (place.is_none_or(|place| place >= order.until) || (order.is_cancelled() && rests))
        };
        if let Some(done) = cx.order.take_if(is_over) {
            done.finish();
            self.reader = None;
        }
    }

    /// Has another program try the dead letters up to the place that the order names, once they are all there: for a slice of
    /// time. In between the task takes its input as ever.
    fn try_dead_letters(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        let Some(DeadLetterOrder { action: DeadLetterAction::Try(program), until, tally }) = cx.order.as_ref() else {
            return Ok(());
        };
        if cx.order.as_ref().is_some_and(DeadLetterOrder::is_cancelled) {
            self.trial = None;
        } else if let (Some(at), Some(place)) = (&self.own.dead_letters, self.place_in_dead_letters()) {
            if self.trial.is_none() {
                let reader = DeadLetterReader::open(cx.env, &self.own.assignment, at, place, cx.waker)?;
                self.trial = Some(Trial::new(reader, tally.clone()));
            }
            let Some(trial) = &mut self.trial else { return Ok(()) };
            if !trial.collect(*until)? || cx.ending || !self.is_between_epochs() {
                return Ok(());
            }
            let Some(trial) = &mut self.trial else { return Ok(()) };
            let until = cx.env.now() + cx.env.core.config.slice;
            if trial.run(&**program, &self.own.spec, &self.own.host, &|| cx.env.now() < until)? {
                return Ok(());
            }
            let tried = self.trial.take().map(Trial::tried);
            tally.note(|report| report.tried.extend(tried.into_iter().flatten()));
        }
        if let Some(done) = cx.order.take() {
            done.finish();
        }
        Ok(())
    }

    /// Reports whether there is more of a trial to be done as soon as the epoch is empty.
    pub(super) fn is_trying(&self) -> bool {
        self.trial.as_ref().is_some_and(Trial::is_collected)
    }

    fn place_in_dead_letters(&self) -> Option<Position> {
        self.own.place_in_dead_letters(&self.epoch.progress)
    }

    /// Reports whether the open epoch is empty.
    pub(super) fn is_between_epochs(&self) -> bool {
        let host = self.own.host.lock();
        self.epoch.size() == 0 && !self.epoch.urgent && host.layers.is_clean() && host.outbox.is_empty()
    }
}
