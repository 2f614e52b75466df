// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the records cost on the way: processor time over the number of records that are done, over several processes.

use std::time::Duration;

/// Samples of (records done, seconds of processor time used for them), both growing.
#[derive(Debug, Default)]
pub(crate) struct Curve {
    samples: Vec<(u64, f64)>,
    /// What the process that runs now had used before its first sample, less what the ones before had used.
    base: f64,
}

impl Curve {
    /// The next samples are those of a process that has used so much so far.
    pub(crate) fn begin(&mut self, cpu: Duration) {
        self.base = cpu.as_secs_f64() - self.samples.last().map_or(0.0, |(_, used)| *used);
    }

    /// Adds a sample.
    pub(crate) fn add(&mut self, records: u64, cpu: Duration) {
        self.samples.push((records, cpu.as_secs_f64() - self.base));
    }

    /// Microseconds for each record between two numbers of records.
    pub(crate) fn cost(&self, from: u64, to: u64) -> f64 {
        (self.at(to) - self.at(from)) * 1e6 / (to - from) as f64
    }

    /// The time used when so many records were done, on the line between the two samples around them.
    fn at(&self, records: u64) -> f64 {
        let after = self.samples.partition_point(|(done, _)| *done < records);
        let at = |index: usize| self.samples.get(index).copied().unwrap_or_default();
        let ((before, used_before), (done, used)) = (at(after.wrapping_sub(1)), at(after));
        if after == 0 || done == records {
            return used;
        }
        used_before + (used - used_before) * (records - before) as f64 / (done - before) as f64
    }
}

#[test]
fn a_curve_is_read_between_its_samples_and_over_a_restart() {
    let seconds = Duration::from_secs;
    let mut curve = Curve::default();
    curve.begin(seconds(7));
    for (records, cpu) in [(0, 7), (100, 9)] {
        curve.add(records, seconds(cpu));
    }
    curve.begin(seconds(1));
    for (records, cpu) in [(100, 1), (200, 2)] {
        curve.add(records, seconds(cpu));
    }
    assert_eq!(curve.cost(25, 75), 1e6 / 50.0);
    assert_eq!(curve.cost(0, 200), 3e6 / 200.0);
    assert_eq!(curve.cost(150, 200), 0.5e6 / 50.0);
}
