// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Timers of a function, and how they are kept in its state, under a store name that no function can have: the empty one.
//!
//! ```text
//! key of a task = part("") u8 domain 0x00 key             the time, encoded as below, and for a timer in the queue its turn
//!               | part("") u8 domain 0x01 time key        nothing; in the order in which they are due
//!               | part("") u8 domain 0x02 turn time key   nothing; the queue of those whose time had come when they were set
//! time          = i64 big-endian with the sign bit flipped: its byte order is its order
//! turn          = u64 big-endian
//! ```
//!
//! A timer whose time has come already when it is set is due at once, and so is one that it sets in turn. Were such timers kept
//! among the others, by their times, one that sets itself again would come first for ever. Therefore they wait in a queue, in
//! turns: what timers of one turn set comes in the next one.

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
const QUEUED: u8 = 2;

/// Where a timer waits until it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Among those that are due when their time comes.
    AtTime,
    /// In the queue, because its time had come when it was set; behind those of lower turns.
    Queue(u64),
}

impl Timer {
    /// The key by which it is found by its own key.
    pub fn by_key(&self) -> Vec<u8> {
        key_in_state(self.domain, &self.key)
    }

    /// The key by which it is found when it is due.
    pub fn by_place(&self, place: Place) -> Vec<u8> {
        let time = encode_time(self.at_ms);
        match place {
            Place::AtTime => [&due_prefix(self.domain)[..], &time, &self.key].concat(),
            Place::Queue(turn) => [&queue_prefix(self.domain)[..], &turn.to_be_bytes(), &time, &self.key].concat(),
        }
    }
}

/// Where the time and the place of a timer are kept.
pub fn key_in_state(domain: TimeDomain, key: &[u8]) -> Vec<u8> {
    [&TIMERS_PREFIX[..], &[domain.number(), BY_KEY], key].concat()
}

/// What the keys of a domain's timers begin with, in the order in which they are due; then come time and key.
pub fn due_prefix(domain: TimeDomain) -> [u8; 6] {
    let [a, b, c, d] = TIMERS_PREFIX;
    [a, b, c, d, domain.number(), BY_TIME]
}

/// What the keys of a domain's queue begin with; then come turn, time and key.
pub fn queue_prefix(domain: TimeDomain) -> [u8; 6] {
    let [a, b, c, d] = TIMERS_PREFIX;
    [a, b, c, d, domain.number(), QUEUED]
}

/// The bytes of a time.
pub fn encode_time(at_ms: i64) -> [u8; 8] {
    (at_ms ^ i64::MIN).to_be_bytes()
}

/// The time of these bytes.
pub fn decode_time(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(*bytes.as_array()?) ^ i64::MIN)
}

/// The bytes that are kept under a timer's own key.
pub fn encode_place(at_ms: i64, place: Place) -> Bytes {
    let time = encode_time(at_ms);
    match place {
        Place::AtTime => Bytes::copy_from_slice(&time),
        Place::Queue(turn) => [time, turn.to_be_bytes()].concat().into(),
    }
}

/// What these bytes say.
pub fn decode_place(bytes: &[u8]) -> Option<(i64, Place)> {
    let (time, turn) = bytes.split_at_checked(8)?;
    let place = match turn {
        [] => Place::AtTime,
        turn => Place::Queue(u64::from_be_bytes(*turn.as_array()?)),
    };
    Some((decode_time(time)?, place))
}

/// The timer whose key by time this is.
pub fn timer_of(domain: TimeDomain, key: &[u8]) -> Option<Timer> {
    timer(domain, key.strip_prefix(&due_prefix(domain))?)
}

/// The timer whose key in the queue this is, with its turn.
pub fn queued_timer_of(domain: TimeDomain, key: &[u8]) -> Option<(u64, Timer)> {
    let (turn, rest) = key.strip_prefix(&queue_prefix(domain))?.split_at_checked(8)?;
    Some((u64::from_be_bytes(*turn.as_array()?), timer(domain, rest)?))
}

fn timer(domain: TimeDomain, rest: &[u8]) -> Option<Timer> {
    let (time, key) = rest.split_at_checked(8)?;
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
        let keys =
            times.map(|at_ms| Timer { domain: TimeDomain::Event, key: "k".into(), at_ms }.by_place(Place::AtTime));
        assert!(keys.is_sorted());
        for (key, at_ms) in keys.iter().zip(times) {
            let timer = Timer { domain: TimeDomain::Event, key: "k".into(), at_ms };
            assert_eq!(timer_of(TimeDomain::Event, key), Some(timer));
            assert_eq!(timer_of(TimeDomain::Processing, key), None);
        }
    }

    #[test]
    fn a_queue_is_in_the_order_of_its_turns_before_that_of_times() {
        let queued =
            |turn, at_ms| Timer { domain: TimeDomain::Event, key: "k".into(), at_ms }.by_place(Place::Queue(turn));
        let keys = [queued(0, 9), queued(1, -5), queued(1, 3), queued(256, i64::MIN), queued(u64::MAX, 0)];
        assert!(keys.is_sorted());
        let timer = Timer { domain: TimeDomain::Event, key: "k".into(), at_ms: 3 };
        assert_eq!(queued_timer_of(TimeDomain::Event, &keys[2]), Some((1, timer)));
        assert_eq!(queued_timer_of(TimeDomain::Processing, &keys[2]), None);
        assert_eq!(timer_of(TimeDomain::Event, &keys[2]), None, "it is not among the others");
    }

    #[test]
    fn the_kept_bytes_of_each_place_are_these() {
        for (place, golden) in [
            (Place::AtTime, &b"\x80\0\0\0\0\0\0\x07"[..]),
            (Place::Queue(258), b"\x80\0\0\0\0\0\0\x07\0\0\0\0\0\0\x01\x02"),
        ] {
            assert_eq!(encode_place(7, place), golden);
            assert_eq!(decode_place(golden), Some((7, place)));
        }
        assert_eq!((decode_place(b"short"), decode_place(b"neither 8 nor")), (None, None));
    }
}
