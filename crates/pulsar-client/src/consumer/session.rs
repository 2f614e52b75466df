// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How a consumer comes to its broker, again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::client::Inner;
use crate::connection::{Connection, ConsumerSink};
use crate::consumer::builder::{ConsumerOptions, InitialPosition, SubscriptionType};
use crate::consumer::core::{Core, Link};
use crate::entry::Start;
use crate::error::{Error, Result};
use crate::lookup;
use crate::message_id::MessageId;
use crate::proto::command_subscribe::{InitialPosition as WirePosition, SubType};
use crate::proto::{Body, CommandCloseConsumer, CommandSubscribe, IntRange, KeySharedMeta, KeySharedMode, pairs};

impl Core {
    /// Subscribes, and keeps the consumer attached from then on.
    pub(super) async fn subscribe(client: Arc<Inner>, topic: String, options: ConsumerOptions) -> Result<Arc<Core>> {
        let core = Arc::new(Core::new(client.clone(), topic, options));
        client.retry(|| core.attempt()).await?;
        let task = core.clone();
        tokio::spawn(async move { task.keep_attached().await });
        if core.begins_at_the_end() {
            let guard = Abandon(&core);
            core.pin_the_end().await?;
            std::mem::forget(guard);
        }
        Ok(core)
    }

    fn begins_at_the_end(&self) -> bool {
        let ConsumerOptions { durable, start, initial_position, .. } = &self.options;
        !durable
            && match start {
                Some(start) => start.id == MessageId::LATEST,
                None => *initial_position == InitialPosition::Latest,
            }
    }

    /// Turns "the end" into a place. The broker forgets a subscription that is not durable with its connection, and
    /// "the end" of a second subscription would lie behind what was published meanwhile.
    async fn pin_the_end(&self) -> Result<()> {
        let last = self.client.retry(|| self.last_message_id()).await?.last;
        let id = last.map_or(MessageId::EARLIEST, MessageId::whole_entry);
        self.state().start = Some(Start::new(id, false));
        Ok(())
    }

    async fn keep_attached(self: &Arc<Self>) {
        let mut backoff = self.client.backoff();
        let mut closed = self.client.closed();
        loop {
            let (detached, progressed) = {
                let mut state = self.state();
                if state.ended.is_some() {
                    return;
                }
                let detached = matches!(state.link, Link::Detached) && !state.seeking;
                (detached, detached && std::mem::take(&mut state.progressed))
            };
            if !detached {
                tokio::select! {
                    () = self.wake.notified() => {}
                    _client_closed = closed.wait_for(|closed| *closed) => self.end(Error::Closed),
                }
                continue;
            }
            if progressed {
                backoff.reset();
            } else if self.waits(backoff.next(), &mut closed).await {
                return;
            }
            let error = match self.attempt().await {
                Ok(()) => continue,
                // The broker may still have the connection that was lost, with this consumer on it.
                Err(error) if error.is_retriable() && self.options.reconnects => error,
                Err(error) => return self.end(error),
            };
            tracing::debug!(topic = self.topic, %error, "the consumer tries again");
        }
    }

    /// Waits before the next attempt, and reports whether the consumer ended meanwhile.
    async fn waits(&self, delay: Duration, closed: &mut watch::Receiver<bool>) -> bool {
        let ended = async {
            tokio::select! {
                _ended = self.closed() => {}
                _client_closed = closed.wait_for(|closed| *closed) => self.end(Error::Closed),
            }
        };
        timeout(delay, ended).await.is_ok()
    }

    /// Finds the broker, and asks it to accept the consumer.
    async fn attempt(self: &Arc<Self>) -> Result<()> {
        let migrated = self.state().migrated.clone();
        let connection = lookup::broker_of(&self.client, &self.topic, migrated.as_ref()).await?;
        let attaching = Attaching::begin(self, &connection)?;
        match connection.request("subscribe", |request_id| self.command(request_id)).await {
            Ok(Body::Success(_)) => {}
            Ok(_) => return Err(lookup::unexpected()),
            // What the broker refused need not be taken back.
            Err(error) => {
                let lost = matches!(error, Error::Timeout(_) | Error::Disconnected(_));
                attaching.fail(lost);
                return Err(error);
            }
        }
        let attached = self.attach(&connection);
        if attached.is_ok() {
            attaching.succeed();
        }
        attached
    }

