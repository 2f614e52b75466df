// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a running task tells its instance of time: timers that are due, then the watermark that made them so.
//!
//! ```text
//! watermark rises to W ──► on_timers(the queue as it is then) ──► on_timers(those of event time up to W), as often as there are
//!                          any ──► process_watermark(W)
//! clock ─────────────────► on_timers(those of processing time up to now)
//! queue ─────────────────► on_timers(those whose time had come when they were set, as it was then)
//! ```
//!
//! Each is a call in the open epoch like that for a batch: timers cease to be set, and W is known as told, in the commit of what
//! the call emitted and wrote. When such a call fails no record is to blame. So it is tried again alone, in an epoch of its own,
//! with fewer timers each time, and when that fails for good the task stays at it: nothing that a function counts on to be told
//! is passed over.
//!
//! **Input has its turn** after each share of calls ([`Pace`](crate::task::pace::Pace)), but for one thing: between the first
//! timer for W and W no record is read. That row of calls has an end. A timer that such a call sets for the time that the call is
//! about, or for an earlier one, goes to the queue, and fires after W was told. One that it sets for a later time up to W fires
//! before W is told, so the time of what fires rises with each call. There may be very many of these, so when the share is used up
//! and all timers before some time t have fired, the function is told t - 1 in between: a watermark like any other, before which
//! all of its timers have fired. Then input has its turn, and the rest of the way to W begins anew.

use std::time::Duration;

use fnstream_core::error::{Error, ErrorCode, Fault, Result};
use fnstream_core::failpoint;
use fnstream_core::runtime::CallFailure;
use fnstream_core::timer::{TimeDomain, Timer};

use super::{Cx, Running};
use crate::task::env::TaskEnv;
use crate::task::event_time::Rise;
use crate::task::failure::Failure;
use crate::task::timers::Reached;

/// The most timers of one call.
const TIMERS_PER_CALL: usize = 1024;

/// The next call because of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Timers of a domain; of event time because of that rise, unless they were set behind the watermark.
    Timers(TimeDomain, Which, Option<Rise>),
    /// The function's watermark, or one on the way to it.
    Watermark(Rise),
}

/// Which timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those up to a time.
    Until(i64),
    /// Those in the queue.
    Queued,
}

/// The way of the function's watermark to where it rises.
#[derive(Debug, Default)]
pub(super) struct Climb {
    /// The last turn of the queue that belongs to it, once it has begun.
    queue: Option<u64>,
    /// The latest time of the timers that have fired on it.
    fired: Option<i64>,
}

/// The kinds of calls because of time, which take turns.
const KINDS: usize = 3;

impl Running {
    /// Finds the call that is due now.
    pub(super) fn due(&mut self, cx: &Cx<'_>, now: Duration) -> Result<Option<Due>> {
        let env = cx.env;
        self.tell_host_the_time(env);
        let first = cx.hunt.time_kind().unwrap_or(self.last_kind + 1);
        for kind in (first..first + KINDS).map(|kind| kind % KINDS) {
            let due = match kind {
                0 => self.processing_due(env)?,
                1 => self.queued_processing_due()?,
                _ => self.event_due(env, now)?,
            };
            if due.is_some() {
                self.next_kind = kind;
                return Ok(due);
            }
        }
        self.pace.quiet();
        Ok(None)
    }

    /// Whether input comes before the call that is due.
    pub(super) fn is_inputs_turn(&self, env: &TaskEnv, now: Duration) -> bool {
        !self.event_time.has_begun() && self.pace.is_used_up(now, env.core.config.slice)
    }

    /// What has come is due at once when it is set now.
    fn tell_host_the_time(&mut self, env: &TaskEnv) {
        let told = self.event_time.told().map(millis);
        let clock = Some(env.core.deps.clock.unix_ms());
        let mut host = self.own.host.lock();
        host.reach(TimeDomain::Event, Reached { queue: told, due: told });
        host.reach(TimeDomain::Processing, Reached { queue: clock, due: clock });
    }

    fn processing_due(&mut self, env: &TaskEnv) -> Result<Option<Due>> {
        let now_ms = env.core.deps.clock.unix_ms();
        let next = self.own.host.lock().next_timer(TimeDomain::Processing)?;
        let is_due = next.is_some_and(|at| at <= now_ms);
        Ok(is_due.then_some(Due::Timers(TimeDomain::Processing, Which::Until(now_ms), None)))
    }

    fn queued_processing_due(&mut self) -> Result<Option<Due>> {
        let queued = self.own.host.lock().queued_timer(TimeDomain::Processing)?;
        Ok(queued.map(|_| Due::Timers(TimeDomain::Processing, Which::Queued, None)))
    }

