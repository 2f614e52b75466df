// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Time of a task: it stands still until a scenario moves it. Timers that are due fire when a call is over, those of event time
//! before the watermark is told that made them due. One that fails is tried again before anything else is done.

use fnstream_core::runtime::{CallFailure, CallResult};
use fnstream_core::timer::{TimeDomain, Timer};

use crate::host::Outside;
use crate::task::{Input, Task};

/// A timer that failed, and why; or the watermark, which has no timer.
pub(crate) type TimeFailure = (Option<Timer>, CallFailure);

/// What a task knows of time. No restart takes it back.
#[derive(Debug, Default)]
pub(crate) struct Times {
    watermark: Option<u64>,
    told: Option<u64>,
    processing: Option<i64>,
}

impl Outside {
    /// The timers of a domain that are due, in the order of their times.
    fn due(&self, domain: TimeDomain, now: i64) -> Vec<Timer> {
        let of_domain = self.timers.iter().filter(|((of, _), at_ms)| *of == domain && **at_ms <= now);
        let mut due: Vec<_> =
            of_domain.map(|((_, key), at_ms)| Timer { domain, key: key.clone(), at_ms: *at_ms }).collect();
        due.sort_by(|a, b| (a.at_ms, &a.key).cmp(&(b.at_ms, &b.key)));
        due
    }
}

impl Task {
    /// A watermark of input group 0; answers what failed.
    pub(crate) fn watermark(&mut self, watermark: u64) -> CallResult<Option<TimeFailure>> {
        self.times.watermark = self.times.watermark.max(Some(watermark));
        self.advance()
    }

    /// Moves the machine's clock on; answers what failed.
    pub(crate) fn time(&mut self, now: i64) -> CallResult<Option<TimeFailure>> {
        self.times.processing = self.times.processing.max(Some(now));
        self.advance()
    }

    /// Does what is due until there is nothing, or something fails. `Err` when there is no instance any more.
    pub(crate) fn advance(&mut self) -> CallResult<Option<TimeFailure>> {
        loop {
            let Times { watermark, told, processing } = self.times;
            let event = watermark.map(|watermark| i64::try_from(watermark).unwrap_or(i64::MAX));
            let due = [(TimeDomain::Processing, processing), (TimeDomain::Event, event)]
                .into_iter()
                .filter_map(|(domain, now)| Some(self.outside.lock().due(domain, now?)))
                .find(|due| !due.is_empty());
            match (due, watermark) {
                (Some(due), _) => {
                    if let Some((timer, failed)) = self.fire(&due)? {
                        return Ok(Some((Some(timer), failed)));
                    }
                }
                (None, Some(watermark)) if told < Some(watermark) => {
                    if let Err(failed) = self.instance.process_watermark(0, watermark) {
                        self.restart()?;
                        return Ok(Some((None, failed)));
                    }
                    self.journal.push(Input::Watermark(watermark));
                    self.times.told = Some(watermark);
                }
                _ => return Ok(None),
            }
        }
    }

    /// The same where nothing may fail.
    pub(crate) fn advance_well(&mut self) -> CallResult {
        self.advance()?.map_or(Ok(()), |(_, failed)| Err(failed))
    }

    /// Fires timers in one call, or those before one that fails, which stays set.
    fn fire(&mut self, due: &[Timer]) -> CallResult<Option<(Timer, CallFailure)>> {
        if due.is_empty() {
            return Ok(None);
        }
        let Err(failed) = self.on_timers(due) else {
            self.journal.push(Input::Timers(due.to_vec()));
            return Ok(None);
        };
        self.restart()?;
        match failed.record.map(|index| index as usize) {
            None if due.len() > 1 => {
                let (first, rest) = due.split_at(due.len() / 2);
                if let Some(failed) = self.fire(first)? { Ok(Some(failed)) } else { self.fire(rest) }
            }
            index => {
                let at = index.unwrap_or(0);
                Ok(self.fire(&due[..at])?.or(Some((due[at].clone(), failed))))
            }
        }
    }

    /// Tells the function of timers, which are not set any more.
    pub(crate) fn on_timers(&mut self, due: &[Timer]) -> CallResult {
        self.unset(due);
        self.instance.on_timers(due)
    }

    /// Timers that are not set any more.
    fn unset(&self, timers: &[Timer]) {
        let mut outside = self.outside.lock();
        for timer in timers {
            outside.timers.remove(&(timer.domain, timer.key.clone()));
        }
    }
}
