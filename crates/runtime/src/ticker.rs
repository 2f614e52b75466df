// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The clock of the guests' time limits: one thread that advances the engine's epoch while any guest runs.
//!
//! The engine interrupts a call that began at epoch `e` when the epoch has moved as many ticks as the call asked for, and has
//! its time looked at. Only
//! while some call runs does the thread tick; once none has for a while it waits to be woken, so an idle server has no timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use fnstream_core::{ErrorCode, panics};
use wasmtime::{Engine, EngineWeak};

/// The time between two ticks: time limits are as exact as that.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Ticks without a call after which the thread waits. A wake-up costs microseconds, so it is not to be paid per call.
const IDLE_TICKS: u32 = 100;

/// Wakes and, in the end, stops the ticking thread.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    /// Calls that run now.
    running: AtomicUsize,
    /// The thread waits, or is about to.
    waiting: AtomicBool,
    stopped: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (engine, theirs) = (engine.weak(), Arc::clone(&shared));
        let handle = thread::Builder::new().name("guest-clock".into()).spawn(move || {
            // Without the clock no guest would ever be ended.
            while let Err(panicked) = panics::catch(|| tick(&engine, &theirs)) {
                let message = panicked.to_error().message;
                tracing::error!(code = %ErrorCode::Panicked, "the guests' clock {message}, it goes on");
                thread::park_timeout(TICK);
            }
        })?;
        Ok(Ticker { shared, thread: handle.thread().clone() })
    }

    /// Says that a call runs until the guard is dropped.
    pub(crate) fn call(self: &Arc<Self>) -> Running {
        // Sequentially consistent with the thread's own pair of accesses: either it sees this call, or we see it waiting.
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.waiting.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(Arc::clone(self))
    }

    /// The number of ticks that a duration takes, at least one, and one more for the tick that is already under way.
    pub(crate) fn ticks(duration: Duration) -> u64 {
        duration.as_millis().div_ceil(TICK.as_millis()).clamp(1, u128::from(u32::MAX)) as u64 + 1
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A call that runs.
#[derive(Debug)]
pub(crate) struct Running(Arc<Ticker>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &EngineWeak, shared: &Shared) {
    let mut idle = 0;
    while !shared.stopped.load(Ordering::SeqCst) {
        #[expect(
            clippy::disallowed_methods,
            reason = "a park could be ended early, which makes somebody's limit short"
        )]
        thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        idle = if shared.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle < IDLE_TICKS {
            continue;
        }
        drop(engine);
        idle = 0;
        shared.waiting.store(true, Ordering::SeqCst);
        while shared.running.load(Ordering::SeqCst) == 0 && !shared.stopped.load(Ordering::SeqCst) {
            thread::park();
        }
        shared.waiting.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_shorter_than_asked_for() {
        assert_eq!(Ticker::ticks(Duration::ZERO), 2);
        assert_eq!(Ticker::ticks(Duration::from_millis(10)), 2);
        assert_eq!(Ticker::ticks(Duration::from_millis(11)), 3);
        assert_eq!(Ticker::ticks(Duration::MAX), u64::from(u32::MAX) + 1);
    }
}
