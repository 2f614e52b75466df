// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What was fetched of a partition and not polled yet, and the last of what was: whoever goes back a little, to where a record fails
//! among others, finds it here, and nothing is fetched again.

use std::collections::VecDeque;

use fnstream_core::Error;
use fnstream_core::record::TopicPartition;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use crate::native::Message;

/// A ring that holds as much has enough: its feed need not read on.
const ENOUGH_BYTES: usize = 4 << 20;
const ENOUGH_RECORDS: usize = 16_384;
/// One that holds so many times as much, because its feed reads for others, is filled no further.
const FULL: usize = 4;
/// So much of what was polled is kept.
const KEPT_BYTES: usize = 1 << 20;

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
    /// What was polled last, from `kept_from` on up to `position`.
    kept: VecDeque<Message>,
    kept_bytes: usize,
    kept_from: i64,
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
    /// Whether the feed waits until there is room.
    is_awaited: bool,
    /// The number of the last seek that was asked for, and of the last that was done: what comes in between is of before.
    asked: u64,
    done: u64,
}

impl Ring {
    pub(crate) fn new(name: (String, i32), at: TopicPartition, group: u32, from: i64, waker: Waker) -> Ring {
        let state = State { position: from, next: from, kept_from: from, ..State::default() };
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
        let is_full = state.holds(FULL);
        let was_paused = state.is_paused;
        state.is_paused |= is_full;
        is_full && !was_paused
    }

    /// Whether it has enough. Whoever takes from it then says so when there is room again.
    pub(crate) fn has_enough(&self) -> bool {
        let mut state = self.state.lock();
        state.is_awaited = state.holds(1);
        state.is_awaited
    }

    /// Goes to an offset. What is not kept has to be fetched: everything is dropped then, and the number of the seek is answered.
    pub(crate) fn seek(&self, to: i64) -> Option<u64> {
        let mut state = self.state.lock();
        if state.go_back(to) {
            return None;
        }
        let (asked, done) = (state.asked + 1, state.done);
        let dropped = std::mem::replace(
            &mut *state,
            State { position: to, next: to, kept_from: to, asked, done, ..State::default() },
        );
        drop(state);
        drop(dropped);
        Some(asked)
    }

    pub(crate) fn sought(&self, number: u64) {
        let mut state = self.state.lock();
        state.done = number;
    }
}

impl State {
    /// The next record, if there is one and it is wanted.
    pub(crate) fn pop_if(&mut self, wanted: impl FnOnce(&Message) -> bool) -> Option<&Message> {
        let message = self.records.pop_front_if(|message| wanted(message))?;
        self.bytes -= message.weight();
        self.position = message.offset() + 1;
        self.kept_bytes += message.weight();
        self.kept.push_back(message);
        while self.kept_bytes > KEPT_BYTES
            && self.kept.len() > 1
            && let Some(oldest) = self.kept.pop_front()
        {
            self.kept_bytes -= oldest.weight();
            self.kept_from = oldest.offset() + 1;
        }
        self.kept.back()
    }

    /// Has what was polled from an offset on come next, if all of it is here.
    fn go_back(&mut self, to: i64) -> bool {
        if self.asked != self.done || self.failed.is_some() || !(self.kept_from..=self.position).contains(&to) {
            return false;
        }
        while let Some(message) = self.kept.pop_back_if(|message| message.offset() >= to) {
            self.kept_bytes -= message.weight();
            self.bytes += message.weight();
            self.records.push_front(message);
        }
        self.position = to;
        self.told = None;
        true
    }

    /// Whether it holds so many times what is enough.
    fn holds(&self, times: usize) -> bool {
        self.bytes >= times * ENOUGH_BYTES || self.records.len() >= times * ENOUGH_RECORDS
    }

    /// Whether somebody is to be told that it has room again.
    pub(crate) fn resume_if_empty(&mut self) -> bool {
        let has_room = self.bytes <= ENOUGH_BYTES / 2 && self.records.len() <= ENOUGH_RECORDS / 2;
        if (self.is_paused || self.is_awaited) && has_room {
            (self.is_paused, self.is_awaited) = (false, false);
            return true;
        }
        false
    }

    /// The end as far as it is known.
    pub(crate) fn known_end(&self) -> Option<i64> {
        self.end.or_else(|| self.high.map(|high| high.max(self.next)))
    }
}
