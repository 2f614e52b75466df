// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The connections of a client: one per broker, made when they are needed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::address::{Host, ServiceUrl};
use crate::connection::{Connection, Settings};
use crate::error::{Error, Result};

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) tls: bool,
    /// The broker that a proxy at `host` is asked to connect with.
    pub(crate) proxy_to: Option<String>,
}

/// A connection, or none yet; whoever holds the lock makes it.
type Slot = Arc<AsyncMutex<Option<Arc<Connection>>>>;

pub(crate) struct Pool {
    settings: Settings,
    connection_timeout: Duration,
    tls: Option<TlsConnector>,
    slots: Mutex<Slots>,
    /// Which host of a service is tried first, so that clients and attempts spread.
    turn: AtomicUsize,
}

#[derive(Default)]
struct Slots {
    closed: bool,
    by_target: HashMap<Target, Slot>,
    all: Vec<std::sync::Weak<Connection>>,
}

impl Pool {
    pub(crate) fn new(settings: Settings, connection_timeout: Duration, tls: Option<TlsConnector>) -> Pool {
        let turn = AtomicUsize::new(rand::random_range(0..64));
        Pool { settings, connection_timeout, tls, slots: Mutex::default(), turn }
    }

    /// The connection with a broker; a new one if there is none, or if it has ended.
    pub(crate) async fn get(&self, target: Target) -> Result<Arc<Connection>> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            if slots.closed {
                return Err(Error::Closed);
            }
            slots.by_target.entry(target.clone()).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.has_ended()) {
            return Ok(connection.clone());
        }
        let connection = timeout(self.connection_timeout, self.connect(&target))
            .await
            .unwrap_or(Err(Error::Timeout("connect with the broker")))?;
        tracing::debug!(connection = connection.id, host = %target.host, "connected");
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.closed {
            connection.close();
            return Err(Error::Closed);
        }
        slots.all.retain(|other| other.strong_count() > 0);
        slots.all.push(Arc::downgrade(&connection));
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// A connection with the service: with the first of its hosts that answers, beginning with another one each time.
    pub(crate) async fn service(&self, service: &ServiceUrl) -> Result<(Arc<Connection>, Host)> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut last = Error::InvalidUrl("the service has no host".into());
        for turn in 0..service.hosts.len() {
            let host = service.hosts[first.wrapping_add(turn) % service.hosts.len()].clone();
            match self.get(Target { host: host.clone(), tls: service.tls, proxy_to: None }).await {
                Ok(connection) => return Ok((connection, host)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect(&self, target: &Target) -> Result<Arc<Connection>> {
        let Host { name, port } = &target.host;
        let stream = TcpStream::connect((name.as_str(), *port))
            .await
            .map_err(|error| Error::io("cannot connect with the broker", error))?;
        stream.set_nodelay(true).map_err(|error| Error::io("cannot set up the connection", error))?;
        let (settings, proxy_to) = (self.settings.clone(), target.proxy_to.clone());
        if !target.tls {
            return Connection::begin(stream, settings, proxy_to).await;
        }
        let tls = self.tls.as_ref().ok_or_else(|| Error::Tls("the client was not set up for TLS".into()))?;
        let server = ServerName::try_from(name.clone()).map_err(|error| Error::Tls(error.to_string()))?;
        let stream = tls.connect(server, stream).await.map_err(tls_error)?;
        Connection::begin(stream, settings, proxy_to).await
    }

    /// Ends all connections, for good.
    pub(crate) fn close(&self) {
        let connections = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.closed = true;
            slots.by_target.clear();
            std::mem::take(&mut slots.all)
        };
        for connection in connections.iter().filter_map(std::sync::Weak::upgrade) {
            connection.close();
        }
    }
}

/// What TLS itself refuses stays refused; a lost connection may be made again.
fn tls_error(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::InvalidData {
        Error::Tls(error.to_string())
    } else {
        Error::io("cannot connect with the broker", error)
    }
}
