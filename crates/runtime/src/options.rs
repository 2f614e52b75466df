// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Settings that hold for all instances of a runtime.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::compile::Compiling;
use crate::script::Engines;

/// The clock on the wall that guests are told, which may show any time: before 1970 it is told as 1970.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl WallClock {
    /// A clock that shows what `now` answers.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        WallClock(Arc::new(now))
    }

    /// The time since the Unix epoch; zero before it.
    pub(crate) fn since_epoch(&self) -> Duration {
        (self.0)().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl Default for WallClock {
    /// The machine's.
    fn default() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that is passed in")]
        WallClock::new(SystemTime::now)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// Bounds that are the process's, not a function's. A function's own are in [`fnstream_core::runtime::Limits`].
#[derive(Debug, Clone)]
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
    /// Where the engines are that run functions given as source.
    pub engines: Engines,
    /// What guests see when they ask for the real time.
    pub wall_clock: WallClock,
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
            engines: Engines::of_program(),
            wall_clock: WallClock::default(),
        }
    }
}
