// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The composition root: opens everything in order, and closes it in the opposite one.
//!
//! ```text
//! address bound -> store opened -> engine started -> requests served -> functions started (while requests are served)
//! requests refused, waits ended -> operations finished -> functions drained, last epochs committed -> store closed
//! ```
//!
//! Nothing has to be closed for the data's sake: a process that is killed finds all that it acknowledged.

use std::net::{SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::budget::Budget;
use fnstream_core::budget::guests::Guests;
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::dir::Dir;
use fnstream_core::error::internal;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{Engine, EngineConfig, EngineDeps};
use fnstream_runtime::{RuntimeOptions, WasmRuntime};
use fnstream_store::{Store, StoreOptions};
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::app::{App, Parts};
use crate::clusters::{Membership, Own};
use crate::config::Group;
use crate::descriptors::{self, Descriptors};
use crate::gate::Gate;
use crate::grpc::Grpc;
use crate::logs::FunctionLogs;
use crate::logs::aside::Aside;
use crate::net::{self, Net};
use crate::one_port::OnePort;
use crate::peers::HttpExchange;
use crate::rest::Rest;
use crate::{Asked, ServerConfig, Signals, memory};

/// What a record may have beside the body of its request: key, headers, bookkeeping.
const RECORD_OVERHEAD: usize = 64 << 10;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long a server that cannot commit any more waits for what is under way.
const HASTE: Duration = Duration::from_secs(2);

/// A running server.
pub struct Server {
    app: Arc<App>,
    kept: Kept,
    address: SocketAddr,
    grpc_address: Option<SocketAddr>,
    serving: JoinHandle<()>,
    grpc_serving: Option<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts a server. When this returns it serves requests; functions come up meanwhile.
    pub async fn start(mut config: ServerConfig) -> Result<Self> {
        let (listener, address) = bind(&config.listen, "--listen").await?;
        let (grpc_listener, grpc_address) = match &config.grpc_listen {
            Some(listen) => Some(bind(listen, "--grpc-listen").await?).unzip(),
            None => (None, None),
        };
        if let Some(advertised) = config.group.as_ref().and_then(|group| group.advertised.as_deref()) {
            let host = advertised.rsplit_once(':').map_or(advertised, |(host, _)| host);
            config.allowed_hosts.push(host.to_owned());
        }
        let gate = |listen: &str, address: SocketAddr| Gate::new(&config, listen, address).map(Arc::new);
        let rest_gate = gate(&config.listen, address)?;
        let grpc_gate = config.grpc_listen.as_deref().zip(grpc_address).map(|(listen, address)| gate(listen, address));
        let grpc_gate = grpc_gate.transpose()?;
        let handle = Handle::current();
        let opened = tokio::task::spawn_blocking(move || open(config, address, &handle)).await;
        let (app, kept, net) = opened.map_err(|e| internal(format!("opening ended abnormally: {e}")))??;
        let closing = || app.ops.closing().clone();
        let unprotected = warn_of(address, grpc_address);
        let one_port = OnePort::new(Rest::new(&app, rest_gate.clone(), unprotected), Grpc::new(&app, rest_gate)?);
        let serving = tokio::spawn(net::serve(net.clone(), listener, one_port, closing())?);
        let grpc_serving = match grpc_listener.zip(grpc_gate) {
            Some((listener, gate)) => Some(tokio::spawn(net::serve(net, listener, Grpc::new(&app, gate)?, closing())?)),
            None => None,
        };
        let background = app.background();
        if let Some(address) = grpc_address {
            tracing::info!(%address, "serving gRPC");
        }
        tracing::info!(%address, data = %app.config.data_dir.display(), "listening");
        Ok(Server { app, kept, address, grpc_address, serving, grpc_serving, background })
    }

    /// Where the server listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where the server listens for gRPC, if it does.
    pub fn grpc_addr(&self) -> Option<SocketAddr> {
        self.grpc_address
    }

    /// The memory that the server may use, and who takes how much of it.
    pub fn budget(&self) -> &Budget {
        &self.app.net.budget
    }

    /// Starts a server, and serves until a signal asks for an end. Then it ends orderly; a second signal ends the process at
    /// once. `reopen` opens the log of the process itself anew.
    pub async fn run(config: ServerConfig, mut signals: Signals, reopen: impl Fn()) -> Result<()> {
        let mut starting = pin!(Server::start(config));
        let (server, name) = loop {
            tokio::select! {
                started = &mut starting => break (started?, None),
                asked = signals.next() => match asked {
                    Asked::Reopen => reopen(),
                    Asked::End(name) => {
                        tracing::info!(signal = name, "shutting down as soon as it has started");
                        break (starting.await?, Some(name));
                    }
                },
            }
        };
        let name = match name {
            Some(name) => name,
            None => tokio::select! {
                name = server.asked_to_end(&mut signals, reopen) => name,
                error = server.store_gives_up() => {
                    signals.exit_at_next();
                    tracing::error!(code = %error.code, error = error.message, "shutting down without the store");
                    if let Err(error) = server.shutdown_within(HASTE).await {
                        tracing::debug!(%error, "as was to be expected");
                    }
                    return Err(error);
                }
            },
        };
        tracing::info!(signal = name, "shutting down");
        signals.exit_at_next();
        server.shutdown().await
    }

    /// Waits until the store cannot recover from an error of the disk.
    async fn store_gives_up(&self) -> Error {
        let (tell, told) = tokio::sync::oneshot::channel();
        // Nobody waits any more when the server ends for another reason.
        self.kept.store.on_give_up(move |error| drop(tell.send(error)));
        match told.await {
            Ok(error) => error,
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for the signal that asks for an end; answers its name.
    async fn asked_to_end(&self, signals: &mut Signals, reopen: impl Fn()) -> String {
        loop {
            match signals.next().await {
                Asked::End(name) => return name,
                Asked::Reopen => {
                    reopen();
                    self.kept.logs.reopen();
                    tracing::info!(signal = "SIGHUP", "log files are opened anew");
                }
            }
        }
    }

    /// Ends orderly.
    pub async fn shutdown(self) -> Result<()> {
        let patience = self.app.config.shutdown_timeout;
        self.shutdown_within(patience).await
    }

    async fn shutdown_within(self, patience: Duration) -> Result<()> {
        let Server { app, kept, serving, grpc_serving, background, .. } = self;
        let start = app.safe_start.clone();
        let noted = tokio::task::spawn_blocking(move || start.asked_to_end()).await;
        app.close();
        if let Err(error) = noted {
            tracing::error!(%error, "the end was not noted");
        }
        let aborts = [Some(serving.abort_handle()), grpc_serving.as_ref().map(JoinHandle::abort_handle)];
        let served = async {
            let _ = serving.await;
            if let Some(serving) = grpc_serving {
                let _ = serving.await;
            }
        };
        if tokio::time::timeout(patience, served).await.is_err() {
            tracing::warn!("requests did not end in time, their connections are cut");
            aborts.into_iter().flatten().for_each(|serving| serving.abort());
        }
        let settled = async {
            for task in background {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a background task ended abnormally");
                }
            }
            app.ops.quiet().await;
        };
        if tokio::time::timeout(patience, settled).await.is_err() {
            tracing::warn!("operations did not end in time, the next start finds them done or not done");
        }
        let closed = tokio::task::spawn_blocking(move || kept.close(patience)).await;
        closed.map_err(|e| internal(format!("closing ended abnormally: {e}")))?
    }
}

/// Opens what the server works with. Blocks.
fn open(config: ServerConfig, address: SocketAddr, handle: &Handle) -> Result<(Arc<App>, Kept, Arc<Net>)> {
    for (dirs, what) in [
        (&config.archive_dirs, "from which archives are to be read"),
        (&config.files_dirs, "which functions may be granted"),
        (&config.backup_dirs, "in which backups may be made"),
    ] {
        if let Some(dir) = dirs.iter().find(|dir| !dir.is_dir()) {
            let message = format!("'{}', {what}, is not a folder", dir.display());
            return Err(Error::new(ErrorCode::InvalidConfig, message));
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (files, budget) = (shares(&config), memory_of(&config));
    let store = Store::open(
        &config.data_dir,
        StoreOptions {
            durability: config.durability,
            access: config.access,
            max_record_bytes: config.max_produce_bytes.saturating_add(RECORD_OVERHEAD),
            max_open_files: files.store,
            recovery_timeout: config.recovery_timeout,
            scrub_rate: config.scrub_rate,
            block_cache_bytes: budget.cache(),
            write_buffer_bytes: budget.cache(),
            clock: clock.clone(),
            ..StoreOptions::default()
        },
    )?;
    let data = Dir::open(&config.data_dir, config.access);
    let data = data.map_err(|e| Error::new(ErrorCode::Storage, format!("cannot open the data folder: {e}")))?;
    let data = Arc::new(data);
    let workers = config.workers.unwrap_or(EngineConfig::default().workers);
    let own = match &config.group {
        None => Own::embedded(&store, &config, workers)?,
        Some(group) => {
            let address = advertised(group, address)?;
            tracing::info!(
                group = group.name,
                cluster = group.cluster.addresses(),
                address,
                "joining the server group"
            );
            let exchange = HttpExchange::new(handle.clone())?;
            Own::in_group(group, &config, &address, &store, workers, &clock, exchange)?
        }
    };
    let functions = own.register.list()?.into_iter().map(|entry| entry.spec.name).collect();
    let logs = FunctionLogs::open(data.clone(), clock.clone(), functions)?;
    let aside = Aside::new(logs.clone());
    let runtime = WasmRuntime::new(
        config.cache_dir.clone(),
        RuntimeOptions {
            cache_bytes: config.cache_bytes,
            compiling: config.compiling.clone(),
            engines: config.engines.clone(),
            ..RuntimeOptions::default()
        },
    )?
    .with_log(aside.clone());
    let mut engine = EngineConfig {
        guests: Guests::new(budget.guests.clone()),
        dirty_bytes: budget.cache(),
        cache_bytes: budget.cache(),
        ..EngineConfig::default()
    };
    engine.workers = workers;
    if let Some(keys) = config.state_dirty_keys {
        engine.dirty_keys = keys;
    }
    let deps = EngineDeps { clock: clock.clone(), log: logs.clone() };
    let engine = Engine::start(engine, deps)?;
    let net = Net::new(config.network.clone(), &files, budget);
    let parts = Parts {
        config,
        register: own.register,
        own: own.cluster,
        foreign: Arc::new(own.foreign),
        acks: own.acks,
        artifacts: own.artifacts,
        upkeep: own.upkeep,
        notes: store.notes(),
        backups: own.backups,
        peers: own.peers,
        engine: engine.clone(),
        runtime: Arc::new(runtime),
        logs: logs.clone(),
        aside,
        data,
        clock,
        net: net.clone(),
    };
    Ok((parts.assemble(handle), Kept { engine, membership: own.membership, store, logs }, net))
}

/// Where other processes of the group reach this one: as it is set, or as this machine is seen from the cluster.
fn advertised(group: &Group, address: SocketAddr) -> Result<String> {
    if let Some(advertised) = &group.advertised {
        return Ok(advertised.clone());
    }
    if !address.ip().is_unspecified() {
        return Ok(address.to_string());
    }
    let first = group.cluster.first();
    let seen = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).and_then(|socket| {
        // Nothing is sent: the system says by which of its addresses it would be.
        socket.connect(first)?;
        socket.local_addr()
    });
    let seen = seen.map_err(|e| {
        let message = format!(
            "the address of this machine towards {first} is not known ({e}): set '{}.advertised'",
            group.cluster.block()
        );
        Error::new(ErrorCode::InvalidConfig, message)
    })?;
    Ok(SocketAddr::new(seen.ip(), address.port()).to_string())
}

/// The memory and its parts, told.
fn memory_of(config: &ServerConfig) -> Budget {
    let budget = Budget::new(config.memory);
    let (total, guests, cache) = (budget.total(), budget.guests.limit(), budget.cache());
    tracing::info!(total, guests, cache, "memory is shared out");
    if let Some(most) = memory::most().filter(|most| *most < total) {
        tracing::warn!(setting = "memory.budget", total, most, "the system gives this process less memory");
    }
    for (name, wanted, got) in [
        ("rest.max_produce_size", config.max_produce_bytes, config.most_produced().bytes),
        ("rest.max_artifact_size", config.max_artifact_bytes, config.most_artifact().bytes),
    ] {
        if wanted > got {
            tracing::info!(setting = name, wanted, got, "there is less memory than this setting needs");
        }
    }
    budget
}

/// The shares of the limit of open files, told.
fn shares(config: &ServerConfig) -> Descriptors {
    let (network, limit) = (&config.network, descriptors::limit());
    let files = Descriptors::divide(limit, config.memory, network.max_connections, network.max_waiting);
    let Descriptors { store, connections, waiting, .. } = files;
    tracing::info!(limit, store, connections, waiting, "open files are shared out");
    for (name, wanted, got) in [
        ("network.max_connections", network.max_connections, connections),
        ("network.max_waiting_consumers", network.max_waiting, waiting),
    ] {
        if let Some(wanted) = wanted.filter(|wanted| *wanted > got) {
            tracing::warn!(
                setting = name,
                wanted,
                got,
                "there are fewer open files or connections than this setting needs"
            );
        }
    }
    files
}

/// What is closed last, in this order.
struct Kept {
    engine: Engine,
    membership: Option<Membership>,
    store: Store,
    logs: Arc<FunctionLogs>,
}

impl Kept {
    /// Lets functions finish, and closes what they worked with. Blocks.
    fn close(&self, patience: Duration) -> Result<()> {
        // What cannot be committed cannot be finished.
        let recovers = self.store.upkeep().health().is_recovering;
        self.engine.shutdown(if recovers { patience.min(HASTE) } else { patience });
        if let Some(membership) = &self.membership {
            membership.leave();
        }
        self.logs.close();
        let closed = match self.store.close() {
            // Whoever was answered has what is in the log; nothing was written after it.
            Err(error) if error.code == ErrorCode::StoreRecovering => {
                tracing::warn!(
                    code = %error.code, error = error.message,
                    "the server ends before the store has recovered: what was acknowledged is as safe as its durability promises, and \
                     what was not committed is done again at the next start"
                );
                Ok(())
            }
            closed => closed,
        };
        tracing::info!("stopped");
        closed
    }
}

/// Warns of each address at which other machines reach the server, since it has no authentication; answers whether there is one.
fn warn_of(rest: SocketAddr, grpc: Option<SocketAddr>) -> bool {
    let reached = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    let reached: Vec<_> = [Some(rest), grpc].into_iter().flatten().filter(reached).collect();
    for address in &reached {
        tracing::warn!(
            %address, code = %ErrorCode::Unprotected,
            "other machines reach this address, and there is no authentication: whoever does may read, change and delete everything"
        );
    }
    !reached.is_empty()
}

/// Binds the first address that the name stands for and that is free; `flag` is where it was given.
async fn bind(listen: &str, flag: &str) -> Result<(TcpListener, SocketAddr)> {
    let cannot =
        |why: String| Error::new(ErrorCode::AddressInUse, format!("cannot listen on '{listen}' ({flag}): {why}"));
    let name = if listen.starts_with(':') { format!("0.0.0.0{listen}") } else { listen.to_owned() };
    let mut addresses: Vec<SocketAddr> = lookup_host(&name).await.map_err(|e| cannot(e.to_string()))?.collect();
    // One family is enough, and clients try the older one too.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match listen_on(address) {
            Ok(listener) => {
                let address = listener.local_addr();
                let address = address.map_err(|e| internal(format!("the listener has no address: {e}")))?;
                return Ok((listener, address));
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(cannot(last))
}

fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit both: a consumer whose machine vanished must not wait for ever and then take a record.
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests;
