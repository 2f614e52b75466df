// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/// What the time of a timer is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeDomain {
    /// The function's watermark: a timer is due when no record older than it is expected from any input.
    Event,
    /// The machine's clock.
    Processing,
}

impl TimeDomain {
    /// Both.
    pub const ALL: [TimeDomain; 2] = [TimeDomain::Event, TimeDomain::Processing];

    /// As which channel it stands in a frame.
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

/// A timer that is due. Copy the key if it is to outlive the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timer<'a> {
    /// What its time was compared with.
    pub domain: TimeDomain,
    /// The key that it was set with.
    pub key: &'a [u8],
    /// When it was due, in milliseconds since the Unix epoch.
    pub at: i64,
}
