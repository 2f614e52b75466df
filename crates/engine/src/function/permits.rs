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
            return true;
        }
        if !inner.waiting.iter().any(|waiting| Arc::ptr_eq(waiting, job)) {
            inner.waiting.push_back(job.clone());
        }
        false
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