    fn event_due(&mut self, env: &TaskEnv, now: Duration) -> Result<Option<Due>> {
        let rise = self.event_time.rise();
        let told = self.event_time.told();
        let Some(watermark) = rise.map(|rise| rise.watermark).or(told) else { return Ok(None) };
        let until = millis(watermark);
        let (queued, next) = {
            let mut host = self.own.host.lock();
            (host.queued_timer(TimeDomain::Event)?, host.next_timer(TimeDomain::Event)?)
        };
        if queued.is_some_and(|turn| self.climb.queue.is_none_or(|last| turn <= last)) {
            return Ok(Some(Due::Timers(TimeDomain::Event, Which::Queued, rise)));
        }
        let next = next.filter(|at| *at <= until);
        match (rise, next) {
            (Some(rise), Some(at)) => {
                let used_up = self.pace.is_used_up(now, env.core.config.slice);
                let between = self.climb.fired.filter(|fired| used_up && at > *fired);
                let between = between.and_then(|_| u64::try_from(at - 1).ok()).filter(|at| told < Some(*at));
                Ok(Some(match between {
                    Some(watermark) => Due::Watermark(Rise { watermark, ..rise }),
                    None => Due::Timers(TimeDomain::Event, Which::Until(until), Some(rise)),
                }))
            }
            (None, Some(_)) => Ok(Some(Due::Timers(TimeDomain::Event, Which::Until(until), None))),
            (rise, None) => Ok(rise.map(Due::Watermark)),
        }
    }

    /// Makes it.
    pub(super) fn call_time(&mut self, cx: &mut Cx<'_>, due: Due, now: Duration) -> Result<(), Failure> {
        self.wake(cx.env)?;
        self.epoch.begin(now);
        self.pace.call(now);
        self.last_kind = self.next_kind;
        let size = match due {
            Due::Timers(domain, which, rise) => self.call_timers(cx, (domain, which, rise), now)?,
            Due::Watermark(rise) => {
                {
                    let mut host = self.own.host.lock();
                    let told = Some(millis(rise.watermark));
                    host.reach(TimeDomain::Event, Reached { queue: told, due: told });
                    host.begin_call(1);
                }
                let outcome = self.guest.instance.process_watermark(rise.group, rise.watermark);
                outcome.map_err(|failure| self.blame_time(cx, failure, 1))?;
                self.event_time.tell(rise);
                self.climb = Climb::default();
                1
            }
        };
        self.epoch.time_calls += size as u64;
        cx.hunt.time_succeeded(TIMERS_PER_CALL);
        cx.env.meter.call(cx.env.now().saturating_sub(now));
        Ok(())
    }

    fn call_timers(
        &mut self,
        cx: &mut Cx<'_>,
        (domain, which, rise): (TimeDomain, Which, Option<Rise>),
        now: Duration,
    ) -> Result<usize, Failure> {
        let most = cx.hunt.timers_limit().unwrap_or(TIMERS_PER_CALL);
        let timers = {
            let mut host = self.own.host.lock();
            if rise.is_some() && self.climb.queue.is_none() {
                self.climb.queue = Some(host.end_turn(domain)?);
            }
            let timers = match which {
                Which::Until(until) => host.take_due(domain, until, most)?,
                Which::Queued => {
                    let last = self.climb.queue.filter(|_| domain == TimeDomain::Event);
                    host.take_turn(domain, last.unwrap_or(u64::MAX), most)?
                }
            };
            if let (Which::Until(until), TimeDomain::Event, Some(first)) = (which, domain, timers.first()) {
                host.reach(domain, Reached { queue: Some(first.at_ms), due: Some(until) });
            }
            host.begin_call(timers.len());
            timers
        };
        let outcome = self.guest.instance.on_timers(&timers);
        failpoint!("engine.processed");
        outcome.map_err(|failure| self.blame_time(cx, failure, timers.len()))?;
        if let Some(rise) = rise {
            self.event_time.begin(rise);
            if which != Which::Queued {
                self.climb.fired = self.climb.fired.max(timers.last().map(|timer| timer.at_ms));
            }
        }
        self.watch_circles(cx, &timers, now);
        Ok(timers.len())
    }

    /// Notes what the call has set that was due already, and says so when there is no end to it.
    fn watch_circles(&mut self, cx: &Cx<'_>, timers: &[Timer], now: Duration) {
        let set = self.own.host.lock().set_due();
        if set == 0 {
            return;
        }
        cx.env.meter.timers_set_due(set);
        self.pace.went_on(now);
        if let Some(error) = self.circling(now)
            && self.pace.first_told()
        {
            let last =
                timers.last().map(|timer| format!("; one of them: '{}' of {}", timer.key.escape_ascii(), timer.at_ms));
            let error = Error { message: error.message + &last.unwrap_or_default(), ..error };
            cx.env.warn(self.own.assignment.task.index, format_args!("{error}"));
        }
    }

    /// What is the matter when timers set each other without end.
    pub(super) fn circling(&self, now: Duration) -> Option<Error> {
        let calls = self.pace.circling(now)?;
        let why = format!(
            "in the last {calls} calls for timers each has set a timer that was due already; input takes turns with them"
        );
        Some(Error::new(ErrorCode::TimersCircle, why))
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
        cx.hunt.note_time_kind(self.last_kind);
        Failure::new(recovery, failure)
    }
}

fn millis(watermark: u64) -> i64 {
    i64::try_from(watermark).unwrap_or(i64::MAX)
}
