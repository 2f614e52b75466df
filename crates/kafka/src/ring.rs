// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What was fetched of a partition and not polled yet.

use std::collections::VecDeque;

use fnstream_core::Error;
use fnstream_core::record::TopicPartition;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use crate::native::Message;

/// A ring that holds as much is not filled any further.
const FULL_BYTES: usize = 16 << 20;
const FULL_RECORDS: usize = 50_000;

/// One partition of one source.
pub(crate) struct Ring {
    /// Its name in Kafka.
    pub name: (String, i32),
    /// Its name here.
    pub at: TopicPartition,
    /// The input group.
    pub group: u32,
    pub waker: Waker,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub records: VecDeque<Message>,
    bytes: usize,
    /// Where the next batch begins.
    pub position: i64,
    /// The end, if nothing came after it was told.
    pub end: Option<i64>,
    /// The end as an answer with records said, which counts what transactions have not decided yet.
    pub high: Option<i64>,
    /// What is told of the partition until it is sought.
    pub failed: Option<Error>,
    /// The last watermark that was told.
    pub told: Option<u64>,
    /// What comes next from the consumer.
    next: i64,
    is_paused: bool,
    /// The number of the last seek that was asked for, and of the last that was done: what comes in between is of before.
    asked: u64,
    done: u64,
}

impl Ring {
    pub(crate) fn new(name: (String, i32), at: TopicPartition, group: u32, from: i64, waker: Waker) -> Ring {
        let state = State { position: from, next: from, ..State::default() };
        Ring { name, at, group, waker, state: Mutex::new(state) }
    }

    /// Looks at it, or takes from it.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock())
    }

    pub(crate) fn push(&self, message: Message) {
        let mut state = self.state.lock();
        if state.asked == state.done {
            state.bytes += message.weight();
            state.next = message.offset() + 1;
            state.end = None;
            state.records.push_back(message);
        }
    }

    pub(crate) fn ends_at(&self, offset: i64) {
        let mut state = self.state.lock();
        if state.asked == state.done {
            state.next = state.next.max(offset);
            state.end = Some(offset);
        }
    }

    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.state.lock();
        if state.asked == state.done {
            state.failed = Some(error);
        }
        drop(state);
        self.waker.wake();
    }

    /// What comes next from the consumer.
    pub(crate) fn next(&self) -> i64 {
        self.state.lock().next
    }

    /// Whether it was filled and has to be paused.
    pub(crate) fn pause_if_full(&self) -> bool {
        let mut state = self.state.lock();
        let is_full = state.bytes >= FULL_BYTES || state.records.len() >= FULL_RECORDS;
        let was_paused = state.is_paused;
        state.is_paused |= is_full;
        is_full && !was_paused
    }

    /// Drops everything; the number of the seek is answered.
    pub(crate) fn seek(&self, to: i64) -> u64 {
        let mut state = self.state.lock();
        let asked = state.asked + 1;
        let dropped =
            std::mem::replace(&mut *state, State { position: to, next: to, asked, done: 0, ..State::default() });
        state.done = dropped.done;
        drop(state);
        asked
    }

    pub(crate) fn sought(&self, number: u64) {
        let mut state = self.state.lock();
        state.done = number;
    }
}

impl State {
    /// The next record, if there is one and it is wanted.
    pub(crate) fn pop_if(&mut self, wanted: impl FnOnce(&Message) -> bool) -> Option<Message> {
        let message = self.records.pop_front_if(|message| wanted(message))?;
        self.bytes -= message.weight();
        self.position = message.offset() + 1;
        Some(message)
    }

    /// Whether it was paused and has room again.
    pub(crate) fn resume_if_empty(&mut self) -> bool {
        let has_room = self.bytes <= FULL_BYTES / 2 && self.records.len() <= FULL_RECORDS / 2;
        if self.is_paused && has_room {
            self.is_paused = false;
            return true;
        }
        false
    }

    /// The end as far as it is known.
    pub(crate) fn known_end(&self) -> Option<i64> {
        self.end.or_else(|| self.high.map(|high| high.max(self.next)))
    }
}
