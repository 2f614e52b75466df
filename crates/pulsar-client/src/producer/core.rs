// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The queue of a producer: what is pending, and what the broker's answers do to it.
//!
//! ```text
//!             create                    the broker accepts
//!  Detached ----------> Attaching ------------------------> Attached: pending frames are written in order
//!     ^                     |                                   |
//!     |   refused, lost     |        closed by the broker, connection lost, message refused
//!     +---------------------+-----------------------------------+
//! ```
//!
//! Frames are written to the connection under the lock that orders the queue, so that the wire has the order of the
//! queue, also while the queue is sent again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};

use crate::address::ServiceUrl;
use crate::client::Inner;
use crate::connection::{Connection, ProducerSink};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::lookup;
use crate::message::{Encoded, Message, Sender, encode_batch, encode_single};
use crate::message_id::MessageId;
use crate::producer::builder::ProducerOptions;
use crate::producer::{Receipt, SendFuture};
use crate::proto::{Body, CommandSend, CommandSendError, CommandSendReceipt, CommandTopicMigrated};

pub(super) struct Core {
    pub(super) client: Arc<Inner>,
    pub(super) id: u64,
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) options: ProducerOptions,
    state: Mutex<State>,
    /// Wakes the task that attaches the producer: it was detached, or it ended.
    pub(super) wake: Notify,
    /// Tells those who wait for room or for a flush that the queue became shorter.
    drained: Notify,
    closed: watch::Sender<Option<Error>>,
}

/// Where the producer is known to a broker.
pub(super) enum Link {
    Detached,
    /// A connection on which the broker was asked, and whether it took that back before it answered.
    Attaching {
        connection: u64,
        broken: Option<Error>,
    },
    Attached(Arc<Connection>),
}

pub(super) struct State {
    pub(super) link: Link,
    pub(super) name: String,
    pub(super) last_sequence_id: Option<u64>,
    pub(super) topic_epoch: Option<u64>,
    pub(super) schema_version: Option<Bytes>,
    pub(super) max_message_size: usize,
    /// How often the producer was attached, which the broker calls its epoch.
    pub(super) attached: u64,
    /// Whether the last connection was of use. If not, the next one is not hurried.
    pub(super) progressed: bool,
    pub(super) migrated: Option<ServiceUrl>,
    pub(super) ended: Option<Error>,
    /// What the last attempt to attach it met.
    pub(super) obstacle: Option<Error>,
    next_sequence_id: Option<u64>,
    pending: VecDeque<Pending>,
    pending_messages: usize,
    pending_bytes: usize,
    /// Counts what was queued, for flushes.
    queued: u64,
}

struct Pending {
    number: u64,
    sequence_id: u64,
    highest_sequence_id: u64,
    messages: usize,
    frame: Frame,
    outcome: oneshot::Sender<Result<Receipt>>,
}

impl Pending {
    fn bytes(&self) -> usize {
        self.frame.head.len() + self.frame.payload.len()
    }
}

