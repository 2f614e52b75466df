// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Who compiles when: what is small never waits for what is large.
//!
//! ```text
//!                      memory for compiling
//! ├──────────────── most ────────────────┼── reserved ──┤
//! large: one at a time, may take all of that            small: as many as there are processors, and memory
//! ```
//!
//! With little memory nothing is reserved, and everything is large. Large is what probably takes more memory than is reserved for
//! the small ones, and what was found to take more than was guessed. One at a time is enough, since a compiler uses all processors.

use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::budget::{Held, Part};
use fnstream_core::error::internal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most that is reserved.
const RESERVED: usize = 128 << 20;

/// What has to be left for the large ones: what the programs of Go's compiler take.
const ENOUGH: usize = 150 << 20;

/// See the module.
pub(super) struct Lanes {
    memory: Part,
    reserved: usize,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A place in a lane, without memory so far.
pub(super) struct Room(#[expect(dead_code, reason = "it is given back when this is dropped")] OwnedSemaphorePermit);

/// The right to compile, and the memory for it.
pub(super) struct Share {
    pub(super) bytes: usize,
    _held: Held,
    _room: Room,
}

impl Lanes {
    pub(super) fn new(memory: Part) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let quarter = (memory.limit() / 4).min(RESERVED);
        let reserved = if memory.limit() - quarter < ENOUGH { 0 } else { quarter };
        let (small, large) = (Arc::new(Semaphore::new(processors)), Arc::new(Semaphore::new(1)));
        Lanes { memory, reserved, small, large }
    }

    /// A place among the small ones.
    pub(super) async fn small(&self) -> Result<Room> {
        enter(&self.small).await
    }

    /// Whether that much memory is little.
    pub(super) fn is_small(&self, bytes: usize) -> bool {
        bytes <= self.reserved
    }

    /// Memory for a small one.
    pub(super) async fn share(&self, room: Room, bytes: usize) -> Result<Share> {
        Ok(Share { bytes, _held: self.memory.take(bytes).await?, _room: room })
    }

    /// Counts a refusal of the memory for compiling by whoever compiles.
    pub(super) fn count_refusal(&self) {
        self.memory.count_refusal();
    }

    /// A place among the large ones, and all the memory that they may have.
    pub(super) async fn large(&self) -> Result<Share> {
        let room = enter(&self.large).await?;
        self.share(room, self.memory.limit() - self.reserved).await
    }
}

async fn enter(lane: &Arc<Semaphore>) -> Result<Room> {
    lane.clone().acquire_owned().await.map(Room).map_err(|e| internal(e.to_string()))
}
