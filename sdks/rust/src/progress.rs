// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The index of the record at hand, kept where the host can read it when a call traps. It costs a store per record. When a call
//! returns an error, the same place says whether anything is left of the record that failed.

#[cfg(not(target_family = "wasm"))]
use std::cell::Cell;
#[cfg(target_family = "wasm")]
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// No record is at hand.
pub(crate) const NONE: u32 = u32::MAX;

/// A call returns an error, and nothing is left of the record that failed.
pub(crate) const UNDONE: u32 = u32::MAX - 1;

/// One cell is enough: a component has one function, whose calls come one at a time.
#[cfg(target_family = "wasm")]
static AT_HAND: AtomicU32 = AtomicU32::new(NONE);

// Tests run side by side, each in a thread of its own.
#[cfg(not(target_family = "wasm"))]
thread_local! {
    static AT_HAND: Cell<u32> = const { Cell::new(NONE) };
}

/// The record of that index is being processed from now on, or none is.
#[inline]
#[cfg(target_family = "wasm")]
pub(crate) fn at(index: u32) {
    AT_HAND.store(index, Relaxed);
}

/// The same, for a test.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn at(index: u32) {
    AT_HAND.set(index);
}

/// The record that was at hand when a call panicked; a test reads it as the host does.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn reached() -> u32 {
    AT_HAND.replace(NONE)
}

/// A component has nobody to ask for it: its panics end it.
#[cfg(target_family = "wasm")]
pub(crate) fn reached() -> u32 {
    NONE
}

/// Shows the cell to the host.
#[cfg(target_family = "wasm")]
pub(crate) fn show() {
    // SAFETY: the cell is static, and nobody writes to it while the host takes note of where it is.
    let cell = unsafe { std::slice::from_raw_parts(AT_HAND.as_ptr(), 1) };
    crate::guest::bindings::functionstream::packed::progress::watch(cell);
}
