// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Changing what a function is while it keeps what it has.
//!
//! ```text
//! update:  valid? granted? -> artifact stored, loads? -> tasks ended -> state of now forked -> new revision (durable)
//!          -> engine started, if it is to run
//! restart: granted? loads? -> tasks ended -> engine started
//! ```
//!
//! Everything that can be refused is refused while the function still runs. What fails between the end of the tasks and
//! the new revision starts it again as it was; a crash there leaves the old revision, which the next start of the server
//! runs, and one after that the new one. No state is lost in either case: ended tasks have committed what they keep, and
//! the fork that the replaced revision keeps is claimed in the write that makes the new one.

use std::sync::Arc;

use fnstream_api::{FunctionDescription, FunctionUpdate};
use fnstream_core::epoch::FunctionId;
use fnstream_core::runtime::Program;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::StopMode;

use super::artifacts::Archive;
use super::functions::STOP_WAIT;
use super::{App, boot, spec};

impl App {
    /// Changes a function's description. When nothing changes nothing is done, and the revision stays.
    pub async fn update(
        self: &Arc<Self>,
        name: String,
        update: FunctionUpdate,
        archive: Option<Archive>,
    ) -> Result<FunctionDescription> {
        self.alone(name, |app, name| async move {
            let updated = app.change(name, archive, move |before| spec::updated(before, &update)).await;
            if updated.is_err() {
                app.sweep_after_refusal().await;
            }
            updated
        })
        .await
    }

    /// Gives a function the description that is made of the one that it has. Nobody else changes it meanwhile.
    pub(super) async fn change(
        self: &Arc<Self>,
        name: String,
        archive: Option<Archive>,
        described: impl FnOnce(&FunctionSpec) -> Result<FunctionSpec> + Send + 'static,
    ) -> Result<FunctionDescription> {
        let (entry, spec, obtained) = self
            .blocking(move |app| {
                let entry = app.entry(&name)?;
                let mut spec = described(&entry.spec)?;
                app.check_grants(&spec)?;
                let obtained = archive.map(|archive| app.obtain(&archive)).transpose()?;
                if let Some((pin, _)) = &obtained {
                    spec.artifact.clone_from(&pin.digest);
                }
                Ok((entry, spec, obtained))
            })
            .await?;
        if spec == entry.spec {
            return Ok(self.describe_entry(&entry));
        }
        let (_pin, artifact) = obtained.unzip();
        let program = match artifact {
            Some(artifact) => self.compile(artifact).await?,
            None => self.load(&spec.artifact).await?,
        };
        let entry = self.replace(entry, |app, entry| app.describe_anew(entry, spec)).await?;
        tracing::info!(function = entry.spec.name, revision = entry.revision, "function updated");
        self.note(&entry, &format!("updated to revision {}", entry.revision));
        self.go_on(entry, program).await
    }

    /// Ends a function's tasks and starts them anew.
    pub async fn restart(self: &Arc<Self>, name: String) -> Result<FunctionDescription> {
        self.alone(name, |app, name| async move {
            let entry = app
                .blocking(move |app| {
                    let entry = app.entry(&name)?;
                    if entry.desired == DesiredState::Stopped {
                        return Err(Error::new(ErrorCode::FunctionStopped, format!("function '{name}' is stopped")));
                    }
                    app.check_grants(&entry.spec)?;
                    Ok(entry)
                })
                .await?;
            let program = app.load(&entry.spec.artifact).await?;
            app.settle(&entry).await?;
            tracing::info!(function = entry.spec.name, "function restarts");
            app.note(&entry, "restarts");
            app.go_on(entry, program).await
        })
        .await
    }

    /// Ends a function's tasks and makes a change of the register; when that fails the function runs again as it was.
    pub(super) async fn replace<T: Send + 'static>(
        self: &Arc<Self>,
        entry: FunctionEntry,
        change: impl FnOnce(&Arc<App>, &FunctionEntry) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.settle(&entry).await?;
        let before = entry.clone();
        let changed = self.blocking(move |app| change(app, &entry)).await;
        if changed.is_err() {
            self.resume(before).await;
        }
        changed
    }

    /// The new revision, with the state of now kept for the one that it replaces. None of the tasks runs. Blocks.
    pub(super) fn describe_anew(self: &Arc<Self>, entry: &FunctionEntry, spec: FunctionSpec) -> Result<FunctionEntry> {
        let snapshot = self.store.fork(entry.id)?;
        self.with_fork(snapshot, &spec, |spec| {
            self.metadata.update(spec, entry.desired, entry.revision, Some(snapshot))
        })
    }

    /// Makes a description's topics and a change that claims the fork, which goes when the change fails. Blocks.
    pub(super) fn with_fork(
        &self,
        fork: FunctionId,
        spec: &FunctionSpec,
        change: impl FnOnce(FunctionSpec) -> Result<FunctionEntry>,
    ) -> Result<FunctionEntry> {
        let _using = self.topic_use.read();
        let changed = self.ensure_topics(spec).and_then(|()| change(spec.clone()));
        if changed.is_err()
            && let Err(error) = self.store.discard_fork(fork)
        {
            tracing::warn!(code = %error.code, error = error.message, "a copy of state stays until the next start");
        }
        changed
    }

    /// Runs a function that was changed, if it is to run.
    pub(super) async fn go_on(
        self: &Arc<Self>,
        entry: FunctionEntry,
        program: Arc<dyn Program>,
    ) -> Result<FunctionDescription> {
        self.blocking(move |app| {
            if entry.desired == DesiredState::Running
                && let Err(error) = boot::start(app, &entry, program)
            {
                boot::failed(app, &entry, &error);
                let revision = entry.revision;
                return Err(error.context(format_args!("revision {revision} is in force but could not be started")));
            }
            Ok(app.describe_entry(&entry))
        })
        .await
    }

    /// Runs a function again as it was, after a change that did not come about.
    async fn resume(self: &Arc<Self>, entry: FunctionEntry) {
        if entry.desired == DesiredState::Stopped {
            return;
        }
        let program = self.load(&entry.spec.artifact).await;
        let resumed = self.blocking(move |app| {
            if let Err(error) = program.and_then(|program| boot::start(app, &entry, program)) {
                boot::failed(app, &entry, &error);
            }
            Ok(())
        });
        if let Err(error) = resumed.await {
            tracing::error!(code = %error.code, error = error.message, "a function could not be started again");
        }
    }

    /// Waits until none of a function's tasks runs: they finish what they began, and those that take too long are ended.
    pub(super) async fn settle(self: &Arc<Self>, entry: &FunctionEntry) -> Result<()> {
        if self.engine.status(entry.id).is_none() {
            return Ok(());
        }
        let (ended, wait) = tokio::sync::oneshot::channel();
        let done = Box::new(move |_| ended.send(()).unwrap_or(()));
        self.engine.stop_function(entry.id, StopMode::Drain, done);
        match tokio::time::timeout(STOP_WAIT, wait).await {
            Ok(_) => Ok(()),
            Err(_) => self.end(entry).await,
        }
    }
}
