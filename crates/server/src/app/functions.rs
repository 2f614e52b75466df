// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The life of a function, as its user commands it.
//!
//! ```text
//! create: valid? -> name free? -> granted? -> artifact stored -> loads? -> topics there -> registered (durable) -> runs here?
//!         a failure anywhere leaves the name free and removes what was stored
//! delete: unregistered (durable, with all state, fenced) -> seen here; the tasks end on their own time
//! stop:   wanted state stored (durable) -> drained          start: loads? -> wanted state stored -> runs here?
//! ```
//!
//! A request changes the register and waits until the [reconciler](super::reconcile) has followed; it starts and ends nothing
//! itself. [`coming_up`] waits until the tasks are up, for those who ask for that. Operations on one name go one after the other in
//! this process: of two creates of one name exactly one succeeds. Between processes the register's compare-and-set decides. Compiling
//! one function keeps no other waiting.

mod apply;
mod change;
mod coming_up;
mod groups;
mod loading;
mod revisions;
mod seek;
mod spec;
mod timers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fnstream_api::{Function, FunctionDescription};
use fnstream_core::epoch::FunctionId;
use fnstream_core::metadata::Metadata;
use fnstream_core::spec::{Beginning, DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::tasks::Tasks;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::Engine;
use parking_lot::Mutex;

use super::group::Fellows;
use super::group::ask::Ask;
use super::inspection::Inspection;
use super::ops::{Ops, blocking};
use super::pages::{MOST_ROWS, Page, Wanted};
use super::programs::Programs;
use super::reconcile::Reconciler;
use super::shelf::{Archive, Shelf};
use super::topic_maker::TopicMaker;
use super::{Deadline, function_page, grants};
use crate::clusters::Clusters;
use crate::logs::FunctionLogs;
use change::updated_to;
use coming_up::Changed;

pub(crate) use apply::Apply;
pub(crate) use coming_up::Wait;
pub(crate) use spec::told as told_grant;

/// What becomes of a function that has the name of one that is to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CreateMode {
    /// The new one is refused.
    New,
    /// It stays as it is.
    IfNotExists,
    /// It is changed to what the new one would be.
    OrReplace,
}

/// What became of a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// The function is new.
    New,
    /// One of the name was there and stays as it is.
    Kept,
    /// One of the name was there and was changed.
    Replaced,
}

/// A function that is to be created.
#[derive(Debug, Clone)]
pub(crate) struct NewFunction {
    /// Its name.
    pub(crate) name: String,
    /// What it runs.
    pub(crate) archive: Archive,
    /// Everything else: what it says of the archive and the name is not looked at.
    pub(crate) function: Function,
}

/// See the module.
pub(crate) struct Functions {
    pub(super) ops: Arc<Ops>,
    pub(super) register: Arc<dyn Metadata>,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) clusters: Arc<Clusters>,
    pub(super) topics: Arc<TopicMaker>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) programs: Arc<Programs>,
    pub(super) engine: Engine,
    pub(super) reconciler: Arc<Reconciler>,
    pub(super) fellows: Arc<Fellows>,
    pub(super) inspection: Arc<Inspection>,
    pub(super) logs: Arc<FunctionLogs>,
    /// Folders that functions may be granted.
    pub(super) files_dirs: Vec<PathBuf>,
    /// How long other processes are waited for.
    pub(super) patience: Duration,
    /// Held by those who let a function run that names a group of consumers.
    pub(super) groups: Mutex<()>,
}

