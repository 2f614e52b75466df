// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The end of a running task's epoch, and of its instance.
//!
//! ```text
//! ordinary    calls ──► take_checkpoint ──► frozen, handed in
//! the last    calls ──► take_checkpoint ──► close ──► frozen, handed in
//! ```
//!
//! Closing is the last call of all: an instance that was closed gets no checkpoint, no request and nothing else. One that rests was
//! closed already (see [`resting`](super::resting)).

use std::time::Duration;

use fnstream_core::epoch::Epoch;
use fnstream_core::failpoint;

use super::{Cx, Running};
use crate::task::failure::Failure;

impl Running {
    /// Ends the open epoch and hands it in.
    pub(super) fn freeze(&mut self, cx: &mut Cx<'_>, now: Duration) -> Result<(), Failure> {
        let number = self.number();
        if !self.closed && !self.guest.is_resting() {
            self.take_checkpoint(cx, number)?;
        }
        failpoint!("engine.before-freeze");
        let watermarks = {
            let mut host = self.own.host.lock();
            let epoch = &mut self.epoch;
            epoch.counts.emitted = host.outbox.records();
            epoch.progress.epoch = number;
            epoch.progress.records_in += epoch.input_records();
            epoch.progress.records_out += host.outbox.all_records();
            epoch.progress.time = self.event_time.keep();
            let (idle, news) = self.event_time.tell_idle();
            host.outbox.take_watermarks(idle, news)
        };
        cx.hunt.handed_in(self.epoch.records);
        let ended = self.epoch.end();
        self.own.hand_in(cx.env, cx.waker, ended, watermarks, now)?;
        Ok(())
    }

    /// Closes the instance. What is in the open epoch gets its checkpoint before; what closing adds belongs to that epoch too.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        if !self.guest.is_resting() {
            if !self.is_between_epochs() {
                self.take_checkpoint(cx, self.number())?;
            }
            self.guest.close(&self.own.host)?;
        }
        self.closed = true;
        Ok(())
    }

    /// The number of the open epoch. One may still be in flight before it.
    fn number(&self) -> Epoch {
        let before = self.own.in_flight.as_ref().map(|in_flight| in_flight.frozen.progress.epoch);
        before.unwrap_or(self.own.committed.epoch).next()
    }

    fn take_checkpoint(&mut self, cx: &mut Cx<'_>, number: Epoch) -> Result<(), Failure> {
        // What it emits now it could have emitted for each of the epoch's records.
        self.own.host.lock().begin_call(self.epoch.records as usize);
        let asked = self.guest.instance.take_checkpoint(number);
        asked.map_err(|failure| self.blame(cx, failure, None))
    }
}
