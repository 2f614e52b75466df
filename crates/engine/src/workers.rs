// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The threads that run jobs.
//!
//! Jobs are not tied to threads. When all threads are busy and for a while nobody takes a job that waits, the watchdog
//! adds a thread, which ends when the queue is empty: one function in a long call does not hold up the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use fnstream_core::error::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use crate::scheduler::{Scheduler, Watch};

/// How long a job may wait for a thread before one is added.
const STUCK_AFTER: Duration = Duration::from_millis(10);

/// The most threads added at the same time.
const MAX_EXTRA: usize = 64;

/// A running set of threads.
pub(crate) struct Workers {
    scheduler: Arc<Scheduler>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    pub(crate) fn start(scheduler: Arc<Scheduler>, count: usize) -> Result<Self> {
        let mut threads = Vec::with_capacity(count + 1);
        for i in 0..count.max(1) {
            let scheduler = scheduler.clone();
            threads.push(spawn(format!("worker-{i}"), move || scheduler.work(false))?);
        }
        let watched = scheduler.clone();
        threads.push(spawn("watchdog".to_owned(), move || watchdog(&watched))?);
        Ok(Workers { scheduler, threads: Mutex::new(threads) })
    }

    /// Ends all threads after their present step, and waits for them.
    pub(crate) fn stop(&self) {
        self.scheduler.close();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

fn watchdog(scheduler: &Arc<Scheduler>) {
    let extra = Arc::new(AtomicUsize::new(0));
    while scheduler.watch(STUCK_AFTER) == Watch::Stuck {
        if extra.load(Ordering::Relaxed) >= MAX_EXTRA {
            continue;
        }
        extra.fetch_add(1, Ordering::Relaxed);
        let (scheduler, running) = (scheduler.clone(), extra.clone());
        let spawned = spawn("worker-extra".to_owned(), move || {
            scheduler.work(true);
            running.fetch_sub(1, Ordering::Relaxed);
        });
        if let Err(error) = spawned {
            extra.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(%error, "no further thread while workers are busy");
        }
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    Builder::new()
        .name(name)
        .spawn(body)
        .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot start a thread: {e}")))
}
