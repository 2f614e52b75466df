// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How many tasks of a function run at once.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::scheduler::Job;

pub(crate) struct Permits(Mutex<Inner>);

struct Inner {
    free: u32,
    /// Jobs that found none, in the order in which they came.
    waiting: VecDeque<Arc<Job>>,
}

impl Permits {
    pub(crate) fn new(count: u32) -> Self {
        Permits(Mutex::new(Inner { free: count, waiting: VecDeque::new() }))
    }

    /// Takes one, or notes the job to be woken when one is given back.
    pub(crate) fn try_take(&self, job: &Arc<Job>) -> bool {
        let mut inner = self.0.lock();
        if inner.free > 0 {
            inner.free -= 1;
            inner.forget(job);
            return true;
        }
        if !inner.waiting.iter().any(|waiting| Arc::ptr_eq(waiting, job)) {
            inner.waiting.push_back(job.clone());
        }
        false
    }

    /// A job needs none any more: whoever comes after it is woken in its place.
    pub(crate) fn forget(&self, job: &Arc<Job>) {
        self.0.lock().forget(job);
    }

    pub(crate) fn give_back(&self) {
        let next = {
            let mut inner = self.0.lock();
            inner.free += 1;
            inner.waiting.pop_front()
        };
        if let Some(job) = next {
            job.wake();
        }
    }
}

impl Inner {
    fn forget(&mut self, job: &Arc<Job>) {
        self.waiting.retain(|waiting| !Arc::ptr_eq(waiting, job));
    }
}

#[cfg(test)]
mod tests {
    use fnstream_core::test_util::clock::ManualClock;

    use super::*;
    use crate::scheduler::{Next, Runnable, Scheduler};

    struct Idle;

    impl Runnable for Idle {
        fn step(&self) -> Next {
            Next::Wait(None)
        }
    }

    /// Runs everything that was woken; answers how many jobs that were.
    fn woken(scheduler: &Arc<Scheduler>) -> usize {
        let woken = scheduler.ready_jobs();
        while scheduler.run_one(0) {}
        woken
    }

    #[test]
    fn nobody_is_woken_in_vain_while_another_waits() {
        let scheduler = Scheduler::new(Arc::new(ManualClock::new(0)));
        let job = || scheduler.job(|_| Idle);
        let (a, b, c) = (job(), job(), job());
        let permits = Permits::new(1);
        assert!(permits.try_take(&a));
        assert!(!permits.try_take(&b) && !permits.try_take(&c));
        permits.give_back();
        assert_eq!(woken(&scheduler), 1, "b");
        // c was faster, and is not waiting any more.
        assert!(permits.try_take(&c));
        assert!(!permits.try_take(&b));
        permits.give_back();
        assert_eq!(woken(&scheduler), 1);
        assert!(permits.try_take(&b));
        permits.give_back();
        assert_eq!(woken(&scheduler), 0, "nobody waits");
    }

    #[test]
    fn a_job_that_needs_none_any_more_is_not_woken_in_anothers_place() {
        let scheduler = Scheduler::new(Arc::new(ManualClock::new(0)));
        let (a, b) = (scheduler.job(|_| Idle), scheduler.job(|_| Idle));
        let permits = Permits::new(1);
        assert!(permits.try_take(&a));
        assert!(!permits.try_take(&b));
        permits.forget(&b);
        permits.give_back();
        assert_eq!(woken(&scheduler), 0);
    }
}
