// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How fast a function may log: a budget of lines and of bytes, which refills as time passes.

use std::time::Duration;

/// Lines that a function may write in a second, and at once after a rest.
const LINES: Budget = Budget { a_second: 1_000.0, at_once: 5_000.0 };

/// The same of bytes.
const BYTES: Budget = Budget { a_second: 262_144.0, at_once: 1_048_576.0 };

struct Budget {
    a_second: f64,
    at_once: f64,
}

/// What is left of a function's budgets, and how many lines did not fit.
#[derive(Debug)]
pub(super) struct Limit {
    lines: f64,
    bytes: f64,
    refilled: Duration,
    missing: u64,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is kept; so many before it were not, which has to be said first.
    Kept { missing: u64 },
    /// It is not kept.
    Dropped,
}

impl Limit {
    pub(super) fn new(now: Duration) -> Self {
        Limit { lines: LINES.at_once, bytes: BYTES.at_once, refilled: now, missing: 0 }
    }

    /// Decides about a line of so many bytes.
    pub(super) fn admit(&mut self, now: Duration, bytes: usize) -> Admission {
        let passed = now.saturating_sub(self.refilled).as_secs_f64();
        self.refilled = now;
        self.lines = (self.lines + passed * LINES.a_second).min(LINES.at_once);
        self.bytes = (self.bytes + passed * BYTES.a_second).min(BYTES.at_once);
        let bytes = bytes as f64;
        if self.lines < 1.0 || self.bytes < bytes {
            self.missing += 1;
            return Admission::Dropped;
        }
        self.lines -= 1.0;
        self.bytes -= bytes;
        Admission::Kept { missing: self.take_missing() }
    }

    /// Lines that were admitted could not be kept all the same.
    pub(super) fn add_missing(&mut self, lines: u64) {
        self.missing += lines;
    }

    /// How many lines are missing that nobody was told of yet.
    pub(super) fn take_missing(&mut self) -> u64 {
        std::mem::take(&mut self.missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(limit: &mut Limit, now: Duration, bytes: usize) -> u64 {
        let mut count = 0;
        while limit.admit(now, bytes) != Admission::Dropped {
            count += 1;
        }
        count
    }

    #[test]
    fn a_burst_is_kept_and_then_so_many_a_second() {
        let mut limit = Limit::new(Duration::ZERO);
        assert_eq!(admitted(&mut limit, Duration::ZERO, 10), 5_000);
        assert_eq!(admitted(&mut limit, Duration::from_secs(1), 10), 1_000);
        assert_eq!(admitted(&mut limit, Duration::from_secs(3600), 10), 5_000);
    }

    #[test]
    fn long_lines_count_by_their_bytes() {
        let mut limit = Limit::new(Duration::ZERO);
        assert_eq!(admitted(&mut limit, Duration::ZERO, 1 << 18), 4);
        assert_eq!(admitted(&mut limit, Duration::from_secs(2), 1 << 18), 2);
    }

    #[test]
    fn the_next_line_that_is_kept_knows_how_many_are_missing() {
        let mut limit = Limit::new(Duration::ZERO);
        admitted(&mut limit, Duration::ZERO, 10);
        limit.admit(Duration::ZERO, 10);
        limit.add_missing(3);
        assert_eq!(limit.admit(Duration::from_secs(1), 10), Admission::Kept { missing: 5 });
        assert_eq!(limit.admit(Duration::from_secs(1), 10), Admission::Kept { missing: 0 });
    }
}
