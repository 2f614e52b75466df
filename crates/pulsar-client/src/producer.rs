// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producers: who may write to a topic, in what order, and what happens to what is not acknowledged.
//!
//! **Order.** Messages are stored in the order of the calls of [`Producer::send`] and [`Producer::send_batch`], which queue
//! them before they return.
//!
//! **Reconnecting.** When its connection ends, or the broker closes it (as it does when a topic moves), a producer finds
//! the topic again and sends whatever is not acknowledged once more: the same frames, byte for byte, in the same order.
//! It tries for as long as it takes. With deduplication switched on in the broker this stores every message once;
//! without it, a message whose acknowledgement was lost is stored twice.
//!
//! **Having a topic to oneself.** The broker counts epochs: a producer that comes back after somebody else took the topic
//! over is fenced. Brokers (4.0) say the same to one that comes back before they noticed that its last connection is gone,
//! except with [`Access::ExclusiveWithFencing`]. A producer with [`Access::Exclusive`] or
//! [`Access::WaitForExclusive`] therefore tries again for a while before it believes that it is fenced: for as long as an
//! operation may take and two signs of life. Nothing that it sends is stored meanwhile.
//!
//! **The end.** A producer ends for good when the broker says so: fenced, topic terminated, topic deleted, not authorized
//! and the like. Then everything pending ends with that error, [`Producer::closed`] resolves, and further messages are
//! refused with it.

mod batching;
mod builder;
mod core;
mod session;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

pub use self::batching::{Batching, BatchingProducer};
pub use self::builder::{Access, ProducerBuilder};
use self::core::Core;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::message_id::MessageId;

/// What the broker answers to a message or a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Where it is stored: the entry, and for a single message the message itself. It has no meaning for a duplicate.
    pub message_id: MessageId,
    /// Whether the broker had stored it before, and did not store it again.
    pub duplicate: bool,
}

/// The outcome of a message or a batch, which is on its way whether this is awaited or dropped.
#[derive(Debug)]
#[must_use = "only the outcome tells whether the message was stored"]
pub struct SendFuture(Outcome);

#[derive(Debug)]
enum Outcome {
    Pending(oneshot::Receiver<Result<Receipt>>),
    Refused(Option<Error>),
}

impl SendFuture {
    fn pending(receiver: oneshot::Receiver<Result<Receipt>>) -> SendFuture {
        SendFuture(Outcome::Pending(receiver))
    }

    pub(crate) fn refused(error: Error) -> SendFuture {
        SendFuture(Outcome::Refused(Some(error)))
    }
}

impl Future for SendFuture {
    type Output = Result<Receipt>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Receipt>> {
        match &mut self.0 {
            Outcome::Pending(receiver) => {
                Pin::new(receiver).poll(context).map(|outcome| outcome.unwrap_or(Err(Error::Closed)))
            }
            Outcome::Refused(error) => Poll::Ready(Err(error.take().unwrap_or(Error::Closed))),
        }
    }
}

/// A producer of one topic. Clones are the same producer, which closes with the last of them.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

/// Closes the producer when nobody has it any longer.
struct Handle(Arc<Core>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("topic", &self.topic()).field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Producer {
    fn new(core: Arc<Core>) -> Producer {
        Producer { handle: Arc::new(Handle(core)) }
    }

    fn core(&self) -> &Arc<Core> {
        &self.handle.0
    }

    /// The topic's full name.
    pub fn topic(&self) -> &str {
        self.core().topic()
    }

    /// The producer's name: its own, or the one that the broker gave it.
    pub fn name(&self) -> String {
        self.core().state().name.clone()
    }

    /// The highest sequence id that is known to be stored: what the broker told when the producer (last) connected, and
    /// what it acknowledged since. None if it told of none, as a broker that does not deduplicate always does.
    pub fn last_sequence_id(&self) -> Option<u64> {
        self.core().state().last_sequence_id
    }

    /// The epoch under which this producer has the topic to itself; none for [`Access::Shared`].
    pub fn topic_epoch(&self) -> Option<u64> {
        self.core().state().topic_epoch
    }

    /// The version of the producer's schema, if it has one.
    pub fn schema_version(&self) -> Option<Bytes> {
        self.core().state().schema_version.clone()
    }

    /// How large a message or a batch may be, metadata included, after compression.
    pub fn max_message_size(&self) -> usize {
        self.core().state().max_message_size
    }

    /// Queues a message, and returns its outcome. Its sequence id is its own, or else one more than that of the message
    /// queued before it.
    ///
    /// The sequence ids of a producer should only grow: a broker that deduplicates takes what is not above the last one
    /// for a repetition, and answers with [`Receipt::duplicate`].
    pub fn send(&self, message: Message) -> SendFuture {
        self.core().send(message)
    }

    /// Queues several messages to be stored as one entry, whose sequence ids go from `first_sequence_id` on, one for
    /// each message.
    ///
    /// The broker deduplicates batches, not messages: to be recognized, a batch that is sent again must begin at the same
    /// sequence id and have as many messages.
    pub fn send_batch(&self, first_sequence_id: u64, messages: Vec<Message>) -> SendFuture {
        self.core().send_batch(first_sequence_id, messages)
    }

    /// Begins to gather messages into batches on top of this producer.
    pub fn batching(&self, batching: Batching) -> BatchingProducer {
        BatchingProducer::new(self.clone(), batching)
    }

    /// Waits until the queue has room again, after [`Error::QueueFull`].
    pub async fn ready(&self) -> Result<()> {
        self.core().ready().await
    }

    /// Waits until everything that is queued now has its outcome, whichever. Fails if the producer has ended.
    pub async fn flush(&self) -> Result<()> {
        self.core().flush().await
    }

    /// Reports whether the producer is connected at the moment.
    pub fn is_connected(&self) -> bool {
        self.core().is_connected()
    }

    /// Returns what keeps the producer from a broker at present: what the last attempt to connect met, if the producer was lost and
    /// is not back yet. It goes on trying meanwhile.
    pub fn obstacle(&self) -> Option<Error> {
        self.core().state().obstacle.clone()
    }

    /// Returns why the producer has ended, if it has.
    pub fn ended(&self) -> Option<Error> {
        self.core().state().ended.clone()
    }

    /// Waits until the producer has ended, and says why: [`Error::Closed`] after [`close`](Producer::close), otherwise what
    /// the broker said.
    pub async fn closed(&self) -> Error {
        self.core().closed().await
    }

    /// Sends what is queued, and closes the producer. Dropping it closes it too, but gives up what is queued.
    pub async fn close(&self) -> Result<()> {
        let flushed = self.flush().await;
        self.core().close().await;
        flushed
    }
}
