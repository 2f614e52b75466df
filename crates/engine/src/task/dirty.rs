// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task's committed state on its way to the store, and its part of the process's account of it.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::error::Result;
use fnstream_core::waker::Waker;

use super::decide::{DirtyBounds, DirtyFacts, Retry, backoff, is_congested, should_apply};
use super::env::TaskEnv;
use super::host::TaskHost;
use super::ownership::Ownership;
use crate::config::EngineConfig;
use crate::shared::DirtyGauge;
use crate::state::ApplyJob;

/// This task's part of the process's unapplied state; it gives its part back when it is dropped.
pub(super) struct Dirty {
    gauge: Arc<DirtyGauge>,
    bytes: usize,
    /// When the first of it was committed.
    since: Option<Duration>,
    /// Applies that failed one after the other, and until when the next one waits.
    failures: u32,
    retry_at: Option<Duration>,
}

impl Dirty {
    pub(super) fn new(gauge: Arc<DirtyGauge>) -> Self {
        Dirty { gauge, bytes: 0, since: None, failures: 0, retry_at: None }
    }

    /// When it is to be applied at the latest.
    pub(super) fn due_at(&self, config: &EngineConfig) -> Option<Duration> {
        self.retry_at.or_else(|| self.since.map(|since| since + config.dirty_age))
    }

    /// An apply has ended; one that failed is tried again later each time.
    fn tried(&mut self, failed: bool, config: &EngineConfig, now: Duration) {
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        self.retry_at = failed.then(|| now + backoff(self.failures, config.backoff_min, config.backoff_max));
    }

    fn account(&mut self, (bytes, keys): (usize, usize), now: Duration) {
        self.gauge.replace(self.bytes, bytes);
        self.bytes = bytes;
        self.since = if keys == 0 { None } else { self.since.or(Some(now)) };
    }

    fn facts(&self, host: &TaskHost, now: Duration) -> DirtyFacts {
        let (bytes, keys) = host.layers.dirty_size();
        DirtyFacts {
            keys,
            bytes,
            age: self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since)),
            all_bytes: self.gauge.bytes(),
            applying: host.layers.is_applying(),
            retry: match self.retry_at {
                None => Retry::Not,
                Some(at) if now < at => Retry::Later,
                Some(_) => Retry::Now,
            },
        }
    }
}

impl Drop for Dirty {
    fn drop(&mut self) {
        self.gauge.replace(self.bytes, 0);
    }
}

impl Ownership {
    /// Looks whether an apply has ended.
    pub(super) fn settle_apply(&mut self, env: &TaskEnv, now: Duration) {
        let Some(settled) = self.host.lock().layers.settle_apply() else { return };
        let task = self.assignment.task;
        self.dirty.tried(settled.is_err(), &env.core.config, now);
        match settled {
            Ok(marker) => env.backend.committer.trim(task, marker.epoch),
            // It stays in memory and in the delta log.
            Err(error) => tracing::warn!(%task, %error, "state could not be applied, it will be tried again"),
        }
        self.account_dirty(now);
    }

    /// Hands the dirty map to the store, when it is time.
    pub(super) fn apply_if_due(&mut self, env: &TaskEnv, waker: &Waker, now: Duration) -> Result<()> {
        let mut host = self.host.lock();
        if !should_apply(&self.dirty.facts(&host, now), &bounds(&env.core.config)) {
            return Ok(());
        }
        let started = host.layers.start_apply()?;
        drop(host);
        if let Some(applying) = started {
            let job = env.core.scheduler.job(|_| ApplyJob::new(self.base.clone(), applying, waker.clone()));
            job.wake();
        }
        self.account_dirty(now);
        Ok(())
    }

    /// Reports whether the store must catch up before the task may take more input.
    pub(super) fn is_congested(&self, host: &TaskHost, env: &TaskEnv, now: Duration) -> bool {
        is_congested(&self.dirty.facts(host, now), &bounds(&env.core.config))
    }

    pub(super) fn account_dirty(&mut self, now: Duration) {
        let size = self.host.lock().layers.dirty_size();
        self.dirty.account(size, now);
    }
}

fn bounds(config: &EngineConfig) -> DirtyBounds {
    DirtyBounds { keys: config.dirty_keys, all_bytes: config.dirty_bytes, age: config.dirty_age }
}
