// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Time that moves only when the test says so.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;

/// A clock that stands still. Both of its times advance together, by hand.
#[derive(Debug)]
pub struct ManualClock {
    start_unix_ms: i64,
    now: Mutex<Duration>,
}

impl ManualClock {
    /// A clock whose monotonic time is zero and whose wall clock shows `unix_ms`.
    pub fn new(unix_ms: i64) -> Self {
        ManualClock { start_unix_ms: unix_ms, now: Mutex::new(Duration::ZERO) }
    }

    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        *self.now.lock() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        *self.now.lock()
    }

    fn unix_ms(&self) -> i64 {
        self.start_unix_ms + self.now.lock().as_millis() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_move_by_hand_only() {
        let clock = ManualClock::new(1_000);
        assert_eq!((clock.now(), clock.unix_ms()), (Duration::ZERO, 1_000));
        clock.advance(Duration::from_millis(250));
        assert_eq!((clock.now(), clock.unix_ms()), (Duration::from_millis(250), 1_250));
    }
}
