// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Bodies of requests: one that stops coming is given up.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use fnstream_core::budget::Held;
use hyper::body::{Frame, Incoming, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, Sleep};

use super::LEAST_RATE;

/// The reason why a body broke off: its client took too long.
#[derive(Debug)]
pub(crate) struct TooSlow(pub(crate) Duration);

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fewer than {LEAST_RATE} bytes a second came for {} s", self.0.as_secs())
    }
}

impl std::error::Error for TooSlow {}

impl TooSlow {
    /// The one that an error comes of, if it does.
    pub(crate) fn among_causes<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a TooSlow> {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.find_map(|error| error.downcast_ref())
    }
}

/// A body that has to come.
pub(super) struct Paced {
    body: Incoming,
    timeout: Duration,
    slow: Counter,
    /// Memory for what may have come before anybody takes it.
    _memory: Option<Held>,
    /// What is left of the time in which enough has to come; it runs only while somebody waits for more.
    left: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// What came since that began.
    came: u64,
}

impl Paced {
    pub(super) fn new(body: Incoming, timeout: Duration, slow: Counter, memory: Option<Held>) -> Self {
        Paced { body, timeout, slow, _memory: memory, left: timeout, waiting: None, came: 0 }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let timeout = this.timeout;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some((since, _)) = this.waiting.take() {
                this.left = this.left.saturating_sub(since.elapsed());
            }
            this.came += frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len) as u64;
            if this.came >= LEAST_RATE * timeout.as_secs().max(1) {
                (this.came, this.left) = (0, timeout);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let left = this.left;
        let (_, timer) = this.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(tokio::time::sleep_until(now + left)))
        });
        match timer.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                this.slow.inc();
                Poll::Ready(Some(Err(Box::new(TooSlow(timeout)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
