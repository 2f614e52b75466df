// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Changing what a function is while it keeps what it has.
//!
//! ```text
//! update:  valid? granted? -> artifact stored, loads? -> held: tasks ended everywhere -> fenced, state of now forked
//!          -> new revision (durable) -> released -> runs here, if it is to run
//! restart: granted? loads? -> held: tasks ended everywhere -> released -> runs here
//! ```
//!
//! Everything that can be refused is refused while the function still runs. What fails between the end of the tasks and
//! the new revision lets it run again as it was, since nothing holds it any more; a crash there leaves the old revision, which
//! the next start of the server runs, and one after that the new one. No state is lost in either case: ended tasks have
//! committed what they keep, and the fork that the replaced revision keeps is claimed in the write that makes the new one.
//!
//! The tasks are fenced before anything is read of what they did. One that did not end in time, or that ran in a process which
//! cannot be reached, may have an epoch under way: it counts as a whole, or is never committed.

use std::sync::Arc;

use fnstream_api::{FunctionDescription, FunctionUpdate};
use fnstream_core::epoch::FunctionId;
use fnstream_core::runtime::Program;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::{Error, ErrorCode, Result};

use super::coming_up::{Changed, Wait};
use super::{Functions, spec};
use crate::app::grants;
use crate::app::group::Holds;
use crate::app::ops::blocking;
use crate::app::shelf::Archive;

/// What an update did, in words.
pub(super) fn updated_to(changed: &Changed) -> String {
    let done = if changed.is_same { "stays at" } else { "was updated to" };
    format!("{done} revision {}", changed.entry.revision)
}

impl Functions {
    /// Changes a function's description. When nothing changes the revision stays, and nothing is done, except that a function which
    /// could not be started and is given its artifact again is tried anew.
    pub(crate) async fn update(
        self: &Arc<Self>,
        name: String,
        update: FunctionUpdate,
        archive: Option<Archive>,
        wait: Option<Wait>,
    ) -> Result<FunctionDescription> {
        let functions = self.clone();
        // It goes back although its caller goes away, whenever that is.
        self.ops.outlasting(async move { functions.update_and_see(name, update, archive, wait).await }).await
    }

    async fn update_and_see(
        self: &Arc<Self>,
        name: String,
        update: FunctionUpdate,
        archive: Option<Archive>,
        wait: Option<Wait>,
    ) -> Result<FunctionDescription> {
        let functions = self.clone();
        let updated = self.ops.alone(name, |name| async move {
            let changed = functions.change(name, archive, move |before| spec::updated(before, &update)).await;
            if changed.is_err() {
                functions.shelf.sweep_after_refusal().await;
            }
            let changed = changed?;
            let started = functions.go_on(changed.entry.clone()).await;
            Ok((changed, started))
        });
        let (changed, started) = updated.await?;
        self.seen_up(updated_to(&changed), changed, started, wait).await
    }

    /// Gives a function the description that is made of the one that it has. Nobody else in this process changes it meanwhile.
    pub(super) async fn change(
        self: &Arc<Self>,
        name: String,
        archive: Option<Archive>,
        described: impl FnOnce(&FunctionSpec) -> Result<FunctionSpec> + Send + 'static,
    ) -> Result<Changed> {
        let functions = self.clone();
        let (entry, spec, obtained) = blocking(move || {
            let entry = crate::app::entry(&*functions.register, &name)?;
            let mut spec = described(&entry.spec)?;
            functions.clusters.adopt_all(&mut spec);
            functions.clusters.check(&spec)?;
            spec::check_home(&entry.spec, &spec)?;
            grants::check(&functions.files_dirs, &spec)?;
            if entry.desired == DesiredState::Running {
                functions.check_groups(&spec)?;
            }
            if (spec.no_join, spec.selector) != (entry.spec.no_join, entry.spec.selector) {
                functions.topics.check_join(&spec)?;
            }
            let obtained = archive.map(|archive| functions.shelf.obtain(&archive)).transpose()?;
            if let Some((pin, _)) = &obtained {
                pin.digest().clone_into(&mut spec.artifact);
            }
            Ok((entry, spec, obtained))
        })
        .await?;
        if spec == entry.spec {
            // What kept it from running may be mended by the very artifact that it has.
            if obtained.is_some() && self.reconciler.failure(&entry).is_some() {
                self.try_again(&entry).await?;
            }
            return Ok(Changed::none(entry));
        }
        let before = self.up_before(&entry).await?;
        let (_pin, artifact) = obtained.unzip();
        // Kept until the function runs, so that it need not be loaded again.
        let program = match artifact {
            Some(artifact) => self.programs.compile(&spec.artifact, artifact).await?,
            None => self.programs.load(&spec.artifact).await?,
        };
        self.check_program(&spec, &program).await?;
        let new = program.clone();
        let update = move |functions: &Functions, entry: &FunctionEntry| {
            let entry = functions.put_in_force(entry, spec, &*new)?;
            tracing::info!(function = entry.spec.name, revision = entry.revision, "function updated");
            functions.note(&entry, &format!("updated to revision {}", entry.revision));
            Ok(entry)
        };
        let entry = self.replace(entry, update).await?;
        Ok(Changed { entry, before, is_same: false })
    }

