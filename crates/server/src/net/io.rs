// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The bytes of a connection: notes what comes, and gives up on a client that does not read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use prometheus_client::metrics::counter::Counter;
use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::LEAST_RATE;
use super::connection::Watch;
use super::presence::Line;
use super::refuse::{LINGER, in_place_of};

/// A socket under watch.
pub(super) struct Watched {
    /// Whoever looks whether the client is still there has it, too.
    stream: Arc<TcpStream>,
    line: Arc<Line>,
    /// What was read of it already, under watch too.
    first: Bytes,
    watch: Arc<Watch>,
    /// How long a client may read nothing, or next to nothing.
    timeout: Duration,
    slow: Counter,
    /// Runs while the socket does not take what is written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What it took since that began.
    taken: u64,
    /// What was read and written since others had their turn.
    moved: usize,
    /// Set when hyper has refused what is no request: the rest of the answer that takes the place of its own.
    refusal: Option<Bytes>,
    /// Then, how long and how much of the client is still heard before the connection is closed.
    farewell: Option<(Pin<Box<Sleep>>, usize)>,
}

/// The most that is read and written at a stretch: a connection whose client is as fast as the server would otherwise go on for
/// many MiB, and those of others wait as long.
const STRETCH: usize = 128 << 10;

/// The most that is heard of a client whose request was none: a large head may still be on its way.
const HEARD: usize = 1 << 20;

impl Watched {
    pub(super) fn new(
        (stream, line): (Arc<TcpStream>, Arc<Line>),
        first: Bytes,
        watch: Arc<Watch>,
        timeout: Duration,
        slow: Counter,
    ) -> Self {
        Watched {
            stream,
            line,
            first,
            watch,
            timeout,
            slow,
            stalled: None,
            taken: 0,
            moved: 0,
            refusal: None,
            farewell: None,
        }
    }

    /// Whether others have their turn first. What asked is woken after them.
    fn yields(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.moved < STRETCH {
            return Poll::Ready(());
        }
        self.moved = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes the refusal in place of so many bytes of hyper's.
    fn refuse(&mut self, cx: &mut Context<'_>, of_hyper: usize) -> Poll<io::Result<usize>> {
        while let Some(rest) = self.refusal.as_mut().filter(|rest| !rest.is_empty()) {
            let written = written(cx, &self.stream, |stream| stream.try_write(rest));
            if let Poll::Ready(Ok(bytes)) = written {
                rest.advance(bytes);
            }
            ready!(self.wrote(cx, written))?;
        }
        self.refusal = None;
        self.farewell = Some((Box::pin(tokio::time::sleep_until(Instant::now() + LINGER)), HEARD));
        Poll::Ready(Ok(of_hyper))
    }

    /// Hears what a refused client still sends: closed meanwhile, the connection would be broken for it before it reads the answer.
    fn hear_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((end, left)) = &mut self.farewell else { return Poll::Ready(()) };
        let mut scratch = [0; 4 << 10];
        while *left > 0 && end.as_mut().poll(cx).is_pending() {
            let mut heard = ReadBuf::new(&mut scratch);
            match ready!(read(cx, &self.stream, &mut heard)) {
                Ok(()) if !heard.filled().is_empty() => *left = left.saturating_sub(heard.filled().len()),
                _ => break,
            }
        }
        Poll::Ready(())
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.taken += bytes as u64;
                self.moved += bytes;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                self.moved = 0;
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
        if !self.first.is_empty() {
            let bytes = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first.split_to(bytes));
            return Poll::Ready(Ok(()));
        }
        ready!(self.yields(cx));
        let before = buf.filled().len();
        let Poll::Ready(read) = read(cx, &self.stream, buf) else {
            self.moved = 0;
            return Poll::Pending;
        };
        read?;
        let came = &buf.filled()[before..];
        self.moved += came.len();
        Poll::Ready(self.watch.received(came, Instant::now()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.yields(cx));
        if self.refusal.is_none() {
            self.refusal = in_place_of(buf);
        }
        if self.refusal.is_some() {
            return self.refuse(cx, buf.len());
        }
        self.line.wrote(false);
        let written = written(cx, &self.stream, |stream| stream.try_write(buf));
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A refusal of hyper's is all that it has to write.
        let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next()) {
            return self.poll_write(cx, only);
        }
        ready!(self.yields(cx));
        self.line.wrote(false);
        let written = written(cx, &self.stream, |stream| stream.try_write_vectored(bufs));
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Comes when all that there was is written.
    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stalled = None;
        self.taken = 0;
        self.line.wrote(true);
        // The socket has no buffer of its own.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(&*self.stream, Shutdown::Write) {
            // The client has broken it off.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => {}
            Err(error) => return Poll::Ready(Err(error.into())),
        }
        self.hear_out(cx).map(Ok)
    }
}

/// Reads what there is, as a stream of one's own is read.
fn read(cx: &mut Context<'_>, stream: &TcpStream, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        match stream.try_read_buf(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return Poll::Ready(read.map(drop)),
        }
    }
}

/// Writes what the socket takes.
fn written(
    cx: &mut Context<'_>,
    stream: &TcpStream,
    write: impl Fn(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match write(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}
