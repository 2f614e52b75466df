// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A running task's committed state on its way to the store.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::waker::Waker;

use super::{Failed, Running};
use crate::engine::EngineCore;
use crate::state::ApplyJob;
use crate::task::decide::{DirtyBounds, DirtyFacts, Recovery, should_apply};
use crate::task::host::TaskHost;

/// This task's part of the process's unapplied state.
pub(super) struct DirtyAccount {
    pub(super) engine: Arc<EngineCore>,
    pub(super) bytes: usize,
    pub(super) since: Option<Duration>,
}

impl Drop for DirtyAccount {
    fn drop(&mut self) {
        self.engine.add_dirty(0usize.wrapping_sub(self.bytes));
    }
}

impl Running {
    pub(super) fn settle_apply(&mut self, engine: &EngineCore, now: Duration) {
        let Some(settled) = self.host.lock().layers.settle_apply() else { return };
        match settled {
            Ok(marker) => engine.deps.committer.trim(self.assignment.task, marker.epoch),
            Err(error) => {
                // It stays in memory and in the delta log; the next attempt comes with the next due date.
                tracing::warn!(task = %self.assignment.task, %error, "state could not be applied, it will be tried again");
                self.dirty.since = Some(now);
            }
        }
        self.account_dirty(now);
    }

    pub(super) fn apply_if_due(
        &mut self,
        engine: &Arc<EngineCore>,
        waker: &Waker,
        now: Duration,
    ) -> Result<(), Failed> {
        let mut host = self.host.lock();
        if !should_apply(&self.dirty_facts(&host, engine, now), &bounds(engine)) {
            return Ok(());
        }
        let started = host.layers.start_apply().map_err(|error| (Recovery::Reopen, error.into()))?;
        drop(host);
        if let Some(applying) = started {
            let job = engine.scheduler.job(|_| ApplyJob::new(self.base.clone(), applying, waker.clone()));
            job.wake();
        }
        self.account_dirty(now);
        Ok(())
    }

    pub(super) fn dirty_facts(&self, host: &TaskHost, engine: &EngineCore, now: Duration) -> DirtyFacts {
        let (bytes, keys) = host.layers.dirty_size();
        DirtyFacts {
            keys,
            bytes,
            age: self.dirty.since.map_or(Duration::ZERO, |since| now.saturating_sub(since)),
            all_bytes: engine.dirty_bytes(),
            applying: host.layers.is_applying(),
        }
    }

    pub(super) fn account_dirty(&mut self, now: Duration) {
        let (bytes, keys) = self.host.lock().layers.dirty_size();
        self.dirty.engine.add_dirty(bytes.wrapping_sub(self.dirty.bytes));
        self.dirty.bytes = bytes;
        self.dirty.since = if keys == 0 { None } else { self.dirty.since.or(Some(now)) };
    }
}

pub(super) fn bounds(engine: &EngineCore) -> DirtyBounds {
    DirtyBounds { keys: engine.config.dirty_keys, all_bytes: engine.config.dirty_bytes, age: engine.config.dirty_age }
}
