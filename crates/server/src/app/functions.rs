// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The life of a function, as its user commands it.
//!
//! ```text
//! create: valid? -> name free? -> granted? -> artifact stored -> loads? -> topics there -> registered (durable) -> engine started
//!         a failure anywhere leaves the name free and removes what was stored
//! delete: unregistered (durable, with all state) -> engine aborts, on its own time
//! stop:   wanted state stored (durable) -> engine drains     start: loads? -> wanted state stored -> engine started
//! ```
//!
//! Operations on one name go one after the other: of two creates of one name exactly one succeeds. Compiling one function
//! keeps no other waiting.

use std::sync::Arc;
use std::time::Duration;

use fnstream_api::grpc::CreateMode;
use fnstream_api::{Function, FunctionDescription};
use fnstream_core::runtime::Program;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec, check_name};
use fnstream_core::{Error, ErrorCode, Result, error::internal};
use fnstream_engine::StopMode;

use super::artifacts::{Archive, Pin};
use super::{App, Deadline, boot, places, spec};

/// How long a function has to finish what it began: then a stop answers that it is still stopping, and a change ends it.
pub(super) const STOP_WAIT: Duration = Duration::from_secs(10);

/// What became of a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// The function is new.
    New,
    /// One of the name was there and stays as it is.
    Kept,
    /// One of the name was there and was changed.
    Replaced,
}

/// A function that is to be created.
#[derive(Debug, Clone)]
pub struct NewFunction {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub archive: Archive,
    /// Everything else: what it says of the archive and the name is not looked at.
    pub function: Function,
}

impl App {
    /// The names of all functions in order.
    pub async fn functions(self: &Arc<Self>) -> Result<Vec<String>> {
        self.blocking(|app| Ok(app.metadata.list()?.into_iter().map(|entry| entry.spec.name).collect())).await
    }

    /// Registers a function and starts it.
    pub async fn create(self: &Arc<Self>, new: NewFunction) -> Result<FunctionDescription> {
        let spec = spec::new(&new.name, &new.function, String::new())?;
        self.make(spec, new.archive, CreateMode::New).await.map(|(_, function)| function)
    }

    /// Registers a function of that description, whose artifact is still to be obtained, and starts it; the mode says what
    /// becomes of one that has its name.
    pub async fn make(
        self: &Arc<Self>,
        spec: FunctionSpec,
        archive: Archive,
        mode: CreateMode,
    ) -> Result<(Made, FunctionDescription)> {
        spec.validate()?;
        places::check(&spec)?;
        self.alone(spec.name.clone(), move |app, name| async move {
            let there = app.blocking(move |app| app.metadata.get(&name)).await?;
            let made = match (there, mode) {
                (Some(entry), CreateMode::IfNotExists) => Ok((Made::Kept, app.describe_entry(&entry))),
                (Some(_), CreateMode::OrReplace) => {
                    let name = spec.name.clone();
                    let become_it = move |before: &FunctionSpec| spec::replaced(before, spec);
                    app.change(name, Some(archive), become_it).await.map(|function| (Made::Replaced, function))
                }
                (Some(_), CreateMode::New) => {
                    Err(Error::new(ErrorCode::FunctionExists, format!("function '{}' exists", spec.name)))
                }
                (None, _) => app.create_alone(spec, archive).await.map(|function| (Made::New, function)),
            };
            if made.is_err() {
                app.sweep_after_refusal().await;
            }
            made
        })
        .await
    }

    async fn create_alone(self: &Arc<Self>, spec: FunctionSpec, archive: Archive) -> Result<FunctionDescription> {
        let (spec, pin, artifact) = self
            .blocking(move |app| {
                app.check_grants(&spec)?;
                let (pin, artifact) = app.obtain(&archive)?;
                Ok((FunctionSpec { artifact: pin.digest.clone(), ..spec }, pin, artifact))
            })
            .await?;
        let program = self.compile(artifact).await?;
        Deadline::of_caller().check()?;
        self.blocking(move |app| app.register(spec, program, pin)).await
    }

    /// Removes the artifact that a failed change stored and that is nobody's now.
    pub(super) async fn sweep_after_refusal(self: &Arc<Self>) {
        if let Err(error) = self.blocking(|app| app.sweep_artifacts()).await {
            tracing::warn!(code = %error.code, error = error.message, "unused artifacts could not be removed yet");
        }
    }

    /// Makes the topics, registers the function and starts it. Blocks.
    fn register(
        self: &Arc<Self>,
        spec: FunctionSpec,
        program: Arc<dyn Program>,
        pin: Pin,
    ) -> Result<FunctionDescription> {
        let _using = self.topic_use.read();
        self.ensure_topics(&spec)?;
        let entry = self.metadata.create(spec, DesiredState::Running)?;
        drop(pin);
        let started = self.granted(&entry).and_then(|entry| self.engine.start_function(&entry, program));
        if let Err(error) = started {
            self.metadata.remove(&entry.spec.name, entry.revision)?;
            return Err(error);
        }
        tracing::info!(function = entry.spec.name, id = entry.id.0, "function created");
        self.note(&entry, "created and started");
        Ok(self.describe_entry(&entry))
    }

