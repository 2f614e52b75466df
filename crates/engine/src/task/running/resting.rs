// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An idle instance gives its memory back: it is closed like at the end of the task, and another one is started for the next record,
//! timer, watermark or request.
//!
//! ```text
//! nothing to do, all is committed ──► 250 ms ──► offered to others ──► they need it, or 10 s ──► close ──► resting
//! a record, a timer, ... ──► instantiate, init ──► the call, in the same epoch
//! ```
//!
//! What closing writes and emits is committed. The task itself rests in no way: it is still owned, its source still wakes it, its
//! timers and watermarks are known. What is lost is what an instance keeps in its own memory, which it may lose at any time, as
//! after each failure.

use std::time::Duration;

use fnstream_core::error::{ErrorCode, Fault};
use fnstream_core::runtime::CallFailure;

use super::{Cx, Running};
use crate::task::decide::after_open_failure;
use crate::task::env::TaskEnv;
use crate::task::failure::Failure;

/// How long an instance is idle before its memory is offered to others: one that has something to do all the time is not to be closed
/// between two records.
const OFFER: Duration = Duration::from_millis(250);

impl Running {
    /// Lets the instance rest when it is time, or offers its memory; true if it has just begun to rest.
    pub(super) fn rest_if_due(&mut self, cx: &Cx<'_>, now: Duration) -> Result<bool, Failure> {
        let is_idle = self.drained && self.rest.is_none() && self.own.in_flight.is_none();
        let is_free = !cx.ending && is_idle && cx.order.is_none();
        if self.guest.is_resting() || !is_free || !self.is_between_epochs() {
            return Ok(false);
        }
        let since = *self.idle_since.get_or_insert(now);
        let memory = &self.own.spec.memory;
        if now < since + OFFER {
            return Ok(false);
        }
        memory.idle();
        let is_time = self.guest.rests_after(cx.env).is_some_and(|after| now >= since + after);
        if !is_time && !memory.is_asked() {
            return Ok(false);
        }
        if let Err(failure) = self.guest.rest(&self.own.host) {
            self.not_closed(cx.env, failure)?;
        }
        self.own.host.lock().shrink();
        Ok(true)
    }

    /// When the instance offers its memory or rests, if nothing happens until then.
    pub(super) fn rest_at(&self, env: &TaskEnv, now: Duration) -> Option<Duration> {
        let since = self.idle_since.filter(|_| !self.guest.is_resting())?;
        let rest = self.guest.rests_after(env).map(|after| since + after);
        [Some(since + OFFER), rest].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// The instance is about to be called: starts one if it rests.
    pub(super) fn wake(&mut self, env: &TaskEnv) -> Result<(), Failure> {
        self.idle_since = None;
        self.own.spec.memory.busy();
        let woken = self.guest.wake(env, &self.own.spec, &self.own.host);
        woken.map_err(|failure| Failure::new(after_open_failure(&failure.error), failure))
    }

    /// An instance failed when it was closed to rest. It is gone all the same, and nobody's record is to blame: what it did meanwhile,
    /// which is all that is in the epoch, is dropped.
    fn not_closed(&mut self, env: &TaskEnv, failure: CallFailure) -> Result<(), Failure> {
        let code = failure.error.code;
        if code.fault() != Fault::User && code != ErrorCode::GuestMemoryShort {
            return Err(failure.into());
        }
        self.own.host.lock().clear();
        let text =
            format_args!("an idle instance failed when it was closed, what it did then is dropped: {}", failure.error);
        env.say(self.own.assignment.task.index, text);
        Ok(())
    }
}
