// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The parts that all tasks of an engine share, and the backend that each function brings along.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fnstream_core::broker::Broker;
use fnstream_core::clock::Clock;
use fnstream_core::committer::Committer;
use fnstream_core::function_log::FunctionLog;
use fnstream_core::state::StateStores;

use crate::coming_up::ComingUp;
use crate::config::{EngineConfig, EpochBounds};
use crate::metrics::Meters;
use crate::scheduler::Scheduler;
use crate::state::{Bases, ReadCache};

/// The parts of an engine that are the same for all functions.
#[derive(Clone)]
pub struct EngineDeps {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Records what happens to functions.
    pub log: Arc<dyn FunctionLog>,
}

/// The place where a function reads, commits and keeps its state. Each function has one, chosen when it is started;
/// functions of one engine may have different ones.
#[derive(Clone)]
pub struct Backend {
    /// Assigns the function's tasks and reads its inputs.
    pub broker: Arc<dyn Broker>,
    /// Makes its epochs durable.
    pub committer: Arc<dyn Committer>,
    /// Keeps its committed state. All functions of one place are given the same `Arc`: a task that is started anew waits for
    /// an apply of its former life on the same stores, and on no others.
    pub state_stores: Arc<dyn StateStores>,
    /// Bounds of an epoch that suit the committer.
    pub epoch: EpochBounds,
}

/// Shared by all tasks of an engine.
pub(crate) struct EngineCore {
    pub(crate) config: EngineConfig,
    pub(crate) deps: EngineDeps,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) bases: Arc<Bases>,
    pub(crate) cache: Arc<ReadCache>,
    pub(crate) meters: Meters,
    pub(crate) dirty: Arc<DirtyGauge>,
    pub(crate) coming_up: Arc<ComingUp>,
}

impl EngineCore {
    pub(crate) fn new(config: EngineConfig, deps: EngineDeps) -> Arc<Self> {
        Arc::new(EngineCore {
            scheduler: Scheduler::new(deps.clock.clone()),
            bases: Arc::default(),
            cache: Arc::new(ReadCache::new(config.cache_bytes)),
            meters: Meters::default(),
            dirty: Arc::default(),
            coming_up: Arc::default(),
            config,
            deps,
        })
    }
}

/// Bytes of committed state that the stores do not have yet, of all tasks together.
#[derive(Debug, Default)]
pub(crate) struct DirtyGauge(AtomicUsize);

impl DirtyGauge {
    /// Replaces a task's part of the sum.
    pub(crate) fn replace(&self, before: usize, after: usize) {
        // A difference below zero wraps around, as the sum does.
        self.0.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
