// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Whether the client of a request over HTTP/1 is still there, once it has ended its side of the connection.
//!
//! A client that has sent all that it has to say may say so (a half-close, `shutdown(SHUT_WR)`) and still read. One that has
//! closed its socket, or whose process died, looks the same from here: it shows only when something is sent, which the system of
//! a client that is gone answers with a reset. A request that takes its time and no more is answered either way. One that waits for
//! something which would be lost with its answer asks first, with an interim answer of HTTP/1.1:
//!
//! ```text
//! waits ── the client ends its side ──► asked: "100 Continue" is sent ──► a reset: the request is dropped, nothing was taken
//!   ▲                                     the work stands still
//!   └───── goes on for ANSWERS ◄────────── no reset within ANSWERS: it is there
//! ```
//!
//! Then whatever wakes the work after that time asks anew, so that nothing is taken for who left meanwhile. HTTP/1.0 has no interim
//! answers: there, who ends its side while it waits counts as gone.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use axum::http::Version;
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Any number of these may come before an answer.
const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Within this time the system of a client that is gone answers.
const ANSWERS: Duration = Duration::from_millis(500);

/// Whether clients can be told that ended their side: the system has to tell that apart from bytes that nobody has read yet.
pub(super) const TELLS: bool = cfg!(target_os = "linux");

/// What a connection of HTTP/1 and its request know of the client together.
#[derive(Debug, Default)]
pub(super) struct Line {
    state: Mutex<State>,
    /// The work wants the client to be asked.
    wanted: Notify,
    /// Bytes of an earlier answer are still on their way to the socket.
    unsent: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The client sends no more.
    ended: bool,
    /// Work that would lose something with its answer stands still until the client was asked.
    asks: bool,
    /// The client takes interim answers.
    interim: bool,
    /// Until when the work goes on without asking.
    until: Option<Instant>,
    work: Option<Waker>,
}

impl Line {
    /// Notes whether all that was written has left for the socket.
    pub(super) fn wrote(&self, all: bool) {
        self.unsent.store(!all, Ordering::Relaxed);
    }

    /// Comes back when the client is gone. Of one that has ended its side, as far as the work wants to know.
    pub(super) async fn gone(&self, stream: &TcpStream) {
        half_closed(stream).await;
        let mut reset = pin!(stream.ready(Interest::ERROR));
        // Without a pause: what the work is woken for meanwhile is not for who may be gone.
        if poll_fn(|cx| Poll::Ready(reset.as_mut().poll(cx).is_ready())).await {
            return;
        }
        self.ended();
        loop {
            tokio::select! {
                _ = &mut reset => return,
                () = self.wanted.notified() => {}
            }
            let interim = {
                let state = self.state.lock();
                if !state.asks {
                    continue;
                }
                state.interim
            };
            // What is on its way already asks as well.
            let asks = !self.unsent.load(Ordering::Relaxed);
            if asks && (!interim || !stream.try_write(INTERIM).is_ok_and(|bytes| bytes == INTERIM.len())) {
                return;
            }
            if tokio::time::timeout(ANSWERS, reset.as_mut()).await.is_ok() {
                return;
            }
            self.is_there(Instant::now() + ANSWERS);
        }
    }

    fn ended(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        wake(&mut state);
    }

    fn is_there(&self, until: Instant) {
        let mut state = self.state.lock();
        (state.until, state.asks) = (Some(until), false);
        wake(&mut state);
    }

    /// Whether the work may go on now; it is woken when it may.
    fn may_go_on(&self, work: &Waker) -> bool {
        let mut state = self.state.lock();
        state.work = Some(work.clone());
        if !state.ended || state.until.is_some_and(|until| Instant::now() < until) {
            return true;
        }
        if !std::mem::replace(&mut state.asks, true) {
            self.wanted.notify_one();
        }
        false
    }

    /// Whether the client has ended its side; the work is woken when it does.
    fn has_ended(&self, work: &Waker) -> bool {
        let mut state = self.state.lock();
        state.work = Some(work.clone());
        state.ended
    }

    fn begin(&self, interim: bool) {
        self.state.lock().interim = interim;
    }

    fn end(&self) {
        let mut state = self.state.lock();
        (state.asks, state.work) = (false, None);
    }
}

fn wake(state: &mut State) {
    if let Some(work) = state.work.take() {
        work.wake();
    }
}

