// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a program does and uses between two moments.

use std::time::{Duration, Instant};

use crate::bench::report::Steady;

/// What the program had done and used at one moment.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub at: Instant,
    pub cpu: Duration,
    pub done: u64,
}

/// What happened between two moments; nothing if they are one.
pub(super) fn steady(from: Mark, to: Mark) -> Option<Steady> {
    let (records, took) = ((to.done - from.done) as f64, (to.at - from.at).as_secs_f64());
    (records > 0.0 && took > 0.0).then(|| Steady {
        records_per_second: records / took,
        cpu_seconds_per_million: (to.cpu - from.cpu).as_secs_f64() * 1e6 / records,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_figures_are_those_between_two_moments() {
        let from = Mark { at: Instant::now(), cpu: Duration::from_secs(7), done: 1_000_000 };
        let to = Mark { at: from.at + Duration::from_secs(4), cpu: Duration::from_secs(10), done: 3_000_000 };
        let between = steady(from, to).unwrap();
        assert!((between.records_per_second - 500_000.0).abs() < 1e-6, "{between:?}");
        assert!((between.cpu_seconds_per_million - 1.5).abs() < 1e-9, "{between:?}");
        assert!(steady(from, from).is_none());
    }
}
