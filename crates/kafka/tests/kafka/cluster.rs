// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A broker, and what a test does to it beside the crate.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use fnstream_frame::RecordRef;
use fnstream_kafka::Properties;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The address of the broker; `None`, said aloud, where there is none.
pub(crate) fn bootstrap() -> Option<String> {
    let found = std::env::var("FNSTREAM_KAFKA").ok();
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        eprintln!("SKIPPED: FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
    }
    found
}

/// A broker of its own, for a test that stops it.
pub(crate) struct Private {
    folder: tempfile::TempDir,
    pub(crate) bootstrap: String,
}

impl Private {
    pub(crate) fn start() -> Private {
        let folder = tempfile::tempdir().unwrap();
        let mut broker = Private { folder, bootstrap: String::new() };
        broker.bootstrap = broker.script("start");
        broker
    }

    /// Runs the project's script on it; gives what it prints.
    pub(crate) fn script(&self, command: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka.sh");
        let ended = Command::new(script).args([command, "--at"]).arg(self.folder.path()).output().unwrap();
        assert!(ended.status.success(), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8_lossy(&ended.stdout).trim().to_owned()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.script("stop");
    }
}

/// A name that no other test has, in this run or another.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    format!("t{}-{}", &uuid[..8], COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Whether a record was refused.
#[derive(Clone, Default)]
struct Delivered(Arc<AtomicBool>);

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// The clients of a test.
pub(crate) struct Cluster {
    pub(crate) bootstrap: String,
    admin: AdminClient<DefaultClientContext>,
    producer: BaseProducer,
}

impl Cluster {
    pub(crate) fn at(bootstrap: &str) -> Cluster {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("linger.ms", "0");
        Cluster { bootstrap: bootstrap.to_owned(), admin: config.create().unwrap(), producer: config.create().unwrap() }
    }

    pub(crate) fn properties(&self) -> Properties {
        Properties::new(&self.bootstrap, &BTreeMap::new()).unwrap()
    }

    pub(crate) fn create(&self, topic: &str, partitions: u32) {
        let new = NewTopic::new(topic, partitions as i32, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        // Some checks make a topic twice.
        match wait(self.admin.create_topics([&new], &options)).unwrap().remove(0) {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err(e) => panic!("{e:?}"),
        }
    }

    pub(crate) fn set(&self, topic: &str, name: &str, value: &str) {
        let alter = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        wait(self.admin.alter_configs([&alter], &AdminOptions::new())).unwrap().remove(0).unwrap();
    }

    /// Waits until the broker refuses records without a key in a topic, which it does a moment after it was told to. Each try is aborted.
    pub(crate) fn until_refused(&self, topic: &str) {
        let told = Delivered::default();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("transactional.id", unique()).set("linger.ms", "0");
        let producer: BaseProducer<Delivered> = config.create_with_context(told.clone()).unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        let until = Instant::now() + PATIENCE;
        while !told.0.load(Ordering::Relaxed) {
            assert!(Instant::now() < until, "records without a key are taken by '{topic}'");
            producer.begin_transaction().unwrap();
            let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).payload(b"a try");
            producer.send(record).unwrap_or_else(|(e, _)| panic!("{e}"));
            // The answer comes as a delivery.
            drop(producer.flush(PATIENCE));
            producer.abort_transaction(PATIENCE).unwrap();
        }
    }

    pub(crate) fn delete_records(&self, topic: &str, partition: u32, below: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition as i32, Offset::Offset(below)).unwrap();
        wait(self.admin.delete_records(&list, &AdminOptions::new())).unwrap();
    }

    pub(crate) fn append(&self, topic: &str, partition: u32, records: &[RecordRef<'_>]) {
        for record in records {
            let mut headers = OwnedHeaders::new();
            for (key, value) in record.headers.iter() {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut new = BaseRecord::<[u8], [u8]>::to(topic).partition(partition as i32).timestamp(record.timestamp);
            if !record.headers.is_empty() {
                new = new.headers(headers);
            }
            if let Some(key) = record.key {
                new = new.key(key);
            }
            if let Some(value) = record.value {
                new = new.payload(value);
            }
            self.producer.send(new).unwrap_or_else(|(e, _)| panic!("{e}"));
        }
        self.producer.flush(PATIENCE).unwrap();
    }

    /// The committed values of a partition.
    pub(crate) fn read_all(&self, topic: &str, partition: u32) -> Vec<Vec<u8>> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "reads-all")
            .set("isolation.level", "read_committed");
        config.set("enable.partition.eof", "true").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "10");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition as i32, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut values = Vec::new();
        loop {
            match consumer.poll(PATIENCE).expect("records or an end") {
                Ok(message) => values.push(message.payload().unwrap_or_default().to_vec()),
                Err(KafkaError::PartitionEOF(_)) => return values,
                Err(e) => panic!("{e}"),
            }
        }
    }

    /// The offset that a group has committed.
    pub(crate) fn committed(&self, group: &str, topic: &str, partition: u32) -> Option<i64> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("group.id", group);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition as i32);
        let found = consumer.committed_offsets(list, PATIENCE).unwrap();
        found.elements()[0].offset().to_raw().filter(|offset| *offset >= 0)
    }

    /// The oldest offset of a partition.
    pub(crate) fn earliest(&self, topic: &str, partition: u32) -> i64 {
        self.producer.client().fetch_watermarks(topic, partition as i32, PATIENCE).unwrap().0
    }

    /// Moves a group, as Kafka's own tools do.
    pub(crate) fn commit(&self, group: &str, topic: &str, partition: u32, offset: i64) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("group.id", group);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition as i32, Offset::Offset(offset)).unwrap();
        consumer.commit(&list, CommitMode::Sync).unwrap();
    }

    /// Writes values in a transaction each, whose end takes an offset, too.
    pub(crate) fn append_in_transactions(&self, topic: &str, values: &[&str]) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("transactional.id", unique());
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        for value in values {
            producer.begin_transaction().unwrap();
            let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).payload(value.as_bytes());
            producer.send(record).unwrap_or_else(|(e, _)| panic!("{e}"));
            producer.commit_transaction(PATIENCE).unwrap();
        }
    }

    /// Fences the producer of a transactional id.
    pub(crate) fn fence(&self, id: &str) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("transactional.id", id);
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
    }
}

/// Waits for an answer that another thread brings, by looking for it: this is a test.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return answer;
        }
        std::thread::yield_now();
    }
}
