// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One connection to one broker, shared by all producers and consumers that the broker serves.
//!
//! A task of its own reads and writes. Requests wait here for their answers by their ids; what the broker says of its own
//! accord goes to the producer or consumer that it is about. A connection ends once, for one reason: then every waiting
//! request ends with [`Error::Disconnected`], and every producer and consumer is told. It never comes back; those who
//! need one ask the [pool](crate::pool) for another.

mod wire;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use self::wire::{auth_response, shake_hands, write};
use crate::auth::Authentication;
use crate::error::{Error, Result};
use crate::frame::{DEFAULT_MAX_MESSAGE_SIZE, Frame, Received, Stored, take};
use crate::proto::{
    Body, CommandMessage, CommandPing, CommandPong, CommandProducerSuccess, CommandSendError, CommandSendReceipt,
    CommandTopicMigrated, FeatureFlags, command_topic_migrated::ResourceType,
};

const READ_AT_ONCE: usize = 64 << 10;

/// What a connection tells a producer. Calls come from the connection's task, one after the other, and must not block.
pub(crate) trait ProducerSink: Send + Sync {
    fn receipt(&self, connection: u64, receipt: CommandSendReceipt);
    fn send_error(&self, connection: u64, error: CommandSendError);
    /// The producer is gone on this connection: closed by the broker, or with the connection.
    fn detached(&self, connection: u64, reason: Error, migrated: Option<CommandTopicMigrated>);
}

/// What a connection tells a consumer; see [`ProducerSink`].
pub(crate) trait ConsumerSink: Send + Sync {
    fn message(&self, connection: u64, command: CommandMessage, stored: Stored);
    fn active(&self, connection: u64, active: bool);
    fn end_of_topic(&self, connection: u64);
    fn detached(&self, connection: u64, reason: Error, migrated: Option<CommandTopicMigrated>);
}

/// Who waits for an answer.
enum Waiter {
    Once(oneshot::Sender<Result<Body>>),
    /// A producer may be told to wait, and then be told that it is ready.
    Producer(mpsc::UnboundedSender<Result<CommandProducerSuccess>>),
}

#[derive(Default)]
struct State {
    ended: Option<Error>,
    requests: HashMap<u64, Waiter>,
    producers: HashMap<u64, Arc<dyn ProducerSink>>,
    consumers: HashMap<u64, Arc<dyn ConsumerSink>>,
    /// Those who watch lists of topics: `true` for news, `false` at the end.
    watchers: HashMap<u64, mpsc::UnboundedSender<bool>>,
}

/// What all connections of a client have in common.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) authentication: Authentication,
    pub(crate) operation_timeout: Duration,
    pub(crate) keep_alive: Duration,
}

pub(crate) struct Connection {
    /// Tells connections apart, so that news of an earlier one is not taken for news of this one.
    pub(crate) id: u64,
    /// What messages may be at most.
    pub(crate) max_message_size: usize,
    pub(crate) features: FeatureFlags,
    settings: Settings,
    outbox: mpsc::UnboundedSender<Frame>,
    state: Mutex<State>,
    next_request: AtomicU64,
    close: Notify,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Connection {
    /// Shakes hands over a stream, and begins to serve it.
    pub(crate) async fn begin<S>(mut stream: S, settings: Settings, proxy_to: Option<String>) -> Result<Arc<Connection>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut buffer = BytesMut::with_capacity(READ_AT_ONCE);
        let connected = shake_hands(&mut stream, &mut buffer, &settings.authentication, proxy_to).await?;
        let (outbox, frames) = mpsc::unbounded_channel();
        let connection = Arc::new(Connection {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            max_message_size: match connected.max_message_size {
                Some(size) if size > 0 => size as usize,
                _ => DEFAULT_MAX_MESSAGE_SIZE,
            },
            features: connected.feature_flags.unwrap_or_default(),
            settings,
            outbox,
            state: Mutex::default(),
            next_request: AtomicU64::new(1),
            close: Notify::new(),
        });
        let served = connection.clone();
        tokio::spawn(async move {
            let (reader, writer) = tokio::io::split(stream);
            let reason = tokio::select! {
                reason = served.read(reader, buffer) => reason,
                reason = write(writer, frames) => reason,
                () = served.close.notified() => Error::Closed,
            };
            served.end(reason);
        });
        Ok(connection)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state().ended.is_some()
    }

