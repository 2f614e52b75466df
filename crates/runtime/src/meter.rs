// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Keeps an instance within its limits: its own memory, what the host must keep for it, and its time.
//!
//! ```text
//! what                                                        counted in     until
//! linear memories, tables                                     memory         the instance is dropped
//! pages of scans that the guest has not read yet              held           they are read or dropped
//! emitted records and written state                           handed         the next entry
//! ```
//!
//! Each of the three is bounded by the limit by itself, the last by no less than [`LEAST_HANDED`]. The first is also taken from what
//! there is for all guests ([`fnstream_core::budget::guests`]); but of the [`BEGINNING`] of an instance's memory only an eighth: what it
//! does not touch of that belongs to all instances of the artifact, and most touch less. A thousand idle functions are not to count
//! twenty times what they have.

use std::time::Duration;

use fnstream_core::budget::guests::Account;
use fnstream_core::runtime::InstanceSpec;
use fnstream_core::{Error, ErrorCode};
use wasmtime::{ResourceLimiter, Result};

use crate::fault::raise;
use crate::timer::Timer;

/// Bytes of one table element.
const ELEMENT: usize = std::mem::size_of::<usize>();

/// Core instances, memories and tables of one guest. A large component has some dozens of each; every one of them costs
/// address space or host memory that is counted nowhere else.
const MOST: usize = 1_000;

/// Bytes that an instance's first memory begins with of which an eighth counts.
const BEGINNING: usize = 1 << 20;

/// A batch of a thousand records may make some output also where each record's own memory is small.
const LEAST_HANDED: usize = 64 << 20;

/// The account of one guest, which refuses what passes the limit.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: usize,
    /// Its function might have more if the server had.
    bounded: bool,
    memory: usize,
    tables: usize,
    /// Bytes of memory that are not taken from what there is for all.
    spared: usize,
    held: usize,
    handed: usize,
    denied: bool,
    timer: Timer,
    account: Account,
}

impl Meter {
    pub(crate) fn new(spec: &InstanceSpec) -> Self {
        let timer = Timer::call(&spec.limits).ended_by(&spec.interrupt);
        let (account, limit) = (spec.memory.clone(), spec.memory_limit());
        let bounded = limit < spec.limits.memory;
        Meter { limit, bounded, memory: 0, tables: 0, spared: 0, held: 0, handed: 0, denied: false, timer, account }
    }

    /// The time by the clock after which it is worth looking again whether the call has to end; `None` when it has.
    pub(crate) fn look(&self) -> Option<Duration> {
        self.account.check().ok().and_then(|()| self.timer.look())
    }

    /// The failure of a guest whose call had to end.
    pub(crate) fn over(&self) -> Error {
        self.account.check().err().unwrap_or_else(|| self.timer.over())
    }

    /// Bytes of linear memory.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// The limit.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// What is said when the limit was reached.
    pub(crate) fn reached(&self) -> String {
        let limit = self.limit;
        match self.bounded {
            true => {
                format!("the limit of {limit} bytes of memory was reached: the server has no more for this function")
            }
            false => format!("the limit of {limit} bytes of memory was reached"),
        }
    }

    /// Reports whether something was refused since the last [`Meter::begin`].
    pub(crate) fn denied(&self) -> bool {
        self.denied
    }

    /// The time of the call that runs.
    pub(crate) fn timer(&self) -> &Timer {
        &self.timer
    }

    /// The guest is entered, for one call or a batch of them.
    pub(crate) fn enter(&mut self) {
        self.handed = 0;
    }

    /// Begins a call.
    pub(crate) fn begin(&mut self, timer: Timer) {
        self.denied = false;
        self.timer = timer.after(&mut self.timer);
    }

    /// The guest hands over bytes that the host keeps, as output or as state. Asked before they are copied.
    pub(crate) fn hand(&mut self, bytes: usize) -> Result<(), Error> {
        let most = self.limit.max(LEAST_HANDED);
        self.handed = self.handed.saturating_add(bytes);
        if self.handed <= most {
            return Ok(());
        }
        let message = format!("the output and the state of one call are larger than {most} bytes");
        Err(Error::new(ErrorCode::GuestOutOfMemory, message))
    }

    /// The host begins to keep bytes for the guest, until it says so.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Error> {
        self.held = self.held.saturating_add(bytes);
        if self.held <= self.limit {
            return Ok(());
        }
        let message = format!("the scans that are open hold more than the limit of {} bytes", self.limit);
        Err(Error::new(ErrorCode::GuestOutOfMemory, message))
    }

    /// The host keeps them no longer.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Whether it may have so much more. `Err` ends the call: that there is nothing left for any guest is not to be taken for the
    /// failure of a record.
    fn admit(&mut self, more: usize, spared: usize) -> Result<bool> {
        let fits = (self.memory + self.tables).checked_add(more).is_some_and(|sum| sum <= self.limit);
        self.denied |= !fits;
        if fits {
            self.account.grow(more - spared).map_err(raise)?;
            self.spared += spared;
        }
        Ok(fits)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.account.give_back(self.memory + self.tables - self.spared);
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let more = desired.saturating_sub(current);
        if maximum.is_some_and(|most| desired > most) {
            // The guest's own bound: it gets the refusal, and no limit of ours was met.
            return Ok(false);
        }
        let spared = if self.memory == 0 && current == 0 { more.min(BEGINNING) / 8 * 7 } else { 0 };
        let fits = self.admit(more, spared)?;
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
        let fits = self.admit(more, 0)?;
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
