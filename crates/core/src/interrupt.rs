// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A wish that ends what is being done for a task, from another thread: its call of user code, its wait, its long loop.
//!
//! The task's owner gives one [`Interrupt`] to everything that works for the task, and sets it once: when the task is to end at
//! once, or has had its time to end. It is never taken back. Whoever computes looks at it now and then; whoever waits does so
//! through it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, ErrorCode};
use crate::waker::Waker;

/// See the module. Clones are the same interrupt.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Shared>);

#[derive(Default)]
struct Shared {
    set: AtomicBool,
    watching: Mutex<Watching>,
    changed: Condvar,
}

#[derive(Default)]
struct Watching {
    wakers: BTreeMap<u64, Waker>,
    next: u64,
}

/// Keeps a waker registered while it lives.
#[derive(Debug)]
pub struct Watch {
    interrupt: Interrupt,
    number: u64,
}

impl Interrupt {
    /// Interrupts, for good.
    pub fn set(&self) {
        let wakers: Vec<_> = {
            let watching = self.0.watching.lock();
            self.0.set.store(true, Ordering::Release);
            self.0.changed.notify_all();
            watching.wakers.values().cloned().collect()
        };
        wakers.iter().for_each(Waker::wake);
    }

    /// Reports whether it is set. Cheap.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    /// `Err` once it is set.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_set() { Err(self.error()) } else { Ok(()) }
    }

    /// Waits until that time has passed; true when it was interrupted before.
    pub fn wait(&self, time: Duration) -> bool {
        let until = Instant::now().checked_add(time);
        let mut watching = self.0.watching.lock();
        while !self.is_set() {
            match until {
                Some(until) if self.0.changed.wait_until(&mut watching, until).timed_out() => return self.is_set(),
                Some(_) => {}
                None => self.0.changed.wait(&mut watching),
            }
        }
        true
    }

    /// Has a waker called when it is set, or at once when it is, for as long as the answer lives.
    pub fn watch(&self, waker: Waker) -> Watch {
        let (number, is_set) = {
            let mut watching = self.0.watching.lock();
            watching.next += 1;
            let number = watching.next;
            watching.wakers.insert(number, waker.clone());
            (number, self.is_set())
        };
        if is_set {
            waker.wake();
        }
        Watch { interrupt: self.clone(), number }
    }

    /// What was interrupted fails with this.
    pub fn error(&self) -> Error {
        Error::new(ErrorCode::Interrupted, "the function is being ended, its call was interrupted")
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interrupt").field(&self.is_set()).finish()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.interrupt.0.watching.lock().wakers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn a_wait_ends_when_it_is_set_and_not_only_with_its_time() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.wait(Duration::from_millis(1)));
        let theirs = interrupt.clone();
        let waits = std::thread::spawn(move || theirs.wait(Duration::MAX));
        interrupt.set();
        assert!(waits.join().unwrap());
        assert!(interrupt.wait(Duration::MAX), "it stays set");
        assert_eq!(interrupt.check().unwrap_err().code, ErrorCode::Interrupted);
    }

    #[test]
    fn those_who_watch_are_woken_once_and_then_forgotten() {
        let woken = Arc::new(AtomicU32::new(0));
        let waker = {
            let woken = woken.clone();
            Waker::new(move || {
                woken.fetch_add(1, Ordering::Relaxed);
            })
        };
        let interrupt = Interrupt::default();
        drop(interrupt.watch(waker.clone()));
        let _watch = interrupt.watch(waker.clone());
        interrupt.set();
        assert_eq!(woken.load(Ordering::Relaxed), 1, "one of the two had left");
        let _late = interrupt.watch(waker);
        assert_eq!(woken.load(Ordering::Relaxed), 2, "who comes late is woken at once");
    }
}
