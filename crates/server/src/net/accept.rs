// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Accepting connections, and serving each.
//!
//! When all places are taken, a new connection gets the place of an idle one; the loop waits for no client but one that was asked
//! to leave, which has little time for it. And the loop never spins: when the process has no descriptor left, which only others
//! than connections can bring about, it gives up one that it keeps in reserve, takes the connection with it and closes it at
//! once. If even that is gone, it waits for a connection to end.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Watch;
use super::exchange::{Interface, Serving};
use super::refuse::refuse;
use super::{Net, door};

/// How long the loop waits when nothing helps.
const PAUSE: Duration = Duration::from_secs(1);

/// The time from one connection that takes the place of another to the next, on average. A crowd that comes back as soon as it is
/// cut cannot have the server do nothing but that: it waits in the system's queue. Much more time would keep that queue full, and
/// have the system drop whoever comes.
const TURN: Duration = Duration::from_micros(500);

/// So long after its turn one may come at once: timers tell milliseconds apart.
const LATE: Duration = Duration::from_millis(4);

/// How long a new connection waits for the place of one that was asked to leave.
const DOOR_PATIENCE: Duration = Duration::from_secs(2);

/// Serves until `closing`, then until the requests that came before have been answered. Dropping it cuts all connections.
///
/// Connections arrive at a thread of their own ([`door`]); from the head of their first request on they are served where this is
/// called.
pub(crate) fn serve<I: Interface>(
    net: Arc<Net>,
    listener: TcpListener,
    interface: I,
    closing: CancellationToken,
) -> Result<impl Future<Output = ()>> {
    let serving = Arc::new(Serving { net, interface, closing, runtime: Handle::current() });
    let opened = listener.into_std().and_then(|listener| door::open(|| serving.accept(listener)));
    opened.map_err(|error| internal(format!("connections cannot be accepted: {error}")))
}

/// Whether a connection went away before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl<I: Interface> Serving<I> {
    async fn accept(self: Arc<Self>, listener: std::net::TcpListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "connections cannot be accepted");
                return;
            }
        };
        let mut connections = JoinSet::new();
        let mut spare = File::open("/dev/null").ok();
        let mut turn = Instant::now();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => self.admit(&mut connections, stream, client, &mut turn).await,
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => self.shed(&listener, &mut spare, &error).await,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// Serves a connection, or has it take the place of another one, when its turn has come.
    async fn admit(
        self: &Arc<Self>,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        client: SocketAddr,
        turn: &mut Instant,
    ) {
        let (slots, origin) = (&self.net.slots, client.ip().into());
        let watch = Watch::new(self.net.network.clone(), self.net.budget.small.clone(), Instant::now());
        let mut slot = slots.enter(&watch, origin);
        if slot.is_none() {
            slots.tell_full();
            // Those behind it wait in the system's queue.
            tokio::time::sleep_until(*turn).await;
            slot = slots.enter(&watch, origin);
        }
        if let Some(slot) = slot {
            connections.spawn(self.clone().connection(stream, client, watch, slot));
            return;
        }
        let now = Instant::now();
        *turn = now.checked_sub(LATE).unwrap_or(now).max(*turn) + TURN;
        let Some(door) = slots.door().await else { return };
        let serving = self.clone();
        connections.spawn(async move {
            let slots = serving.net.slots.clone();
            let place =
                slots.replace(&watch, origin, Instant::now()).map(|place| tokio::time::timeout(DOOR_PATIENCE, place));
            let slot = match place {
                Some(place) => place.await.ok().and_then(Result::ok),
                None => None,
            };
            match slot {
                Some(slot) => {
                    drop(door);
                    serving.connection(stream, client, watch, slot).await;
                }
                None => {
                    drop(door);
                    if let Some(_permit) = slots.refuse()
                        && !I::HTTP_2_ONLY
                    {
                        let message = format!("all {} connections of the server are taken", slots.most());
                        refuse(stream, &Error::new(ErrorCode::ConnectionsFull, message)).await;
                    }
                }
            }
        });
    }

    /// There is no descriptor, or no memory of the system, for the next connection.
    async fn shed(&self, listener: &TcpListener, spare: &mut Option<File>, error: &io::Error) {
        self.net.slots.tell_short(error);
        if spare.take().is_some() {
            // It is there already, if its client has not gone.
            if let Ok(Ok(_)) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
                self.net.slots.count_refused();
            }
        } else {
            self.net.slots.freed(Instant::now() + PAUSE).await;
        }
        *spare = File::open("/dev/null").ok();
    }
}