impl Functions {
    /// The names of all functions in order.
    pub(crate) async fn names(&self) -> Result<Vec<String>> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = self.names_page(Wanted { max: MOST_ROWS, after }).await?;
            names.extend(page.rows);
            after = page.next;
            if after.is_none() {
                return Ok(names);
            }
        }
    }

    /// The names of some functions in order.
    pub(crate) async fn names_page(&self, wanted: Wanted) -> Result<Page<String>> {
        let register = self.register.clone();
        blocking(move || Ok(function_page(&*register, &wanted)?.map(|entry| entry.spec.name))).await
    }

    /// Registers a function and starts it.
    pub(crate) async fn create(self: &Arc<Self>, new: NewFunction, wait: Option<Wait>) -> Result<FunctionDescription> {
        let spec = spec::new(&new.name, &new.function, String::new())?;
        self.make(spec, new.archive, CreateMode::New, wait).await?.1
    }

    /// Registers a function of that description, whose artifact is still to be obtained, and starts it; the mode says what
    /// becomes of one that has its name. Answers what was done, and then how the function came up.
    pub(crate) async fn make(
        self: &Arc<Self>,
        mut spec: FunctionSpec,
        archive: Archive,
        mode: CreateMode,
        wait: Option<Wait>,
    ) -> Result<(Made, Result<FunctionDescription>)> {
        spec.validate()?;
        self.clusters.adopt_all(&mut spec);
        self.clusters.check(&spec)?;
        let functions = self.clone();
        // One that is replaced goes back although its caller goes away, whenever that is.
        self.ops.outlasting(async move { functions.make_and_see(spec, archive, mode, wait).await }).await
    }

    async fn make_and_see(
        self: &Arc<Self>,
        spec: FunctionSpec,
        archive: Archive,
        mode: CreateMode,
        wait: Option<Wait>,
    ) -> Result<(Made, Result<FunctionDescription>)> {
        let functions = self.clone();
        let made = self.ops.alone(spec.name.clone(), move |name| async move {
            let register = functions.register.clone();
            let there = blocking(move || register.get(&name)).await?;
            let made = match (there, mode) {
                (Some(entry), CreateMode::IfNotExists) => Ok((Made::Kept, Changed::for_good(entry))),
                (Some(_), CreateMode::OrReplace) => {
                    let name = spec.name.clone();
                    let become_it = move |before: &FunctionSpec| spec::replaced(before, spec);
                    functions.change(name, Some(archive), become_it).await.map(|changed| (Made::Replaced, changed))
                }
                (Some(_), CreateMode::New) => {
                    Err(Error::new(ErrorCode::FunctionExists, format!("function '{}' exists", spec.name)))
                }
                (None, _) => {
                    let created = functions.create_alone(spec, archive).await;
                    created.map(|entry| (Made::New, Changed::for_good(entry)))
                }
            };
            if made.is_err() {
                functions.shelf.sweep_after_refusal().await;
            }
            let (made, changed) = made?;
            let started = match made {
                Made::Replaced => functions.go_on(changed.entry.clone()).await,
                Made::New | Made::Kept => functions.inspection.describe_changed(changed.entry.clone()).await,
            };
            Ok((made, changed, started))
        });
        let (made, changed, started) = made.await?;
        let came = match made {
            Made::Kept => started,
            Made::New => self.seen_up("was created".to_owned(), changed, started, wait).await,
            Made::Replaced => self.seen_up(updated_to(&changed), changed, started, wait).await,
        };
        Ok((made, came))
    }

    async fn create_alone(self: &Arc<Self>, spec: FunctionSpec, archive: Archive) -> Result<FunctionEntry> {
        let (shelf, dirs) = (self.shelf.clone(), self.files_dirs.clone());
        let (spec, pin, artifact) = blocking(move || {
            grants::check(&dirs, &spec)?;
            let (pin, artifact) = shelf.obtain(&archive)?;
            Ok((FunctionSpec { artifact: pin.digest().to_owned(), ..spec }, pin, artifact))
        })
        .await?;
        // Kept until the function runs, so that it need not be loaded again.
        let program = self.programs.compile(pin.digest(), artifact).await?;
        self.check_program(&spec, &program).await?;
        Deadline::of_caller().check()?;
        let mut expected = self.reconciler.expect(&spec.name).await?;
        let functions = self.clone();
        let entry = blocking(move || {
            let entry = functions.register_new(spec)?;
            drop(pin);
            Ok(entry)
        })
        .await?;
        expected.is_made();
        let settled = self.reconciler.settled(&entry).await;
        drop(expected);
        if let Err(error) = settled {
            self.unregister(entry).await?;
            return Err(error);
        }
        tracing::info!(function = entry.spec.name, id = entry.id.0, "function created");
        self.note(&entry, "created and started");
        Ok(entry)
    }

    /// Registers a function that runs and begins where its description says. Blocks.
    fn register_new(&self, spec: FunctionSpec) -> Result<FunctionEntry> {
        self.check_groups(&spec)?;
        self.topics.check_join(&spec)?;
        if spec.from == Beginning::default() {
            let _using = self.topics.in_use();
            self.topics.ensure_all(&spec)?;
            return self.alone_in_groups(&spec.clone(), || self.register.create(spec, DesiredState::Running));
        }
        self.clusters.check_moving(&spec)?;
        let Ok(forks) = self.clusters.forks(&spec) else {
            let _using = self.topics.in_use();
            self.topics.ensure_all(&spec)?;
            return self.alone_in_groups(&spec.clone(), || {
                self.begin_at_groups(&spec)?;
                self.register.create(spec, DesiredState::Running)
            });
        };
        let fork = forks.fork(FunctionId::NONE)?;
        self.with_fork(fork, &spec, |spec| {
            self.begin(&spec, fork)?;
            self.alone_in_groups(&spec.clone(), || self.register.create_from(spec, DesiredState::Running, Some(fork)))
        })
    }

    async fn unregister(self: &Arc<Self>, entry: FunctionEntry) -> Result<()> {
        let (functions, removed) = (self.clone(), entry.clone());
        blocking(move || {
            // Nobody else can tell later where it kept what.
            functions.clusters.remember(&removed)?;
            functions.register.remove(&removed.spec.name, removed.revision)
        })
        .await?;
        self.reconciler.removed(&entry).await
    }

    /// Removes a function with its state. Nothing of it can be committed any more, so nobody has to wait until its tasks have
    /// noticed.
    pub(crate) async fn delete(self: &Arc<Self>, name: String) -> Result<()> {
        let functions = self.clone();
        self.ops
            .alone(name, |name| async move {
                let entry = functions.entry(name).await?;
                functions.unregister(entry.clone()).await?;
                tracing::info!(function = entry.spec.name, id = entry.id.0, "function deleted");
                Ok(())
            })
            .await
    }

    /// Lets a function finish what it began and then rest, also after a restart of the server.
    pub(crate) async fn stop(self: &Arc<Self>, name: String) -> Result<FunctionDescription> {
        let functions = self.clone();
        self.ops
            .alone(name, |name| async move {
                let mut entry = functions.entry(name).await?;
                if entry.desired != DesiredState::Stopped {
                    entry = functions.desire(entry, DesiredState::Stopped).await?;
                    tracing::info!(function = entry.spec.name, id = entry.id.0, "function stops");
                    functions.note(&entry, "stops");
                }
                let (here, ()) = tokio::join!(
                    functions.reconciler.stopped(&entry),
                    functions.fellows.followed(&entry, functions.patience)
                );
                here?;
                functions.inspection.describe_entry(entry).await
            })
            .await
    }

    /// Lets a function run, also after a restart of the server. One that failed is tried anew.
    pub(crate) async fn start(self: &Arc<Self>, name: String, wait: Option<Wait>) -> Result<FunctionDescription> {
        let functions = self.clone();
        let started = self.ops.alone(name, |name| async move {
            let mut entry = functions.entry(name).await?;
            if entry.desired == DesiredState::Running && functions.inspection.is_well(&entry).await? {
                let described = functions.inspection.describe_entry(entry.clone()).await;
                return Ok((entry, described));
            }
            // Kept until the function runs, so that it need not be loaded again.
            let _program = functions.programs.load(&entry.spec.artifact).await?;
            if entry.desired == DesiredState::Running {
                functions.try_again(&entry).await?;
            } else {
                // Whoever follows the register starts it: once.
                entry = functions.desire(entry, DesiredState::Running).await?;
                functions.reconciler.look(&entry.spec.name);
            }
            let started = match functions.reconciler.started(&entry).await {
                Ok(()) => functions.inspection.describe_changed(entry.clone()).await,
                Err(error) => Err(error),
            };
            Ok((entry, started))
        });
        let (entry, started) = started.await?;
        self.seen_up("was started".to_owned(), Changed::for_good(entry), started, wait).await
    }

    /// Has a function tried anew that should run, in all processes.
    async fn try_again(&self, entry: &FunctionEntry) -> Result<()> {
        self.reconciler.again(&entry.spec.name);
        self.fellows.ask_others::<()>(Ask::Again(entry.spec.name.clone()), Some(self.patience)).await.map(drop)
    }

    /// Stores what the user wants of a function.
    async fn desire(self: &Arc<Self>, entry: FunctionEntry, desired: DesiredState) -> Result<FunctionEntry> {
        let functions = self.clone();
        blocking(move || {
            let spec = entry.spec.clone();
            let update = || functions.register.update(entry.spec, desired, entry.revision, None);
            if desired == DesiredState::Running { functions.alone_in_groups(&spec, update) } else { update() }
        })
        .await
    }

    async fn entry(&self, name: String) -> Result<FunctionEntry> {
        let register = self.register.clone();
        blocking(move || super::entry(&*register, &name)).await
    }

    /// Writes into a function's log what was done with it.
    fn note(&self, entry: &FunctionEntry, text: &str) {
        self.logs.note(entry.id, &entry.spec.name, text);
    }
}
