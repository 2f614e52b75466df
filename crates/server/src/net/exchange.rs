// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Serving one connection, and each request on it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, Request, Response, StatusCode, Version, header};
use bytes::Bytes;
use fnstream_core::budget::Held;
use fnstream_core::{Error, ErrorCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Counted, Kept};
use super::body::Paced;
use super::connection::{Busy, MOST_HEAD, Overdue, PREFACE, Watch};
use super::io::Watched;
use super::presence::{self, Line, Presence};
use super::slots::Slot;
use super::streams::{Sending, Streams};
use super::{Net, SMALL, door, head, refuse};

/// How often a connection of HTTP/2 is asked whether its client is still there, and how long that may take.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Requests of one connection of HTTP/2 at a time.
const STREAMS: u32 = 128;

/// What a client of HTTP/2 may send before anybody takes it: of one request, and of one connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;

/// How long a connection may take to leave when its time is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// An interface: what answers requests.
pub(crate) trait Interface: Send + Sync + 'static {
    /// What of a request says how it wants to be refused.
    type Form: Send + 'static;

    /// The body of an answer.
    type Body: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + Send + 'static;

    /// Whether it speaks HTTP/2 alone.
    const HTTP_2_ONLY: bool;

    /// Answers a request.
    fn answer(
        &self,
        request: Request<Body>,
        client: SocketAddr,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;

    /// How a request wants to be refused.
    fn form<B>(request: &Request<B>) -> Self::Form;

    /// The answer to a request that is refused before it is looked at, or whose answer there is no memory for.
    fn refuse(form: &Self::Form, error: Error) -> Response<Self::Body>;
}

/// What all connections of an interface share.
pub(super) struct Serving<I> {
    pub(super) net: Arc<Net>,
    pub(super) interface: I,
    pub(super) closing: CancellationToken,
    /// Where requests are answered.
    pub(super) runtime: Handle,
}

