// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a task writes to its outputs.
//!
//! The outbox of an epoch is published after the epoch was committed, however often it takes: each partition is written by a producer that
//! has the task's name, its records have the numbers that they have among all that the task ever wrote, and a broker that deduplicates
//! drops what it has already. It compares batches, so the same records are always cut in the same way, and written with the schemas that
//! were found before the commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::epoch::{OutboxBatch, TaskId};
use fnstream_core::record::Position;
use fnstream_core::topic::{OutputSchema, Topic};
use fnstream_core::watermarks::Said;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::Frame;
use fnstream_pulsar_client::{Error as Failure, Producer, Receipt};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::delta_log::{Outbox, Schemas};
use crate::place::{Function, Shared};
use crate::position::position_of;
use crate::schemas::Registered;
use crate::{error, messages};

/// How long a producer that ends waits for the broker.
const FAREWELL: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Outputs {
    shared: Arc<Shared>,
    task: TaskId,
    /// Of the producers.
    name: String,
    /// How many tasks the function has.
    tasks: u32,
    open: Mutex<HashMap<(Topic, u32), Producer>>,
    /// Held by whoever makes a producer: of one name there is one at a time.
    connecting: tokio::sync::Mutex<()>,
    /// How many watermarks were said of each topic.
    said: Mutex<HashMap<Topic, u64>>,
    schemas: Registered,
}

/// Behind the records of an epoch in each partition of each topic; `None` if the broker had them already and does not say where.
type Ends = BTreeMap<(Topic, u32), Option<Position>>;

/// Why an epoch cannot be published.
#[derive(Debug)]
pub(crate) struct Refused {
    pub error: Error,
    /// The index of the batch.
    pub output: u32,
    /// Whether it is so for good.
    pub is_final: bool,
}

impl Outputs {
    pub(crate) fn new(shared: Arc<Shared>, task: TaskId, function: &Function, name: String) -> Outputs {
        Outputs {
            shared,
            task,
            name,
            tasks: function.width(),
            open: Mutex::default(),
            connecting: tokio::sync::Mutex::new(()),
            said: Mutex::default(),
            schemas: Registered::new(function.modes.clone()),
        }
    }

    /// Makes sure that an outbox can be published: its topics take records of this task, and no record is too large. Gives the schemas that
    /// its batches are written with. What is refused here was not committed.
    pub(crate) async fn prepare(&self, outbox: &Outbox) -> std::result::Result<Vec<Option<Schemas>>, Refused> {
        let mut schemas = Vec::new();
        for (index, batch) in outbox.batches.iter().enumerate() {
            let refused = |error: Error, is_final| Refused { error, output: index as u32, is_final };
            let producer = match self.producer(&batch.topic, batch.partition).await {
                Ok(producer) => producer,
                Err(error) => {
                    let is_final = matches!(
                        error.code,
                        ErrorCode::CommitRejected | ErrorCode::BrokerForbidden | ErrorCode::InvalidName
                    );
                    return Err(refused(error, is_final));
                }
            };
            let most = producer.max_message_size();
            let frame = Frame::parse(&batch.frame)
                .map_err(|e| refused(Error::new(ErrorCode::InvalidRequest, e.to_string()), true))?;
            if let Some(size) = frame.iter().map(|record| messages::weight(&record)).find(|size| *size > most) {
                let message = format!(
                    "a record of about {size} bytes for topic '{}' is larger than the broker takes, {most}",
                    batch.topic
                );
                return Err(refused(Error::new(ErrorCode::CommitRejected, message), true));
            }
            schemas.push(self.schemas_of(batch, &frame, producer).await.map_err(|error| refused(error, false))?);
        }
        Ok(schemas)
    }

    /// The schemas that a batch is written with.
    async fn schemas_of(&self, batch: &OutboxBatch, frame: &Frame<'_>, producer: Producer) -> Result<Option<Schemas>> {
        let of_topic = |producer: &Producer| producer.schema_version().map(|version| version.to_vec());
        match self.schemas.mode(&batch.topic) {
            OutputSchema::None => Ok(None),
            OutputSchema::Topic => Ok(of_topic(&producer)
                .map(|version| Schemas { are_of_input: false, runs: vec![(batch.records, version)] })),
            OutputSchema::Input => {
                let mut runs = self.schemas.of_input(&self.shared, batch, frame).await?;
                let mut version = of_topic(&producer);
                if version.is_none() && !runs.is_empty() {
                    // The topic has schemas by now, and may take no producer any more that has none.
                    self.open.lock().remove(&(batch.topic.clone(), batch.partition));
                    end(&producer).await;
                    version = of_topic(&self.producer(&batch.topic, batch.partition).await?);
                }
                let unknown = runs.iter_mut().filter(|(_, version)| version.is_empty());
                unknown.for_each(|run| run.1 = version.clone().unwrap_or_default());
                Ok(Some(Schemas { are_of_input: true, runs }))
            }
        }
    }

