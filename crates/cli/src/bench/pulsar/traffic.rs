// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The producers that fill the input, and the consumers that read the output. Every program has the same ones.
//!
//! Keys are written in hexadecimal: clients differ in what they make of a key that is not text.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use fnstream_pulsar_client::{
    Batching, Client, Error, Event, Hashing, Message, MessageId, PartitionedConsumer, PartitionedProducer, Producer,
    SendFuture,
};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::bench::outside::{self, Topics, failed};
use crate::bench::target::Outputs;
use crate::failure::{Failure, Result};

/// How long the broker may take to hand out what it has.
const ANSWER: Duration = Duration::from_secs(30);

/// Bytes that may be on their way into the input.
const UNDER_WAY: usize = 16 << 20;

/// What a record takes beside its key and its value, about.
const OVERHEAD: usize = 64;

/// Records that may wait in the consumer of a partition.
const RECEIVER_QUEUE: u32 = 10_000;

/// Records of one frame of outputs.
const MAX_RECORDS: usize = 4096;

/// Fills the input.
pub(super) struct Sender {
    partitions: Vec<Partition>,
    /// Whether each record is an entry of its own.
    unbatched: bool,
    /// How many records without a key were sent: they go to the partitions by turns.
    sent: usize,
    /// What the broker has not answered, with its size.
    under_way: VecDeque<(SendFuture, usize)>,
    bytes: usize,
    runtime: Arc<Runtime>,
}

/// A partition of the input, and the batch for it.
struct Partition {
    producer: Producer,
    next_sequence_id: u64,
    batch: Vec<Message>,
    size: usize,
}

impl Sender {
    pub(super) fn open(runtime: Arc<Runtime>, client: &Client, topics: &Topics, unbatched: bool) -> Result<Self> {
        // What is under way is bounded here.
        let options = client.producer(&topics.input).max_pending(usize::MAX, usize::MAX);
        let made = runtime.block_on(PartitionedProducer::create(client, options, Hashing::default()));
        let made = made.map_err(|e| failed("making a producer of Pulsar", &e))?;
        let producers = (0..made.partitions()).filter_map(|partition| made.partition(partition));
        let partition = |producer: Producer| Partition {
            next_sequence_id: producer.last_sequence_id().map_or(0, |last| last + 1),
            producer,
            batch: Vec::new(),
            size: 0,
        };
        let partitions = producers.map(partition).collect();
        Ok(Sender { partitions, unbatched, sent: 0, under_way: VecDeque::new(), bytes: 0, runtime })
    }

    /// The partition of a record: that of its key is where other clients of Pulsar put it.
    fn partition_of(&mut self, key: Option<&str>) -> usize {
        let count = self.partitions.len();
        match key {
            Some(key) => Hashing::default().partition(key.as_bytes(), count as u32) as usize,
            None => {
                self.sent += 1;
                (self.sent - 1) % count
            }
        }
    }

    fn send_batch(&mut self, partition: usize) {
        let of = &mut self.partitions[partition];
        let (batch, size) = (std::mem::take(&mut of.batch), std::mem::take(&mut of.size));
        if batch.is_empty() {
            return;
        }
        let first = of.next_sequence_id;
        of.next_sequence_id += batch.len() as u64;
        let outcome = match <[Message; 1]>::try_from(batch) {
            Ok([alone]) => of.producer.send(alone.sequence_id(first)),
            Err(several) => of.producer.send_batch(first, several),
        };
        self.under_way.push_back((outcome, size));
        self.bytes += size;
    }

    /// Waits until no more than that is under way.
    fn settle(&mut self, bytes: usize) -> Result {
        while self.bytes > bytes
            && let Some((outcome, size)) = self.under_way.pop_front()
        {
            self.runtime.block_on(outcome).map_err(|e| unsent(&e))?;
            self.bytes -= size;
        }
        Ok(())
    }
}

fn unsent(error: &Error) -> Failure {
    failed("filling the input", error)
}

impl outside::Sender for Sender {
    fn send(&mut self, frame: &[u8]) -> Result {
        let frame = Frame::parse(frame).map_err(|e| Failure::Plain(e.to_string()))?;
        let Batching { max_messages, max_bytes, .. } = Batching::default();
        for view in frame.iter() {
            let key = view.key.map(key_text);
            let at = self.partition_of(key.as_deref());
            let of = &mut self.partitions[at];
            let mut message = Message::new(Bytes::copy_from_slice(view.bytes()));
            of.size += view.bytes().len() + key.as_ref().map_or(0, String::len) + OVERHEAD;
            if let Some(key) = key {
                message = message.key(key);
            }
            of.batch.push(message);
            if self.unbatched || of.batch.len() >= max_messages || of.size >= max_bytes {
                self.send_batch(at);
            }
        }
        (0..self.partitions.len()).for_each(|partition| self.send_batch(partition));
        if let Some(reason) = self.partitions.iter().find_map(|of| of.producer.ended()) {
            return Err(unsent(&reason));
        }
        self.settle(UNDER_WAY)
    }