    fn command(&self, request_id: u64) -> Body {
        let options = &self.options;
        let mut state = self.state();
        self.begin_behind_handed_out(&mut state);
        let (sub_type, key_shared_meta) = match &options.subscription_type {
            SubscriptionType::Exclusive => (SubType::Exclusive, None),
            SubscriptionType::Shared => (SubType::Shared, None),
            SubscriptionType::Failover => (SubType::Failover, None),
            SubscriptionType::KeyShared { hash_ranges, allow_out_of_order } => {
                let mode = if hash_ranges.is_empty() { KeySharedMode::AutoSplit } else { KeySharedMode::Sticky };
                let hash_ranges = hash_ranges
                    .iter()
                    .map(|range| IntRange { start: (*range.start()).into(), end: (*range.end()).into() })
                    .collect();
                let meta = KeySharedMeta {
                    key_shared_mode: mode as i32,
                    hash_ranges,
                    allow_out_of_order_delivery: Some(*allow_out_of_order),
                };
                (SubType::KeyShared, Some(meta))
            }
        };
        let position = match options.initial_position {
            InitialPosition::Earliest => WirePosition::Earliest,
            InitialPosition::Latest => WirePosition::Latest,
        };
        let counts_epochs =
            matches!(options.subscription_type, SubscriptionType::Exclusive | SubscriptionType::Failover);
        Body::Subscribe(CommandSubscribe {
            topic: self.topic.clone(),
            subscription: options.subscription.clone(),
            sub_type: sub_type as i32,
            consumer_id: self.id,
            request_id,
            consumer_name: options.name.clone(),
            priority_level: Some(options.priority),
            durable: Some(options.durable),
            start_message_id: state.start.filter(|_| !options.durable).map(|start| start.id.data()),
            metadata: pairs(&options.properties),
            read_compacted: Some(options.read_compacted),
            schema: options.schema.as_ref().map(|schema| schema.to_wire()),
            initial_position: Some(position as i32),
            force_topic_creation: Some(options.force_topic_creation),
            key_shared_meta,
            subscription_properties: pairs(&options.subscription_properties),
            consumer_epoch: counts_epochs.then_some(state.epoch),
        })
    }

    /// Takes leave of the broker, and ends.
    pub(super) async fn close(self: &Arc<Self>) {
        let connection = match &self.state().link {
            Link::Attached(connection) => Some(connection.clone()),
            _ => None,
        };
        self.end(Error::Closed);
        if let Some(connection) = connection {
            let consumer_id = self.id;
            let make = |request_id| Body::CloseConsumer(CommandCloseConsumer { consumer_id, request_id });
            // A broker that cannot be told finds out by itself.
            if let Err(error) = connection.request("close a consumer", make).await {
                tracing::debug!(topic = self.topic, %error, "the consumer could not take leave");
            }
        }
    }

    /// Ends without waiting.
    pub(super) fn abandon(&self) {
        if let Link::Attached(connection) = &self.state().link {
            close(connection, self.id);
        }
        self.end(Error::Closed);
    }

    /// Gives the present connection up, to subscribe again.
    pub(super) fn detach(&self) {
        let mut state = self.state();
        if let Link::Attached(connection) = &state.link {
            connection.remove_consumer(self.id);
            close(connection, self.id);
            state.link = Link::Detached;
        }
    }
}

fn close(connection: &Connection, consumer_id: u64) {
    connection.tell(|request_id| Body::CloseConsumer(CommandCloseConsumer { consumer_id, request_id }));
}

/// Ends a consumer that nobody was given.
struct Abandon<'a>(&'a Core);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// An attempt to attach. Unless it is brought to an end, as when its future is dropped, it is taken back.
struct Attaching<'a> {
    core: &'a Core,
    connection: &'a Arc<Connection>,
    open: bool,
}

impl<'a> Attaching<'a> {
    fn begin(core: &'a Arc<Core>, connection: &'a Arc<Connection>) -> Result<Attaching<'a>> {
        core.attaching(connection.id);
        let sink: Arc<dyn ConsumerSink> = core.clone();
        let attaching = Attaching { core, connection, open: true };
        match connection.add_consumer(core.id, sink) {
            Ok(()) => Ok(attaching),
            Err(error) => {
                attaching.fail(false);
                Err(error)
            }
        }
    }

    fn succeed(mut self) {
        self.open = false;
    }

    /// The attempt failed; the broker may have accepted the consumer all the same if its answer was lost.
    fn fail(mut self, lost: bool) {
        self.open = lost;
        self.core.state().link = Link::Detached;
        self.connection.remove_consumer(self.core.id);
    }
}

impl Drop for Attaching<'_> {
    fn drop(&mut self) {
        if self.open {
            self.core.state().link = Link::Detached;
            self.connection.remove_consumer(self.core.id);
            close(self.connection, self.core.id);
        }
    }
}
