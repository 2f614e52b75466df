// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consumers: what they receive, in what order, and what happens when the broker is lost.
//!
//! **Order.** Events are received in the order in which the broker sent them; messages of one entry come together.
//!
//! **Flow.** The broker sends no more messages than it was granted. With a [receiver
//! queue](ConsumerBuilder::receiver_queue) the consumer grants as many as the queue has room for, and grants again as
//! they are received. Without one, nothing comes until [`Consumer::grant`] or [`Consumer::grant_up_to`] is called. Entries are
//! sent whole: batches may exceed what was granted, by far if they are large and several, and the broker sends nothing more
//! until grants have made up for it.
//!
//! **Reconnecting.** When its connection ends, or the broker closes it (as it does when a topic moves), the consumer
//! finds the topic again and subscribes again, for as long as it takes. It drops what it had not handed out and receives
//! [`Event::Reconnected`]; what follows begins behind the last acknowledged message, and for a subscription that is not
//! durable behind the last message that was handed out. What was handed out and not acknowledged may come again. One that
//! is told [not to](ConsumerBuilder::reconnects) ends instead.
//!
//! **The end.** A consumer ends for good when the broker says so: topic deleted, not authorized and the like. It receives
//! [`Event::Closed`] last.

mod builder;
mod chunks;
mod control;
mod core;
mod session;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use self::builder::{ConsumerBuilder, InitialPosition, SubscriptionType};
use self::core::Core;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::message_id::MessageId;

/// What a consumer receives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The messages of an entry.
    Messages(Entry),
    /// An entry that cannot be read: damaged, too large, or encrypted. It stays unacknowledged.
    Unreadable {
        /// The entry.
        id: MessageId,
        /// Why it cannot.
        error: Error,
    },
    /// The broker made this consumer of a failover subscription the active one, or no longer.
    Active(bool),
    /// The consumer subscribed again: what follows may have been received before. It is not active until told.
    Reconnected,
    /// The topic is terminated, and everything in it was acknowledged.
    EndOfTopic,
    /// The consumer has ended for good, and why.
    Closed(Error),
}

/// Where to continue; see [`Consumer::seek`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// With the first message that the topic still has.
    Earliest,
    /// With the next message that the topic gets.
    Latest,
    /// With this message.
    MessageId(MessageId),
    /// With the message after this one.
    After(MessageId),
    /// With the first entry that was published at this time or later, in milliseconds since 1970.
    Timestamp(u64),
}

/// Where a topic and a subscription end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastMessageId {
    /// The last message of the topic; none if it is empty.
    pub last: Option<MessageId>,
    /// The entry up to which the subscription has acknowledged everything; none if the broker does not tell.
    pub mark_delete: Option<MessageId>,
}

/// A consumer of one topic. Clones are the same consumer, which closes with the last of them.
#[derive(Clone)]
pub struct Consumer {
    handle: Arc<Handle>,
}

/// Closes the consumer when nobody has it any longer.
struct Handle(Arc<Core>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("topic", &self.topic()).finish_non_exhaustive()
    }
}

impl Consumer {
    fn new(core: Arc<Core>) -> Consumer {
        Consumer { handle: Arc::new(Handle(core)) }
    }

    fn core(&self) -> &Arc<Core> {
        &self.handle.0
    }

    /// The topic's full name.
    pub fn topic(&self) -> &str {
        &self.core().topic
    }

    /// The subscription's name.
    pub fn subscription(&self) -> &str {
        &self.core().options.subscription
    }

    /// Waits for the next event. After [`Event::Closed`] it fails with the reason. Dropping the future loses nothing.
    pub async fn recv(&self) -> Result<Event> {
        self.core().recv().await
    }

    /// Returns the next event, if there is one.
    pub fn try_recv(&self) -> Option<Event> {
        self.core().try_recv()
    }

    /// Has a function called whenever something can be received, for callers that are not asynchronous. It is called on a
    /// thread of the runtime and must not block; and once right now.
    pub fn on_ready(&self, callback: Arc<dyn Fn() + Send + Sync>) {
        self.core().on_ready(callback);
    }

