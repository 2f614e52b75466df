// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The bytes of a connection: notes what comes, and gives up on a client that does not read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::LEAST_RATE;
use super::connection::Watch;

/// A socket under watch.
pub(super) struct Watched {
    stream: TcpStream,
    watch: Arc<Watch>,
    /// How long a client may read nothing, or next to nothing.
    timeout: Duration,
    slow: Counter,
    /// Runs while the socket does not take what is written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What it took since that began.
    taken: u64,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, watch: Arc<Watch>, timeout: Duration, slow: Counter) -> Self {
        Watched { stream, watch, timeout, slow, stalled: None, taken: 0 }
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => self.taken += bytes as u64,
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let timeout = self.timeout;
                let timer =
                    self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + timeout)));
                while timer.as_mut().poll(cx).is_ready() {
                    if self.taken < LEAST_RATE * timeout.as_secs().max(1) {
                        self.slow.inc();
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    self.taken = 0;
                    timer.as_mut().reset(Instant::now() + timeout);
                }
            }
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.watch.received(&buf.filled()[before..], Instant::now()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Comes when all that there was is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stalled = None;
        self.taken = 0;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
