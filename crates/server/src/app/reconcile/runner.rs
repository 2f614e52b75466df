// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the reconciler does with the engine, and what has to be there before.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::epoch::FunctionId;
use fnstream_core::runtime::Program;
use fnstream_core::spec::FunctionEntry;
use fnstream_core::{Error, Result};
use fnstream_engine::{Engine, StopMode};

use super::patterns::Patterns;
use crate::app::grants;
use crate::app::programs::Programs;
use crate::app::topic_maker::TopicMaker;
use crate::clusters::Clusters;
use crate::logs::FunctionLogs;

/// Starts and ends functions.
pub(in crate::app) struct Runner {
    pub(in crate::app) engine: Engine,
    /// Where functions read and commit.
    pub(in crate::app) clusters: Arc<Clusters>,
    pub(in crate::app) programs: Arc<Programs>,
    pub(in crate::app) topics: Arc<TopicMaker>,
    /// Folders that functions may be granted.
    pub(in crate::app) files_dirs: Vec<PathBuf>,
    pub(in crate::app) logs: Arc<FunctionLogs>,
    /// The topics of functions that read those of patterns.
    pub(in crate::app) patterns: Patterns,
}

impl Runner {
    pub(super) async fn load(&self, entry: &FunctionEntry) -> Result<Arc<dyn Program>> {
        self.programs.load(&entry.spec.artifact).await
    }

    /// Starts a function, unless it was granted what the server does not allow any more. Blocks.
    pub(super) fn start(&self, entry: &FunctionEntry, program: Arc<dyn Program>, quiet: bool) -> Result<()> {
        let _using = self.topics.in_use();
        self.topics.ensure_all(&entry.spec)?;
        let expanded = self.patterns.expand(&self.clusters, entry)?;
        let granted = grants::granted(&self.files_dirs, &expanded)?;
        self.engine.start_function(&granted, program, self.clusters.backend(&expanded)?)?;
        tracing::info!(function = entry.spec.name, id = entry.id.0, revision = entry.revision, "function started");
        if let Some(warning) = entry.spec.limits.beyond(self.engine.memory_of_all()) {
            tracing::warn!(function = entry.spec.name, limit = entry.spec.limits.memory, "{warning}");
            self.logs.note(entry.id, &entry.spec.name, &warning);
        }
        if !quiet {
            self.logs.note(entry.id, &entry.spec.name, &format!("started, revision {}", entry.revision));
        }
        Ok(())
    }

    /// Has the engine end a function; `done` is called when it has.
    pub(super) fn end(&self, id: FunctionId, at_once: bool, done: Box<dyn FnOnce() + Send>) {
        self.patterns.rest(id);
        let mode = if at_once { StopMode::Abort } else { StopMode::Drain };
        // Whoever reads what was committed fences first, so commits under way need not be waited for.
        self.engine.stop_function(id, mode, Box::new(|_| done()));
    }

    /// Has the engine know nothing of a function any more that does not end. What its tasks do from now on is fenced by whoever
    /// takes them over.
    pub(super) fn abandon(&self, id: FunctionId) {
        let abandoned = self.engine.abandon(id);
        // Letting go of it may wait for what it waits for.
        tokio::task::spawn_blocking(move || drop(abandoned));
    }

    /// Removes what this process kept of a function that was deleted.
    pub(super) fn forget(&self, id: FunctionId, name: &str) {
        self.engine.meters().remove(name);
        self.patterns.forget(id);
        self.clusters.forget(id);
        self.logs.remove(id, name);
    }

    /// Notes why a function does not run that should, and when it is tried again by itself.
    pub(super) fn note_failure(&self, entry: &FunctionEntry, error: &Error, wait: Option<Duration>) {
        let (function, code, message) = (&entry.spec.name, error.code, &error.message);
        let then = match wait {
            None => "it stays registered and is tried again at 'client start' or at the next start".to_owned(),
            Some(wait) => format!("it is tried again in {} s", wait.as_secs()),
        };
        tracing::error!(function, %code, error = message, "function could not be started: {then}");
        self.logs.note(entry.id, function, &format!("could not be started: {error}; {then}"));
    }
}
