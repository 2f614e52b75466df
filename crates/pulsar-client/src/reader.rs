// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Readers: a place in a topic that moves forward, without a subscription that anybody else would see.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use crate::client::Client;
use crate::consumer::{Consumer, ConsumerBuilder, Event, SeekTo};
use crate::entry::ReceivedMessage;
use crate::error::{Error, Result};
use crate::message_id::MessageId;

/// Options of a reader, with which it is [opened](ReaderBuilder::open).
#[derive(Clone, Debug)]
#[must_use]
pub struct ReaderBuilder {
    consumer: ConsumerBuilder,
    start: Option<(MessageId, bool)>,
}

impl ReaderBuilder {
    pub(crate) fn new(client: Client, topic: String) -> ReaderBuilder {
        let name = format!("reader-{:016x}", rand::random::<u64>());
        let consumer = ConsumerBuilder::new(client, topic).subscription(name).durable(false);
        ReaderBuilder { consumer, start: None }
    }

    /// Begins with the first message that the topic still has. This is the default.
    pub fn earliest(mut self) -> ReaderBuilder {
        self.start = None;
        self
    }

    /// Begins with the first message that comes after the reader was opened.
    pub fn latest(mut self) -> ReaderBuilder {
        self.start = Some((MessageId::LATEST, false));
        self
    }

    /// Begins with this message.
    pub fn from(mut self, id: MessageId) -> ReaderBuilder {
        self.start = Some((id, true));
        self
    }

    /// Begins behind this message.
    pub fn after(mut self, id: MessageId) -> ReaderBuilder {
        self.start = Some((id, false));
        self
    }

    /// Sets whether to read the compacted topic: the latest message of each key.
    pub fn read_compacted(mut self, read_compacted: bool) -> ReaderBuilder {
        self.consumer = self.consumer.read_compacted(read_compacted);
        self
    }

    /// Sets how many messages may wait in the reader; 1000 unless set.
    pub fn receiver_queue(mut self, messages: u32) -> ReaderBuilder {
        self.consumer = self.consumer.receiver_queue(messages.max(1));
        self
    }

    /// Sets how large an entry may be after decompression; 64 MiB unless set.
    pub fn max_entry_size(mut self, bytes: usize) -> ReaderBuilder {
        self.consumer = self.consumer.max_entry_size(bytes);
        self
    }

    /// Sets whether the topic is created if it does not exist and the broker allows it; it is unless set otherwise.
    pub fn force_topic_creation(mut self, force: bool) -> ReaderBuilder {
        self.consumer = self.consumer.force_topic_creation(force);
        self
    }

    /// Opens the reader; see [`ConsumerBuilder::subscribe`].
    pub async fn open(self) -> Result<Reader> {
        let (id, inclusive) = self.start.unwrap_or((MessageId::EARLIEST, true));
        let consumer = self.consumer.start(id, inclusive).subscribe().await?;
        // The end was turned into a place.
        let (at, inclusive) = match consumer.start() {
            Some(start) if id == MessageId::LATEST => start,
            _ => (id, inclusive),
        };
        let place = Place { at, inclusive };
        Ok(Reader { consumer, read: AsyncMutex::default(), place: Mutex::new(place) })
    }
}

/// Reads a topic from a place on. It resumes where it was when the connection is lost: every message is read once.
#[derive(Debug)]
pub struct Reader {
    consumer: Consumer,
    /// What is left of the last entry. Whoever reads holds it.
    read: AsyncMutex<VecDeque<ReceivedMessage>>,
    place: Mutex<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: MessageId,
    /// Whether the message there is still to be read.
    inclusive: bool,
}

impl Reader {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic's full name.
    pub fn topic(&self) -> &str {
        self.consumer.topic()
    }

    /// Waits for the next message. Dropping the future loses nothing.
    ///
    /// An entry that cannot be read is an error, and passed over: the next call goes on behind it. A terminated topic
    /// that was read to its end is [`Error::TopicTerminated`].
    pub async fn next(&self) -> Result<ReceivedMessage> {
        let mut read = self.read.lock().await;
        loop {
            if let Some(message) = read.pop_front() {
                *self.place() = Place { at: message.id, inclusive: false };
                if read.is_empty() {
                    // The broker tells of the topic's end by what was acknowledged.
                    self.consumer.tell_read(&message.id);
                }
                return Ok(message);
            }
            match self.consumer.recv().await? {
                Event::Messages(entry) => read.extend(entry.messages),
                Event::Unreadable { id, error } => {
                    *self.place() = Place { at: id, inclusive: false };
                    return Err(error);
                }
                Event::EndOfTopic => return Err(Error::TopicTerminated(self.topic().to_owned())),
                Event::Closed(reason) => return Err(reason),
                Event::Active(_) | Event::Reconnected => {}
            }
        }
    }

    /// Reports whether the topic has messages that were not read, as of now.
    pub async fn has_more(&self) -> Result<bool> {
        let read = self.read.lock().await;
        if !read.is_empty() {
            return Ok(true);
        }
        let last = self.consumer.retry(|| self.consumer.last_message_id()).await?.last;
        let Some(last) = last else { return Ok(false) };
        let Place { at, inclusive } = *self.place();
        // The broker does not tell how large the last batch is, only the index of its last message.
        Ok(if at.same_entry(&last) && (at.batch_index.is_none() || last.batch_index.is_none()) {
            inclusive
        } else if inclusive {
            at <= last
        } else {
            at < last
        })
    }

    /// Moves to another place.
    pub async fn seek(&self, to: SeekTo) -> Result<()> {
        let mut read = self.read.lock().await;
        let at_end = match to {
            SeekTo::Latest => self.consumer.last_message_id().await?.last.unwrap_or(MessageId::EARLIEST),
            _ => MessageId::EARLIEST,
        };
        self.consumer.seek(to).await?;
        read.clear();
        *self.place() = match to {
            SeekTo::MessageId(id) => Place { at: id, inclusive: true },
            SeekTo::After(id) => Place { at: id, inclusive: false },
            SeekTo::Latest => Place { at: at_end, inclusive: false },
            SeekTo::Earliest | SeekTo::Timestamp(_) => Place { at: MessageId::EARLIEST, inclusive: true },
        };
        Ok(())
    }

    /// The consumer below.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Closes the reader.
    pub async fn close(&self) -> Result<()> {
        self.consumer.close().await
    }
}
