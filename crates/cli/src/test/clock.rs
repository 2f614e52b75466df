// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Time of a scenario.

use std::time::Duration;

use fnstream_core::clock::Clock;
use parking_lot::Mutex;

/// A clock that stands still but for the scenario's steps. Waits of the engine, such as those before it tries again, pass without the
/// machine's time going on.
pub(super) struct Stage(Mutex<(Duration, i64)>);

impl Stage {
    pub(super) fn new(unix_ms: i64) -> Self {
        Stage(Mutex::new((Duration::ZERO, unix_ms)))
    }

    /// The machine's time goes on.
    pub(super) fn advance(&self, ms: u64) {
        let mut times = self.0.lock();
        times.0 += Duration::from_millis(ms);
        times.1 = times.1.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
    }

    /// A wait passes.
    pub(super) fn skip_to(&self, then: Duration) {
        let mut times = self.0.lock();
        times.0 = times.0.max(then);
    }
}

impl Clock for Stage {
    fn now(&self) -> Duration {
        self.0.lock().0
    }

    fn unix_ms(&self) -> i64 {
        self.0.lock().1
    }
}
