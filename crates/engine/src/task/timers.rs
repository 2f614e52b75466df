// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which timers of a task are due. They are kept in its state ([`fnstream_core::timer`]), so they are committed, recovered and
//! rolled back like everything else there; here is only remembered when the next one is due.

use std::ops::ControlFlow;

use fnstream_core::error::{Result, internal};
use fnstream_core::state_key::prefix_end;
use fnstream_core::timer::{TimeDomain, Timer, due_prefix, encode_time, timer_of};

use crate::state::Layers;

/// When the next timer of each domain is due, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct NextTimers([Known; 2]);

#[derive(Debug, Clone, Copy, Default)]
enum Known {
    /// To be looked up.
    #[default]
    Not,
    /// Nothing is set, or this is the time of the first one.
    Next(Option<i64>),
}

impl NextTimers {
    /// When the next one is due.
    pub(super) fn next(&mut self, domain: TimeDomain, layers: &Layers) -> Result<Option<i64>> {
        let known = &mut self.0[usize::from(domain.number())];
        match *known {
            Known::Next(next) => Ok(next),
            Known::Not => {
                let next = due(layers, domain, i64::MAX, 1)?.first().map(|timer| timer.at_ms);
                *known = Known::Next(next);
                Ok(next)
            }
        }
    }

    pub(super) fn set(&mut self, timer: &Timer) {
        if let Known::Next(next) = &mut self.0[usize::from(timer.domain.number())] {
            *next = Some(next.map_or(timer.at_ms, |next| next.min(timer.at_ms)));
        }
    }

    pub(super) fn deleted(&mut self, timer: &Timer) {
        let known = &mut self.0[usize::from(timer.domain.number())];
        if matches!(known, Known::Next(Some(next)) if *next >= timer.at_ms) {
            *known = Known::Not;
        }
    }
}

/// The first timers that are due at `now_ms`, so many at most.
pub(super) fn due(layers: &Layers, domain: TimeDomain, now_ms: i64, most: usize) -> Result<Vec<Timer>> {
    let start = due_prefix(domain);
    let end = match now_ms.checked_add(1) {
        Some(after) => Some([&start[..], &encode_time(after)].concat()),
        None => prefix_end(&start),
    };
    let mut found = Vec::new();
    let mut malformed = false;
    layers.scan(&start, end.as_deref(), &mut |key, _| {
        match timer_of(domain, key) {
            Some(timer) => found.push(timer),
            None => malformed = true,
        }
        if found.len() < most && !malformed { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if malformed {
        return Err(internal("a timer is kept under a key that is none"));
    }
    Ok(found)
}
