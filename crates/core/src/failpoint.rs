// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Named steps at which a test can end the process, as `kill -9` would at just that moment.
//!
//! Without the feature `failpoints` nothing of this is compiled in. With it, `FAILPOINTS=commit.before-write=3*off->return`
//! aborts at the fourth time the step is reached (the syntax is that of the crate `fail`; `return` is what aborts).

/// Ends the process here when the test asked for it.
#[macro_export]
macro_rules! failpoint {
    ($name:expr) => {
        $crate::failpoint::reached($name)
    };
}

/// Reads the environment once; to be called first thing in `main`.
pub fn init() {
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}

/// See [`failpoint!`](crate::failpoint!).
#[inline]
pub fn reached(_name: &str) {
    #[cfg(feature = "failpoints")]
    if let Some(()) = fail::eval(_name, |_| ()) {
        // Not a panic: nothing may be unwound, flushed or answered.
        std::process::abort();
    }
}
