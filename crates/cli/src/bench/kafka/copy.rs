// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The plain copy: librdkafka alone consumes and produces in transactions, without an engine and without a function. What a program costs
//! more than this is the price of what it does more.
//!
//! One thread for each partition has a consumer and a producer. A transaction ends when the input is drained, or with the commit interval.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::bench::outside::{READY, Told, failed, number, text};
use crate::failure::{Failure, Result};
use crate::output;

/// How long Kafka may take for a step of a transaction.
const PATIENCE: Duration = Duration::from_secs(30);

/// Copies until the process is ended.
pub(in crate::bench) fn run() -> Result {
    let (told, bootstrap) = (Told::from_environment()?, text("BENCH_BOOTSTRAP")?);
    let interval = Duration::from_millis(number("BENCH_COMMIT_INTERVAL_MS")?.into());
    let copiers = (0..told.partitions).map(|partition| Copier::new(&told, &bootstrap, partition as i32, interval));
    let copiers = copiers.collect::<Result<Vec<_>>>()?;
    output::line(READY)?;
    thread::scope(|threads| {
        let running: Vec<_> = copiers.iter().map(|copier| threads.spawn(|| copier.run())).collect();
        for thread in running {
            thread.join().map_err(|_| Failure::Plain("a copying thread ended abnormally".into()))??;
        }
        Ok(())
    })
}

struct Copier {
    consumer: BaseConsumer,
    producer: BaseProducer,
    input: String,
    output: String,
    partition: i32,
    interval: Duration,
}

impl Copier {
    fn new(told: &Told, bootstrap: &str, partition: i32, interval: Duration) -> Result<Self> {
        let mut consuming = ClientConfig::new();
        consuming.set("bootstrap.servers", bootstrap).set("group.id", &told.group);
        consuming.set("enable.auto.commit", "false").set("isolation.level", "read_committed");
        consuming.set("auto.offset.reset", "earliest");
        let mut producing = ClientConfig::new();
        producing.set("bootstrap.servers", bootstrap).set("linger.ms", "5");
        producing.set("transactional.id", format!("{}-{partition}", told.group));
        let doing = "beginning to copy";
        let consumer: BaseConsumer = consuming.create().map_err(|e| failed(doing, &e))?;
        let producer: BaseProducer = producing.create().map_err(|e| failed(doing, &e))?;
        producer.init_transactions(PATIENCE).map_err(|e| failed(doing, &e))?;
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(&told.input, partition, Offset::Stored).map_err(|e| failed(doing, &e))?;
        consumer.assign(&assigned).map_err(|e| failed(doing, &e))?;
        let (input, output) = (told.input.clone(), told.output.clone());
        Ok(Copier { consumer, producer, input, output, partition, interval })
    }

    fn run(&self) -> Result {
        loop {
            self.transaction().map_err(|e| failed("copying", &e))?;
        }
    }

    /// Waits for a record and copies what there is.
    fn transaction(&self) -> KafkaResult<()> {
        let Some(first) = self.consumer.poll(Duration::from_secs(1)) else { return Ok(()) };
        let began = Instant::now();
        self.producer.begin_transaction()?;
        let (mut next, mut copied) = (Some(first), 0u32);
        let mut end = 0;
        while let Some(message) = next {
            let message = message?;
            self.copy(message.key(), message.payload())?;
            end = message.offset() + 1;
            copied += 1;
            if copied.is_multiple_of(64) {
                self.producer.poll(Duration::ZERO);
                if began.elapsed() >= self.interval {
                    break;
                }
            }
            next = self.consumer.poll(Duration::ZERO);
        }
        self.commit(end)
    }

    fn copy(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> KafkaResult<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.output).partition(self.partition);
        (record.key, record.payload) = (key, value);
        while let Err((error, back)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error);
            }
            self.producer.poll(Duration::from_millis(1));
            record = back;
        }
        Ok(())
    }

    fn commit(&self, end: i64) -> KafkaResult<()> {
        // A commit that has to wait for deliveries does so in steps of 100 ms.
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
        }
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.input, self.partition, Offset::Offset(end))?;
        if let Some(group) = self.consumer.group_metadata() {
            self.producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
        }
        self.producer.commit_transaction(PATIENCE)
    }
}
