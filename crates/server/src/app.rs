// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What each request means, without HTTP.
//!
//! The order of steps is the point of this module: what the user wants is durable (in the store's metadata) before the
//! engine is told, and the engine is told before the caller is answered. After a crash at any moment the next start finds
//! what was wanted and does it; nothing else is to be repaired.
//!
//! Operations that change something run to their end also when the caller goes away ([`App::detached`]); a shutdown waits
//! for them.

mod artifacts;
mod boot;
mod change;
mod consume;
mod deadline;
mod describe;
mod described;
mod functions;
mod grants;
mod incoming;
mod letters;
mod logs;
mod maintenance;
mod observe;
mod places;
mod produce;
mod requests;
mod revisions;
mod spec;
mod state;
mod topics;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use fnstream_core::clock::Clock;
use fnstream_core::epoch::FunctionId;
use fnstream_core::error::internal;
use fnstream_core::metadata::Metadata;
use fnstream_core::runtime::Runtime;
use fnstream_core::spec::check_name;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::Engine;
use fnstream_store::Store;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{RwLock as AsyncRwLock, Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub use artifacts::Archive;
pub use consume::{Delivered, Outcome, Reading, Start};
pub use deadline::Deadline;
pub use functions::{Made, NewFunction};
pub use incoming::Incoming;
pub use letters::{LetterOutcome, WaitingLetter};
pub use state::StateEntry;

use crate::ServerConfig;
use crate::key_locks::KeyLocks;
use crate::logs::FunctionLogs;
use crate::metrics::ServerMeter;
use artifacts::ArtifactLedger;

/// The application: everything that a request can reach.
pub struct App {
    config: ServerConfig,
    store: Store,
    metadata: Arc<dyn Metadata>,
    engine: Engine,
    runtime: Arc<dyn Runtime>,
    logs: Arc<FunctionLogs>,
    meter: ServerMeter,
    clock: Arc<dyn Clock>,
    /// When the server was started, on its clock.
    began: Duration,
    /// Whether what should run was started, as far as it can be.
    booted: watch::Sender<bool>,
    /// Changes of one function go one after the other.
    functions: KeyLocks<String>,
    /// Deliveries to one group of one topic go one after the other.
    groups: KeyLocks<(String, String)>,
    /// Shared by those who register a function on topics, exclusive for who deletes a topic.
    topic_use: RwLock<()>,
    ledger: ArtifactLedger,
    /// Artifacts are compiled on so many threads at once, so that compiling leaves room for everything else.
    loading: Semaphore,
    /// Functions that should run but could not be started.
    failures: Mutex<HashMap<FunctionId, Error>>,
    /// Which partition a group's next delivery tries first.
    turn: AtomicU32,
    /// How many consumers wait at each topic.
    waiting: Mutex<HashMap<Arc<str>, u64>>,
    /// Held shared by every operation that must not be cut off.
    operations: Arc<AsyncRwLock<()>>,
    closing: CancellationToken,
}

impl App {
    pub fn new(
        config: ServerConfig,
        store: Store,
        engine: Engine,
        runtime: Arc<dyn Runtime>,
        logs: Arc<FunctionLogs>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let loaders = std::thread::available_parallelism().map_or(2, usize::from);
        Arc::new(App {
            metadata: store.metadata(),
            config,
            store,
            engine,
            runtime,
            logs,
            meter: ServerMeter::new(),
            began: clock.now(),
            booted: watch::Sender::new(false),
            clock,
            functions: KeyLocks::new(),
            groups: KeyLocks::new(),
            topic_use: RwLock::new(()),
            ledger: ArtifactLedger::default(),
            loading: Semaphore::new(loaders),
            failures: Mutex::default(),
            turn: AtomicU32::new(0),
            waiting: Mutex::default(),
            operations: Arc::default(),
            closing: CancellationToken::new(),
        })
    }

    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.unix_ms()
    }

    /// Refuses new work and ends all waiting. Requests that wait for events are answered with an error.
    pub fn close(&self) {
        self.closing.cancel();
    }

    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Waits for the operations that must not be cut off.
    pub async fn quiet(&self) {
        drop(self.operations.write().await);
    }

    /// The parts that a shutdown closes last.
    pub fn parts(&self) -> (&Engine, &Store, &FunctionLogs) {
        (&self.engine, &self.store, &self.logs)
    }

    fn check_open(&self) -> Result<()> {
        match self.closing.is_cancelled() {
            true => Err(Error::new(ErrorCode::ShuttingDown, "the server is shutting down")),
            false => Ok(()),
        }
    }

    /// Runs an operation to its end, whether or not the caller waits for it.
    async fn detached<T, F, Fut>(self: &Arc<Self>, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<App>) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let running = self.operations.clone().read_owned().await;
        self.check_open()?;
        let operation = operation(self.clone());
        let task = tokio::spawn(async move {
            let _running = running;
            operation.await
        });
        task.await.unwrap_or_else(|e| Err(internal(format!("an operation ended abnormally: {e}"))))
    }

    /// The same for an operation on one function: after those that came before it, and only if its caller still waits.
    async fn alone<T, F, Fut>(self: &Arc<Self>, name: String, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<App>, String) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        check_name("function", &name)?;
        let deadline = Deadline::of_caller();
        self.detached(|app| async move {
            let _alone = app.functions.lock(name.clone()).await;
            deadline.check()?;
            deadline.scope(operation(app, name)).await
        })
        .await
    }

    /// Runs something that waits for the disk or computes for long on a thread that serves nobody else.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<App>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let app = self.clone();
        let task = tokio::task::spawn_blocking(move || work(&app));
        task.await.unwrap_or_else(|e| Err(internal(format!("an operation ended abnormally: {e}"))))
    }
}