    /// The new revision, which goes on with the state and the positions of now. None of the tasks runs. Blocks.
    pub(super) fn put_in_force(
        &self,
        entry: &FunctionEntry,
        spec: FunctionSpec,
        program: &dyn Program,
    ) -> Result<FunctionEntry> {
        self.tasks.fence(entry.id)?;
        self.check_timers(&entry.spec.name, entry.id, program)?;
        self.describe_anew(entry, spec)
    }

    /// Ends a function's tasks and starts them anew.
    pub(crate) async fn restart(self: &Arc<Self>, name: String, wait: Option<Wait>) -> Result<FunctionDescription> {
        let functions = self.clone();
        let restarted = self
            .ops
            .alone(name, |name| async move {
                let asked = functions.clone();
                let entry = blocking(move || {
                    let entry = crate::app::entry(&*asked.register, &name)?;
                    if entry.desired == DesiredState::Stopped {
                        return Err(Error::new(ErrorCode::FunctionStopped, format!("function '{name}' is stopped")));
                    }
                    grants::check(&asked.files_dirs, &entry.spec)?;
                    Ok(entry)
                })
                .await?;
                let _program = functions.programs.load(&entry.spec.artifact).await?;
                let holds = Holds::take(&functions.fellows, &functions.reconciler, &entry).await?;
                tracing::info!(function = entry.spec.name, "function restarts");
                functions.note(&entry, "restarts");
                functions.reconciler.again(&entry.spec.name);
                drop(holds);
                let started = functions.go_on(entry.clone()).await;
                Ok((entry, started))
            })
            .await;
        let (entry, started) = restarted?;
        self.seen_up("was restarted".to_owned(), Changed::for_good(entry), started, wait).await
    }

    /// Makes a change of the register while none of a function's tasks runs; when it fails the function runs again as it was.
    pub(super) async fn replace<T: Send + 'static>(
        self: &Arc<Self>,
        entry: FunctionEntry,
        change: impl FnOnce(&Functions, &FunctionEntry) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _holds = Holds::take(&self.fellows, &self.reconciler, &entry).await?;
        let functions = self.clone();
        blocking(move || change(&functions, &entry)).await
    }

    /// The new revision, with the state of now kept for the one that it replaces. None of the tasks runs, and they are fenced.
    /// Blocks.
    pub(super) fn describe_anew(&self, entry: &FunctionEntry, spec: FunctionSpec) -> Result<FunctionEntry> {
        let update = |spec: FunctionSpec, snapshot| {
            let described = spec.clone();
            let update = || self.register.update(spec, entry.desired, entry.revision, snapshot);
            if entry.desired == DesiredState::Running { self.alone_in_groups(&described, update) } else { update() }
        };
        match self.clusters.forks(&spec) {
            Ok(forks) => {
                let snapshot = forks.fork(entry.id)?;
                self.with_fork(snapshot, &spec, |spec| update(spec, Some(snapshot)))
            }
            Err(_) => {
                let _using = self.topics.in_use();
                self.topics.ensure_all(&spec)?;
                update(spec, None)
            }
        }
    }

    /// Makes a description's topics and a change that claims the fork, which goes when the change fails. Blocks.
    pub(super) fn with_fork(
        &self,
        fork: FunctionId,
        spec: &FunctionSpec,
        change: impl FnOnce(FunctionSpec) -> Result<FunctionEntry>,
    ) -> Result<FunctionEntry> {
        let _using = self.topics.in_use();
        let changed = self.topics.ensure_all(spec).and_then(|()| change(spec.clone()));
        if changed.is_err()
            && let Err(error) = self.clusters.forks(spec).and_then(|forks| forks.discard(fork))
        {
            tracing::warn!(code = %error.code, error = error.message, "a copy of state stays until the next start");
        }
        changed
    }

    /// Waits until a function that was changed runs, if it is to run.
    pub(super) async fn go_on(&self, entry: FunctionEntry) -> Result<FunctionDescription> {
        if let Err(error) = self.reconciler.started(&entry).await {
            let revision = entry.revision;
            return Err(error.context(format_args!("revision {revision} is in force but could not be started")));
        }
        self.inspection.describe_changed(entry).await
    }
}