    /// Ends the connection from this side.
    pub(crate) fn close(&self) {
        self.close.notify_one();
    }

    /// Queues a frame. Frames go out in the order of the calls; those of an ended connection nowhere.
    pub(crate) fn write(&self, frame: Frame) {
        let _gone_with_the_connection = self.outbox.send(frame);
    }

    /// Makes a request of its id, and waits for the answer, for as long as operations may take.
    pub(crate) async fn request(&self, what: &'static str, make: impl FnOnce(u64) -> Body) -> Result<Body> {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let _forgotten = self.await_answer(id, Waiter::Once(sender))?;
        self.write(Frame::plain(make(id)));
        match timeout(self.settings.operation_timeout, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Disconnected("the connection ended".into())),
            Err(_) => Err(Error::Timeout(what)),
        }
    }

    /// Makes the request for a producer, and returns where its answers arrive.
    pub(crate) fn request_producer(self: &Arc<Self>, make: impl FnOnce(u64) -> Body) -> Result<ProducerAnswers> {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = mpsc::unbounded_channel();
        self.await_answer(id, Waiter::Producer(sender))?.keep();
        self.write(Frame::plain(make(id)));
        Ok(ProducerAnswers { answers, connection: self.clone(), id })
    }

    /// Sends a request whose answer nobody needs.
    pub(crate) fn tell(&self, make: impl FnOnce(u64) -> Body) {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        self.write(Frame::plain(make(id)));
    }

    pub(crate) fn operation_timeout(&self) -> Duration {
        self.settings.operation_timeout
    }

    fn await_answer(&self, id: u64, waiter: Waiter) -> Result<Forget<'_>> {
        let mut state = self.state();
        match &state.ended {
            Some(reason) => Err(disconnected(reason)),
            None => {
                state.requests.insert(id, waiter);
                Ok(Forget { connection: self, id })
            }
        }
    }

    /// Has a producer told what concerns it, from now on.
    pub(crate) fn add_producer(&self, id: u64, sink: Arc<dyn ProducerSink>) -> Result<()> {
        let mut state = self.state();
        match &state.ended {
            Some(reason) => Err(disconnected(reason)),
            None => {
                state.producers.insert(id, sink);
                Ok(())
            }
        }
    }

    pub(crate) fn remove_producer(&self, id: u64) {
        self.state().producers.remove(&id);
    }

    /// Has a consumer told what concerns it, from now on.
    pub(crate) fn add_consumer(&self, id: u64, sink: Arc<dyn ConsumerSink>) -> Result<()> {
        let mut state = self.state();
        match &state.ended {
            Some(reason) => Err(disconnected(reason)),
            None => {
                state.consumers.insert(id, sink);
                Ok(())
            }
        }
    }

    pub(crate) fn remove_consumer(&self, id: u64) {
        self.state().consumers.remove(&id);
    }

    /// Has somebody told of news in a list of topics, from now on; `false` says that the connection has ended.
    pub(crate) fn add_watcher(&self, id: u64, sink: mpsc::UnboundedSender<bool>) -> Result<()> {
        let mut state = self.state();
        match &state.ended {
            Some(reason) => Err(disconnected(reason)),
            None => {
                state.watchers.insert(id, sink);
                Ok(())
            }
        }
    }

    pub(crate) fn remove_watcher(&self, id: u64) {
        self.state().watchers.remove(&id);
    }

    /// Ends what hangs on the connection. The first reason counts.
    fn end(&self, reason: Error) {
        let (requests, producers, consumers, watchers) = {
            let mut state = self.state();
            if state.ended.is_some() {
                return;
            }
            state.ended = Some(reason.clone());
            let State { requests, producers, consumers, watchers, .. } = &mut *state;
            (std::mem::take(requests), std::mem::take(producers), std::mem::take(consumers), std::mem::take(watchers))
        };
        tracing::debug!(connection = self.id, %reason, "connection ended");
        let reason = disconnected(&reason);
        for waiter in requests.into_values() {
            answer(waiter, Err(reason.clone()));
        }
        for sink in producers.into_values() {
            sink.detached(self.id, reason.clone(), None);
        }
        for sink in consumers.into_values() {
            sink.detached(self.id, reason.clone(), None);
        }
        for sink in watchers.into_values() {
            let _nobody_watches = sink.send(false);
        }
    }

    /// Reads until the connection ends, and says why it does.
    async fn read(self: &Arc<Self>, mut reader: impl AsyncRead + Unpin, mut buffer: BytesMut) -> Error {
        // Whether the broker was asked for a sign of life, and has not given one since.
        let mut asked = false;
        loop {
            loop {
                match take(&mut buffer, self.max_message_size) {
                    Ok(Some(received)) => self.dispatch(received),
                    Ok(None) => break,
                    Err(error) => return error,
                }
            }
            if buffer.capacity() - buffer.len() < READ_AT_ONCE / 4 {
                buffer.reserve(READ_AT_ONCE);
            }
            match timeout(self.settings.keep_alive, reader.read_buf(&mut buffer)).await {
                Ok(Ok(0)) => return Error::Disconnected("the broker closed the connection".into()),
                Ok(Ok(_)) => asked = false,
                Ok(Err(error)) => return Error::io("cannot read from the broker", error),
                Err(_) if asked => return Error::Disconnected("the broker is silent".into()),
                Err(_) => {
                    asked = true;
                    self.write(Frame::plain(Body::Ping(CommandPing {})));
                }
            }
        }
    }

    fn dispatch(self: &Arc<Self>, received: Received) {
        match received.body {
            Body::Ping(_) => self.write(Frame::plain(Body::Pong(CommandPong {}))),
            Body::SendReceipt(receipt) => {
                if let Some(sink) = self.producer(receipt.producer_id) {
                    sink.receipt(self.id, receipt);
                }
            }
            Body::SendError(error) => {
                if let Some(sink) = self.producer(error.producer_id) {
                    sink.send_error(self.id, error);
                }
            }
            Body::Message(command) => {
                if let Some(sink) = self.consumer(command.consumer_id) {
                    sink.message(self.id, command, received.stored.unwrap_or_default());
                }
            }
            Body::ActiveConsumerChange(change) => {
                if let Some(sink) = self.consumer(change.consumer_id) {
                    sink.active(self.id, change.is_active());
                }
            }
            Body::ReachedEndOfTopic(end) => {
                if let Some(sink) = self.consumer(end.consumer_id) {
                    sink.end_of_topic(self.id);
                }
            }
            Body::CloseProducer(close) => self.detach_producer(close.producer_id, None),
            Body::CloseConsumer(close) => self.detach_consumer(close.consumer_id, None),
            Body::TopicMigrated(migrated) => match migrated.resource_type() {
                ResourceType::Producer => self.detach_producer(migrated.resource_id, Some(migrated)),
                ResourceType::Consumer => self.detach_consumer(migrated.resource_id, Some(migrated)),
            },
            Body::WatchTopicUpdate(update) => {
                if let Some(sink) = self.state().watchers.get(&update.watcher_id) {
                    let _nobody_watches = sink.send(true);
                }
            }
            Body::AuthChallenge(_) => self.renew_authentication(),
            body => {
                if let Some(id) = answered(&body) {
                    self.respond(id, body);
                }
            }
        }
    }

    fn producer(&self, id: u64) -> Option<Arc<dyn ProducerSink>> {
        self.state().producers.get(&id).cloned()
    }

    fn consumer(&self, id: u64) -> Option<Arc<dyn ConsumerSink>> {
        self.state().consumers.get(&id).cloned()
    }

    fn detach_producer(&self, id: u64, migrated: Option<CommandTopicMigrated>) {
        let sink = self.state().producers.remove(&id);
        if let Some(sink) = sink {
            sink.detached(self.id, Error::Disconnected("the broker closed the producer".into()), migrated);
        }
    }

    fn detach_consumer(&self, id: u64, migrated: Option<CommandTopicMigrated>) {
        let sink = self.state().consumers.remove(&id);
        if let Some(sink) = sink {
            sink.detached(self.id, Error::Disconnected("the broker closed the consumer".into()), migrated);
        }
    }

    fn respond(&self, id: u64, body: Body) {
        let waiter = {
            let mut state = self.state();
            match (&body, state.requests.get(&id)) {
                (Body::ProducerSuccess(success), Some(Waiter::Producer(waiting))) if !success.producer_ready() => {
                    let _given_up = waiting.send(Ok(success.clone()));
                    return;
                }
                _ => state.requests.remove(&id),
            }
        };
        if let Some(waiter) = waiter {
            answer(waiter, failed(body));
        }
    }

    /// Answers the broker's question for fresh credentials, in its own time: they may have to be read from a file.
    fn renew_authentication(self: &Arc<Self>) {
        let connection = self.clone();
        tokio::spawn(async move {
            match connection.settings.authentication.data().await {
                Ok(data) => {
                    connection.write(Frame::plain(auth_response(&connection.settings.authentication, data)));
                }
                Err(reason) => {
                    connection.end(reason);
                    connection.close();
                }
            }
        });
    }
}