impl<I: Interface> Serving<I> {
    /// Serves a connection to its end; at the door until it asks something.
    pub(super) async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        watch: Arc<Watch>,
        slot: Slot,
    ) {
        let _slot = slot;
        let Some(head) = self.first_head(&stream, &watch).await else { return };
        if I::HTTP_2_ONLY && !head.starts_with(PREFACE) {
            let message = "this port speaks HTTP/2 alone, for gRPC; REST has a port of its own";
            return refuse::answer(stream, &Error::new(ErrorCode::InvalidRequest, message)).await;
        }
        let Ok(stream) = stream.into_std() else { return };
        let runtime = self.runtime.clone();
        let serve = async move {
            if let Ok(stream) = TcpStream::from_std(stream) {
                self.serve(stream, head, client, watch).await;
            }
        };
        // It is cut when this is.
        let mut served = JoinSet::new();
        served.spawn_on(serve, &runtime);
        served.join_next().await;
    }

    /// Waits for the head of the first request: as long as there is none, this is all that a connection takes.
    async fn first_head(&self, stream: &TcpStream, watch: &Watch) -> Option<Bytes> {
        let mut head = pin!(door::first_head(stream, watch));
        loop {
            tokio::select! {
                biased;
                head = &mut head => return head,
                () = self.closing.cancelled() => return None,
                () = watch.asked_to_leave() => {
                    self.net.meter.idle.inc();
                    return None;
                }
                () = tokio::time::sleep_until(watch.next_look()) => if watch.overdue(Instant::now()).is_some() {
                    self.net.meter.slow_heads.inc();
                    return None;
                }
            }
        }
    }

    /// Serves one that has sent this already.
    async fn serve(self: Arc<Self>, stream: TcpStream, head: Bytes, client: SocketAddr, watch: Arc<Watch>) {
        let timeout = self.net.network.answer_timeout;
        let slow = self.net.meter.slow_readers.clone();
        let (stream, line) = (Arc::new(stream), Arc::new(Line::default()));
        // hyper knows of HTTP/2 when it ends.
        let watched = (presence::TELLS && !head.starts_with(PREFACE)).then(|| line.clone());
        let io = Watched::new((stream.clone(), line), head, watch.clone(), timeout, slow.clone());
        let builder = builder(Streams { timeout, slow }, I::HTTP_2_ONLY);
        let service = service_fn(|mut request: Request<Incoming>| {
            let presence = Presence::new(watched.clone(), request.version());
            request.extensions_mut().insert(presence);
            let exchange = self.clone().exchange(request, client, watch.begin());
            async { Ok::<_, std::convert::Infallible>(exchange.await) }
        });
        let mut gone = pin!(async {
            match &watched {
                Some(line) => line.gone(&stream).await,
                None => std::future::pending().await,
            }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
        // Until when it may take to leave, once it was told to.
        let mut leaving: Option<Instant> = None;
        let mut closing = false;
        loop {
            let look = leaving.unwrap_or_else(|| watch.next_look());
            tokio::select! {
                // First: what came meanwhile is not for who is gone.
                biased;
                () = gone.as_mut() => {
                    tracing::debug!(%client, "a client went away");
                    return;
                }
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%client, error, "a connection broke");
                    }
                    return;
                }
                () = self.closing.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                () = watch.asked_to_leave(), if leaving.is_none() => {
                    self.net.meter.idle.inc();
                    // Half a head at most: there is nothing to end.
                    if !watch.was_used() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(look) => match watch.overdue(Instant::now()) {
                    _ if leaving.is_some() => return,
                    None => continue,
                    Some(Overdue::Head) => {
                        self.net.meter.slow_heads.inc();
                        return;
                    }
                    Some(Overdue::Idle) => drop(self.net.meter.idle.inc()),
                },
            }
            leaving = Some(Instant::now() + FAREWELL);
            connection.as_mut().graceful_shutdown();
        }
    }

    /// One request and its answer.
    async fn exchange(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: SocketAddr,
        busy: Busy,
    ) -> Response<Answer<I::Body>> {
        let (sending, version, form) = (Sending::current(), request.version(), I::form(&request));
        let answered = match head::check(&request) {
            Ok(()) => self.answered(request, client).await,
            Err(error) => Err(error),
        };
        let (mut answer, memory) = answered.unwrap_or_else(|error| (I::refuse(&form, error), None));
        let is_too_large = answer.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        if version <= Version::HTTP_11 && (is_too_large || answer.headers().contains_key(header::RETRY_AFTER)) {
            // Whoever was refused for want of room must not take some while it waits.
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer.map(|body| Answer::new(body, Kept { _busy: busy, _memory: memory, sending }))
    }

    async fn answered(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> Result<(Response<I::Body>, Option<Arc<Held>>), Error> {
        let net = &self.net;
        let memory = match request.version() {
            Version::HTTP_2 if !request.body().is_end_stream() => {
                let bytes = request.body().size_hint().exact().unwrap_or(SMALL as u64).min(STREAM_WINDOW.into());
                Some(net.memory(&net.budget.bodies, bytes as usize).await?)
            }
            // What is not taken stays with the client.
            _ => None,
        };
        let slow = net.meter.slow_bodies.clone();
        let request = request.map(|body| Body::new(Paced::new(body, net.network.body_timeout, slow, memory)));
        let mut answer = self.interface.answer(request, client).await;
        let memory = match answer.extensions_mut().remove::<Counted>() {
            Some(Counted(memory)) => Some(memory),
            None => match answer.body().size_hint().lower() {
                0 => None,
                bytes => Some(Arc::new(net.memory(&net.budget.answers, bytes as usize).await?)),
            },
        };
        Ok((answer, memory))
    }
}

fn builder(streams: Streams, http_2_only: bool) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    // Heads have a deadline of ours, which knows an idle connection from a slow one.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MOST_HEAD);
    // Whoever ended its side may still read: see `presence`.
    builder.http1().half_close(presence::TELLS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SMALL);
    if http_2_only { builder.http2_only() } else { builder }
}
