// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A producer that numbers its events, so that none of them is appended twice however often it is sent.

use std::time::Duration;

use bytes::Bytes;
use fnstream_core::ErrorCode;
use reqwest::{Method, RequestBuilder};
use tokio::time::{Instant, timeout};

use super::{Client, ClientError, ProduceOptions};
use crate::header;
use crate::record::{Produced, ProducerDescription};

/// How long a server that is gone is waited for when nothing else is said.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pauses before a request is sent again double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The status of a server that starts, ends or is too busy.
const UNAVAILABLE: u16 = 503;

/// Events of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// One event of at least one byte.
    One(Bytes),
    /// One event whose value is null.
    Null,
    /// One event for each line; none is empty.
    Lines(Bytes),
    /// The records of a packed frame, with keys, headers and times of their own.
    Frame(Bytes),
    /// Events as JSON objects ([`crate::event`]).
    Json(Bytes),
}

/// Is told of a server that is gone, with what happened, and then, with nothing, that it answers again.
type Told = Box<dyn FnMut(Option<&ClientError>) + Send>;

/// Appends the events of one topic and numbers them, one request after the other.
///
/// When the connection breaks or the server says that it is not available, the request is sent again until the producer's
/// patience ends. The server knows by the numbers what it has, and appends the rest.
///
/// A producer with a name of its own can go on after its process has ended: [`Producer::resume`] asks the server how far it got.
/// Its events must then have the same numbers as before, and nobody else may produce under that name at the same time.
///
/// ```no_run
/// # async fn example(lines: &[String]) -> Result<(), fnstream_api::ClientError> {
/// use fnstream_api::{Client, Events, ProduceOptions, Producer};
///
/// let client = Client::new("http://localhost:7300")?;
/// let mut producer = Producer::resume(&client, "orders", "importer-1").await?;
/// for line in lines.iter().skip(producer.next() as usize) {
///     producer.send(Events::One(line.clone().into()), &ProduceOptions::default()).await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Producer {
    client: Client,
    topic: String,
    /// None if events are not numbered.
    name: Option<String>,
    /// Whether nobody but itself knows the name.
    drawn: bool,
    next: u64,
    found: u64,
    patience: Duration,
    /// Whether the server has answered before. One that never did is not waited for: its address is probably wrong.
    answered: bool,
    told: Told,
}

impl Producer {
    /// A producer with a name that no other has, whose first event has the number 0. Where the server keeps no numbers of the topic's
    /// producers it goes on without: see [`Producer::unnumbered`].
    pub fn new(client: &Client, topic: &str) -> Result<Self, ClientError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| ClientError::invalid(format!("no name for the producer: {e}")))?;
        let name = id.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Producer { drawn: true, ..Self::named(client, topic, Some(name), 0, false) })
    }

    /// A producer that does not number its events, for topics of other clusters, which keep no numbers. A request that may have
    /// reached the server is not sent again.
    pub fn unnumbered(client: &Client, topic: &str) -> Self {
        Self::named(client, topic, None, 0, false)
    }

    /// The producer of that name, which goes on where it stands in the topic: at 0 if the topic or the producer is not known.
    pub async fn resume(client: &Client, topic: &str, name: &str) -> Result<Self, ClientError> {
        let place = client.describe_producer(topic, name).await?;
        let next = place.map_or(0, |place| place.next_sequence);
        Ok(Self::named(client, topic, Some(name.to_owned()), next, true))
    }

    fn named(client: &Client, topic: &str, name: Option<String>, next: u64, answered: bool) -> Self {
        let (client, topic) = (client.clone(), topic.to_owned());
        Producer {
            client,
            topic,
            name,
            drawn: false,
            next,
            found: 0,
            patience: PATIENCE,
            answered,
            told: Box::new(|_| {}),
        }
    }

    /// Waits so long for a server that is gone, 2 minutes if nothing is said.
    pub fn with_patience(self, patience: Duration) -> Self {
        Producer { patience, ..self }
    }

    /// Calls `told` with what happened when the server is gone and waited for, and with `None` when it answers again.
    pub fn telling(self, told: impl FnMut(Option<&ClientError>) + Send + 'static) -> Self {
        Producer { told: Box::new(told), ..self }
    }

    /// The number of the next event.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The producer's name; empty if it does not number its events.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// How many of the events that were sent were not appended, since the topic had events of their numbers before: another producer
    /// uses the name. Of a request that had to be repeated this is not known, and its events do not count.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// Gives the next event that number. The server refuses it if it lacks events before it.
    pub fn go_on_at(&mut self, number: u64) {
        self.next = number;
    }

    /// Appends events, those that are not there yet, and waits until all are durable. Options that the events have themselves
    /// are refused.
    pub async fn send(&mut self, events: Events, options: &ProduceOptions) -> Result<Produced, ClientError> {
        let (mut pause, mut since) = (FIRST_PAUSE, None);
        loop {
            let error = match self.client.json::<Produced>(self.request(events.clone(), options)?).await {
                Ok(produced) => {
                    self.next += produced.count + produced.duplicates;
                    self.answered = true;
                    match since {
                        Some(_) => (self.told)(None),
                        None => self.found += produced.duplicates,
                    }
                    return Ok(produced);
                }
                Err(error) => error,
            };
            if self.drawn && error.code() == ErrorCode::OwnTopicsOnly.as_str() {
                (self.name, self.drawn) = (None, false);
                continue;
            }
            if !self.may_pass(&error) {
                return Err(error);
            }
            let (is_first, began) = (since.is_none(), *since.get_or_insert_with(Instant::now));
            if began.elapsed() >= self.patience {
                return Err(error);
            }
            if is_first {
                (self.told)(Some(&error));
            }
            // Nothing tells when a server is there again but asking it.
            let _ = timeout(pause, std::future::pending::<()>()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether the same request may succeed later, without anybody doing anything about it.
    fn may_pass(&mut self, error: &ClientError) -> bool {
        match error {
            ClientError::Unreachable { sent, .. } if self.name.is_none() => self.answered && !*sent,
            ClientError::Unreachable { sent, .. } => self.answered || *sent,
            ClientError::Server { status, .. } => {
                self.answered = true;
                *status == UNAVAILABLE && self.name.is_some()
            }
            _ => false,
        }
    }

    fn request(&self, events: Events, options: &ProduceOptions) -> Result<RequestBuilder, ClientError> {
        let request = self.client.producing(&self.topic, options)?;
        let request = match &self.name {
            Some(name) => request.query(&[("producer", name)]).query(&[("sequence", self.next)]),
            None => request,
        };
        Ok(match events {
            Events::One(bytes) => request.body(bytes),
            Events::Null => request.query(&[("null", true)]),
            Events::Lines(bytes) => request.header("content-type", header::LINES).body(bytes),
            Events::Frame(bytes) => request.header("content-type", header::FRAME).body(bytes),
            Events::Json(bytes) => request.header("content-type", header::EVENTS).body(bytes),
        })
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Producer");
        shown.field("topic", &self.topic).field("name", &self.name).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Client {
    /// How far a producer that numbers its events has got in a topic; `None` if the topic or the producer is not known.
    pub async fn describe_producer(
        &self,
        topic: &str,
        producer: &str,
    ) -> Result<Option<ProducerDescription>, ClientError> {
        use fnstream_core::ErrorCode::{ProducerUnknown, TopicNotFound};
        let request = self.request(Method::GET, &["api", "v1", "topic", topic, "producer", producer])?;
        match self.json(request).await {
            Err(error) if error.is(ProducerUnknown) || error.is(TopicNotFound) => Ok(None),
            place => place.map(Some),
        }
    }
}