/// Comes back when the client has ended its side, or the connection broke.
async fn half_closed(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    // Of what is called a priority only the end ever comes: bytes that wait to be read are none, and others are not asked for.
    let _ = stream.ready(Interest::PRIORITY).await;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        std::future::pending::<()>().await;
    }
}

/// The client of a request, among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Presence {
    /// None over HTTP/2, where a client says by itself that it wants a stream no more.
    line: Option<Arc<Line>>,
    version: Version,
}

impl Presence {
    pub(super) fn new(line: Option<Arc<Line>>, version: Version) -> Self {
        Presence { line, version }
    }

    #[cfg(test)]
    pub(crate) fn certain() -> Self {
        Presence { line: None, version: Version::HTTP_2 }
    }

    /// Does work that takes what would be lost with its answer: it goes on only while the client is there.
    pub(crate) async fn while_there<T>(&self, work: impl Future<Output = T>) -> T {
        let Some(line) = &self.line else { return work.await };
        line.begin(self.version == Version::HTTP_11);
        let _ends = Ends(line);
        let mut work = pin!(work);
        poll_fn(|cx| match line.may_go_on(cx.waker()) {
            true => work.as_mut().poll(cx),
            false => Poll::Pending,
        })
        .await
    }
}

impl Presence {
    /// Whether the client has ended its side of the connection; the work is woken when it does. For streams, whose client cannot be
    /// asked once they have begun: who ends its side counts as gone.
    pub(crate) fn has_ended(&self, work: &Waker) -> bool {
        self.line.as_ref().is_some_and(|line| line.has_ended(work))
    }
}

struct Ends<'a>(&'a Line);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::*;

    /// Both ends of a connection: the server's, and the client's.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    struct Waiting {
        line: Arc<Line>,
        gone: tokio::task::JoinHandle<()>,
        answered: tokio::task::JoinHandle<u32>,
        event: oneshot::Sender<u32>,
    }

    /// Work that waits for an event, for a client of that version.
    fn waiting(server: TcpStream, version: Version) -> Waiting {
        let line = Arc::new(Line::default());
        let (event, comes) = oneshot::channel();
        let presence = Presence::new(Some(line.clone()), version);
        let answered = tokio::spawn(async move { presence.while_there(comes).await.unwrap() });
        let seen = line.clone();
        Waiting { line, gone: tokio::spawn(async move { seen.gone(&server).await }), answered, event }
    }

    #[tokio::test]
    async fn who_ended_its_side_and_reads_is_asked_and_gets_what_it_waits_for() {
        let (server, mut client) = connection().await;
        let waiting = waiting(server, Version::HTTP_11);
        client.shutdown().await.unwrap();
        let mut asked = [0; INTERIM.len()];
        client.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, INTERIM);
        waiting.event.send(7).unwrap();
        assert_eq!(waiting.answered.await.unwrap(), 7);
        assert!(!waiting.gone.is_finished());
        waiting.gone.abort();
    }

    #[tokio::test]
    async fn work_stands_still_for_who_is_gone_however_it_left() {
        for (version, closes) in [(Version::HTTP_11, true), (Version::HTTP_11, false), (Version::HTTP_10, true)] {
            let (server, client) = connection().await;
            let waiting = waiting(server, version);
            // Closed, or reset.
            if !closes {
                client.set_zero_linger().unwrap();
            }
            drop(client);
            waiting.gone.await.unwrap();
            waiting.event.send(7).unwrap();
            let answered = tokio::time::timeout(ANSWERS * 2, waiting.answered).await;
            assert_eq!(answered.is_err(), closes, "{version:?}: only a reset tells the work nothing");
        }
    }

    #[tokio::test]
    async fn who_left_after_it_was_asked_is_asked_anew_before_anything_is_taken() {
        let (server, mut client) = connection().await;
        let waiting = waiting(server, Version::HTTP_11);
        client.shutdown().await.unwrap();
        client.read_exact(&mut [0; INTERIM.len()]).await.unwrap();
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        while waiting.line.state.lock().until.is_none() {
            turns.tick().await;
        }
        // It is believed; long after that:
        waiting.line.state.lock().until = Some(Instant::now());
        assert!(!waiting.gone.is_finished());
        drop(client);
        waiting.event.send(7).unwrap();
        waiting.gone.await.unwrap();
        assert!(!waiting.answered.is_finished());
        waiting.answered.abort();
    }
}
