// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The records: 100 bytes each, of which the seed and the number say all, so that the output is checked byte by byte.

use anyhow::{Context, Result, ensure};
use fnstream_frame::{Frame, FrameBuilder, RecordRef};

/// Bytes of a record's value.
pub(crate) const RECORD: usize = 100;

/// What is preloaded and expected back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub seed: u64,
    pub records: u64,
}

impl Workload {
    /// The records from `first` on, at most `count`, as a frame.
    pub(crate) fn frame(&self, first: u64, count: u64) -> Vec<u8> {
        let mut frame = FrameBuilder::new();
        for index in first..self.records.min(first + count) {
            frame.push(RecordRef::new(&self.value(index)).at(index as i64));
        }
        frame.to_bytes()
    }

    /// The value of a record: its number, then bytes that don't compress.
    fn value(&self, index: u64) -> [u8; RECORD] {
        let mut value = [0; RECORD];
        value[..8].copy_from_slice(&index.to_le_bytes());
        let mut state = self.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for word in value[8..].chunks_mut(8) {
            state = splitmix(state);
            word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
        }
        value
    }

    /// Checks that a frame has the records from `first` on; answers how many.
    pub(crate) fn check(&self, first: u64, frame: &[u8]) -> Result<u64> {
        let frame = Frame::parse(frame).context("what was read is not a frame")?;
        for (index, record) in (first..).zip(frame.iter()) {
            ensure!(record.bytes() == self.value(index), "output {index} is another record");
            ensure!(record.timestamp == index as i64, "output {index} has another time");
        }
        Ok(frame.len() as u64)
    }
}

/// One step of the generator splitmix64.
fn splitmix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn a_lost_a_doubled_and_a_changed_record_are_noticed() -> Result<()> {
    let work = Workload { seed: 1, records: 10 };
    assert_eq!(work.check(3, &work.frame(3, 100))?, 7);
    assert!(work.check(3, &work.frame(4, 2)).is_err(), "one is lost");
    assert!(work.check(3, &work.frame(2, 2)).is_err(), "one is doubled");
    let mut changed = work.frame(3, 2);
    *changed.last_mut().context("an empty frame")? ^= 1;
    assert!(work.check(3, &changed).is_err(), "one is changed");
    Ok(())
}
