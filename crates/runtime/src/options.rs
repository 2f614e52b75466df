// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Settings that hold for all instances of a runtime.

use crate::compile::Compiling;

/// Bounds that are the process's, not a function's. A function's own are in [`fnstream_core::runtime::Limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// Bytes of native stack that guest code may use. The threads that call instances need as much, and some 512 KiB
    /// beside it for the host.
    pub guest_stack: usize,
    /// The longest line of a guest's standard output or error that is logged whole; longer ones are cut.
    pub log_line: usize,
    /// The process that compiles artifacts, and for how long.
    pub compiling: Compiling,
    /// Bytes of compiled code on disk above which what was used longest ago is removed; never what is in use.
    pub cache_bytes: u64,
}

impl RuntimeOptions {
    /// The bytes of compiled code that are kept unless it is said otherwise.
    pub const CACHE_BYTES: u64 = 4 << 30;
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        RuntimeOptions {
            guest_stack: 1 << 20,
            log_line: 4 << 10,
            compiling: Compiling::Here,
            cache_bytes: Self::CACHE_BYTES,
        }
    }
}
