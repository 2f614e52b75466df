// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How long to wait before the next attempt.

use std::time::Duration;

use rand::RngExt as _;

/// Delays that double from a least to a greatest, each shortened by up to a tenth by chance, so that clients which lost
/// one broker together do not return together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Backoff {
        Backoff { min, max: max.max(min), next: min }
    }

    /// The delay before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let delay = self.next;
        self.next = delay.saturating_mul(2).min(self.max);
        delay.mul_f64(rand::rng().random_range(0.9..=1.0))
    }

    /// Begins anew, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_greatest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for most in [100, 200, 350, 350] {
            let delay = backoff.next();
            let (least, most) = (Duration::from_millis(most * 9 / 10), Duration::from_millis(most));
            assert!(delay >= least && delay <= most, "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }
}
