// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Why a call ended early: one place that turns what wasmtime reports into the system's codes.
//!
//! ```text
//! what ended the call                                        code
//! an error that a host function raised (HostFault)           its own
//! the epoch deadline                                         GuestTimeout, with the bound that was reached; GuestMemoryShort
//! anything, after memory was refused in this call            GuestOutOfMemory
//! exit, proc_exit                                            GuestExit
//! any other trap                                             GuestTrap, with the wasm backtrace
//! ```
//!
//! What a guest wrote last before its call ended so is added: often the reason is there alone.
//!
//! A guest's own words may be as long as its memory: what is kept of them is bounded, and a cut can be seen.

use std::fmt;

use fnstream_core::error::Fault;
use fnstream_core::runtime::CallFailure;
use fnstream_core::{Error, ErrorCode};
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::backtrace;
use crate::lines::Lines;
use crate::meter::Meter;

/// A host function's error on its way through the guest's frames.
#[derive(Debug)]
pub(crate) struct HostFault(pub(crate) Error);

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for HostFault {}

/// The longest message of a guest that is kept, in bytes.
const LONGEST: usize = 8 << 10;

/// A guest's words, cut where they are too long.
pub(crate) fn bounded(mut message: String) -> String {
    if message.len() > LONGEST {
        let whole = message.len();
        message.truncate(message.floor_char_boundary(LONGEST));
        // The memory of the rest goes too.
        message.shrink_to_fit();
        message.push_str(&format!(" … (cut, {whole} bytes in all)"));
    }
    message
}

/// Ends the guest's call with this error.
pub(crate) fn raise(error: Error) -> wasmtime::Error {
    wasmtime::Error::new(HostFault(error))
}

/// The failure that a call ended with.
pub(crate) fn failure(error: &wasmtime::Error, meter: &Meter, lines: &Lines) -> CallFailure {
    let backtrace = error.downcast_ref::<WasmBacktrace>().and_then(|backtrace| backtrace::text(backtrace, lines));
    CallFailure { error: classify(error, meter), record: None, backtrace, undone: false }
}

/// The failure of a guest that did not return, with what it wrote last: mostly that is the reason. A fault of the host is told
/// alone.
pub(crate) fn with_last_words(failure: CallFailure, words: Option<String>) -> CallFailure {
    let Some(words) = words.and_then(|words| readable(&words)).filter(|_| failure.error.code.fault() == Fault::User)
    else {
        return failure;
    };
    let error = Error { message: format!("{}; it last wrote: {words}", failure.error.message), ..failure.error };
    CallFailure { error, ..failure }
}

/// The words without what no human reads, if there are any.
pub(crate) fn readable(words: &str) -> Option<String> {
    let kept: String = words.chars().filter(|char| !char.is_control() || matches!(char, '\n' | '\t')).collect();
    (!kept.trim().is_empty()).then_some(kept)
}

fn classify(error: &wasmtime::Error, meter: &Meter) -> Error {
    if let Some(HostFault(error)) = error.downcast_ref() {
        return error.clone();
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        return meter.over();
    }
    if meter.denied() {
        return Error::new(ErrorCode::GuestOutOfMemory, meter.reached());
    }
    if let Some(exit) = exit_status(error) {
        return Error::new(ErrorCode::GuestExit, format!("exited with status {exit}"));
    }
    let message = match trap {
        Some(trap) => trap.to_string(),
        // What else ends a call has no trap code: a broken canonical ABI, an unimplemented import.
        None => error.root_cause().to_string(),
    };
    Error::new(ErrorCode::GuestTrap, bounded(message.strip_prefix("wasm trap: ").unwrap_or(&message).to_owned()))
}

/// The status, when the guest ended itself.
pub(crate) fn exit_status(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}
