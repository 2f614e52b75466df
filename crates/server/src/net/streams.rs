// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Streams of HTTP/2: one whose answer nobody reads is reset, while the others of its connection go on.
//!
//! What a client of HTTP/2 does not read waits in the server, however much the connection itself takes: each stream has a
//! window. So its progress shows only where the pieces of an answer are dropped, which is when they have been sent.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Arc<Sending>;
}

/// What of an answer was handed over and is not sent yet.
pub(super) struct Sending(Mutex<(usize, Instant)>);

impl Sending {
    /// The one of the stream that is being answered; none over HTTP/1.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    pub(super) fn handed_over(&self) {
        let mut state = self.0.lock();
        if state.0 == 0 {
            state.1 = Instant::now();
        }
        state.0 += 1;
    }

    pub(super) fn sent(&self) {
        let mut state = self.0.lock();
        *state = (state.0 - 1, Instant::now());
    }

    /// Comes back when nothing was sent for so long although something should be.
    async fn stalled(&self, timeout: Duration) {
        let mut deadline = Instant::now() + timeout;
        loop {
            tokio::time::sleep_until(deadline).await;
            let (pieces, since) = *self.0.lock();
            let now = Instant::now();
            deadline = if pieces > 0 { since + timeout } else { now + timeout };
            if deadline <= now {
                return;
            }
        }
    }
}

/// Runs the streams of a connection.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) timeout: Duration,
    pub(super) slow: Counter,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Streams { timeout, slow } = self.clone();
        let sending = Arc::new(Sending(Mutex::new((0, Instant::now()))));
        tokio::spawn(CURRENT.scope(sending.clone(), async move {
            tokio::select! {
                () = stream => {}
                // Dropping the stream resets it.
                () = sending.stalled(timeout) => drop(slow.inc()),
            }
        }));
    }
}
