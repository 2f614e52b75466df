// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The threads on which clients of Pulsar run, and the way from the engine's threads to them.

use std::fmt;
use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use fnstream_core::{Error, ErrorCode, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long those who look on wait for a broker.
const GLANCE: Duration = Duration::from_secs(2);

/// Two: what they do is waiting for brokers, and packing.
static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let made = Builder::new_multi_thread().worker_threads(2).thread_name("pulsar").enable_all().build();
    made.inspect_err(|error| tracing::error!(%error, "no threads for clients of Pulsar")).ok()
});

/// Whether there are threads; without them nothing can be connected.
pub(crate) fn is_there() -> bool {
    RUNTIME.is_some()
}

#[expect(clippy::expect_used, reason = "nobody comes here without a connection, and there is none without threads")]
fn runtime() -> &'static Runtime {
    RUNTIME.as_ref().expect("connected without threads")
}

/// Runs a future on the threads of the clients.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime().spawn(future)
}

/// Waits for a future. Blocks; not to be called by a future.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

/// Waits for a future on behalf of somebody who looks on, and not for long. Blocks, as [`wait`] does.
pub(crate) fn soon<T>(doing: impl fmt::Display, future: impl Future<Output = Result<T>>) -> Result<T> {
    wait(async {
        timeout(GLANCE, future).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorCode::Unavailable, format!("{doing}: Pulsar did not answer within {GLANCE:?}")))
        })
    })
}

/// Waits before something is tried again: nothing tells when a broker that has refused is well again.
pub(crate) async fn pause(wait: Duration) {
    let never: std::future::Pending<()> = std::future::pending();
    // It always takes the whole time.
    drop(timeout(wait, never).await);
}

/// Within it, clients may be made: they begin to run at once.
pub(crate) fn enter<T>(make: impl FnOnce() -> T) -> T {
    let _entered = runtime().enter();
    make()
}
