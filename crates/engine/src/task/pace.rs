// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How calls because of time and input take turns, and how timers that never come to an end are found out.
//!
//! Calls of time come first, but not for ever: after a share of them, input gets its turn if there is any, one batch, and the
//! next share begins. Only between the first timer that fires for a watermark and that watermark is no record read; such a row
//! of calls is finite, or ends early (see [`super::running`]).

use std::time::Duration;

/// The calls of a share.
const SHARE_CALLS: u32 = 32;

/// Timers go round in circles after so many calls in a row that set one which was due already.
const CIRCLE_CALLS: u64 = 10_000;

/// The same when they take so long.
const CIRCLE_TIME: Duration = Duration::from_secs(10);
const CIRCLE_CALLS_IN_TIME: u64 = 100;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Calls since input had its turn.
    calls: u32,
    /// When the first of them was made.
    since: Option<Duration>,
    circle: Circle,
}

/// Calls in a row that set timers for times that had come already, while there was always something due.
#[derive(Debug, Default)]
struct Circle {
    calls: u64,
    since: Option<Duration>,
    told: bool,
}

impl Pace {
    /// Input had its turn.
    pub(super) fn input(&mut self) {
        self.calls = 0;
        self.since = None;
    }

    /// Nothing is due.
    pub(super) fn quiet(&mut self) {
        if self.circle.calls > 0 {
            self.circle = Circle::default();
        }
    }

    /// A call because of time begins.
    pub(super) fn call(&mut self, now: Duration) {
        self.calls += 1;
        self.since.get_or_insert(now);
    }

    /// Whether it is the input's turn, when a share may take so long.
    pub(super) fn is_used_up(&self, now: Duration, slice: Duration) -> bool {
        self.calls >= SHARE_CALLS || self.since.is_some_and(|since| now.saturating_sub(since) >= slice)
    }

    /// A call with timers has set some that were due already.
    pub(super) fn went_on(&mut self, now: Duration) {
        self.circle.calls += 1;
        self.circle.since.get_or_insert(now);
    }

    /// For how many calls timers have gone round in circles, if they do.
    pub(super) fn circling(&self, now: Duration) -> Option<u64> {
        let Circle { calls, since, .. } = self.circle;
        let long = since.is_some_and(|since| now.saturating_sub(since) >= CIRCLE_TIME);
        (calls >= CIRCLE_CALLS || (calls >= CIRCLE_CALLS_IN_TIME && long)).then_some(calls)
    }

    /// Whether this is the first call since timers go round.
    pub(super) fn first_told(&mut self) -> bool {
        !std::mem::replace(&mut self.circle.told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Duration = Duration::from_millis(4);

    #[test]
    fn a_share_ends_by_calls_or_by_time_and_begins_with_input() {
        let mut pace = Pace::default();
        (1..SHARE_CALLS).for_each(|_| pace.call(Duration::ZERO));
        assert!(!pace.is_used_up(SLICE - Duration::from_nanos(1), SLICE));
        assert!(pace.is_used_up(SLICE, SLICE));
        pace.call(Duration::ZERO);
        assert!(pace.is_used_up(Duration::ZERO, SLICE));
        pace.input();
        assert!(!pace.is_used_up(SLICE, SLICE));
    }

    #[test]
    fn timers_go_in_circles_after_many_calls_or_after_a_long_time_and_not_any_more_when_all_is_quiet() {
        let mut pace = Pace::default();
        (0..CIRCLE_CALLS_IN_TIME).for_each(|_| pace.went_on(Duration::ZERO));
        assert_eq!(pace.circling(CIRCLE_TIME - Duration::from_nanos(1)), None);
        assert_eq!(pace.circling(CIRCLE_TIME), Some(CIRCLE_CALLS_IN_TIME));
        assert!(pace.first_told() && !pace.first_told());
        pace.quiet();
        assert_eq!(pace.circling(CIRCLE_TIME), None);
        assert!(pace.first_told());
        (0..CIRCLE_CALLS).for_each(|_| pace.went_on(Duration::ZERO));
        assert_eq!(pace.circling(Duration::ZERO), Some(CIRCLE_CALLS));
    }
}
