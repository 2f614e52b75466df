// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics with partitions as a whole: a producer that chooses the partition by the key, and a consumer of all of them.
//!
//! Both take a topic without partitions for one partition, and both grow with the topic when they are told to watch it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::address::{partition_name, topic_name};
use crate::client::Client;
use crate::consumer::{Consumer, ConsumerBuilder, Event};
use crate::error::{Error, Result};
use crate::hash::Hashing;
use crate::message::Message;
use crate::producer::{Producer, ProducerBuilder, SendFuture};

/// The names of what a topic consists of, by their partitions; -1 for a topic without partitions.
fn parts(topic: &str, partitions: u32) -> Vec<(i32, String)> {
    match partitions {
        0 => vec![(-1, topic.to_owned())],
        count => (0..count).map(|partition| (partition as i32, partition_name(topic, partition))).collect(),
    }
}

/// How many partitions a topic has; a topic that does not exist yet is made by its first producer or consumer, and has
/// none.
async fn partitions_or_none(client: &Client, topic: &str) -> Result<u32> {
    match client.partitions(topic).await {
        Err(Error::TopicNotFound(_)) => Ok(0),
        result => result,
    }
}

/// A producer for all partitions of a topic. Messages of one key go to one partition, others in turn.
///
/// The options are those of a [`ProducerBuilder`], which count for each partition: sequence ids are those of the
/// partition's producer, and a name is used on all partitions.
#[derive(Debug)]
pub struct PartitionedProducer {
    topic: String,
    options: ProducerBuilder,
    client: Client,
    hashing: Hashing,
    producers: RwLock<Vec<Producer>>,
    turn: AtomicUsize,
}

impl PartitionedProducer {
    /// Creates a producer for each partition of the topic that the options name.
    pub async fn create(client: &Client, options: ProducerBuilder, hashing: Hashing) -> Result<PartitionedProducer> {
        let topic = topic_name(options.topic())?;
        let partitions = partitions_or_none(client, &topic).await?;
        let mut producers = Vec::new();
        for (_, name) in parts(&topic, partitions) {
            producers.push(options.clone().with_topic(name).create().await?);
        }
        let (client, producers, turn) = (client.clone(), RwLock::new(producers), AtomicUsize::new(0));
        Ok(PartitionedProducer { topic, options, client, hashing, producers, turn })
    }

