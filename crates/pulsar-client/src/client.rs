// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The client: where brokers are found, and where everything else begins.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::address::{ServiceUrl, topic_name};
use crate::auth::Authentication;
use crate::backoff::Backoff;
use crate::connection::Settings;
use crate::consumer::ConsumerBuilder;
use crate::error::{Error, Result};
use crate::lookup;
use crate::pool::Pool;
use crate::producer::ProducerBuilder;
use crate::reader::ReaderBuilder;
use crate::schema::Schema;
use crate::tls::TlsOptions;
use crate::topic_watch::TopicWatch;

/// Tells the time, in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Which topics of a namespace to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicsMode {
    /// Those that are stored.
    #[default]
    Persistent,
    /// Those that are not.
    NonPersistent,
    /// All.
    All,
}

/// A client of a Pulsar cluster.
///
/// Cloning it is cheap, and clones share connections: one per broker. It needs a running tokio runtime. When the last
/// clone is gone, together with the producers and consumers that it made, its connections end.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

/// What the client's producers and consumers share.
pub(crate) struct Inner {
    pub(crate) pool: Pool,
    pub(crate) service: ServiceUrl,
    pub(crate) options: ClientOptions,
    next_id: AtomicU64,
    closed: watch::Sender<bool>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("service", &self.inner.service).finish_non_exhaustive()
    }
}

/// Options of a client, with which it is [built](ClientBuilder::build).
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    service_url: String,
    options: ClientOptions,
}

#[derive(Clone)]
pub(crate) struct ClientOptions {
    authentication: Authentication,
    tls: TlsOptions,
    pub(crate) operation_timeout: Duration,
    connection_timeout: Duration,
    keep_alive: Duration,
    backoff: (Duration, Duration),
    pub(crate) listener_name: Option<String>,
    clock: Clock,
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions").field("authentication", &self.authentication).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Sets who the client says that it is. The default is nobody.
    pub fn authentication(mut self, authentication: Authentication) -> ClientBuilder {
        self.options.authentication = authentication;
        self
    }

    /// Sets how connections of `pulsar+ssl://` are secured. The default trusts the system's authorities.
    pub fn tls(mut self, tls: TlsOptions) -> ClientBuilder {
        self.options.tls = tls;
        self
    }

    /// Sets how long an operation may take, retries included; 30 seconds unless set. Sending is no operation in this
    /// sense: messages wait for as long as it takes.
    pub fn operation_timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.options.operation_timeout = timeout;
        self
    }

    /// Sets how long connecting may take, handshakes included; 10 seconds unless set.
    pub fn connection_timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.options.connection_timeout = timeout;
        self
    }

    /// Sets after which silence the broker is asked for a sign of life; 30 seconds unless set. After the same time again
    /// the connection is given up.
    pub fn keep_alive(mut self, interval: Duration) -> ClientBuilder {
        self.options.keep_alive = interval;
        self
    }

    /// Sets the first and the longest delay between attempts; 100 milliseconds and 30 seconds unless set. A connection that
    /// was of use is replaced without delay.
    pub fn backoff(mut self, min: Duration, max: Duration) -> ClientBuilder {
        self.options.backoff = (min, max);
        self
    }

    /// Sets which of the brokers' advertised listeners to use.
    pub fn listener_name(mut self, name: impl Into<String>) -> ClientBuilder {
        self.options.listener_name = Some(name.into());
        self
    }

    /// Sets the clock that messages are stamped by. The default is the system's.
    pub fn clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> ClientBuilder {
        self.options.clock = Arc::new(clock);
        self
    }

    /// Makes the client. It connects when it is first used.
    pub fn build(self) -> Result<Client> {
        let service = ServiceUrl::parse(&self.service_url)?;
        let ClientOptions { authentication, tls, operation_timeout, connection_timeout, keep_alive, .. } =
            self.options.clone();
        let tls = if service.tls { Some(tls.connector()?) } else { None };
        let settings = Settings { authentication, operation_timeout, keep_alive };
        let pool = Pool::new(settings, connection_timeout, tls);
        let (closed, _) = watch::channel(false);
        let next_id = AtomicU64::new(1);
        Ok(Client { inner: Arc::new(Inner { pool, service, options: self.options, next_id, closed }) })
    }
}

