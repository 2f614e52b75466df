// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The queue of a consumer, and its accounts with the broker: what was granted, and what came.
//!
//! Entries are queued as they come and decoded as they are taken, so that the connection's task has little to do.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::acks::{self, Partial};
use crate::address::ServiceUrl;
use crate::client::Inner;
use crate::connection::{Connection, ConsumerSink};
use crate::consumer::Event;
use crate::consumer::builder::ConsumerOptions;
use crate::consumer::chunks::{Chunks, Gathered, is_chunk};
use crate::entry::{self, Entry, Start};
use crate::error::{Error, Result};
use crate::frame::{Frame, Stored};
use crate::lookup;
use crate::message_id::MessageId;
use crate::proto::{Body, CommandFlow, CommandMessage, CommandTopicMigrated, MessageMetadata};

pub(super) struct Core {
    pub(super) client: Arc<Inner>,
    pub(super) id: u64,
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) options: ConsumerOptions,
    state: Mutex<State>,
    /// The chunks that were taken and are not whole. Whoever takes holds it, so that entries are decoded in order.
    chunks: Mutex<Chunks>,
    /// Batches of which a part is acknowledged, and messages of several chunks, by the entry that they have as their place.
    pub(super) partial: Mutex<Partial>,
    pub(super) chunked: Mutex<HashMap<MessageId, Vec<MessageId>>>,
    /// Wakes the task that attaches the consumer: it was detached, or it ended.
    pub(super) wake: Notify,
    /// Tells receivers that something was queued.
    queued: Notify,
    on_ready: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
    closed: watch::Sender<Option<Error>>,
}

/// Where the consumer is known to a broker.
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
    queue: VecDeque<Queued>,
    /// What came while the broker's acceptance was on its way to the state: it belongs behind it.
    early: Vec<Queued>,
    /// For consumers without a receiver queue: messages granted and not handed out. Below 0 if a batch exceeded it.
    granted: i64,
    /// Messages that the broker may send, and has not been told of.
    owed: u32,
    paused: bool,
    /// What the broker has told last on this connection about whether the consumer is the active one.
    active: bool,
    /// Where to begin: messages before it are passed over.
    pub(super) start: Option<Start>,
    /// The last entry that was handed out, from behind which a subscription that is not durable goes on.
    pub(super) handed_out: Option<MessageId>,
    /// While the subscription is moved, it is not subscribed to again.
    pub(super) seeking: bool,
    /// Counts redeliveries, to tell what was sent before one.
    pub(super) epoch: u64,
    pub(super) attached: u64,
    /// Whether the last connection was of use. If not, the next one is not hurried.
    pub(super) progressed: bool,
    pub(super) migrated: Option<ServiceUrl>,
    pub(super) ended: Option<Error>,
}

enum Queued {
    Event(Event),
    Entry(Box<Arrived>),
}

struct Arrived {
    command: CommandMessage,
    stored: Stored,
    metadata: Result<MessageMetadata>,
    /// What the broker counted it as.
    permits: u32,
}

impl Arrived {
    fn new(command: CommandMessage, stored: Stored) -> Arrived {
        let metadata = stored.metadata();
        let batch = metadata.as_ref().map_or(1, |metadata| metadata.num_messages_in_batch.unwrap_or(1).max(0) as u32);
        let permits = if command.ack_set.is_empty() {
            batch
        } else {
            // Bounded by the set, not by a count that may be wrong.
            let bits = (command.ack_set.len() as u32).saturating_mul(64).min(batch);
            (0..bits).filter(|index| acks::is_outstanding(&command.ack_set, *index)).count() as u32
        };
        Arrived { command, stored, metadata, permits }
    }
}

impl Core {
    pub(super) fn new(client: Arc<Inner>, topic: String, options: ConsumerOptions) -> Core {
        let state = State {
            link: Link::Detached,
            queue: VecDeque::new(),
            early: Vec::new(),
            granted: 0,
            owed: 0,
            paused: false,
            active: false,
            start: options.start,
            handed_out: None,
            seeking: false,
            epoch: 0,
            attached: 0,
            progressed: true,
            migrated: None,
            ended: None,
        };
        let (closed, _) = watch::channel(None);
        Core {
            id: client.next_id(),
            partition: crate::address::partition_of(&topic),
            client,
            topic,
            options,
            state: Mutex::new(state),
            chunks: Mutex::default(),
            partial: Mutex::default(),
            chunked: Mutex::default(),
            wake: Notify::new(),
            queued: Notify::new(),
            on_ready: Mutex::default(),
            closed,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.state().link, Link::Attached(_))
    }

    pub(super) fn is_active(&self) -> bool {
        let state = self.state();
        state.active && matches!(state.link, Link::Attached(_))
    }

    pub(super) async fn recv(&self) -> Result<Event> {
        loop {
            let queued = self.queued.notified();
            tokio::pin!(queued);
            // From here on a notification is not missed.
            queued.as_mut().enable();
            if let Some(event) = self.try_recv() {
                return Ok(event);
            }
            if let Some(reason) = &self.state().ended {
                return Err(reason.clone());
            }
            queued.await;
        }
    }

