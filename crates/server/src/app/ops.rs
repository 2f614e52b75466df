// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Operations: work that runs to its end once it has begun, also when its caller goes away, and that a shutdown waits for.
//!
//! Blocking work runs on threads of its own ([`blocking`]): an interface's threads serve everybody, so none of them may wait for
//! a disk, a lock that is held meanwhile, or a broker. Tests have seams that check this ([`on_blocking_thread`]).

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::error::internal;
use fnstream_core::spec::check_name;
use fnstream_core::{Error, ErrorCode, Result};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::caller;
use super::deadline::Deadline;
use crate::key_locks::KeyLocks;

/// See [`Ops`].
const TURN: Duration = Duration::from_secs(30);

/// See [`Ops`].
const PAUSE: Duration = Duration::from_secs(1);

/// The longest wait until work is begun again that panicked.
const MOST_PAUSE: Duration = Duration::from_secs(60);

/// An operation, for as long as this lives.
type Running = Arc<OwnedRwLockReadGuard<()>>;

tokio::task_local! {
    /// The operation that was begun for what is run.
    static ADMITTED: Running;
}

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
    /// How long an operation waits for those on the same function that came before it.
    turn: Duration,
    /// The first wait until work is begun again that panicked.
    pause: Duration,
}

impl Ops {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(TURN, PAUSE)
    }

    fn with(turn: Duration, pause: Duration) -> Arc<Self> {
        let (closing, functions) = (CancellationToken::new(), KeyLocks::new());
        Arc::new(Ops { operations: Arc::default(), closing, functions, turn, pause })
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
    pub(crate) async fn begin(&self) -> Result<Running> {
        if let Ok(running) = ADMITTED.try_with(Arc::clone) {
            return Ok(running);
        }
        let running = self.operations.clone().read_owned().await;
        self.check_open()?;
        Ok(Arc::new(running))
    }

    /// Begins an operation now, before all that it needs has come: the server's end waits for it, within its patience.
    pub(crate) async fn admitted<T>(&self, operation: impl Future<Output = T>) -> Result<T> {
        let running = self.begin().await?;
        Ok(ADMITTED.scope(running, operation).await)
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
        task.await.unwrap_or_else(|e| Err(abnormal(&e)))
    }

    /// Runs what waits, and perhaps begins operations then, to its end, whether or not the caller waits for it. A shutdown does not
    /// wait for it: it waits for the operations.
    pub(crate) async fn outlasting<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let work = caller::scope(caller::current(), Deadline::of_caller().scope(work));
        tokio::spawn(work).await.unwrap_or_else(|e| Err(abnormal(&e)))
    }

    /// Runs an operation on one function to its end: after those that came before it, which are waited for a bounded time, and only
    /// if its caller still waits.
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
            let turn = tokio::time::timeout(ops.turn, ops.functions.lock(name.clone())).await;
            let _alone = turn.map_err(|_| {
                let message =
                    format!("another operation on function '{name}' is under way, it was waited for {:?}", ops.turn);
                Error::new(ErrorCode::FunctionBusy, message)
            })?;
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
    task.await.unwrap_or_else(|e| Err(abnormal(&e)))
}

/// What becomes of work that did not end by itself. A panic was told in the log, with its place; what it said is not the caller's.
fn abnormal(error: &JoinError) -> Error {
    match error.is_panic() {
        true => Error::new(ErrorCode::Panicked, "the server failed while it did this"),
        false => internal(format!("an operation ended abnormally: {error}")),
    }
}

/// Goes on with work beside requests until the server closes: work that panics is begun again, after waits that grow.
pub(crate) fn supervised<F>(what: &'static str, ops: Arc<Ops>, begin: impl Fn() -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let mut wait = ops.pause;
        while let Err(error) = tokio::spawn(begin()).await
            && error.is_panic()
        {
            tracing::error!(code = %ErrorCode::Panicked, "{what} panicked, it is begun again in {wait:?}");
            if tokio::time::timeout(wait, ops.closing().cancelled()).await.is_ok() {
                return;
            }
            wait = wait.saturating_mul(2).min(MOST_PAUSE);
        }
    })
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const SHORT: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn work_that_panics_is_begun_again_and_ends_with_the_server() {
        let (ops, begun) = (Ops::with(TURN, SHORT), Arc::new(AtomicU32::new(0)));
        let (closing, count) = (ops.clone(), begun.clone());
        let work = supervised("the work", ops.clone(), move || {
            let (number, ops) = (count.fetch_add(1, Ordering::Relaxed), closing.clone());
            async move {
                assert!(number >= 3, "it panics three times");
                ops.closing().cancelled().await;
            }
        });
        while begun.load(Ordering::Relaxed) < 4 {
            tokio::task::yield_now().await;
        }
        assert!(!work.is_finished());
        ops.closing().cancel();
        work.await.unwrap();
    }

    fn panics() -> Result<()> {
        panic!("with what is not the caller's")
    }

    #[tokio::test]
    async fn a_panic_of_an_operation_is_its_answer() {
        let ops = Ops::new();
        let failed = ops.detached(|| async { panics() }).await;
        let blocked = blocking(panics).await;
        for error in [failed.unwrap_err(), blocked.unwrap_err()] {
            assert_eq!(error.code, ErrorCode::Panicked);
            assert!(!error.message.contains("what is not"), "{error}");
        }
    }

    #[tokio::test]
    async fn an_operation_waits_a_bounded_time_for_another_one_on_its_function() {
        let ops = Ops::with(SHORT, PAUSE);
        let stuck = ops.clone();
        let stuck =
            tokio::spawn(async move { stuck.alone("f".to_owned(), |_| std::future::pending::<Result<()>>()).await });
        tokio::task::yield_now().await;
        while ops.functions.is_free(&"f".to_owned()) {
            tokio::task::yield_now().await;
        }
        let error = ops.alone("f".to_owned(), |_| async { Ok(()) }).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::FunctionBusy);
        assert!(ops.alone("g".to_owned(), |_| async { Ok(()) }).await.is_ok());
        stuck.abort();
    }
}
