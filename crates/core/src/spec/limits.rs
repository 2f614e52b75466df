// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What an instance of a function may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Field, SpecProblem, millis};
use crate::units::write_size;

/// What one instance, which serves one task, may use. Whoever passes one of these fails the record at hand, nothing else.
///
/// | limit | what counts |
/// |---|---|
/// | `memory` | linear memory and tables together |
/// | `call_time` | processor time of one call: of a record, or of a batch where the function takes batches |
/// | `start_time` | processor time of making the instance and of its `init` together |
/// | `record_bytes` | key, headers and value of one emitted record |
/// | `records_per_input` | records emitted in a call, for each record that the call was given; a call without one counts as one |
/// | `state_bytes` | keys and values that the task keeps, over all its stores |
///
/// Processor time is what the calling thread computes, in the guest and in the host for it: a call that has to stand back on a
/// busy machine uses none meanwhile. A call that waits is ended by the clock: [`Limits::wall_time`]. Any other may take up to
/// [`Limits::MOST_WALL_TIME`] to get its processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes.
    pub memory: usize,
    /// Milliseconds when stored.
    #[serde(with = "millis", rename = "call_time_ms")]
    pub call_time: Duration,
    /// Milliseconds when stored.
    #[serde(with = "millis", rename = "start_time_ms")]
    pub start_time: Duration,
    /// Bytes.
    pub record_bytes: usize,
    /// Records.
    pub records_per_input: u64,
    /// Bytes; without a bound when it is not set. Keeping it costs a read for each write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: 256 << 20,
            call_time: Duration::from_secs(10),
            start_time: Duration::from_secs(60),
            record_bytes: 1 << 20,
            records_per_input: 10_000,
            state_bytes: None,
        }
    }
}

impl Limits {
    /// The least memory that a guest can begin with: one page.
    const LEAST_MEMORY: usize = 64 << 10;
    /// What 32-bit memory ends at.
    const MOST_MEMORY: usize = 4 << 30;
    /// Whoever stops or changes a function waits for its call.
    const MOST_TIME: Duration = Duration::from_secs(600);
    /// The longest that any call may take by the clock.
    pub const MOST_WALL_TIME: Duration = Duration::from_secs(1_800);
    /// The times its limit that a call may take by the clock if it waits.
    const WALL_TIMES: u32 = 20;

    /// The time by the clock until which a call or a start may wait whose limit of processor time is `limit`: twenty times as
    /// much, and at most half an hour. Guests that wait use no processor time.
    pub fn wall_time(limit: Duration) -> Duration {
        limit.saturating_mul(Self::WALL_TIMES).min(Self::MOST_WALL_TIME)
    }

    /// Says that the limit of memory cannot be reached where all functions together may have only so much. That is no reason to
    /// refuse it: the description may be right on another machine, and most functions need less than they may have.
    pub fn beyond(&self, all: usize) -> Option<String> {
        (!self.is_default_memory() && self.memory > all).then(|| {
            let [own, all] = [self.memory, all >> 20 << 20].map(|bytes| write_size(bytes as u64));
            format!(
                "the limit memory, {own}, is more than the {all} that the server has for all functions: an instance that needs \
                 more than these fails (FS-1404)"
            )
        })
    }

    /// The limit of memory in force if all functions together have so much: never more than that, so that a record which wants
    /// more fails by itself and does not wait for what never comes.
    ///
    /// The default is nobody's wish. It leaves an eighth to others, so that a record which wants without end meets its own limit
    /// also beside small instances that are never idle.
    pub fn memory_within(&self, all: usize) -> usize {
        let most = if self.is_default_memory() { all - all / 8 } else { all };
        self.memory.min(most)
    }

    fn is_default_memory(&self) -> bool {
        self.memory == Limits::default().memory
    }

    pub(super) fn check(&self, problems: &mut Vec<SpecProblem>) {
        let mut found = |name, message| problems.push(SpecProblem::new(Field::Limit(name), message));
        if !(Self::LEAST_MEMORY..=Self::MOST_MEMORY).contains(&self.memory) {
            found("memory", format!("limit memory is {} bytes, not 64KiB to 4GiB", self.memory));
        }
        for (name, time) in [("call-time", self.call_time), ("start-time", self.start_time)] {
            if time.is_zero() || time > Self::MOST_TIME {
                found(name, format!("limit {name} is {time:?}, not 1ms to 10m"));
            }
        }
        if self.record_bytes == 0 {
            found("record", "limit record is 0 bytes: nothing could be emitted".to_owned());
        }
        if self.records_per_input == 0 {
            found("records-per-input", "limit records-per-input is 0: nothing could be emitted".to_owned());
        }
    }
}
