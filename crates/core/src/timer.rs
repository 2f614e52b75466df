// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Timers of a function, and how they are kept in its state, under a store name that no function can have: the empty one.
//!
//! ```text
//! key of a task = part("") u8 domain 0x00 key                          the time, encoded as below
//!               | part("") u8 domain 0x01 time key                     nothing; in the order in which they are due
//! time          = i64 big-endian with the sign bit flipped: its byte order is its order
//! ```

use bytes::Bytes;

use crate::error::{Error, ErrorCode, Result};

/// The longest key of a timer in bytes.
pub const MAX_TIMER_KEY: usize = 64 << 10;

/// What the time of a timer is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeDomain {
    /// The function's watermark: a timer is due when no record older than its time is expected any more.
    Event,
    /// The machine's clock.
    Processing,
}

impl TimeDomain {
    /// Both.
    pub const ALL: [TimeDomain; 2] = [TimeDomain::Event, TimeDomain::Processing];

    /// The number that guests and keys know it by.
    pub fn number(self) -> u8 {
        match self {
            TimeDomain::Event => 0,
            TimeDomain::Processing => 1,
        }
    }
}

/// A timer that a function has set. There is one for a domain and a key: setting it again moves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// What its time is compared with.
    pub domain: TimeDomain,
    /// The function's own name for it.
    pub key: Bytes,
    /// When it is due, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// What the keys of all timers begin with.
pub const TIMERS_PREFIX: [u8; 4] = [0; 4];
const BY_KEY: u8 = 0;
const BY_TIME: u8 = 1;

impl Timer {
    /// The keys in the task's state: by its key, and by its time.
    pub fn state_keys(&self) -> (Vec<u8>, Vec<u8>) {
        let by_key = key_in_state(self.domain, &self.key);
        let time = encode_time(self.at_ms);
        (by_key, [&due_prefix(self.domain)[..], &time, &self.key].concat())
    }
}

/// Where the time of a timer is kept.
pub fn key_in_state(domain: TimeDomain, key: &[u8]) -> Vec<u8> {
    [&TIMERS_PREFIX[..], &[domain.number(), BY_KEY], key].concat()
}

/// What the keys of a domain's timers begin with, in the order in which they are due; then come time and key.
pub fn due_prefix(domain: TimeDomain) -> [u8; 6] {
    let [a, b, c, d] = TIMERS_PREFIX;
    [a, b, c, d, domain.number(), BY_TIME]
}

/// The bytes of a time.
pub fn encode_time(at_ms: i64) -> [u8; 8] {
    (at_ms ^ i64::MIN).to_be_bytes()
}

/// The time of these bytes.
pub fn decode_time(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(*bytes.as_array()?) ^ i64::MIN)
}

/// The timer whose key by time this is.
pub fn timer_of(domain: TimeDomain, key: &[u8]) -> Option<Timer> {
    let (time, key) = key.strip_prefix(&due_prefix(domain))?.split_at_checked(8)?;
    Some(Timer { domain, key: Bytes::copy_from_slice(key), at_ms: decode_time(time)? })
}

/// Checks the key of a timer.
pub fn check_timer_key(key: &[u8]) -> Result<()> {
    if key.len() > MAX_TIMER_KEY {
        let why = format!("a timer's key has {} bytes, more than {MAX_TIMER_KEY}", key.len());
        return Err(Error::new(ErrorCode::StateKeyInvalid, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_times() {
        let times = [i64::MIN, -5, -1, 0, 1, 1 << 40, i64::MAX];
        let keys = times.map(|at_ms| Timer { domain: TimeDomain::Event, key: "k".into(), at_ms }.state_keys().1);
        assert!(keys.is_sorted());
        for (key, at_ms) in keys.iter().zip(times) {
            let timer = Timer { domain: TimeDomain::Event, key: "k".into(), at_ms };
            assert_eq!(timer_of(TimeDomain::Event, key), Some(timer));
            assert_eq!(timer_of(TimeDomain::Processing, key), None);
        }
    }
}
