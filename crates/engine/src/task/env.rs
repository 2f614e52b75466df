// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The surroundings of a task: everything that it reaches and does not own.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fnstream_core::function_log::{LogLine, Speaker};
use fnstream_core::runtime::Program;
use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::waker::Waker;
use parking_lot::Mutex;

use crate::metrics::FunctionMeter;
use crate::shared::{Backend, EngineCore};

/// The shortest time in which an instance of a function was started: what a start costs. Others had to wait for a processor, too,
/// as when hundreds start at once.
#[derive(Debug, Default)]
pub(crate) struct ShortestStart(Mutex<Option<Duration>>);

impl ShortestStart {
    /// An instance was started in that time.
    pub(crate) fn note(&self, took: Duration) {
        let mut shortest = self.0.lock();
        *shortest = Some(shortest.map_or(took, |shortest| shortest.min(took)));
    }

    /// Zero as long as none was started.
    pub(crate) fn get(&self) -> Duration {
        self.0.lock().unwrap_or_default()
    }
}

/// The same for all tasks of a function.
pub(crate) struct TaskEnv {
    pub(crate) entry: FunctionEntry,
    pub(crate) program: Arc<dyn Program>,
    pub(crate) backend: Backend,
    pub(crate) meter: Arc<FunctionMeter>,
    pub(crate) core: Arc<EngineCore>,
    pub(crate) shortest_start: ShortestStart,
    /// Called after each step of a task.
    pub(crate) watcher: OnceLock<Waker>,
}

impl TaskEnv {
    pub(crate) fn spec(&self) -> &FunctionSpec {
        &self.entry.spec
    }

    /// A task has made a step.
    pub(crate) fn stepped(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.wake();
        }
    }

    /// The time on the engine's clock.
    pub(crate) fn now(&self) -> Duration {
        self.core.deps.clock.now()
    }

    /// Writes a line into the function's log.
    pub(crate) fn say(&self, task: u32, text: fmt::Arguments<'_>) {
        let text = text.to_string();
        let (function, name) = (self.entry.id, self.entry.spec.name.as_str());
        self.core.deps.log.write(LogLine { function, name, task: Some(task), speaker: Speaker::Host, text: &text });
    }

    /// The same, and into the server's log: something unexpected was handled.
    pub(crate) fn warn(&self, task: u32, text: fmt::Arguments<'_>) {
        tracing::warn!(function = self.entry.spec.name, task, "{text}");
        self.say(task, text);
    }
}
