// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How one part tells another that there is something to do, without knowing it.

use std::fmt;
use std::sync::Arc;

/// Wakes whoever waits. Cheap to clone, callable from any thread, any number of times; it never blocks, and a wake-up
/// without cause is harmless.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`, which must not block.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Waker(Arc::new(wake))
    }

    /// A waker that wakes nobody.
    pub fn noop() -> Self {
        Waker::new(|| ())
    }

    /// Wakes.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}