impl Core {
    pub(super) fn new(client: Arc<Inner>, topic: String, options: ProducerOptions) -> Core {
        let (closed, _) = watch::channel(None);
        let state = State {
            link: Link::Detached,
            name: options.name.clone().unwrap_or_default(),
            last_sequence_id: None,
            topic_epoch: options.topic_epoch,
            schema_version: None,
            max_message_size: crate::frame::DEFAULT_MAX_MESSAGE_SIZE,
            attached: 0,
            progressed: true,
            migrated: None,
            ended: None,
            obstacle: None,
            next_sequence_id: options.initial_sequence_id,
            pending: VecDeque::new(),
            pending_messages: 0,
            pending_bytes: 0,
            queued: 0,
        };
        Core {
            id: client.next_id(),
            partition: crate::address::partition_of(&topic),
            client,
            topic,
            options,
            state: Mutex::new(state),
            wake: Notify::new(),
            drained: Notify::new(),
            closed,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn next_sequence_id(&self) -> u64 {
        self.state().next()
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.state().link, Link::Attached(_))
    }

    pub(super) fn send(&self, message: Message) -> SendFuture {
        // Compressing takes time, which others need not wait for: what depends on them is filled in later.
        let own = message.sequence_id;
        let nobody = Sender { name: "", unix_ms: self.client.unix_ms() };
        let mut encoded = match encode_single(message, 0, nobody, self.options.compression) {
            Ok(encoded) => encoded,
            Err(error) => return SendFuture::refused(error),
        };
        let mut state = self.state();
        let sequence_id = own.unwrap_or_else(|| state.next());
        let metadata = &mut encoded.metadata;
        metadata.sequence_id = sequence_id;
        metadata.producer_name.clone_from(&state.name);
        if metadata.schema_version.is_none() {
            metadata.schema_version.clone_from(&state.schema_version);
        }
        self.queue(&mut state, encoded, sequence_id, sequence_id, 1)
    }

    pub(super) fn send_batch(&self, first: u64, mut messages: Vec<Message>) -> SendFuture {
        let (name, version) = {
            let state = self.state();
            (state.name.clone(), state.schema_version.clone())
        };
        if version.is_some() {
            for message in &mut messages {
                message.schema_version = message.schema_version.take().or_else(|| version.clone());
            }
        }
        let sender = Sender { name: &name, unix_ms: self.client.unix_ms() };
        match encode_batch(first, &messages, sender, self.options.compression) {
            Ok(encoded) => {
                let highest = first + (messages.len() as u64 - 1);
                self.queue(&mut self.state(), encoded, first, highest, messages.len())
            }
            Err(error) => SendFuture::refused(error),
        }
    }

    fn queue(&self, state: &mut State, encoded: Encoded, first: u64, highest: u64, messages: usize) -> SendFuture {
        if let Some(reason) = &state.ended {
            return SendFuture::refused(reason.clone());
        }
        let (size, limit) = (encoded.size(), state.max_message_size);
        if size > limit {
            return SendFuture::refused(Error::MessageTooLarge { size, limit });
        }
        if !state.pending.is_empty()
            && (state.pending_messages + messages > self.options.max_pending_messages
                || state.pending_bytes + size > self.options.max_pending_bytes)
        {
            return SendFuture::refused(Error::QueueFull);
        }
        state.next_sequence_id = state.next_sequence_id.max(Some(highest.saturating_add(1)));
        let is_batch = encoded.metadata.num_messages_in_batch.is_some();
        let command = Body::Send(CommandSend {
            producer_id: self.id,
            sequence_id: first,
            num_messages: Some(messages as i32),
            highest_sequence_id: is_batch.then_some(highest),
            is_chunk: None,
        });
        let frame = Frame::message(command, &encoded.metadata, encoded.payload);
        let (outcome, receiver) = oneshot::channel();
        let number = state.queued;
        let pending = Pending { number, sequence_id: first, highest_sequence_id: highest, messages, frame, outcome };
        state.queued += 1;
        state.pending_messages += messages;
        state.pending_bytes += pending.bytes();
        if let Link::Attached(connection) = &state.link {
            connection.write(pending.frame.clone());
        }
        state.pending.push_back(pending);
        SendFuture::pending(receiver)
    }

    /// Takes the broker's acceptance for the state, and sends what is pending. Fails if the broker took it back already.
    pub(super) fn attach(&self, connection: &Arc<Connection>, accept: impl FnOnce(&mut State)) -> Result<()> {
        let mut state = self.state();
        if let Some(reason) = &state.ended {
            return Err(reason.clone());
        }
        match &mut state.link {
            Link::Attaching { broken: None, .. } if !connection.has_ended() => {}
            Link::Attaching { broken, .. } => {
                let reason = broken.take().unwrap_or(Error::Disconnected("the connection ended".into()));
                state.link = Link::Detached;
                return Err(reason);
            }
            Link::Detached | Link::Attached(_) => return Err(Error::Disconnected("the producer was closed".into())),
        }
        accept(&mut state);
        state.max_message_size = connection.max_message_size;
        state.attached += 1;
        if state.next_sequence_id.is_none() {
            state.next_sequence_id = Some(state.last_sequence_id.map_or(0, |last| last.saturating_add(1)));
        }
        for pending in &state.pending {
            connection.write(pending.frame.clone());
        }
        state.obstacle = None;
        state.link = Link::Attached(connection.clone());
        Ok(())
    }

    /// Gives up the connection, to make another: the broker did not do what it was told.
    fn reattach(&self, state: &mut State, why: &str) {
        tracing::warn!(topic = self.topic, producer = state.name, why, "the producer reconnects");
        if let Link::Attached(connection) = std::mem::replace(&mut state.link, Link::Detached) {
            connection.remove_producer(self.id);
            let producer_id = self.id;
            connection
                .tell(|request_id| Body::CloseProducer(crate::proto::CommandCloseProducer { producer_id, request_id }));
        }
        self.wake.notify_one();
    }

    /// Ends the producer for good. The first reason counts.
    pub(super) fn end(&self, reason: Error) {
        let (pending, link) = {
            let mut state = self.state();
            if state.ended.is_some() {
                return;
            }
            state.ended = Some(reason.clone());
            state.pending_messages = 0;
            state.pending_bytes = 0;
            (std::mem::take(&mut state.pending), std::mem::replace(&mut state.link, Link::Detached))
        };
        if reason != Error::Closed {
            tracing::info!(topic = self.topic, %reason, "the producer ended");
        }
        if let Link::Attached(connection) = link {
            connection.remove_producer(self.id);
        }
        for pending in pending {
            let _nobody_waits = pending.outcome.send(Err(reason.clone()));
        }
        self.closed.send_replace(Some(reason));
        self.wake.notify_one();
        self.drained.notify_waiters();
    }

    pub(super) async fn closed(&self) -> Error {
        let mut closed = self.closed.subscribe();
        match closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(Error::Closed),
            Err(_) => Error::Closed,
        }
    }

