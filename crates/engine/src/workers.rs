// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The threads that run jobs.
//!
//! Jobs are not tied to threads. There are always as many threads as configured that are not stuck in one long step: the
//! watchdog adds one for each that is, and a thread that is not needed any more ends by itself. A thread whose step
//! computes for long gets a lower priority, so that a function in an endless loop takes little from the others; see
//! [`crate::scheduler`] for who is judged how. While all is quiet, the watchdog sleeps too.
//!
//! A task that panics is caught in its step. Should a worker panic all the same, between two steps, another one takes its
//! place; a watchdog that panics goes on.

mod os;

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::panics;
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

    /// Ends all threads after their present step, and waits for them, so long at most; false when some are left. Those are in a
    /// step of a task that was abandoned.
    pub(crate) fn stop(&self, most: Duration) -> bool {
        self.scheduler.close();
        if let Some(watchdog) = self.watchdog.lock().take()
            && watchdog.join().is_err()
        {
            tracing::error!("the watchdog of the workers panicked");
        }
        self.scheduler.wait_until_left(most)
    }
}

/// The pause of a watchdog that panicked.
const PAUSE: Duration = Duration::from_millis(100);

fn watch(scheduler: &Arc<Scheduler>) {
    while let Err(panicked) = panics::catch(|| look_after(scheduler)) {
        let message = panicked.to_error().message;
        tracing::error!(code = %ErrorCode::Panicked, "the watchdog of the workers {message}, it goes on");
        std::thread::park_timeout(PAUSE);
    }
}

fn look_after(scheduler: &Arc<Scheduler>) {
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
        let work = || {
            let thread = os::own_id();
            if lane == Lane::Slow {
                Native.lower(thread);
            }
            worker.work(&worker.take_seat(post, thread, os::own_cpu_time));
        };
        // A bug of ours must not cost the jobs a thread: the post is given up, and filled anew.
        if let Err(panicked) = panics::catch(work) {
            let message = panicked.to_error().message;
            tracing::error!(code = %ErrorCode::Panicked, "a worker {message}, another one takes its place");
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
