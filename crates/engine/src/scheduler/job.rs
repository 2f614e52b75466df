// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A job: something that is run step by step, with its place in the scheduler.
//!
//! ```text
//!            wake                    worker takes it              step says Again, or a wake came meanwhile
//!   Idle ───────────► Queued ───────────► Running ───────────► Queued
//!    ▲                                       │
//!    └────────── step says Wait ─────────────┘          step says Done: never again
//! ```
//!
//! A wake during a run is remembered in the state itself, so that none is lost between a task's last look and its going
//! idle.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use fnstream_core::ErrorCode;
use fnstream_core::panics::{self, Panicked};
use parking_lot::Mutex;

use super::Scheduler;
use super::crew::{HOG_TIME, Lane, PostId};

/// The wish of a step that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more to do at once.
    Again,
    /// Nothing until a wake, or until that time.
    Wait(Option<Duration>),
    /// Never again.
    Done,
}

/// Something that is run step by step.
pub(crate) trait Runnable: Send + Sync {
    /// Does a bounded piece of work. Never called twice at once.
    fn step(&self) -> Next;
}

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const WOKEN: u8 = 3;
const DONE: u8 = 4;

/// After how many quick steps in a row a hog is let into the quick lane again. Far more than a task needs to fail and to be
/// opened anew, or for some records between two at which it computes for long: until it is found out each time it takes a
/// thread from the quick ones.
pub(super) const PENANCE: u8 = 200;

/// How long a job waits that panicked.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// A runnable with its place in the scheduler.
pub(crate) struct Job {
    state: AtomicU8,
    /// Quick steps that it still owes before it leaves the slow lane.
    owes: AtomicU8,
    /// Its entry among the alarms, of which it has one at most. Only locked while the scheduler's lock is held.
    pub(super) alarm: Mutex<Option<(Duration, u64)>>,
    scheduler: Weak<Scheduler>,
    runnable: Box<dyn Runnable>,
}

impl Job {
    /// A job, idle until it is woken; `make` is given a handle to it.
    pub(super) fn new<R: Runnable + 'static>(
        scheduler: &Arc<Scheduler>,
        make: impl FnOnce(&Weak<Job>) -> R,
    ) -> Arc<Job> {
        Arc::new_cyclic(|job| Job {
            state: AtomicU8::new(IDLE),
            owes: AtomicU8::new(0),
            alarm: Mutex::new(None),
            scheduler: Arc::downgrade(scheduler),
            runnable: Box::new(make(job)),
        })
    }

    /// Runs the job once more from now on. Cheap when it is going to run anyway.
    pub(crate) fn wake(self: &Arc<Self>) {
        if self.mark()
            && let Some(scheduler) = self.scheduler.upgrade()
        {
            scheduler.push(self.clone());
        }
    }

    /// Notes a wake; true when the job must be put into the queue.
    pub(super) fn mark(&self) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let next = match state {
                IDLE => QUEUED,
                RUNNING => WOKEN,
                _ => return false,
            };
            match self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return next == QUEUED,
                Err(now) => state = now,
            }
        }
    }

    pub(super) fn lane(&self) -> Lane {
        if self.owes.load(Ordering::Relaxed) > 0 { Lane::Slow } else { Lane::Quick }
    }

    pub(super) fn run(self: Arc<Self>, seat: &Seat) {
        self.state.store(RUNNING, Ordering::Release);
        let begun = seat.begin();
        let stepped = panics::catch(|| self.runnable.step());
        // Before it can be queued again.
        let owes = if seat.was_hog(begun) { PENANCE } else { self.owes.load(Ordering::Relaxed).saturating_sub(1) };
        self.owes.store(owes, Ordering::Relaxed);
        let Some(scheduler) = self.scheduler.upgrade() else { return };
        match stepped.unwrap_or_else(|panicked| after_panic(&scheduler, &panicked)) {
            Next::Done => self.state.store(DONE, Ordering::Release),
            Next::Again => {
                self.state.store(QUEUED, Ordering::Release);
                scheduler.push(self);
            }
            Next::Wait(until) => {
                // The alarm first: once idle, the job may run on another thread at once.
                if let Some(until) = until {
                    scheduler.alarm(until, &self);
                }
                if self.state.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_err() {
                    self.state.store(QUEUED, Ordering::Release);
                    scheduler.push(self);
                }
            }
        }
    }
}

/// A step panicked where nobody who knows the job caught it. It is run once more: what it was to do may be done by then.
fn after_panic(scheduler: &Scheduler, panicked: &Panicked) -> Next {
    let message = panicked.to_error().message;
    tracing::error!(code = %ErrorCode::Panicked, "a job {message}, it is run again");
    // Even the clock may be what panics.
    panics::catch(|| scheduler.clock.now()).map_or(Next::Again, |now| Next::Wait(Some(now + PANIC_PAUSE)))
}

/// The seat of a thread: what it needs to know of itself while it runs a job.
pub(crate) struct Seat {
    pub(super) post: PostId,
    hog: Arc<AtomicBool>,
    own_cpu_time: fn() -> Option<Duration>,
}

impl Seat {
    pub(super) fn new(post: PostId, hog: Arc<AtomicBool>, own_cpu_time: fn() -> Option<Duration>) -> Self {
        Seat { post, hog, own_cpu_time }
    }

    /// The processor time at the beginning of a step; only a thread of the slow lane has to measure it.
    fn begin(&self) -> Option<Duration> {
        if self.hog.load(Ordering::Relaxed) { (self.own_cpu_time)() } else { None }
    }

    /// Reports whether the step that has just ended used more of the processor than it should.
    fn was_hog(&self, begun: Option<Duration>) -> bool {
        match begun {
            // Found out during this step, if at all.
            None => self.hog.load(Ordering::Relaxed),
            Some(begun) => (self.own_cpu_time)().is_none_or(|now| now.saturating_sub(begun) >= 2 * HOG_TIME),
        }
    }
}
