// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Writes a dirty map to the state store, as a job of its own so that the task goes on meanwhile.

use std::sync::Arc;

use fnstream_core::delta::Delta;
use fnstream_core::error::{ErrorCode, Result};
use fnstream_core::panics;
use fnstream_core::state::{Marker, StateStore};
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use super::TaskBase;
use crate::scheduler::{Next, Runnable};

/// The layer that is being written; readers see it throughout. It has no merges.
pub(crate) struct Applying {
    pub(crate) delta: Delta,
    pub(crate) marker: Marker,
    outcome: Mutex<Option<Result<()>>>,
}

impl Applying {
    pub(crate) fn new(delta: Delta, marker: Marker) -> Arc<Self> {
        Arc::new(Applying { delta, marker, outcome: Mutex::new(None) })
    }

    /// Writes it. A store that panics may have written a part, like one that fails.
    pub(crate) fn run(&self, store: &Arc<dyn StateStore>) {
        let outcome = panics::catch(|| store.apply(&self.delta, &self.marker)).unwrap_or_else(|panicked| {
            tracing::error!(code = %ErrorCode::Panicked, "applying state {}", panicked.to_error().message);
            Err(panicked.to_error())
        });
        *self.outcome.lock() = Some(outcome);
    }

    /// How it ended, once.
    pub(crate) fn take_outcome(&self) -> Option<Result<()>> {
        self.outcome.lock().take()
    }
}

/// The job.
pub(crate) struct ApplyJob {
    base: Arc<TaskBase>,
    applying: Mutex<Option<Arc<Applying>>>,
    done: Waker,
}

impl ApplyJob {
    /// `base` must have begun an apply; the job ends it.
    pub(crate) fn new(base: Arc<TaskBase>, applying: Arc<Applying>, done: Waker) -> Self {
        ApplyJob { base, applying: Mutex::new(Some(applying)), done }
    }
}

impl Runnable for ApplyJob {
    fn step(&self) -> Next {
        // Let go of it before the task is told, so that the task can take the delta apart instead of copying it.
        if let Some(applying) = self.applying.lock().take() {
            applying.run(&self.base.store);
        }
        self.base.end_apply();
        self.done.wake();
        Next::Done
    }
}

impl Drop for ApplyJob {
    /// A job that is never run, because the process ends, must not hold the store for ever.
    fn drop(&mut self) {
        if self.applying.lock().is_some() {
            self.base.end_apply();
        }
    }
}