/// Where the answers to a producer's request arrive. Dropping it forgets the request.
pub(crate) struct ProducerAnswers {
    answers: mpsc::UnboundedReceiver<Result<CommandProducerSuccess>>,
    connection: Arc<Connection>,
    id: u64,
}

impl ProducerAnswers {
    pub(crate) async fn next(&mut self) -> Result<CommandProducerSuccess> {
        match self.answers.recv().await {
            Some(answer) => answer,
            None => Err(Error::Disconnected("the connection ended".into())),
        }
    }
}

impl Drop for ProducerAnswers {
    fn drop(&mut self) {
        self.connection.state().requests.remove(&self.id);
    }
}

/// Forgets a request whose caller went away.
struct Forget<'a> {
    connection: &'a Connection,
    id: u64,
}

impl Forget<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.connection.state().requests.remove(&self.id);
    }
}

fn disconnected(reason: &Error) -> Error {
    match reason {
        Error::Disconnected(_) | Error::Closed | Error::AuthenticationFailed(_) => reason.clone(),
        reason => Error::Disconnected(reason.to_string()),
    }
}

fn answer(waiter: Waiter, result: Result<Body>) {
    // Whoever does not wait any longer does not mind.
    match waiter {
        Waiter::Once(sender) => drop(sender.send(result)),
        Waiter::Producer(sender) => drop(sender.send(result.and_then(|body| match body {
            Body::ProducerSuccess(success) => Ok(success),
            _ => Err(Error::Protocol("another answer than that for a producer".into())),
        }))),
    }
}

