// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The end of a running task's epoch.

use std::time::Duration;

use fnstream_core::failpoint;

use super::{Cx, Running};
use crate::task::failure::Failure;

impl Running {
    /// Ends the open epoch and hands it in.
    pub(super) fn freeze(&mut self, cx: &mut Cx<'_>, now: Duration) -> Result<(), Failure> {
        let number = self.own.committed.epoch.next();
        // What it emits now it could have emitted for each of the epoch's records.
        self.own.host.lock().begin_call(self.epoch.records as usize);
        let asked = self.guest.instance.take_checkpoint(number);
        asked.map_err(|failure| self.blame(cx, failure, None))?;
        failpoint!("engine.before-freeze");
        let watermarks = {
            let mut host = self.own.host.lock();
            let epoch = &mut self.epoch;
            epoch.counts.emitted = host.outbox.records();
            epoch.progress.epoch = number;
            epoch.progress.records_in += epoch.records;
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
}
