// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The instance of a running task, with what is known of its health.
//!
//! An instance that has been idle for a while may *rest*: it is closed, and another one is started when there is something to do. So
//! is one after an instance that failed at the first record of an epoch. The task stays as it is, and so does everything that it
//! knows.

mod closed;

use std::time::Duration;

use fnstream_core::error::{Error, ErrorCode};
use fnstream_core::runtime::{CallFailure, CallResult, Instance, InstanceSpec};

use self::closed::Closed;
use super::env::TaskEnv;
use super::host::SharedTaskHost;
use crate::config::EngineConfig;

/// An instance and its health.
pub(super) struct Guest {
    /// After it was closed a placeholder, so that nothing can call it any more.
    pub(super) instance: Box<dyn Instance>,
    /// It was closed because it was idle, or discarded because it failed.
    resting: bool,
    /// Bytes of the instance's memory when it was new.
    memory_when_new: usize,
    /// When it is next asked whether it is well, if it was called meanwhile.
    heartbeat_at: Duration,
    /// How many calls there were when it last said that it is well, or started.
    well_after: u64,
    /// The most records of a batch for what it emits to fit into an epoch.
    pub(super) fitting: usize,
}

impl Guest {
    /// Makes an instance and starts it.
    pub(super) fn start(env: &TaskEnv, spec: &InstanceSpec, host: &SharedTaskHost) -> CallResult<Self> {
        let begun = env.now();
        host.lock().begin_call(1);
        let mut instance = env.program.instantiate(spec, host.clone())?;
        instance.init()?;
        let now = env.now();
        env.shortest_start.note(now.saturating_sub(begun));
        let well_after = host.lock().calls();
        Ok(Guest {
            memory_when_new: instance.memory_bytes(),
            instance,
            resting: false,
            heartbeat_at: now + env.core.config.heartbeat,
            well_after,
            fitting: usize::MAX,
        })
    }

    /// Closes the instance and lets go of it: closing is the last call of an instance's life.
    pub(super) fn close(&mut self, host: &SharedTaskHost) -> CallResult {
        host.lock().begin_call(1);
        std::mem::replace(&mut self.instance, Box::new(Closed)).close()
    }

    /// Closes an instance that is idle, until [`Self::wake`].
    pub(super) fn rest(&mut self, host: &SharedTaskHost) -> CallResult {
        self.resting = true;
        self.close(host)
    }

    /// Lets go of an instance that failed, which is not called again, until [`Self::wake`].
    pub(super) fn discard(&mut self) {
        self.resting = true;
        self.instance = Box::new(Closed);
    }

    /// Reports whether there is no instance until it is woken.
    pub(super) fn is_resting(&self) -> bool {
        self.resting
    }

    /// Starts another instance, if there is none.
    pub(super) fn wake(&mut self, env: &TaskEnv, spec: &InstanceSpec, host: &SharedTaskHost) -> CallResult {
        if self.resting {
            *self = Guest { fitting: self.fitting, ..Guest::start(env, spec, host)? };
        }
        Ok(())
    }

    /// How long it is to be idle before it rests, if others do not need its memory before; `None` if it has too little to matter.
    pub(super) fn rests_after(&self, env: &TaskEnv) -> Option<Duration> {
        let config = &env.core.config;
        let least = env.shortest_start.get().saturating_mul(EngineConfig::REST_PER_START);
        (self.instance.memory_bytes() >= config.rest_bytes).then(|| config.rest_after.max(least))
    }

    /// Reports whether the instance has come so near to its limit of memory that the next record might end it: memory only grows.
    pub(super) fn is_worn(&self, limit: usize) -> bool {
        is_worn(self.memory_when_new, self.instance.memory_bytes(), limit)
    }

    /// When the instance is to be asked whether it is well; `None` if it has not been called since it said so: between calls
    /// nothing of it runs, and what is idle is to cost nothing.
    pub(super) fn heartbeat_at(&self, host: &SharedTaskHost) -> Option<Duration> {
        (!self.resting && host.lock().calls() != self.well_after).then_some(self.heartbeat_at)
    }

    /// Asks the instance whether it is well, when it is time.
    pub(super) fn check_heartbeat(&mut self, env: &TaskEnv, host: &SharedTaskHost, now: Duration) -> CallResult {
        if self.heartbeat_at(host).is_none_or(|at| now < at) {
            return Ok(());
        }
        self.heartbeat_at = now + env.core.config.heartbeat;
        host.lock().begin_call(1);
        if self.instance.check_heartbeat()? {
            self.well_after = host.lock().calls();
            return Ok(());
        }
        Err(CallFailure::from(Error::new(ErrorCode::GuestError, "the instance said that it is not well")))
    }

    /// A batch of so many records emitted so many bytes.
    pub(super) fn emitted(&mut self, records: usize, bytes: usize, epoch_bytes: usize) {
        self.fitting = fitting(records, bytes, epoch_bytes);
    }
}

/// Reports whether memory has grown to nine tenths of the limit from less than a half.
fn is_worn(when_new: usize, now: usize, limit: usize) -> bool {
    when_new <= limit / 2 && now >= limit / 10 * 9
}

/// The most records of the next batch, given what the last batch emitted: one batch must not fill many epochs with what it
/// emits, all of which waits in memory.
fn fitting(records: usize, emitted: usize, epoch: usize) -> usize {
    if emitted <= epoch {
        return usize::MAX;
    }
    (records * epoch / emitted).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_is_large_from_the_start_is_not_replaced_for_ever() {
        assert!(is_worn(10, 95, 100));
        assert!(!is_worn(10, 80, 100));
        assert!(!is_worn(60, 95, 100));
    }

    #[test]
    fn batches_shrink_to_what_an_epoch_holds() {
        assert_eq!(fitting(1000, 100, 1000), usize::MAX);
        assert_eq!(fitting(1000, 10_000, 1000), 100);
        assert_eq!(fitting(2, 10_000, 1000), 1);
    }
}
