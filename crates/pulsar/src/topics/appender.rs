// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Appending for clients: a queue, and a producer for each partition that is written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::error::internal;
use fnstream_core::record::partition_for_key;
use fnstream_core::topic::Topic;
use fnstream_core::topics::{AppendDone, Appended};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{Frame, FrameBuilder};
use fnstream_pulsar_client::{Error as Failure, Message, Producer, SendFuture};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::place::Shared;
use crate::position::position;
use crate::{error, messages, names, runtime};

/// So many producers are kept that nobody uses at the moment.
const KEPT: usize = 256;

/// See the module.
pub(super) struct Appender {
    queue: UnboundedSender<Append>,
    producers: Arc<Mutex<Producers>>,
}

struct Append {
    topic: Topic,
    partition: Option<u32>,
    frame: Bytes,
    done: AppendDone,
}

#[derive(Default)]
struct Producers {
    /// By the name of the partition; with the next sequence id.
    open: HashMap<String, (Producer, u64)>,
}

impl Appender {
    pub(super) fn start(shared: Arc<Shared>) -> Appender {
        let (queue, received) = unbounded_channel();
        let producers: Arc<Mutex<Producers>> = Arc::default();
        runtime::spawn(run(shared, producers.clone(), received));
        Appender { queue, producers }
    }

    pub(super) fn append(&self, topic: Topic, partition: Option<u32>, frame: Bytes, done: AppendDone) {
        if let Err(refused) = self.queue.send(Append { topic, partition, frame, done }) {
            (refused.0.done)(Err(internal("the producer of Pulsar has ended")));
        }
    }

    /// A topic is gone.
    pub(super) fn forget(&self, topic: &str) {
        let is_of = |name: &str| name == topic || names::of_partition(name).is_some_and(|(of, _)| of == topic);
        self.producers.lock().open.retain(|name, _| !is_of(name));
    }
}

async fn run(shared: Arc<Shared>, producers: Arc<Mutex<Producers>>, mut queue: UnboundedReceiver<Append>) {
    let mut turn: u32 = 0;
    while let Some(Append { topic, partition, frame, done }) = queue.recv().await {
        turn = turn.wrapping_add(1);
        match hand_over(&shared, &producers, &topic, partition, turn, &frame).await {
            Ok(sent) => _ = runtime::spawn(async move { done(receive(&topic, sent).await) }),
            Err(error) => done(Err(error)),
        }
    }
}

/// Batches on their way: their partition, their size, and what becomes of them.
type Sent = Vec<(u32, u32, SendFuture)>;

async fn hand_over(
    shared: &Shared,
    producers: &Mutex<Producers>,
    topic: &Topic,
    partition: Option<u32>,
    turn: u32,
    frame: &Bytes,
) -> Result<Sent> {
    let malformed = |e: fnstream_frame::FrameError| Error::new(ErrorCode::InvalidRequest, e.to_string());
    let parsed = Frame::parse(frame).map_err(malformed)?;
    if parsed.is_empty() {
        return Ok(Vec::new());
    }
    let full = shared.options.writable(topic)?;
    let count = shared.count(&full).await?.max(1);
    let mut by_partition: BTreeMap<u32, Bytes> = BTreeMap::new();
    match partition {
        Some(number) => _ = by_partition.insert(number, frame.clone()),
        None if count == 1 => _ = by_partition.insert(0, frame.clone()),
        None => {
            let mut frames: BTreeMap<u32, FrameBuilder> = BTreeMap::new();
            for record in parsed.iter() {
                let number = record.key.map_or(turn % count, |key| partition_for_key(key, count));
                frames.entry(number).or_default().push(record);
            }
            by_partition.extend(frames.into_iter().map(|(number, frame)| (number, Bytes::from(frame.to_bytes()))));
        }
    }
    // Nothing is sent before all of it can be.
    let mut ready = Vec::new();
    for (number, frame) in by_partition {
        let name = shared.partition(topic, number).await?;
        let producer = producer(shared, producers, topic, &name).await?;
        let most = producer.max_message_size();
        let view = Frame::parse(&frame).map_err(malformed)?;
        if let Some(size) = view.iter().map(|record| messages::weight(&record)).find(|size| *size > most) {
            let message =
                format!("a record of about {size} bytes for topic '{topic}' is larger than the broker takes, {most}");
            return Err(Error::new(ErrorCode::RecordTooLarge, message));
        }
        ready.push((number, name, producer, messages::batches(&frame, None)?));
    }
    let mut sent = Vec::new();
    for (number, name, producer, batches) in ready {
        for batch in batches {
            producer.ready().await.map_err(|e| failed(topic, &e))?;
            let size = batch.len() as u32;
            sent.push((number, size, send(producers, &name, &producer, batch)));
        }
    }
    Ok(sent)
}

fn send(producers: &Mutex<Producers>, name: &str, producer: &Producer, batch: Vec<Message>) -> SendFuture {
    let mut producers = producers.lock();
    let next = producers.open.get_mut(name).map(|(_, next)| next);
    let first = next.as_ref().map_or(0, |next| **next);
    if let Some(next) = next {
        *next += batch.len() as u64;
    }
    producer.send_batch(first, batch)
}

async fn producer(shared: &Shared, producers: &Mutex<Producers>, topic: &Topic, name: &str) -> Result<Producer> {
    let known = producers.lock().open.get(name).map(|(producer, _)| producer.clone());
    if let Some(producer) = known.filter(|producer| producer.ended().is_none()) {
        return Ok(producer);
    }
    let made = shared.client.producer(name).compression(shared.options.properties.compression()).create().await;
    let producer = made.map_err(|e| failed(topic, &e))?;
    let mut producers = producers.lock();
    if producers.open.len() >= KEPT
        && let Some(any) = producers.open.keys().next().cloned()
    {
        producers.open.remove(&any);
    }
    producers.open.insert(name.to_owned(), (producer.clone(), 0));
    Ok(producer)
}

async fn receive(topic: &Topic, sent: Sent) -> Result<Appended> {
    let mut appended = Appended::new();
    let mut refused = None;
    for (partition, size, receipt) in sent {
        match receipt.await {
            Ok(receipt) => {
                let id = receipt.message_id;
                appended.push((partition, position(id.ledger, id.entry, 0), size));
            }
            Err(failure) => _ = refused.get_or_insert(failure),
        }
    }
    refused.map_or(Ok(appended), |failure| Err(failed(topic, &failure)))
}

fn failed(topic: &Topic, failure: &Failure) -> Error {
    error::of(format!("appending to topic '{topic}'"), failure)
}