    pub(super) fn try_recv(&self) -> Option<Event> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (arrived, start) = {
                let mut state = self.state();
                match state.queue.pop_front()? {
                    Queued::Event(event) => {
                        // What is durable comes again from the first chunk on, what is not goes on behind the last.
                        if matches!(event, Event::Reconnected) && self.options.durable {
                            chunks.clear();
                        }
                        return Some(event);
                    }
                    Queued::Entry(arrived) => {
                        if self.options.receiver_queue > 0 {
                            self.give_back(&mut state, arrived.permits);
                        } else {
                            state.granted -= i64::from(arrived.permits);
                        }
                        // Under the lock: a connection that begins now must neither repeat it nor pass it over.
                        state.handed_out = Some(entry::id_of(&arrived.command, self.partition));
                        (arrived, state.start)
                    }
                }
            };
            let id = entry::id_of(&arrived.command, self.partition);
            match self.decode(*arrived, id, start, &mut chunks) {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Event::Messages(entry)),
                Err(error) => return Some(Event::Unreadable { id, error }),
            }
        }
    }

    /// Decodes an entry; none if nothing of it is for the user (yet).
    fn decode(
        &self,
        arrived: Arrived,
        mut id: MessageId,
        start: Option<Start>,
        chunks: &mut Chunks,
    ) -> Result<Option<Entry>> {
        let metadata = arrived.metadata?;
        let ConsumerOptions { max_entry_size, max_chunked_messages, .. } = self.options;
        let mut payload = arrived.stored.payload;
        if is_chunk(&metadata) {
            if start.is_some_and(|start| start.is_after(&id)) {
                self.grant(1);
                return Ok(None);
            }
            match chunks.add(id, &metadata, payload, max_chunked_messages, max_entry_size)? {
                Gathered::More => {
                    self.grant(1);
                    return Ok(None);
                }
                Gathered::Stray => {
                    tracing::warn!(topic = self.topic, %id, "a chunk that continues nothing is passed over");
                    self.grant(1);
                    return Ok(None);
                }
                Gathered::Whole(whole, places, gathered) => {
                    id = whole;
                    payload = gathered;
                    let mut chunked = self.chunked.lock().unwrap_or_else(PoisonError::into_inner);
                    chunked.insert(id, places);
                }
            }
        }
        let payload = entry::unpack(&metadata, payload, max_entry_size)?;
        let decoded = entry::messages(id, &metadata, payload, &arrived.command.ack_set, start.as_ref())?;
        // Granted to the user, who will not see them.
        self.grant(decoded.skipped);
        if decoded.messages.is_empty() {
            return Ok(None);
        }
        let broker = arrived.stored.broker.unwrap_or_default();
        Ok(Some(Entry {
            id,
            messages: decoded.messages,
            redelivery_count: arrived.command.redelivery_count(),
            broker_time: broker.broker_timestamp,
            broker_index: broker.index,
        }))
    }

    pub(super) fn grant(&self, messages: u32) {
        if self.options.receiver_queue == 0 {
            let mut state = self.state();
            state.granted += i64::from(messages);
            self.give_back(&mut state, messages);
        }
    }

    pub(super) fn grant_up_to(&self, messages: u32) {
        if self.options.receiver_queue == 0 {
            let mut state = self.state();
            let missing = i64::from(messages) - state.granted;
            if missing >= i64::from(messages / 2).max(1) {
                state.granted += missing;
                self.give_back(&mut state, u32::try_from(missing).unwrap_or(u32::MAX));
            }
        }
    }

    pub(super) fn pause(&self) {
        self.state().paused = true;
    }

    pub(super) fn resume(&self) {
        let mut state = self.state();
        state.paused = false;
        self.give_back(&mut state, 0);
    }

    /// Lets the broker send so many messages more; with a receiver queue, once half of it is free.
    fn give_back(&self, state: &mut State, messages: u32) {
        state.owed = state.owed.saturating_add(messages);
        if state.owed >= (self.options.receiver_queue / 2).max(1) && !state.paused {
            self.flow(state, state.owed);
            state.owed = 0;
        }
    }

    fn flow(&self, state: &State, messages: u32) {
        if let Link::Attached(connection) = &state.link
            && messages > 0
        {
            let flow = CommandFlow { consumer_id: self.id, message_permits: messages };
            connection.write(Frame::plain(Body::Flow(flow)));
        }
    }

    /// Drops the entries that were not handed out, and returns as how many messages the broker counted them.
    pub(super) fn drop_queued(state: &mut State) -> u32 {
        let mut dropped = 0;
        state.queue.retain(|queued| match queued {
            Queued::Event(_) => true,
            Queued::Entry(arrived) => {
                dropped += arrived.permits;
                false
            }
        });
        dropped
    }

    /// Drops the entries that were not handed out, which the broker is going to send again.
    pub(super) fn drop_to_come_again(&self, state: &mut State) {
        let dropped = Core::drop_queued(state);
        self.give_back(state, dropped);
    }

    /// Takes the broker's acceptance for the state. Fails if the broker took it back already.
    pub(super) fn attach(&self, connection: &Arc<Connection>) -> Result<()> {
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
            Link::Detached | Link::Attached(_) => return Err(Error::Disconnected("the consumer was closed".into())),
        }
        state.link = Link::Attached(connection.clone());
        Core::drop_queued(&mut state);
        // More may have been handed out since the broker was asked.
        self.begin_behind_handed_out(&mut state);
        if state.attached > 0 {
            state.queue.push_back(Queued::Event(Event::Reconnected));
        }
        let early = std::mem::take(&mut state.early);
        state.queue.extend(early);
        state.attached += 1;
        // The broker begins to count anew.
        state.granted = state.granted.max(0);
        state.owed = match self.options.receiver_queue {
            0 => u32::try_from(state.granted).unwrap_or(u32::MAX),
            queue => queue,
        };
        self.give_back(&mut state, 0);
        drop(state);
        self.ready();
        Ok(())
    }

    /// Makes a subscription that is not durable begin where this consumer is.
    pub(super) fn begin_behind_handed_out(&self, state: &mut State) {
        if let Some(id) = state.handed_out
            && !self.options.durable
        {
            state.start = Some(Start::new(id, false));
        }
    }

    /// Begins an attempt on a connection.
    pub(super) fn attaching(&self, connection: u64) {
        let mut state = self.state();
        state.early.clear();
        state.link = Link::Attaching { connection, broken: None };
        state.active = false;
    }

    /// Waits until the consumer is attached, or has ended.
    pub(super) async fn until_attached(&self) {
        loop {
            let queued = self.queued.notified();
            tokio::pin!(queued);
            // From here on a notification is not missed.
            queued.as_mut().enable();
            {
                let state = self.state();
                if matches!(state.link, Link::Attached(_)) || state.ended.is_some() {
                    return;
                }
            }
            queued.await;
        }
    }

    /// Ends the consumer for good. The first reason counts.
    pub(super) fn end(&self, reason: Error) {
        {
            let mut state = self.state();
            if state.ended.is_some() {
                return;
            }
            state.ended = Some(reason.clone());
            if let Link::Attached(connection) = std::mem::replace(&mut state.link, Link::Detached) {
                connection.remove_consumer(self.id);
            }
            state.queue.push_back(Queued::Event(Event::Closed(reason.clone())));
        }
        if reason != Error::Closed {
            tracing::info!(topic = self.topic, %reason, "the consumer ended");
        }
        self.closed.send_replace(Some(reason));
        self.wake.notify_one();
        self.ready();
    }

    pub(super) async fn closed(&self) -> Error {
        let mut closed = self.closed.subscribe();
        match closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(Error::Closed),
            Err(_) => Error::Closed,
        }
    }

    pub(super) fn on_ready(&self, callback: Arc<dyn Fn() + Send + Sync>) {
        *self.on_ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(callback.clone());
        callback();
    }

    fn ready(&self) {
        self.queued.notify_waiters();
        let callback = self.on_ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(callback) = callback {
            callback();
        }
    }

    /// Queues something if it comes from the present connection.
    fn queue(&self, connection: u64, queue: impl FnOnce(&mut State) -> Option<Queued>) {
        {
            let mut state = self.state();
            let attached = match &state.link {
                Link::Attached(current) if current.id == connection => true,
                Link::Attaching { connection: attaching, .. } if *attaching == connection => false,
                _ => return,
            };
            match queue(&mut state) {
                Some(queued) if attached => state.queue.push_back(queued),
                Some(queued) => {
                    state.early.push(queued);
                    return;
                }
                None => return,
            }
        }
        self.ready();
    }
}

impl ConsumerSink for Core {
    fn message(&self, connection: u64, command: CommandMessage, stored: Stored) {
        let arrived = Arrived::new(command, stored);
        self.queue(connection, |state| {
            state.progressed = true;
            if arrived.command.consumer_epoch.is_some_and(|epoch| epoch < state.epoch) {
                // Sent before the broker was asked to deliver everything again.
                self.give_back(state, arrived.permits);
                return None;
            }
            Some(Queued::Entry(Box::new(arrived)))
        });
    }

    fn active(&self, connection: u64, active: bool) {
        self.queue(connection, |state| {
            state.active = active;
            Some(Queued::Event(Event::Active(active)))
        });
    }

    fn end_of_topic(&self, connection: u64) {
        self.queue(connection, |_| Some(Queued::Event(Event::EndOfTopic)));
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
                if !self.options.reconnects && !state.seeking {
                    drop(state);
                    return self.end(reason);
                }
                state.link = Link::Detached;
                tracing::debug!(topic = self.topic, %reason, "the consumer lost its broker");
            }
            _ => return,
        }
        drop(state);
        self.wake.notify_one();
    }
}
