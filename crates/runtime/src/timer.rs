// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The time that a guest has, and which of its limits that is.

use std::fmt;
use std::time::{Duration, Instant};

use fnstream_core::runtime::Limits;
use fnstream_core::{Error, ErrorCode};

/// Longer than any process lives.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Items between two looks at the clock.
const ITEMS: usize = 256;

/// When a guest must be done with what it does now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timer {
    ends: Instant,
    phase: Phase,
    limit: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The instance is made, and its `init` called.
    Start,
    /// Any other call.
    Call,
}

impl Timer {
    /// For one call, from now on.
    pub(crate) fn call(limits: &Limits) -> Self {
        Timer::new(Phase::Call, limits.call_time, limits.call_time)
    }

    /// For a part of the start, from now on, when earlier parts have left that much time.
    pub(crate) fn start(limits: &Limits, left: Duration) -> Self {
        Timer::new(Phase::Start, limits.start_time, left)
    }

    fn new(phase: Phase, limit: Duration, left: Duration) -> Self {
        let now = Instant::now();
        Timer { ends: now.checked_add(left).unwrap_or(now + FOR_EVER), phase, limit }
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// `Err` once it is over. For host functions that go through a list of the guest's, which the engine cannot interrupt;
    /// asked with the number of each item, it looks at the clock now and then.
    pub(crate) fn check(&self, item: usize) -> Result<(), Error> {
        if item.is_multiple_of(ITEMS) && self.left().is_zero() { Err(self.over("was ended at")) } else { Ok(()) }
    }

    /// The failure of a guest whose time is over; `how` is what the guest did or what was done to it.
    pub(crate) fn over(&self, how: impl fmt::Display) -> Error {
        let (what, limit) = match self.phase {
            Phase::Start => ("start", "start-time"),
            Phase::Call => ("call", "call-time"),
        };
        Error::new(ErrorCode::GuestTimeout, format!("the {what} {how} its limit '{limit}' of {:?}", self.limit))
    }
}
