// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/// The clock that a timer follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeDomain {
    /// The function's watermark. A timer is due when no input is expected to bring a record older than the timer.
    Event,
    /// The machine's clock.
    Processing,
}

impl TimeDomain {
    /// Both domains.
    pub const ALL: [TimeDomain; 2] = [TimeDomain::Event, TimeDomain::Processing];

    /// The channel that stands for the domain in a frame.
    pub(crate) fn channel(self) -> u32 {
        match self {
            TimeDomain::Event => 0,
            TimeDomain::Processing => 1,
        }
    }

    pub(crate) fn of_channel(channel: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|domain| domain.channel() == channel)
    }
}

/// A timer that is due. Copy the key if it must outlive the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timer<'a> {
    /// The clock that the timer followed.
    pub domain: TimeDomain,
    /// The key that the timer was set with.
    pub key: &'a [u8],
    /// The time at which the timer was due, in milliseconds since the Unix epoch.
    pub at: i64,
}