/// Turns the answers that tell of a failure into errors.
fn failed(body: Body) -> Result<Body> {
    match body {
        Body::Error(error) => Err(Error::of_server(error.error, error.message)),
        Body::AckResponse(answer) if answer.error.is_some() => {
            Err(Error::of_server(answer.error() as i32, answer.message.unwrap_or_default()))
        }
        Body::GetSchemaResponse(answer) if answer.error_code.is_some() => {
            Err(Error::of_server(answer.error_code() as i32, answer.error_message.unwrap_or_default()))
        }
        Body::GetOrCreateSchemaResponse(answer) if answer.error_code.is_some() => {
            Err(Error::of_server(answer.error_code() as i32, answer.error_message.unwrap_or_default()))
        }
        body => Ok(body),
    }
}

/// The request that a command answers.
fn answered(body: &Body) -> Option<u64> {
    match body {
        Body::Success(answer) => Some(answer.request_id),
        Body::Error(answer) => Some(answer.request_id),
        Body::ProducerSuccess(answer) => Some(answer.request_id),
        Body::PartitionMetadataResponse(answer) => Some(answer.request_id),
        Body::LookupTopicResponse(answer) => Some(answer.request_id),
        Body::GetLastMessageIdResponse(answer) => Some(answer.request_id),
        Body::GetTopicsOfNamespaceResponse(answer) => Some(answer.request_id),
        Body::GetSchemaResponse(answer) => Some(answer.request_id),
        Body::GetOrCreateSchemaResponse(answer) => Some(answer.request_id),
        Body::AckResponse(answer) => answer.request_id,
        Body::WatchTopicListSuccess(answer) => Some(answer.request_id),
        _ => None,
    }
}
