// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One part of the budget: a number of bytes, those who hold some, and those who wait, first come first served.
//!
//! Who waits is not overtaken: as long as there is a queue, [`Part::try_take`] is refused even if the bytes would be free. Only
//! who holds already may take more before the queue ([`Held::try_grow`]), since others wait for it to finish.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use super::short;
use crate::waker::Waker;
use crate::{Error, ErrorCode, Result};

/// One part of a [`Budget`](super::Budget). Clones are the same part.
#[derive(Clone)]
pub struct Part(Arc<Shared>);

struct Shared {
    name: &'static str,
    what: &'static str,
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: usize,
    peak: usize,
    refused: u64,
    queue: VecDeque<Queued>,
    /// Those who waited and whose bytes are taken, until they fetch them.
    granted: Vec<u64>,
    /// The number of the next who waits.
    next: u64,
}

struct Queued {
    number: u64,
    bytes: usize,
    waker: Waker,
}

impl Part {
    /// A part of that name and limit in bytes; `what` is what messages say it is for.
    pub fn new(name: &'static str, what: &'static str, limit: usize) -> Self {
        Part(Arc::new(Shared { name, what, limit, state: Mutex::default() }))
    }

    /// Takes bytes at once. Refused with [`ErrorCode::MemoryShort`] if they are not free, or if others wait.
    pub fn try_take(&self, bytes: usize) -> Result<Held> {
        let mut state = self.0.state.lock();
        if !state.queue.is_empty() || !state.take(self.0.limit, bytes) {
            return Err(self.refuse(&mut state, bytes));
        }
        Ok(Held { part: self.clone(), bytes })
    }

    /// Takes no bytes, to grow later.
    pub(super) fn nothing(&self) -> Held {
        Held { part: self.clone(), bytes: 0 }
    }

    /// Takes bytes as soon as they are free and those who waited before have theirs. Dropping the future leaves the queue.
    ///
    /// Refused with [`ErrorCode::MemoryShort`] only if the whole part is smaller.
    pub fn take(&self, bytes: usize) -> Taking {
        Taking { part: self.clone(), bytes, waiting: None }
    }

    /// The same for who is woken rather than awaits: joins the queue, and wakes `waker` when [`Waiting::ready`] has the bytes.
    pub fn wait(&self, bytes: usize, waker: Waker) -> Result<Waiting> {
        let mut state = self.0.state.lock();
        if bytes > self.0.limit {
            return Err(self.refuse(&mut state, bytes));
        }
        let number = state.next;
        state.next += 1;
        state.queue.push_back(Queued { number, bytes, waker });
        // Whoever waits calls `ready` next, so it needs no wake-up for itself; it is first in an empty queue.
        drop(state.serve(self.0.limit));
        Ok(Waiting { part: self.clone(), number, bytes })
    }

    /// A short name, for metrics.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The most that may be taken, in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes that are taken.
    pub fn used(&self) -> usize {
        self.0.state.lock().used
    }

    /// The most bytes that were ever taken at once.
    pub fn peak(&self) -> usize {
        self.0.state.lock().peak
    }

    /// Refusals since the start.
    pub fn refused(&self) -> u64 {
        self.0.state.lock().refused
    }

    /// Those who wait.
    pub fn waiting(&self) -> usize {
        self.0.state.lock().queue.len()
    }

    /// Counts a refusal by somebody who takes part in sharing it out, or of somebody for whom all of it was not enough.
    pub fn count_refusal(&self) {
        self.0.state.lock().refused += 1;
    }

    fn refuse(&self, state: &mut State, bytes: usize) -> Error {
        state.refused += 1;
        Error::new(ErrorCode::MemoryShort, short(self.0.what, self.0.limit, state.used, bytes))
    }

    fn give_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut state = self.0.state.lock();
        state.used -= bytes;
        let wakers = state.serve(self.0.limit);
        drop(state);
        wakers.iter().for_each(Waker::wake);
    }
}

impl State {
    fn take(&mut self, limit: usize, bytes: usize) -> bool {
        let Some(used) = self.used.checked_add(bytes).filter(|used| *used <= limit) else { return false };
        self.used = used;
        self.peak = self.peak.max(used);
        true
    }

