// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Operations: work that runs to its end once it has begun, also when its caller goes away, and that a shutdown waits for.
//!
//! Blocking work runs on threads of its own ([`blocking`]): an interface's threads serve everybody, so none of them may wait for
//! a disk, a lock that is held meanwhile, or a broker. Tests have seams that check this ([`on_blocking_thread`]).

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;

use fnstream_core::error::internal;
use fnstream_core::spec::check_name;
use fnstream_core::{Error, ErrorCode, Result};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use tokio_util::sync::CancellationToken;

use super::deadline::Deadline;
use crate::key_locks::KeyLocks;

thread_local! {
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// What all operations have in common.
pub(crate) struct Ops {
    /// Held shared by every operation that must not be cut off.
    operations: Arc<RwLock<()>>,
    closing: CancellationToken,
    /// Changes of one function go one after the other.
    functions: KeyLocks<String>,
}

impl Ops {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Ops { operations: Arc::default(), closing: CancellationToken::new(), functions: KeyLocks::new() })
    }

    /// Is cancelled when the server closes.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Waits for the operations that must not be cut off.
    pub(crate) async fn quiet(&self) {
        drop(self.operations.write().await);
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        match self.closing.is_cancelled() {
            true => Err(Error::new(ErrorCode::ShuttingDown, "the server is shutting down")),
            false => Ok(()),
        }
    }

    /// Begins an operation, which lasts as long as the answer lives.
    pub(crate) async fn begin(&self) -> Result<OwnedRwLockReadGuard<()>> {
        let running = self.operations.clone().read_owned().await;
        self.check_open()?;
        Ok(running)
    }

    /// Runs an operation to its end, whether or not the caller waits for it.
    pub(crate) async fn detached<T, Fut>(&self, operation: impl FnOnce() -> Fut) -> Result<T>
    where
        T: Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let running = self.begin().await?;
        let operation = operation();
        let task = tokio::spawn(async move {
            let _running = running;
            operation.await
        });
        task.await.unwrap_or_else(|e| Err(internal(format!("an operation ended abnormally: {e}"))))
    }

    /// The same for an operation on one function: after those that came before it, and only if its caller still waits.
    pub(crate) async fn alone<T, F, Fut>(self: &Arc<Self>, name: String, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(String) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        check_name("function", &name)?;
        let deadline = Deadline::of_caller();
        let ops = self.clone();
        self.detached(|| async move {
            let _alone = ops.functions.lock(name.clone()).await;
            deadline.check()?;
            deadline.scope(operation(name)).await
        })
        .await
    }
}

/// Runs something that waits for the disk or computes for long on a thread that serves nobody else.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let task = tokio::task::spawn_blocking(move || {
        let _may = MayBlock::begin();
        work()
    });
    task.await.unwrap_or_else(|e| Err(internal(format!("an operation ended abnormally: {e}"))))
}

/// Whether what runs now may block.
#[cfg(test)]
pub(crate) fn on_blocking_thread() -> bool {
    MAY_BLOCK.get()
}

/// Marks the thread while it lives.
struct MayBlock;

impl MayBlock {
    fn begin() -> Self {
        MAY_BLOCK.set(true);
        MayBlock
    }
}

impl Drop for MayBlock {
    fn drop(&mut self) {
        MAY_BLOCK.set(false);
    }
}