impl Client {
    /// Begins a client of the service at an address: `pulsar://host:6650`, or `pulsar+ssl://host:6651` with TLS. Several
    /// hosts are separated by commas; they are tried in turn.
    pub fn builder(service_url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            service_url: service_url.into(),
            options: ClientOptions {
                authentication: Authentication::none(),
                tls: TlsOptions::default(),
                operation_timeout: Duration::from_secs(30),
                connection_timeout: Duration::from_secs(10),
                keep_alive: Duration::from_secs(30),
                backoff: (Duration::from_millis(100), Duration::from_secs(30)),
                listener_name: None,
                clock: Arc::new(system_clock),
            },
        }
    }

    /// Begins a producer for a topic without partitions, or for one partition of a topic.
    pub fn producer(&self, topic: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), topic.into())
    }

    /// Begins a consumer of a topic without partitions, or of one partition of a topic.
    pub fn consumer(&self, topic: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), topic.into())
    }

    /// Begins a reader of a topic without partitions, or of one partition of a topic.
    pub fn reader(&self, topic: impl Into<String>) -> ReaderBuilder {
        ReaderBuilder::new(self.clone(), topic.into())
    }

    /// Returns how many partitions a topic has; 0 if it has none, and is one topic. The topic is not created.
    ///
    /// Fails with [`Error::TopicNotFound`] if there is no such topic; a broker older than 3.3 cannot tell this from 0, and
    /// creates the topic if it is set up to do so.
    pub async fn partitions(&self, topic: &str) -> Result<u32> {
        let topic = topic_name(topic)?;
        self.inner.retry(|| lookup::partitions(&self.inner, &topic)).await.map(|(partitions, _)| partitions)
    }

    /// Reports whether there is a topic of this name, with partitions or without. The topic is not created.
    ///
    /// Fails with [`Error::UnsupportedVersion`] if the broker is too old to tell: older than 3.3.
    pub async fn exists(&self, topic: &str) -> Result<bool> {
        let topic = topic_name(topic)?;
        match self.inner.retry(|| lookup::partitions(&self.inner, &topic)).await {
            Ok((0, false)) => Err(Error::UnsupportedVersion("the broker cannot tell which topics exist".into())),
            Ok(_) => Ok(true),
            Err(Error::TopicNotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lists the topics of a namespace such as `public/default`: names of partitions, for topics that have them.
    ///
    /// The pattern is a regular expression, which the broker applies to names without `persistent://`; a broker that does
    /// not is an error.
    pub async fn topics(&self, namespace: &str, mode: TopicsMode, pattern: Option<&str>) -> Result<Vec<String>> {
        self.inner.retry(|| lookup::topics(&self.inner, namespace, mode, pattern)).await
    }

    /// Returns the latest schema of a topic, or that of a version; none if there is none.
    pub async fn get_schema(&self, topic: &str, version: Option<Bytes>) -> Result<Option<Schema>> {
        let topic = topic_name(topic)?;
        self.inner.retry(|| lookup::get_schema(&self.inner, &topic, version.clone())).await
    }

    /// Registers a schema for a topic unless it is there already, and returns its version.
    pub async fn get_or_create_schema(&self, topic: &str, schema: Schema) -> Result<Bytes> {
        let topic = topic_name(topic)?;
        self.inner.retry(|| lookup::get_or_create_schema(&self.inner, &topic, &schema)).await
    }

    /// Watches how many partitions a topic has, by asking at an interval. The channel has the present number to begin
    /// with; failures to ask are passed over. It ends with its last receiver, and when the client is closed.
    pub async fn watch_partitions(&self, topic: &str, interval: Duration) -> Result<watch::Receiver<u32>> {
        let topic = topic_name(topic)?;
        let now = self.partitions(&topic).await?;
        let (sender, receiver) = watch::channel(now);
        let (inner, mut closed) = (Arc::downgrade(&self.inner), self.inner.closed.subscribe());
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
        ticks.reset();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _client_closed = closed.wait_for(|closed| *closed) => return,
                    () = sender.closed() => return,
                    _time_to_ask = ticks.tick() => {}
                }
                let Some(inner) = inner.upgrade() else { return };
                match lookup::partitions(&inner, &topic).await {
                    Ok((partitions, _)) => drop(sender.send_if_modified(|now| {
                        let differs = *now != partitions;
                        *now = partitions;
                        differs
                    })),
                    Err(error) => tracing::debug!(%topic, %error, "cannot ask for the number of partitions"),
                }
            }
        });
        Ok(receiver)
    }

    /// Watches the topics of a namespace such as `public/default`: the broker tells when some come or go, partitions included.
    ///
    /// Fails with [`Error::UnsupportedVersion`] or [`Error::NotAllowed`] if the broker does not do so: one older than 2.11, or one that is
    /// set up not to.
    pub async fn watch_topics(&self, namespace: &str) -> Result<TopicWatch> {
        self.inner.retry(|| TopicWatch::begin(&self.inner, namespace)).await
    }

    /// Ends all connections. Producers and consumers end with [`Error::Closed`]; what they have pending is lost, so that
    /// they are better closed first.
    pub async fn close(&self) {
        self.inner.closed.send_replace(true);
        self.inner.pool.close();
    }
}

impl Inner {
    /// An id for a producer or a consumer.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn unix_ms(&self) -> u64 {
        (self.options.clock)()
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.options.backoff.0, self.options.backoff.1)
    }

    /// How long a broker may take to notice that an earlier connection is gone: it asks for signs of life as this client
    /// does.
    pub(crate) fn patience_for_oneself(&self) -> Duration {
        self.options.operation_timeout + self.options.keep_alive * 2
    }

    /// Tells when the client is closed.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Attempts something until it succeeds, fails for good, or the time for operations is over. Somebody who is in the
    /// way, or a backlog that somebody has to read first, is no reason to go on: the caller decides.
    pub(crate) async fn retry<T, F: Future<Output = Result<T>>>(&self, mut attempt: impl FnMut() -> F) -> Result<T> {
        let deadline = Instant::now() + self.options.operation_timeout;
        let mut backoff = self.backoff();
        let mut closed = self.closed();
        loop {
            let error = match attempt().await {
                Err(error) if error.is_retriable() && !error.is_busy() && !matches!(error, Error::QuotaExceeded(_)) => {
                    error
                }
                result => return result,
            };
            let until = Instant::now() + backoff.next();
            if until >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, "trying again");
            if timeout_at(until, closed.wait_for(|closed| *closed)).await.is_ok() {
                return Err(Error::Closed);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the default clock, which a test replaces")]
fn system_clock() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