    /// Removes a function with its state.
    pub async fn delete(self: &Arc<Self>, name: String) -> Result<()> {
        self.alone(name, |app, name| async move {
            app.blocking(move |app| {
                let entry = app.entry(&name)?;
                app.metadata.remove(&name, entry.revision)?;
                app.failures.lock().remove(&entry.id);
                // Nothing of it can be committed any more, so nobody has to wait until it has noticed.
                app.engine.stop_function(entry.id, StopMode::Abort, Box::new(|| ()));
                app.engine.meters().remove(&name);
                app.logs.remove(entry.id, &name);
                tracing::info!(function = name, id = entry.id.0, "function deleted");
                Ok(())
            })
            .await
        })
        .await
    }

    /// What a function is and how it fares.
    pub async fn describe(self: &Arc<Self>, name: String) -> Result<FunctionDescription> {
        check_name("function", &name)?;
        self.blocking(move |app| Ok(app.describe_entry(&app.entry(&name)?))).await
    }

    /// Lets a function finish what it began and then rest, also after a restart of the server.
    pub async fn stop(self: &Arc<Self>, name: String) -> Result<FunctionDescription> {
        self.alone(name, |app, name| async move {
            let (stopped, wait) = tokio::sync::oneshot::channel();
            let entry = app
                .blocking(move |app| {
                    let mut entry = app.entry(&name)?;
                    if entry.desired != DesiredState::Stopped {
                        entry = app.metadata.update(entry.spec, DesiredState::Stopped, entry.revision, None)?;
                        tracing::info!(function = name, id = entry.id.0, "function stops");
                        app.note(&entry, "stops");
                    }
                    app.failures.lock().remove(&entry.id);
                    // Nobody waits any more when it took too long.
                    let done = Box::new(move || stopped.send(()).unwrap_or(()));
                    app.engine.stop_function(entry.id, StopMode::Drain, done);
                    Ok(entry)
                })
                .await?;
            let _ = tokio::time::timeout(STOP_WAIT, wait).await;
            Ok(app.describe_entry(&entry))
        })
        .await
    }

    /// Lets a function run, also after a restart of the server. One that failed is tried anew.
    pub async fn start(self: &Arc<Self>, name: String) -> Result<FunctionDescription> {
        self.alone(name, |app, name| async move {
            let entry = app.blocking(move |app| app.entry(&name)).await?;
            if entry.desired == DesiredState::Running && app.is_well(&entry) {
                return Ok(app.describe_entry(&entry));
            }
            let program = app.load(&entry.spec.artifact).await?;
            app.end(&entry).await?;
            app.blocking(move |app| {
                let mut entry = entry;
                if entry.desired != DesiredState::Running {
                    entry = app.metadata.update(entry.spec, DesiredState::Running, entry.revision, None)?;
                }
                boot::start(app, &entry, program)?;
                Ok(app.describe_entry(&entry))
            })
            .await
        })
        .await
    }

    /// Waits until nothing of a former run is left.
    pub(super) async fn end(self: &Arc<Self>, entry: &FunctionEntry) -> Result<()> {
        if self.engine.status(entry.id).is_none() {
            return Ok(());
        }
        let (ended, wait) = tokio::sync::oneshot::channel();
        let done = Box::new(move || ended.send(()).unwrap_or(()));
        self.engine.stop_function(entry.id, StopMode::Abort, done);
        wait.await.map_err(|_| internal("the engine forgot to say that a function ended"))
    }

    pub(super) fn entry(&self, name: &str) -> Result<FunctionEntry> {
        self.metadata
            .get(name)?
            .ok_or_else(|| Error::new(ErrorCode::FunctionNotFound, format!("there is no function '{name}'")))
    }

    /// Makes the topics of a function that are not there yet. Blocks.
    pub(super) fn ensure_topics(&self, spec: &FunctionSpec) -> Result<()> {
        let dead_letters = spec.dead_letter_topic();
        for topic in spec.topics() {
            // Dead letters are few, and one partition keeps them in the order in which they came.
            let partitions = if dead_letters.as_ref() == Some(&topic) { 1 } else { spec.replicas };
            self.store.ensure_topic(topic.own_name()?, partitions)?;
        }
        Ok(())
    }

    /// Loads an artifact of the store.
    pub(super) async fn load(self: &Arc<Self>, digest: &str) -> Result<Arc<dyn Program>> {
        let digest = digest.to_owned();
        let artifact = self.blocking(move |app| app.store.artifacts().get(&digest)).await.map_err(lost)?;
        self.compile(artifact).await
    }

    /// Compiles an artifact, or takes it from the cache.
    pub(super) async fn compile(self: &Arc<Self>, artifact: Vec<u8>) -> Result<Arc<dyn Program>> {
        let _turn = self.loading.acquire().await.map_err(|e| internal(e.to_string()))?;
        self.blocking(move |app| app.runtime.load(&artifact)).await
    }
}

/// An artifact that a registered function needs was there once: its absence is the disk's fault, not the caller's.
fn lost(error: Error) -> Error {
    match error.code {
        ErrorCode::ArtifactNotFound => Error::new(ErrorCode::ArtifactCorrupt, error.message),
        _ => error,
    }
}
