// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Starting what should run.
//!
//! At the start of the server every function that is wanted to run is started; functions of one artifact share one
//! loading. One that cannot be started shows its reason and keeps no other from starting. The server serves requests
//! meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use fnstream_core::runtime::Program;
use fnstream_core::spec::{DesiredState, FunctionEntry};
use fnstream_core::{Error, Result};

use super::App;

impl App {
    /// Starts all functions that should run.
    pub async fn boot(self: Arc<Self>) {
        let entries = match self.blocking(|app| app.metadata.list()).await {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!(code = %error.code, error = error.message, "the functions could not be listed: none is started");
                return;
            }
        };
        let mut by_artifact: HashMap<String, Vec<FunctionEntry>> = HashMap::new();
        for entry in entries.into_iter().filter(|entry| entry.desired == DesiredState::Running) {
            by_artifact.entry(entry.spec.artifact.clone()).or_default().push(entry);
        }
        let loads: Vec<_> = by_artifact
            .into_iter()
            .map(|(digest, entries)| tokio::spawn(self.clone().boot_artifact(digest, entries)))
            .collect();
        let mut started = 0;
        for load in loads {
            started += load.await.unwrap_or_default();
        }
        self.booted.send_replace(true);
        tracing::info!(started, failed = self.failures.lock().len(), "functions started");
    }

    /// Starts the functions of one artifact; answers how many.
    async fn boot_artifact(self: Arc<Self>, digest: String, entries: Vec<FunctionEntry>) -> usize {
        let program = self.load(&digest).await;
        let mut started = 0;
        for entry in entries {
            if self.closing.is_cancelled() {
                break;
            }
            let program = program.clone();
            let name = entry.spec.name.clone();
            let done = self
                .detached(|app| async move {
                    let _alone = app.functions.lock(name).await;
                    app.blocking(move |app| boot_one(app, &entry, program)).await
                })
                .await;
            started += usize::from(done.unwrap_or_default());
        }
        started
    }

    /// Whether the engine has a function and it did not fail for good.
    pub(super) fn is_well(&self, entry: &FunctionEntry) -> bool {
        use fnstream_engine::FunctionState::{Failed, Stopping};
        let status = self.engine.status(entry.id);
        status.is_some_and(|status| !matches!(status.state, Failed | Stopping))
    }
}

/// Starts a function unless its user has changed or started it meanwhile.
fn boot_one(app: &Arc<App>, entry: &FunctionEntry, program: Result<Arc<dyn Program>>) -> Result<bool> {
    let latest = app.metadata.get(&entry.spec.name)?;
    if latest.as_ref() != Some(entry) || app.engine.status(entry.id).is_some() {
        return Ok(false);
    }
    let done = program.and_then(|program| start(app, entry, program));
    if let Err(error) = &done {
        failed(app, entry, error);
    }
    Ok(done.is_ok())
}

/// Starts a registered function, unless it was granted what the server does not allow any more. Blocks.
pub(super) fn start(app: &Arc<App>, entry: &FunctionEntry, program: Arc<dyn Program>) -> Result<()> {
    let _using = app.topic_use.read();
    app.ensure_topics(&entry.spec)?;
    app.engine.start_function(&app.granted(entry)?, program, app.backend.clone())?;
    app.failures.lock().remove(&entry.id);
    app.note(entry, &format!("started, revision {}", entry.revision));
    Ok(())
}

/// Notes why a function does not run that should.
pub(super) fn failed(app: &App, entry: &FunctionEntry, error: &Error) {
    tracing::error!(
        function = entry.spec.name,
        code = %error.code,
        error = error.message,
        "function could not be started: it stays registered and is tried again at 'client start' or at the next start"
    );
    app.note(entry, &format!("could not be started: {error}"));
    app.failures.lock().insert(entry.id, error.clone());
}
