// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The index of the record at hand, kept where the host can read it when a call traps, and JavaScript can write it without a call.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rquickjs::{ArrayBuffer, ArrayBufferSource, Ctx, Result};

use crate::bindings::functionstream::packed::progress;

static AT_HAND: AtomicU32 = AtomicU32::new(u32::MAX);

/// Shows the cell to the host.
pub(crate) fn show() {
    AT_HAND.store(u32::MAX, Relaxed);
    // SAFETY: the cell is static, and nobody writes to it while the host takes note of where it is.
    progress::watch(unsafe { std::slice::from_raw_parts(AT_HAND.as_ptr(), 1) });
}

/// The cell, as what a buffer of JavaScript is made of.
struct AtHand;

// SAFETY: the cell is static, has four bytes, and nobody writes to it meanwhile but this one thread.
unsafe impl ArrayBufferSource for AtHand {
    fn as_ptr(&self) -> *mut u8 {
        AT_HAND.as_ptr().cast()
    }

    fn len(&self) -> usize {
        4
    }
}

/// The cell as a buffer.
pub(crate) fn buffer<'js>(ctx: &Ctx<'js>) -> Result<ArrayBuffer<'js>> {
    ArrayBuffer::from_source(ctx.clone(), AtHand)
}