    fn flush(&mut self) -> Result {
        self.settle(0)
    }
}

/// Reads all partitions of the output from the beginning.
pub(super) struct Reader {
    consumers: PartitionedConsumer,
    partitions: u32,
    /// The last entry of each partition that was read.
    read: BTreeMap<i32, MessageId>,
    runtime: Arc<Runtime>,
}

impl Reader {
    pub(super) fn open(runtime: Arc<Runtime>, client: &Client, topics: &Topics) -> Result<Self> {
        // The broker may not have missed the last reader yet.
        let options = client.consumer(&topics.output).subscription(outside::unique()).durable(false);
        let options = options.start(MessageId::EARLIEST, true).receiver_queue(RECEIVER_QUEUE);
        let options = options.force_topic_creation(false);
        let consumers = runtime.block_on(PartitionedConsumer::subscribe(client, options, None));
        let consumers = consumers.map_err(|e| failed("making a consumer of Pulsar", &e))?;
        Ok(Reader { consumers, partitions: topics.partitions, read: BTreeMap::new(), runtime })
    }

    /// Whether everything was read that is in the output now.
    fn is_at_end(&self) -> Result<bool> {
        for partition in 0..self.partitions as i32 {
            let Some(consumer) = self.consumers.partition(partition) else { continue };
            let last = self.runtime.block_on(consumer.last_message_id()).map_err(|e| unread(&e))?.last;
            // Entries are read whole.
            let is_read = |last: MessageId| self.read.get(&partition).is_some_and(|read| *read >= last.whole_entry());
            if !last.is_none_or(is_read) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next event, if there is one within the time.
    fn event(&self, patience: Duration) -> Result<Option<Event>> {
        let received = self.runtime.block_on(async { timeout(patience, self.consumers.recv()).await });
        match received {
            Ok(received) => Ok(Some(received.map_err(|e| unread(&e))?.1)),
            Err(_nothing_came) => Ok(None),
        }
    }

    fn take(&mut self, event: Event, frame: &mut FrameBuilder) -> Result {
        match event {
            Event::Messages(entry) => {
                self.read.insert(entry.id.partition, entry.id);
                for message in &entry.messages {
                    let key = message.key.as_deref().map(key_of);
                    let record = RecordRef { value: message.payload.as_deref(), ..RecordRef::null() };
                    frame.push(record.with_key(key.as_deref()));
                }
                Ok(())
            }
            Event::Unreadable { error, .. } | Event::Closed(error) => Err(unread(&error)),
            // The client connects anew by itself, and goes on where it was.
            _ => Ok(()),
        }
    }
}

fn unread(error: &Error) -> Failure {
    failed("reading the output", error)
}

impl Outputs for Reader {
    /// Without patience the end is the end of every partition, however long it takes to see that.
    fn next(&mut self, patience: Duration) -> Result<Option<Bytes>> {
        let until = Instant::now() + patience;
        let mut frame = FrameBuilder::new();
        while frame.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let event = if patience.is_zero() {
                if self.is_at_end()? {
                    return Ok(None);
                }
                let event = self.event(ANSWER)?;
                Some(
                    event
                        .ok_or_else(|| Failure::Plain(format!("outputs that are there did not come in {ANSWER:?}")))?,
                )
            } else {
                self.event(left)?
            };
            let Some(event) = event else { return Ok(None) };
            self.take(event, &mut frame)?;
        }
        while frame.len() < MAX_RECORDS
            && let Some((_, event)) = self.consumers.try_recv()
        {
            self.take(event, &mut frame)?;
        }
        Ok(Some(frame.to_bytes().into()))
    }
}

/// A key as text.
fn key_text(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len() * 2);
    for byte in key {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The key whose text that is; one that is none stays as it is.
fn key_of(text: &[u8]) -> Vec<u8> {
    let digit = |sign: u8| char::from(sign).to_digit(16).filter(|_| !sign.is_ascii_uppercase());
    let byte = |two: &[u8]| Some((digit(two[0])? << 4 | digit(two[1])?) as u8);
    let (pairs, rest) = text.as_chunks::<2>();
    let key: Option<Vec<u8>> = pairs.iter().map(|two| byte(two)).collect();
    key.filter(|_| rest.is_empty()).unwrap_or_else(|| text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_as_it_went() {
        for key in [&b""[..], b"\x00\xff\x9e7", b"orders"] {
            assert_eq!(key_of(key_text(key).as_bytes()), key);
        }
        assert_eq!(key_text(b"\x00\xff"), "00ff");
        for other in [&b"abc"[..], b"AB", b"zz"] {
            assert_eq!(key_of(other), other);
        }
    }
}