    /// Publishes an outbox whose last record has the number `next` - 1. What the broker has already it drops.
    pub(crate) async fn publish(&self, outbox: &Outbox, next: u64) -> Result<()> {
        let ends = self.write(outbox, next).await?;
        self.say(outbox, &ends).await
    }

    /// Writes the records.
    async fn write(&self, outbox: &Outbox, next: u64) -> Result<Ends> {
        let mut number = next.saturating_sub(outbox.records());
        let mut sent = Vec::new();
        for (index, batch) in outbox.batches.iter().enumerate() {
            let producer = self.producer(&batch.topic, batch.partition).await?;
            for messages in messages::batches(&batch.frame, outbox.schemas_of(index))? {
                let count = messages.len() as u64;
                producer.ready().await.map_err(|e| self.failed(&batch.topic, &e))?;
                sent.push(((batch.topic.clone(), batch.partition), producer.send_batch(number, messages)));
                number += count;
            }
        }
        let mut ends = Ends::new();
        for (at, receipt) in sent {
            let receipt = receipt.await.map_err(|e| self.failed(&at.0, &e))?;
            let end = end_of(&receipt);
            let known = ends.entry(at).or_insert(end);
            *known = end.or(*known);
        }
        Ok(ends)
    }

    /// What keeps one of the producers from its broker.
    pub(crate) fn obstacle(&self) -> Option<Failure> {
        self.open.lock().values().find_map(Producer::obstacle)
    }

    /// Something cannot be written at present: whoever tries again begins with new producers.
    pub(crate) async fn begin_anew(&self) {
        let producers = std::mem::take(&mut *self.open.lock());
        for producer in producers.into_values() {
            end(&producer).await;
        }
    }

    /// Says the watermarks of an outbox, behind its records.
    async fn say(&self, outbox: &Outbox, ends: &Ends) -> Result<()> {
        for mark in &outbox.watermarks {
            let mut behind: BTreeMap<u32, Position> = BTreeMap::new();
            for ((_, partition), end) in ends.iter().filter(|((topic, _), _)| *topic == mark.topic) {
                let end = match end {
                    Some(end) => *end,
                    // The broker had the records already: they are before what is its end now.
                    None => self.shared.end_of(&mark.topic, *partition).await?,
                };
                behind.insert(*partition, end);
            }
            let said = Said {
                task: self.task,
                topic: mark.topic.clone(),
                tasks: self.tasks,
                watermark: mark.watermark,
                idle: mark.idle,
                ends: behind,
            };
            let number = {
                let mut said = self.said.lock();
                let count = said.entry(mark.topic.clone()).or_default();
                *count += 1;
                *count - 1
            };
            let (key, value) = said.encode(number)?;
            self.shared.say(key, value).await?;
        }
        Ok(())
    }

    async fn producer(&self, topic: &Topic, partition: u32) -> Result<Producer> {
        let key = (topic.clone(), partition);
        let open = || self.open.lock().get(&key).filter(|producer| producer.ended().is_none()).cloned();
        if let Some(producer) = open() {
            return Ok(producer);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(producer) = open() {
            return Ok(producer);
        }
        let producer = self.connect(topic, partition).await?;
        self.open.lock().insert(key.clone(), producer.clone());
        Ok(producer)
    }

    async fn connect(&self, topic: &Topic, partition: u32) -> Result<Producer> {
        let name = self.shared.partition(topic, partition).await?;
        let full = self.shared.options.name(topic)?;
        self.shared.have_deduplication(&full, &name).await?;
        let mut producer = self.shared.client.producer(&name).name(&self.name);
        if self.schemas.mode(topic) != OutputSchema::None {
            // Topics with a schema may take none from producers that have none.
            let latest = self.shared.client.get_schema(&name, None).await.map_err(|e| self.failed(topic, &e))?;
            producer = latest.into_iter().fold(producer, |producer, schema| producer.schema(schema));
        }
        let compression = self.schemas.compression(topic).unwrap_or(self.shared.options.properties.compression());
        let made = producer.compression(compression).create().await;
        let producer = made.map_err(|failure| self.failed(topic, &failure))?;
        self.shared.max_message_size.get_or_init(|| producer.max_message_size());
        Ok(producer)
    }

    fn failed(&self, topic: &Topic, failure: &Failure) -> Error {
        let error = error::of(format!("task {} writing to topic '{topic}'", self.task), failure);
        match failure {
            Failure::ProducerBusy(_) => Error::new(
                ErrorCode::Unavailable,
                format!("{}: whoever had the task before has not let go of it yet", error.message),
            ),
            _ => error,
        }
    }
}

/// Closes a producer, whether or not the broker answers.
pub(crate) async fn end(producer: &Producer) {
    // What it has not sent by then it gives up.
    drop(timeout(FAREWELL, producer.close()).await);
}

/// The position behind the records of a batch, if the broker says where they are.
fn end_of(receipt: &Receipt) -> Option<Position> {
    (!receipt.duplicate).then(|| position_of(&receipt.message_id).next())
}
