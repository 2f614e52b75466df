// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Memory for what consumers are given: taken before it is read, since what a group has taken cannot be refused any more.
//!
//! ```text
//! there is room for the largest record ──► reads up to 8 MiB at once, and gives back what it does not need
//! there is not ──► reads little, few at a time; if the next record is larger: puts it back, waits for room for it, reads it
//! ```
//!
//! So consumers of small records go on while others leave their answers unread.

use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::batch::Batch;
use fnstream_core::budget::{Budget, Held};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::net::{self, SMALL};

/// About the most bytes of one answer.
const MOST: usize = 8 << 20;

/// What a record may have beside its value.
const OVERHEAD: usize = 64 << 10;

/// Reads at a time that may meet a record which there is no room for.
const BLIND: usize = 4;

/// See the module.
pub(in crate::app) struct ReadingMemory {
    budget: Budget,
    largest: usize,
    blind: Arc<Semaphore>,
}

/// What an attempt to read may take.
pub(super) struct Allowance {
    held: Held,
    /// About the most bytes to ask for.
    pub(super) bytes: usize,
    /// The most that any answer can have.
    most: usize,
    _blind: Option<OwnedSemaphorePermit>,
}

/// Whether an attempt keeps within its allowance.
pub(super) enum Measured {
    /// The memory that the records take.
    Fits(Held),
    /// They need so many bytes.
    TooLarge(usize),
}

impl ReadingMemory {
    pub(in crate::app) fn new(budget: Budget, largest: usize) -> Self {
        let largest = largest.max(MOST).saturating_add(OVERHEAD);
        ReadingMemory { budget, largest, blind: Arc::new(Semaphore::new(BLIND)) }
    }

    /// For an attempt of which nothing is known. Waits for a bounded time if there is not even little.
    pub(super) async fn allowance(&self) -> Result<Allowance> {
        if let Ok(held) = self.budget.answers.try_take(self.largest) {
            return Ok(Allowance { held, bytes: MOST, most: self.budget.answers.limit(), _blind: None });
        }
        let blind = self.blind.clone().acquire_owned().await.ok();
        let held = net::memory(&self.budget, &self.budget.small, SMALL).await?;
        Ok(Allowance { held, bytes: SMALL, most: self.budget.answers.limit(), _blind: blind })
    }

    /// For the next records, which need so many bytes. Waits for a bounded time.
    pub(super) async fn allowance_of(&self, bytes: usize) -> Result<Allowance> {
        let held = net::memory(&self.budget, &self.budget.answers, bytes).await?;
        // No more than they: a smaller one may have come before them.
        Ok(Allowance { held, bytes: bytes.min(MOST), most: self.budget.answers.limit(), _blind: None })
    }
}

impl Allowance {
    /// Looks whether there is memory for what was read.
    pub(super) fn measure(self, batch: &Batch) -> Measured {
        self.measure_bytes(batch.bytes().len())
    }

    /// The same for so many bytes.
    pub(super) fn measure_bytes(mut self, bytes: usize) -> Measured {
        // What is larger than all that there can be has all of it.
        if self.held.bytes() >= bytes.min(self.most) {
            self.held.shrink_to(bytes);
            return Measured::Fits(self.held);
        }
        Measured::TooLarge(bytes)
    }
}
