// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What can be set about the engine.

use std::time::Duration;

use fnstream_core::broker::PollLimit;
use fnstream_core::budget::guests::{Guests, SMALL_GUEST};

/// When an open epoch ends although there is more input. It ends earlier as soon as the input is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochBounds {
    /// Records consumed.
    pub records: u64,
    /// Bytes consumed, emitted and written to state together.
    pub bytes: usize,
    /// Time since the epoch's first record.
    pub age: Duration,
}

impl Default for EpochBounds {
    /// Bounds that suit a commit of about a millisecond.
    fn default() -> Self {
        EpochBounds { records: 65_536, bytes: 8 << 20, age: Duration::from_millis(100) }
    }
}

/// The engine's settings.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Threads that run tasks; while some of them are stuck in long calls there are so many more.
    pub workers: usize,
    /// The most that one call of user code is given.
    pub batch: PollLimit,
    /// Bytes of memory for committed state that is not applied yet, of all tasks together.
    pub dirty_bytes: usize,
    /// The most keys that one task keeps unapplied.
    pub dirty_keys: usize,
    /// The longest time that a committed delta stays unapplied.
    pub dirty_age: Duration,
    /// Bytes of memory for recently read state, of all tasks together.
    pub cache_bytes: usize,
    /// The memory of all instances together.
    pub guests: Guests,
    /// Instances with that many bytes of memory are closed when they have been idle for `rest_after`; when memory is short, others too.
    pub rest_bytes: usize,
    /// See `rest_bytes`. Those of a function that takes long to start rest later, see [`Self::REST_PER_START`].
    pub rest_after: Duration,
    /// The time between two checks of an instance's health, if it was called meanwhile.
    pub heartbeat: Duration,
    /// The wait after a first failure; it doubles with each further one.
    pub backoff_min: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
    /// The time that a task runs before it lets others.
    pub slice: Duration,
    /// The time that a task has to finish what it does when it is to end orderly: its call, its last checkpoint and `close`
    /// together. A call that takes longer is interrupted, and what it did is done again when the function runs next.
    pub grace: Duration,
}

impl EngineConfig {
    /// An idle instance is closed after that many times what starting one of the function takes, at least: starting it again is to cost little beside
    /// what its rest has saved.
    pub const REST_PER_START: u32 = 1000;

    /// The most things that a task does in a slice, for clocks that stand still.
    pub(crate) fn slice_batches(&self) -> usize {
        64
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            batch: PollLimit { records: 1024, bytes: 1 << 20 },
            dirty_bytes: 64 << 20,
            dirty_keys: 200_000,
            dirty_age: Duration::from_secs(10),
            cache_bytes: 64 << 20,
            guests: Guests::default(),
            rest_bytes: SMALL_GUEST,
            rest_after: Duration::from_secs(10),
            heartbeat: Duration::from_secs(30),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            slice: Duration::from_millis(4),
            grace: Duration::from_secs(5),
        }
    }
}
