// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Keeps an instance within its memory limit.

use wasmtime::{ResourceLimiter, Result};

/// Bytes of one table element.
const ELEMENT: usize = std::mem::size_of::<usize>();

/// Core instances, memories and tables of one guest. A large component has some dozens of each; every one of them costs
/// address space or host memory that is counted nowhere else.
const MOST: usize = 1_000;

/// Counts the linear memory and the tables of one guest, and refuses what passes the limit.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: usize,
    memory: usize,
    tables: usize,
    denied: bool,
}

impl Meter {
    pub(crate) fn new(limit: usize) -> Self {
        Meter { limit, memory: 0, tables: 0, denied: false }
    }

    /// Bytes of linear memory.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// The limit.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether something was refused since the last [`Meter::begin`].
    pub(crate) fn denied(&self) -> bool {
        self.denied
    }

    /// Begins a call.
    pub(crate) fn begin(&mut self) {
        self.denied = false;
    }

    fn admit(&mut self, more: usize) -> bool {
        let fits = (self.memory + self.tables).checked_add(more).is_some_and(|sum| sum <= self.limit);
        self.denied |= !fits;
        fits
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let more = desired.saturating_sub(current);
        if maximum.is_some_and(|most| desired > most) {
            // The guest's own bound: it is told so, and no limit of ours was met.
            return Ok(false);
        }
        let fits = self.admit(more);
        if fits {
            self.memory += more;
        }
        Ok(fits)
    }

    // The operating system had no more. The guest rarely outlives it, so what was counted stays counted.
    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.denied = true;
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let more = desired.saturating_sub(current).saturating_mul(ELEMENT);
        if maximum.is_some_and(|most| desired > most) {
            return Ok(false);
        }
        let fits = self.admit(more);
        if fits {
            self.tables += more;
        }
        Ok(fits)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.denied = true;
        Ok(())
    }

    fn instances(&self) -> usize {
        MOST
    }

    fn tables(&self) -> usize {
        MOST
    }

    fn memories(&self) -> usize {
        MOST
    }
}