    pub(super) async fn ready(&self) -> Result<()> {
        self.until(|state| {
            state.pending_messages < self.options.max_pending_messages
                && state.pending_bytes < self.options.max_pending_bytes
        })
        .await
    }

    pub(super) async fn flush(&self) -> Result<()> {
        let queued = self.state().queued;
        self.until(|state| state.pending.front().is_none_or(|pending| pending.number >= queued)).await
    }

    async fn until(&self, done: impl Fn(&State) -> bool) -> Result<()> {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            // From here on a notification is not missed.
            drained.as_mut().enable();
            {
                let state = self.state();
                if let Some(reason) = &state.ended {
                    return Err(reason.clone());
                }
                if done(&state) {
                    return Ok(());
                }
            }
            drained.await;
        }
    }

    /// Whether something of this connection still concerns the producer.
    fn is_current(state: &State, connection: u64) -> bool {
        matches!(&state.link, Link::Attached(current) if current.id == connection)
    }
}

impl State {
    fn next(&self) -> u64 {
        self.next_sequence_id.unwrap_or(0)
    }

    fn remove(&mut self, index: usize) -> Option<Pending> {
        let pending = self.pending.remove(index)?;
        self.pending_messages -= pending.messages;
        self.pending_bytes -= pending.bytes();
        Some(pending)
    }
}

impl ProducerSink for Core {
    /// Answers come in the order of the queue, except that the broker recognizes a duplicate before it has stored what
    /// precedes it.
    fn receipt(&self, connection: u64, receipt: CommandSendReceipt) {
        let mut state = self.state();
        if !Core::is_current(&state, connection) {
            return;
        }
        let stored = receipt.message_id.as_ref().and_then(MessageId::of_data);
        let highest = receipt.highest_sequence_id();
        // For a single message the broker leaves the highest out, or sends -1.
        let is_single = receipt.sequence_id as i64 >= highest as i64;
        let matches = |pending: &Pending| {
            pending.sequence_id == receipt.sequence_id && (is_single || highest == pending.highest_sequence_id)
        };
        let Some(index) = state.pending.iter().position(matches) else {
            // An answer to what was answered before the queue was sent again.
            tracing::debug!(topic = self.topic, sequence_id = receipt.sequence_id, "an answer that nobody waits for");
            return;
        };
        if index > 0 && stored.is_some() {
            return self.reattach(&mut state, "a message was passed over");
        }
        let Some(pending) = state.remove(index) else { return };
        state.last_sequence_id = state.last_sequence_id.max(Some(pending.highest_sequence_id));
        state.progressed = true;
        drop(state);
        let message_id = MessageId { partition: self.partition, ..stored.unwrap_or(MessageId::EARLIEST) };
        let _nobody_waits = pending.outcome.send(Ok(Receipt { message_id, duplicate: stored.is_none() }));
        self.drained.notify_waiters();
    }

    fn send_error(&self, connection: u64, error: CommandSendError) {
        let reason = Error::of_server(error.error, error.message);
        let mut state = self.state();
        if !Core::is_current(&state, connection) {
            return;
        }
        match reason {
            Error::ProducerFenced(_)
            | Error::TopicTerminated(_)
            | Error::TopicNotFound(_)
            | Error::AuthorizationFailed(_)
            | Error::AuthenticationFailed(_) => {
                drop(state);
                self.end(reason);
            }
            // About this message alone, which the broker did not store: what follows it is not affected.
            Error::NotAllowed(_) | Error::IncompatibleSchema(_) | Error::InvalidTopicName(_) => {
                let sequence_id = error.sequence_id;
                let about = |pending: &Pending| {
                    pending.sequence_id == sequence_id || pending.highest_sequence_id == sequence_id
                };
                let index = state.pending.iter().position(about);
                let pending = index.and_then(|index| state.remove(index));
                drop(state);
                if let Some(pending) = pending {
                    let _nobody_waits = pending.outcome.send(Err(reason));
                    self.drained.notify_waiters();
                }
            }
            reason => self.reattach(&mut state, &reason.to_string()),
        }
    }

    fn detached(&self, connection: u64, reason: Error, migrated: Option<CommandTopicMigrated>) {
        let mut state = self.state();
        if let Some(migrated) = migrated {
            state.migrated = lookup::migrated_to(&self.client, &migrated);
        }
        match &mut state.link {
            Link::Attaching { connection: attaching, broken } if *attaching == connection => {
                *broken = Some(reason);
            }
            Link::Attached(current) if current.id == connection => {
                state.link = Link::Detached;
                tracing::debug!(topic = self.topic, %reason, "the producer lost its broker");
            }
            _ => return,
        }
        drop(state);
        self.wake.notify_one();
    }
}
