// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The producer that fills the input, and the consumer that reads the output as it is committed. Every program has the same ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::cluster::{ANSWER, config};
use crate::bench::outside::{self, Topics, failed};
use crate::bench::target::Outputs;
use crate::failure::{Failure, Result};

/// Records of one frame of outputs.
const MAX_RECORDS: usize = 4096;

/// Fills the input.
pub(super) struct Sender {
    producer: BaseProducer<Deliveries>,
    topic: String,
    partitions: u32,
    /// How many records without a key were sent: they go to the partitions by turns.
    sent: u64,
}

/// Keeps the first failure.
#[derive(Clone, Default)]
struct Deliveries(Arc<Mutex<Option<KafkaError>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().get_or_insert_with(|| error.clone());
        }
    }
}

impl Sender {
    pub(super) fn new(bootstrap: &str, topics: &Topics, at_once: bool) -> Result<Self> {
        let mut config = config(bootstrap);
        // Keys land where other clients of Kafka put them.
        config.set("enable.idempotence", "true").set("partitioner", "murmur2_random");
        config.set("linger.ms", if at_once { "0" } else { "5" });
        let producer = config.create_with_context(Deliveries::default());
        Ok(Sender {
            producer: producer.map_err(|e| failed("making a producer of Kafka", &e))?,
            topic: topics.input.clone(),
            partitions: topics.partitions,
            sent: 0,
        })
    }

    /// Waits while too much is under way.
    fn hand_over(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result {
        while let Err((error, back)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(failed("filling the input", &error));
            }
            self.producer.poll(Duration::from_millis(5));
            self.check()?;
            record = back;
        }
        Ok(())
    }

    fn check(&self) -> Result {
        match &*self.producer.context().0.lock() {
            Some(error) => Err(failed("filling the input", error)),
            None => Ok(()),
        }
    }
}

impl outside::Sender for Sender {
    fn send(&mut self, frame: &[u8]) -> Result {
        let frame = Frame::parse(frame).map_err(|e| Failure::Plain(e.to_string()))?;
        for view in frame.iter() {
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).payload(view.bytes());
            match view.key {
                Some(key) => record = record.key(key),
                None => {
                    record = record.partition((self.sent % u64::from(self.partitions)) as i32);
                    self.sent += 1;
                }
            }
            self.hand_over(record)?;
        }
        self.producer.poll(Duration::ZERO);
        self.check()
    }

    fn flush(&mut self) -> Result {
        self.producer.flush(ANSWER).map_err(|e| failed("filling the input", &e))?;
        self.check()
    }
}

/// Reads all partitions of the output from the beginning, what is committed alone.
pub(super) struct Reader {
    consumer: BaseConsumer,
    /// Which partitions have been read to their end.
    ended: Vec<bool>,
}

impl Reader {
    pub(super) fn open(bootstrap: &str, topics: &Topics) -> Result<Self> {
        let mut config = config(bootstrap);
        config.set("group.id", format!("{}-reader", topics.group)).set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().map_err(|e| failed("making a consumer of Kafka", &e))?;
        let mut all = TopicPartitionList::new();
        for partition in 0..topics.partitions as i32 {
            let added = all.add_partition_offset(&topics.output, partition, Offset::Beginning);
            added.map_err(|e| failed("reading the output", &e))?;
        }
        consumer.assign(&all).map_err(|e| failed("reading the output", &e))?;
        Ok(Reader { consumer, ended: vec![false; topics.partitions as usize] })
    }

    /// Adds the next record, if one comes within the time; answers whether it did.
    fn take(&mut self, frame: &mut FrameBuilder, patience: Duration) -> Result<bool> {
        match self.consumer.poll(patience) {
            None => Ok(false),
            Some(Ok(message)) => {
                let record = RecordRef { value: message.payload(), ..RecordRef::null() }.with_key(message.key());
                frame.push(record);
                self.ended[message.partition() as usize] = false;
                Ok(true)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.ended[partition as usize] = true;
                Ok(false)
            }
            // The client connects anew by itself.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
            ))) => Ok(false),
            Some(Err(error)) => Err(failed("reading the output", &error)),
        }
    }
}

impl Outputs for Reader {
    /// Without patience the end is the end of every partition, however long it takes to see that.
    fn next(&mut self, patience: Duration) -> Result<Option<Bytes>> {
        let until = Instant::now() + patience;
        let mut frame = FrameBuilder::new();
        loop {
            if patience.is_zero() && self.ended.iter().all(|ended| *ended) {
                return Ok(None);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && !patience.is_zero() {
                return Ok(None);
            }
            if self.take(&mut frame, if patience.is_zero() { ANSWER } else { left })? {
                break;
            }
        }
        while frame.len() < MAX_RECORDS && self.take(&mut frame, Duration::ZERO)? {}
        Ok(Some(frame.to_bytes().into()))
    }
}