    /// Takes for those at the head of the queue what is free; they are to be woken when the lock is released.
    fn serve(&mut self, limit: usize) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while let Some(bytes) = self.queue.front().map(|first| first.bytes)
            && self.take(limit, bytes)
            && let Some(first) = self.queue.pop_front()
        {
            self.granted.push(first.number);
            wakers.push(first.waker);
        }
        wakers
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        let (used, waiting) = (state.used, state.queue.len());
        f.debug_struct(self.0.name)
            .field("limit", &self.0.limit)
            .field("used", &used)
            .field("waiting", &waiting)
            .finish()
    }
}

/// Bytes that are taken. Dropping it gives them back.
#[derive(Debug)]
#[must_use = "bytes are given back as soon as this is dropped"]
pub struct Held {
    part: Part,
    bytes: usize,
}

impl Held {
    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes that many more, before those who wait. Refused with [`ErrorCode::MemoryShort`] if they are not free; what is held
    /// stays held.
    pub fn try_grow(&mut self, more: usize) -> Result<()> {
        let mut state = self.part.0.state.lock();
        if !state.take(self.part.0.limit, more) {
            return Err(self.part.refuse(&mut state, more));
        }
        self.bytes += more;
        Ok(())
    }

    /// Gives back all but that many bytes; holds no more afterwards than before.
    pub fn shrink_to(&mut self, bytes: usize) {
        drop(self.split(self.bytes.saturating_sub(bytes)));
    }

    /// Counts a refusal by who shares out what this holds.
    pub(super) fn count_refusal(&self) {
        self.part.count_refusal();
    }

    /// Takes that many bytes out of it, or all if it has less, to be held and given back on their own.
    pub fn split(&mut self, bytes: usize) -> Held {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Held { part: self.part.clone(), bytes }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.part.give_back(self.bytes);
    }
}

/// A place in the queue of a part. Dropping it leaves the queue.
#[derive(Debug)]
#[must_use = "dropping it leaves the queue"]
pub struct Waiting {
    part: Part,
    number: u64,
    bytes: usize,
}

impl Waiting {
    /// The bytes, once they are taken; `None` before, and after they were fetched.
    pub fn ready(&mut self) -> Option<Held> {
        let granted = self.part.0.state.lock().fetch(self.number);
        granted.then(|| Held { part: self.part.clone(), bytes: self.bytes })
    }

    /// Wakes `waker` instead of the one that was given before.
    pub fn set_waker(&mut self, waker: Waker) {
        let mut state = self.part.0.state.lock();
        if let Some(place) = state.queue.iter_mut().find(|queued| queued.number == self.number) {
            place.waker = waker;
        }
    }
}

impl State {
    fn fetch(&mut self, number: u64) -> bool {
        let place = self.granted.iter().position(|granted| *granted == number);
        place.map(|place| self.granted.swap_remove(place)).is_some()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.part.0.state.lock();
        let unfetched = state.fetch(self.number);
        state.queue.retain(|queued| queued.number != self.number);
        // The next one may need less than who has left.
        let wakers = state.serve(self.part.0.limit);
        drop(state);
        wakers.iter().for_each(Waker::wake);
        if unfetched {
            self.part.give_back(self.bytes);
        }
    }
}

/// The future of [`Part::take`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Taking {
    part: Part,
    bytes: usize,
    waiting: Option<Waiting>,
}

impl Future for Taking {
    type Output = Result<Held>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Held>> {
        let task = cx.waker().clone();
        let waker = Waker::new(move || task.wake_by_ref());
        let this = &mut *self;
        let waiting = match &mut this.waiting {
            Some(waiting) => {
                waiting.set_waker(waker);
                waiting
            }
            none => match this.part.wait(this.bytes, waker) {
                Ok(waiting) => none.insert(waiting),
                Err(e) => return Poll::Ready(Err(e)),
            },
        };
        waiting.ready().map_or(Poll::Pending, |held| Poll::Ready(Ok(held)))
    }
}