    /// Acknowledges a message, and waits for the broker's receipt. It fails with [`Error::Disconnected`] while the
    /// consumer is not connected; the message then comes again.
    ///
    /// The receipt says that the broker took note, not that it is stored: a broker that fails soon after (and, rarely, one
    /// that hands the topic over) may deliver the message again.
    ///
    /// Of a batch, the broker takes note of single messages only if `acknowledgmentAtBatchIndexLevelEnabled` is set
    /// there. If it is not, the entry is acknowledged once all its messages are, and until then all of them may come
    /// again.
    pub async fn ack(&self, id: &MessageId) -> Result<()> {
        self.core().ack(std::slice::from_ref(id), false).await
    }

    /// Acknowledges several messages at once; see [`ack`](Consumer::ack).
    pub async fn ack_many(&self, ids: &[MessageId]) -> Result<()> {
        self.core().ack(ids, false).await
    }

    /// Acknowledges all messages up to and with this one, and waits for the broker's receipt; see
    /// [`ack`](Consumer::ack). Shared subscriptions do not have it.
    pub async fn ack_cumulative(&self, id: &MessageId) -> Result<()> {
        self.core().ack(std::slice::from_ref(id), true).await
    }

    /// Has messages delivered again after a delay. Exclusive and failover subscriptions deliver everything again that is
    /// not acknowledged. Entries count as a whole.
    pub fn negative_ack(&self, ids: &[MessageId], delay: Duration) {
        self.core().negative_ack(ids, delay);
    }

    /// Has everything delivered again that was not acknowledged. What was not handed out yet is dropped, to come again in
    /// its place.
    pub fn redeliver_unacknowledged(&self) -> Result<()> {
        self.core().redeliver_unacknowledged()
    }

    /// Moves the subscription. The broker closes its consumers for that; this one subscribes again, and receives
    /// [`Event::Reconnected`] before what lies at the new place.
    pub async fn seek(&self, to: SeekTo) -> Result<()> {
        self.core().seek(to).await
    }

    /// Asks the broker where the topic and the subscription end.
    pub async fn last_message_id(&self) -> Result<LastMessageId> {
        self.core().last_message_id().await
    }

    /// Removes the subscription, and closes the consumer. Forced, it is removed although it has other consumers.
    pub async fn unsubscribe(&self, force: bool) -> Result<()> {
        self.core().unsubscribe(force).await
    }

    /// Lets the broker send so many messages more. For consumers without a receiver queue.
    pub fn grant(&self, messages: u32) {
        self.core().grant(messages);
    }

    /// Lets the broker have so many messages on the way: grants what is missing, once that is half of it. By how much a batch
    /// exceeded what was granted before is missing, too: without it nothing would come any more. For consumers without a receiver
    /// queue.
    pub fn grant_up_to(&self, messages: u32) {
        self.core().grant_up_to(messages);
    }

    /// Grants no more messages until [`resume`](Consumer::resume). What is granted already still comes.
    pub fn pause(&self) {
        self.core().pause();
    }

    /// Grants messages again.
    pub fn resume(&self) {
        self.core().resume();
    }

    /// Where a consumer that is not durable begins.
    pub(crate) fn start(&self) -> Option<(MessageId, bool)> {
        self.core().state().start.map(|start| (start.id, start.inclusive))
    }

    pub(crate) fn tell_read(&self, id: &MessageId) {
        self.core().tell_read(id);
    }

    pub(crate) async fn retry<T, F: Future<Output = Result<T>>>(&self, attempt: impl FnMut() -> F) -> Result<T> {
        self.core().client.retry(attempt).await
    }

    /// Reports whether the consumer is connected at the moment.
    pub fn is_connected(&self) -> bool {
        self.core().is_connected()
    }

    /// Reports whether this is the active consumer of a failover subscription, as far as the broker has told on the connection that there
    /// is now. [`Event::Active`] tells of it in its turn, behind what came before.
    pub fn is_active(&self) -> bool {
        self.core().is_active()
    }

    /// Closes the consumer. The subscription stays, if it is durable.
    pub async fn close(&self) -> Result<()> {
        self.core().close().await;
        Ok(())
    }
}
