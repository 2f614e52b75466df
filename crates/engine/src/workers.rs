// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The threads that run jobs.
//!
//! Jobs are not tied to threads. There are always as many threads as configured that are not stuck in one long step: the
//! watchdog adds one for each that is, and a thread that is not needed any more ends by itself. A thread whose step
//! computes for long gets a lower priority, so that a function in an endless loop takes little from the others; see
//! [`crate::scheduler`] for who is judged how. While all is quiet, the watchdog sleeps too.

mod os;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use fnstream_core::error::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use self::os::Native;
#[cfg(all(test, target_os = "linux"))]
pub(crate) use self::os::niceness;
use crate::scheduler::{Lane, MAX_EXTRA, Os, PostId, Scheduler};

/// A running set of threads.
pub(crate) struct Workers {
    scheduler: Arc<Scheduler>,
    watchdog: Mutex<Option<JoinHandle<()>>>,
}

impl Workers {
    /// Starts the watchdog, who starts the others.
    pub(crate) fn start(scheduler: Arc<Scheduler>, count: usize) -> Result<Self> {
        scheduler.staff(count.max(1), MAX_EXTRA);
        let watched = scheduler.clone();
        let watchdog = spawn("watchdog".to_owned(), move || watch(&watched))
            .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot start a thread: {e}")))?;
        Ok(Workers { scheduler, watchdog: Mutex::new(Some(watchdog)) })
    }

    /// Ends all threads after their present step, and waits for them.
    pub(crate) fn stop(&self) {
        self.scheduler.close();
        if let Some(watchdog) = self.watchdog.lock().take()
            && watchdog.join().is_err()
        {
            tracing::error!("the watchdog of the workers panicked");
        }
        self.scheduler.wait_until_left();
    }
}

fn watch(scheduler: &Arc<Scheduler>) {
    while let Some(orders) = scheduler.watch(&Native) {
        if orders.full {
            tracing::warn!(
                most = MAX_EXTRA,
                "so many functions are in long calls at once that no further thread is added: functions wait for each other"
            );
        }
        for (post, lane) in orders.hired {
            hire(scheduler, post, lane);
        }
    }
}

fn hire(scheduler: &Arc<Scheduler>, post: PostId, lane: Lane) {
    let worker = scheduler.clone();
    let name = match lane {
        Lane::Quick => format!("worker-{post}"),
        Lane::Slow => format!("slow-{post}"),
    };
    let spawned = spawn(name, move || {
        let thread = os::own_id();
        if lane == Lane::Slow {
            Native.lower(thread);
        }
        let seat = worker.take_seat(post, thread, os::own_cpu_time);
        // A bug of ours in one job must not cost the others a thread: the post is given up and filled anew.
        if catch_unwind(AssertUnwindSafe(|| worker.work(&seat))).is_err() {
            tracing::error!("a worker thread panicked");
        }
        worker.leave(post);
    });
    if let Err(error) = spawned {
        scheduler.refused(post);
        tracing::warn!(%error, "the system gives no further thread while workers are busy");
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name(name).spawn(body)
}