    /// How many partitions it writes to: 1 for a topic without partitions.
    pub fn partitions(&self) -> usize {
        self.producers.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The producer of a partition.
    pub fn partition(&self, partition: usize) -> Option<Producer> {
        self.producers.read().unwrap_or_else(PoisonError::into_inner).get(partition).cloned()
    }

    /// The partition that a message goes to. A message without a key may go to another one the next time.
    pub fn partition_of(&self, message: &Message) -> usize {
        let partitions = self.partitions();
        match &message.key {
            Some(key) => self.hashing.partition(key, partitions as u32) as usize,
            None => self.turn.fetch_add(1, Ordering::Relaxed) % partitions,
        }
    }

    /// Queues a message on its partition; see [`Producer::send`].
    pub fn send(&self, message: Message) -> SendFuture {
        match self.partition(self.partition_of(&message)) {
            Some(producer) => producer.send(message),
            None => SendFuture::refused(Error::Closed),
        }
    }

    /// Asks how many partitions the topic has, and creates producers for those that were added. Keys may then go to other
    /// partitions than before.
    pub async fn grow(&self) -> Result<()> {
        let now = self.client.partitions(&self.topic).await? as usize;
        loop {
            let next = self.partitions();
            if next >= now {
                return Ok(());
            }
            let name = partition_name(&self.topic, next as u32);
            let producer = self.options.clone().with_topic(name).create().await?;
            let mut producers = self.producers.write().unwrap_or_else(PoisonError::into_inner);
            if producers.len() == next {
                producers.push(producer);
            }
        }
    }

    /// Waits until everything that is queued now has its outcome.
    pub async fn flush(&self) -> Result<()> {
        for partition in 0..self.partitions() {
            if let Some(producer) = self.partition(partition) {
                producer.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends what is queued, and closes the producers.
    pub async fn close(&self) -> Result<()> {
        let mut result = Ok(());
        for partition in 0..self.partitions() {
            if let Some(producer) = self.partition(partition) {
                result = result.and(producer.close().await);
            }
        }
        result
    }
}

/// A consumer of all partitions of a topic.
///
/// What it receives comes with the consumer of its partition, by which it is acknowledged. Order is kept within a
/// partition only.
#[derive(Debug)]
pub struct PartitionedConsumer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    topic: String,
    options: ConsumerBuilder,
    consumers: Mutex<BTreeMap<i32, Consumer>>,
    /// Whose turn it is to be asked first, so that no partition waits for the others.
    turn: AtomicUsize,
    ready: Arc<Notify>,
    /// Why the topic could not be followed as it grew.
    failed: Mutex<Option<Error>>,
    /// Ends the task that follows the topic, when it is dropped.
    following: watch::Sender<()>,
}

impl PartitionedConsumer {
    /// Subscribes to each partition of the topic that the options name. With an interval, it asks as often whether there
    /// are more partitions, and subscribes to them from their beginnings on.
    pub async fn subscribe(
        client: &Client,
        options: ConsumerBuilder,
        watch: Option<Duration>,
    ) -> Result<PartitionedConsumer> {
        let topic = topic_name(options.topic())?;
        let partitions = partitions_or_none(client, &topic).await?;
        let shared = Arc::new(Shared {
            topic,
            options,
            consumers: Mutex::default(),
            turn: AtomicUsize::new(0),
            ready: Arc::new(Notify::new()),
            failed: Mutex::default(),
            following: watch::channel(()).0,
        });
        for (partition, name) in parts(&shared.topic, partitions) {
            shared.add(partition, shared.options.clone().with_topic(name)).await?;
        }
        if let Some(interval) = watch.filter(|_| partitions > 0) {
            let growth = client.watch_partitions(&shared.topic, interval).await?;
            tokio::spawn(follow(Arc::downgrade(&shared), shared.following.subscribe(), growth));
        }
        Ok(PartitionedConsumer { shared })
    }

    /// The partitions that it consumes; -1 for a topic without partitions.
    pub fn partitions(&self) -> Vec<i32> {
        self.shared.consumers().keys().copied().collect()
    }

    /// The consumer of a partition.
    pub fn partition(&self, partition: i32) -> Option<Consumer> {
        self.shared.consumers().get(&partition).cloned()
    }

    /// Waits for the next event of any partition. Dropping the future loses nothing.
    ///
    /// It fails if the consumer could not follow the topic as it grew, or if it is closed.
    pub async fn recv(&self) -> Result<(Consumer, Event)> {
        loop {
            let ready = self.shared.ready.notified();
            tokio::pin!(ready);
            // From here on a notification is not missed.
            ready.as_mut().enable();
            if let Some(received) = self.try_recv() {
                return Ok(received);
            }
            if let Some(error) = self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                return Err(error);
            }
            ready.await;
        }
    }

    /// Returns the next event of any partition, if there is one. Partitions take turns.
    pub fn try_recv(&self) -> Option<(Consumer, Event)> {
        let consumers: Vec<_> = self.shared.consumers().values().cloned().collect();
        let first = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        (0..consumers.len()).find_map(|turn| {
            let consumer = &consumers[first.wrapping_add(turn) % consumers.len()];
            consumer.try_recv().map(|event| (consumer.clone(), event))
        })
    }

    /// Closes the consumers of all partitions.
    pub async fn close(&self) -> Result<()> {
        self.shared.fail(Error::Closed);
        let consumers: Vec<_> = self.shared.consumers().values().cloned().collect();
        for consumer in consumers {
            consumer.close().await?;
        }
        Ok(())
    }
}

impl Shared {
    fn consumers(&self) -> MutexGuard<'_, BTreeMap<i32, Consumer>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn add(&self, partition: i32, options: ConsumerBuilder) -> Result<()> {
        let consumer = options.subscribe().await?;
        let ready = self.ready.clone();
        self.consumers().insert(partition, consumer.clone());
        consumer.on_ready(Arc::new(move || ready.notify_waiters()));
        Ok(())
    }

    fn fail(&self, error: Error) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.ready.notify_waiters();
    }
}

/// Subscribes to partitions as they are added, until nobody needs them.
async fn follow(shared: Weak<Shared>, mut needed: watch::Receiver<()>, mut growth: watch::Receiver<u32>) {
    loop {
        let partitions = *growth.borrow_and_update();
        {
            let Some(shared) = shared.upgrade() else { return };
            for (partition, name) in parts(&shared.topic, partitions) {
                if shared.consumers().contains_key(&partition) {
                    continue;
                }
                // What was published before the growth was seen is part of the topic, too.
                let options = shared.options.clone().with_topic(name).at_the_beginning();
                if let Err(error) = shared.add(partition, options).await {
                    return shared.fail(error);
                }
            }
        }
        tokio::select! {
            _nobody_needs_it = needed.changed() => return,
            grown = growth.changed() => if grown.is_err() { return },
        }
    }
}
