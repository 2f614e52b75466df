// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Time of a task: it stands still until a scenario moves it, and timers that are due fire when a call is over.

use fnstream_core::runtime::{CallFailure, CallResult};
use fnstream_core::timer::{TimeDomain, Timer};

use crate::host::Outside;
use crate::task::{Input, Task};

/// Timers that failed, and why.
pub type Failures = Vec<(Timer, CallFailure)>;

/// What timers are compared with, once it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    event: Option<i64>,
    processing: Option<i64>,
}

impl Times {
    fn of(&mut self, domain: TimeDomain) -> &mut Option<i64> {
        match domain {
            TimeDomain::Event => &mut self.event,
            TimeDomain::Processing => &mut self.processing,
        }
    }
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
    /// Moves a time on, and fires what is due.
    pub fn advance(&mut self, domain: TimeDomain, now: i64) -> CallResult<Failures> {
        let known = self.times.of(domain);
        *known = Some(known.map_or(now, |before| before.max(now)));
        self.fire()
    }

    /// Fires timers until none is due; those that fail are given up.
    pub fn fire(&mut self) -> CallResult<Failures> {
        let mut failures = Vec::new();
        loop {
            let next = TimeDomain::ALL.into_iter().find_map(|domain| {
                let due = self.outside.lock().due(domain, (*self.times.of(domain))?);
                (!due.is_empty()).then_some(due)
            });
            let Some(due) = next else { return Ok(failures) };
            self.fire_all(&due, &mut failures)?;
        }
    }

    fn fire_all(&mut self, due: &[Timer], failures: &mut Failures) -> CallResult {
        if due.is_empty() {
            return Ok(());
        }
        let Err(failed) = self.on_timers(due) else {
            self.journal.push(Input::Timers(due.to_vec()));
            return Ok(());
        };
        self.restart()?;
        match failed.record.map(|index| index as usize) {
            None if due.len() > 1 => {
                let (first, rest) = due.split_at(due.len() / 2);
                self.fire_all(first, failures)?;
                self.fire_all(rest, failures)
            }
            index => {
                let at = index.unwrap_or(0);
                self.fire_all(&due[..at], failures)?;
                self.unset(&due[at..=at]);
                self.journal.push(Input::GivenUp(due[at].clone()));
                failures.push((due[at].clone(), failed));
                self.fire_all(&due[at + 1..], failures)
            }
        }
    }

    /// Tells the function of timers, which are not set any more.
    pub fn on_timers(&mut self, due: &[Timer]) -> CallResult {
        self.unset(due);
        self.instance.on_timers(due)
    }

    /// Timers that are not set any more.
    pub fn unset(&self, timers: &[Timer]) {
        let mut outside = self.outside.lock();
        for timer in timers {
            outside.timers.remove(&(timer.domain, timer.key.clone()));
        }
    }
}
