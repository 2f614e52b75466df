// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Tasks that have been assigned and of which it is not known yet how they fare: no instance has started, nothing has failed.
//!
//! A task that restores its state does not count: that may take long, and its status shows it.

use std::sync::Arc;

use fnstream_core::waker::Waker;
use parking_lot::Mutex;

/// How many there are, and who is told when there are none.
#[derive(Default)]
pub(crate) struct ComingUp(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    tasks: usize,
    wakers: Vec<Waker>,
}

/// One of them, until it is dropped.
pub(crate) struct OneComingUp(Arc<ComingUp>);

impl ComingUp {
    /// One more.
    pub(crate) fn one(self: &Arc<Self>) -> OneComingUp {
        self.0.lock().tasks += 1;
        OneComingUp(self.clone())
    }

    /// Wakes as soon as there are none, once.
    pub(crate) fn when_none(&self, waker: Waker) {
        {
            let mut inner = self.0.lock();
            if inner.tasks > 0 {
                return inner.wakers.push(waker);
            }
        }
        waker.wake();
    }
}

impl Drop for OneComingUp {
    fn drop(&mut self) {
        let wakers = {
            let mut inner = self.0.0.lock();
            inner.tasks -= 1;
            if inner.tasks > 0 {
                return;
            }
            std::mem::take(&mut inner.wakers)
        };
        wakers.iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn who_asks_is_woken_once_when_the_last_has_come_up_or_at_once() {
        let (all, woken) = (Arc::new(ComingUp::default()), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let woken = woken.clone();
            all.when_none(Waker::new(move || {
                woken.fetch_add(1, Ordering::Relaxed);
            }));
        };
        let (one, other) = (all.one(), all.one());
        ask();
        drop(one);
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        drop(other);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        drop(all.one());
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        ask();
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }
}
