// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a running task tells its instance of time: timers that are due, then the watermark that made them so.
//!
//! ```text
//! watermark rises to W ──► on_timers(those of event time up to W), as often as there are any ──► process_watermark(W)
//! clock ─────────────────► on_timers(those of processing time up to now)
//! ```
//!
//! Each is a call in the open epoch like that for a batch: timers cease to be set, and W is known as told, in the commit of what
//! the call emitted and wrote. When such a call fails no record is to blame. So it is tried again alone, in an epoch of its own,
//! with fewer timers each time, and when that fails for good the task stays at it: nothing that a function counts on to be told
//! is passed over.

use std::time::Duration;

use fnstream_core::error::{Fault, Result};
use fnstream_core::failpoint;
use fnstream_core::runtime::CallFailure;
use fnstream_core::timer::TimeDomain;

use super::{Cx, Running};
use crate::task::env::TaskEnv;
use crate::task::event_time::Rise;
use crate::task::failure::Failure;

/// The most timers of one call.
const TIMERS_PER_CALL: usize = 1024;

/// The next call because of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Timers up to a time, of event time because of that rise, unless they were set behind the watermark.
    Timers(TimeDomain, i64, Option<Rise>),
    /// The function's watermark.
    Watermark(Rise),
}

impl Running {
    /// Finds the call that is due now.
    pub(super) fn due(&mut self, env: &TaskEnv) -> Result<Option<Due>> {
        let rise = self.event_time.rise();
        let mut host = self.own.host.lock();
        if let Some(at) = host.next_timer(TimeDomain::Processing)? {
            let now_ms = env.core.deps.clock.unix_ms();
            if at <= now_ms {
                return Ok(Some(Due::Timers(TimeDomain::Processing, now_ms, None)));
            }
        }
        let watermark = rise.map(|rise| rise.watermark).or(self.event_time.told());
        let until = watermark.map(|watermark| i64::try_from(watermark).unwrap_or(i64::MAX));
        if let Some(until) = until
            && host.next_timer(TimeDomain::Event)?.is_some_and(|at| at <= until)
        {
            return Ok(Some(Due::Timers(TimeDomain::Event, until, rise)));
        }
        Ok(rise.map(Due::Watermark))
    }

    /// Makes it.
    pub(super) fn call_time(&mut self, cx: &mut Cx<'_>, due: Due, now: Duration) -> Result<(), Failure> {
        self.epoch.begin(now);
        let size = match due {
            Due::Timers(domain, until, rise) => {
                let most = cx.hunt.timers_limit().unwrap_or(TIMERS_PER_CALL);
                let timers = {
                    let mut host = self.own.host.lock();
                    let taken = host.take_due(domain, until, most)?;
                    host.begin_call(taken.len());
                    taken
                };
                let outcome = self.guest.instance.on_timers(&timers);
                failpoint!("engine.processed");
                outcome.map_err(|failure| self.blame_time(cx, failure, timers.len()))?;
                if let Some(rise) = rise {
                    self.event_time.begin(rise);
                }
                timers.len()
            }
            Due::Watermark(rise) => {
                self.own.host.lock().begin_call(1);
                let outcome = self.guest.instance.process_watermark(rise.group, rise.watermark);
                outcome.map_err(|failure| self.blame_time(cx, failure, 1))?;
                self.event_time.tell(rise);
                1
            }
        };
        self.epoch.time_calls += size as u64;
        cx.hunt.time_succeeded(TIMERS_PER_CALL);
        cx.env.meter.call(cx.env.now().saturating_sub(now));
        Ok(())
    }

    /// When something is to be told although nothing comes in.
    pub(super) fn next_due(&self, env: &TaskEnv) -> Option<Duration> {
        // A store that cannot be read is found out by the next step.
        let timer = self.own.host.lock().next_timer(TimeDomain::Processing).ok().flatten().map(|at| {
            let wait = at.saturating_sub(env.core.deps.clock.unix_ms());
            env.core.deps.clock.now() + Duration::from_millis(u64::try_from(wait).unwrap_or(0))
        });
        [timer, self.event_time.next_idle()].into_iter().flatten().min()
    }

    fn blame_time(&self, cx: &mut Cx<'_>, failure: CallFailure, size: usize) -> Failure {
        if failure.error.code.fault() != Fault::User {
            return failure.into();
        }
        cx.env.meter.failed();
        let failure = CallFailure { error: failure.error.context("telling of time"), ..failure };
        let alone = self.epoch.size() == 0;
        let recovery = cx.hunt.time_failed(size, alone, &cx.env.spec().on_error);
        Failure::new(recovery, failure)
    }
}
