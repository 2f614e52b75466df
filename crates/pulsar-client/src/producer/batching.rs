// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Batches that form by themselves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Result};
use crate::message::Message;
use crate::producer::{Producer, Receipt, SendFuture};

/// When a batch is sent.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// The most messages of a batch.
    pub max_messages: usize,
    /// The size, before compression, at which a batch is sent.
    pub max_bytes: usize,
    /// How long a message may wait for others.
    pub max_delay: Duration,
}

impl Default for Batching {
    /// 1000 messages, 128 KiB, 1 millisecond: as the Java client.
    fn default() -> Batching {
        Batching { max_messages: 1000, max_bytes: 128 << 10, max_delay: Duration::from_millis(1) }
    }
}

/// A producer that gathers messages into batches. Which messages share a batch depends on time, so that a program that
/// sends again after a restart, and counts on the broker's deduplication, must make its
/// [batches](Producer::send_batch) itself.
///
/// The sequence ids of its messages are counted; one that a message brings begins a new batch and is counted on from.
#[derive(Clone, Debug)]
pub struct BatchingProducer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    producer: Producer,
    batching: Batching,
    open: Mutex<Open>,
    /// Wakes the task that sends what has waited long enough.
    opened: Arc<Notify>,
}

#[derive(Debug)]
struct Open {
    next_sequence_id: u64,
    messages: Vec<Message>,
    outcomes: Vec<oneshot::Sender<Result<Receipt>>>,
    bytes: usize,
    since: Option<Instant>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.opened.notify_one();
    }
}

impl BatchingProducer {
    pub(super) fn new(producer: Producer, batching: Batching) -> BatchingProducer {
        let next_sequence_id = producer.core().next_sequence_id();
        let open = Open { next_sequence_id, messages: Vec::new(), outcomes: Vec::new(), bytes: 0, since: None };
        let opened = Arc::new(Notify::new());
        let shared = Arc::new(Shared { producer, batching, open: Mutex::new(open), opened: opened.clone() });
        let weak = Arc::downgrade(&shared);
        tokio::spawn(async move {
            loop {
                let Some(shared) = weak.upgrade() else { return };
                let since = shared.open().since;
                let delay = shared.batching.max_delay;
                drop(shared);
                match since {
                    None => opened.notified().await,
                    Some(since) => {
                        if timeout_at(since + delay, opened.notified()).await.is_err()
                            && let Some(shared) = weak.upgrade()
                        {
                            let mut open = shared.open();
                            if open.since == Some(since) {
                                shared.send_open(&mut open);
                            }
                        }
                    }
                }
            }
        });
        BatchingProducer { shared }
    }

    /// The producer below.
    pub fn producer(&self) -> &Producer {
        &self.shared.producer
    }

    /// Adds a message to the open batch, and returns its outcome: its own place in the batch.
    pub fn send(&self, message: Message) -> SendFuture {
        let Batching { max_messages, max_bytes, .. } = self.shared.batching;
        let mut open = self.shared.open();
        let alone = message.deliver_at.is_some();
        let fits = open.messages.first().is_none_or(|first| {
            first.schema_version == message.schema_version && first.replicate_to == message.replicate_to
        });
        if alone || !fits || message.sequence_id.is_some() {
            self.shared.send_open(&mut open);
        }
        if let Some(sequence_id) = message.sequence_id {
            open.next_sequence_id = sequence_id;
        }
        if alone {
            let sequence_id = open.next_sequence_id;
            open.next_sequence_id += 1;
            return self.shared.producer.send(message.sequence_id(sequence_id));
        }
        let (outcome, receiver) = oneshot::channel();
        open.bytes += message.payload.as_ref().map_or(0, bytes::Bytes::len);
        open.messages.push(message);
        open.outcomes.push(outcome);
        if open.messages.len() >= max_messages || open.bytes >= max_bytes {
            self.shared.send_open(&mut open);
        } else if open.since.is_none() {
            open.since = Some(Instant::now());
            self.shared.opened.notify_one();
        }
        SendFuture::pending(receiver)
    }

    /// Sends the open batch, and waits for the outcome of everything sent.
    pub async fn flush(&self) -> Result<()> {
        self.shared.send_open(&mut self.shared.open());
        self.shared.producer.flush().await
    }

    /// Sends the open batch, and closes the producer.
    pub async fn close(&self) -> Result<()> {
        self.shared.send_open(&mut self.shared.open());
        self.shared.producer.close().await
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_open(&self, open: &mut Open) {
        open.since = None;
        open.bytes = 0;
        if open.messages.is_empty() {
            return;
        }
        let (messages, outcomes) = (std::mem::take(&mut open.messages), std::mem::take(&mut open.outcomes));
        let (first, size) = (open.next_sequence_id, messages.len() as u32);
        open.next_sequence_id += u64::from(size);
        let batch = self.producer.send_batch(first, messages);
        tokio::spawn(async move {
            let outcome = batch.await;
            for (index, sender) in outcomes.into_iter().enumerate() {
                let outcome = outcome
                    .clone()
                    .map(|receipt| Receipt { message_id: receipt.message_id.at_index(index as u32, size), ..receipt });
                let _nobody_waits: Result<_, Result<Receipt, Error>> = sender.send(outcome);
            }
        });
    }
}
