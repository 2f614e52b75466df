// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Tasks that have been assigned and of which it is not known yet how they fare: no instance has started, nothing has failed.
//!
//! A task that restores its state does not count: that may take long, and its status shows it.
//!
//! Whoever waits for one function is told of every change that may matter to it, and looks at its status then.

use std::sync::Arc;

use fnstream_core::waker::Waker;
use parking_lot::Mutex;

/// How many there are, who is told when there are none, and who is told of each that has come up or failed.
#[derive(Default)]
pub(crate) struct ComingUp(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    tasks: usize,
    wakers: Vec<Waker>,
    watchers: Vec<Waker>,
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

    /// Wakes whenever a task has started its first instance, has failed or has ended. It must look at no task then: that task is
    /// locked.
    pub(crate) fn watch(&self, waker: Waker) {
        self.0.lock().watchers.push(waker);
    }

    /// A task has come up, has failed or has ended.
    pub(crate) fn news(&self) {
        let watchers = self.0.lock().watchers.clone();
        watchers.iter().for_each(Waker::wake);
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

    #[test]
    fn who_watches_is_told_of_each() {
        let (all, told) = (ComingUp::default(), Arc::new(AtomicU32::new(0)));
        let count = told.clone();
        all.watch(Waker::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        all.news();
        all.news();
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }
}
