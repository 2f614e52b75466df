// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clients beside other users of a broker, and what may go wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use fnstream_core::broker::PollLimit;
use fnstream_core::groups::{Groups, Taking};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topic::{Cluster as Named, Topic};
use fnstream_core::topics::{Appended, Retention, RetentionTime, TopicChange, Topics};
use fnstream_core::waker::Waker;
use fnstream_core::{ErrorCode, Result};
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordRef};
use fnstream_kafka::{KafkaGroups, KafkaTopics, Options, Properties};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::cluster::{Cluster, PATIENCE, bootstrap, unique};

const ALL: PollLimit = PollLimit { records: 1_000, bytes: 1 << 20 };

fn connect(bootstrap: &str, properties: &[(&str, &str)]) -> Arc<KafkaTopics> {
    let given: BTreeMap<_, _> = properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let options = Options {
        cluster: Named::own(),
        properties: Properties::new(bootstrap, &given).unwrap(),
        server: "server".into(),
        connection: String::new(),
        process: String::new(),
        sharing: None,
        incarnation: String::new(),
        namespace: String::new(),
        replication: Some(1),
        lanes: 1,
    };
    KafkaTopics::connect(&options).unwrap()
}

/// A topic that is made for a test, and deleted after it.
struct Made {
    topics: Arc<KafkaTopics>,
    topic: Topic,
    cluster: Cluster,
}

impl Made {
    fn new(partitions: u32) -> Option<Made> {
        let bootstrap = bootstrap()?;
        let (topics, topic) = (connect(&bootstrap, &[]), Topic::own(unique()));
        topics.create(&topic, partitions, Retention::default()).unwrap();
        Some(Made { topics, topic, cluster: Cluster::at(&bootstrap) })
    }

    fn at(&self, partition: u32) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), partition)
    }

    fn values(&self, from: Position) -> Vec<String> {
        let (mut values, mut from) = (Vec::new(), from);
        while let Some(batch) = self.topics.read(&self.at(0), from, ALL).unwrap() {
            values.extend(batch.iter().map(|(_, record)| String::from_utf8_lossy(record.bytes()).into_owned()));
            from = batch.end().unwrap();
        }
        values
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.topics.delete(&self.topic).unwrap();
        }
    }
}

fn append(topics: &KafkaTopics, topic: &Topic, records: &[RecordRef<'_>]) -> Result<Appended> {
    let mut frame = FrameBuilder::new();
    records.iter().for_each(|record| frame.push(*record));
    let (send, receive) = channel();
    let done = Box::new(move |appended| drop(send.send(appended)));
    topics.append(topic, None, frame.to_bytes().into(), done);
    receive.recv_timeout(PATIENCE).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.unwrap_err().code
}

fn take(groups: &KafkaGroups, group: &str, at: &TopicPartition) -> Result<Option<String>> {
    let limit = PollLimit { records: 1, ..ALL };
    Ok(match groups.take(group, std::slice::from_ref(at), limit, Waker::noop())? {
        Taking::Taken(taken) => {
            groups.accept(taken.claim);
            Some(String::from_utf8_lossy(taken.batch.frame().record(0).bytes()).into_owned())
        }
        _ => None,
    })
}

/// The client tells an end once, perhaps together with the last record.
#[test]
fn behind_the_last_transaction_nothing_is_waited_for() {
    let Some(made) = Made::new(1) else { return };
    for round in 1..=5 {
        let values: Vec<_> = (0..20).map(|n| format!("{round} {n}")).collect();
        made.cluster.append_in_transactions(&made.topic.name, &values.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(made.values(Position::START).len(), round * 20);
    }
}

#[test]
fn a_record_keeps_key_headers_time_and_a_null_value() {
    let Some(made) = Made::new(1) else { return };
    let mut headers = HeadersBuilder::new();
    headers.push("a", b"1").unwrap();
    headers.push("a", b"").unwrap();
    let records = [
        RecordRef::null().with_key(Some(b"k")).with_headers(headers.as_headers()).at(1_700_000_000_123),
        RecordRef::new(b"").at(1),
    ];
    append(&made.topics, &made.topic, &records).unwrap();
    let batch = made.topics.read(&made.at(0), Position::START, ALL).unwrap().unwrap();
    let (first, second) = (batch.frame().record(0), batch.frame().record(1));
    assert_eq!((first.value, first.key, first.timestamp), (None, Some(&b"k"[..]), 1_700_000_000_123));
    assert_eq!(first.headers.iter().collect::<Vec<_>>(), [("a", &b"1"[..]), ("a", &b""[..])]);
    assert_eq!((second.value, second.key, second.timestamp), (Some(&b""[..]), None, 1));
}

#[test]
fn what_was_aborted_is_passed_over() {
    let Some(made) = Made::new(1) else { return };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &made.cluster.bootstrap).set("transactional.id", unique());
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    let write = |value: &str, is_kept: bool| {
        producer.begin_transaction().unwrap();
        let record = BaseRecord::<[u8], [u8]>::to(&made.topic.name).partition(0).payload(value.as_bytes());
        producer.send(record).unwrap_or_else(|(e, _)| panic!("{e}"));
        producer.flush(PATIENCE).unwrap();
        match is_kept {
            true => producer.commit_transaction(PATIENCE).unwrap(),
            false => producer.abort_transaction(PATIENCE).unwrap(),
        }
    };
    write("gone", false);
    assert_eq!(made.values(Position::START), [""; 0], "a part without records is none");
    write("a", true);
    write("gone too", false);
    write("b", true);
    write("gone at last", false);
    assert_eq!(made.values(Position::START), ["a", "b"]);
    assert_eq!(made.values(Position(4)), ["b"], "from within a gap on");
    let groups = KafkaGroups::new(&made.topics);
    let all: Vec<_> = std::iter::from_fn(|| take(&groups, &unique_of(&made), &made.at(0)).unwrap()).take(9).collect();
    assert_eq!(all, ["a", "b"]);
}

/// A group of the test's own.
fn unique_of(made: &Made) -> String {
    format!("g-{}", made.topic.name)
}

#[test]
fn an_append_that_cannot_be_says_why() {
    let Some(made) = Made::new(1) else { return };
    let at_zero = append(&made.topics, &made.topic, &[RecordRef::new(b"x")]);
    assert_eq!(code(at_zero), ErrorCode::InvalidRequest, "Kafka keeps no such time");
    made.cluster.set(&made.topic.name, "max.message.bytes", "200");
    let large = append(&made.topics, &made.topic, &[RecordRef::new(&[7; 1_000]).at(1)]);
    assert_eq!(code(large), ErrorCode::RecordTooLarge);
    append(&made.topics, &made.topic, &[RecordRef::new(b"small").at(1)]).unwrap();
    assert_eq!(made.values(Position::START), ["small"]);
    let by_arrival = TopicChange { time: Some(RetentionTime::Arrival), ..TopicChange::default() };
    assert_eq!(code(made.topics.alter(&made.topic, by_arrival)), ErrorCode::InvalidRequest);
}

#[test]
fn who_has_no_rights_is_told() {
    let Some(made) = Made::new(1) else { return };
    let Ok(sasl) = std::env::var("FNSTREAM_KAFKA_SASL") else {
        assert!(std::env::var_os("CI").is_none(), "FNSTREAM_KAFKA_SASL names no listener: see scripts/kafka.sh");
        return eprintln!("SKIPPED: FNSTREAM_KAFKA_SASL names no listener: see scripts/kafka.sh");
    };
    let guest = connect(
        &sasl,
        &[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "guest"),
            ("sasl.password", "guest-secret"),
        ],
    );
    assert_eq!(code(append(&guest, &made.topic, &[RecordRef::new(b"x").at(1)])), ErrorCode::BrokerForbidden);
    assert_eq!(code(guest.describe(&made.topic)), ErrorCode::BrokerForbidden);
    assert_eq!(code(guest.create(&Topic::own(unique()), 1, Retention::default())), ErrorCode::BrokerForbidden);
    assert_eq!(code(take(&KafkaGroups::new(&guest), "g", &made.at(0))), ErrorCode::BrokerForbidden);
}

#[test]
fn a_cluster_that_is_away_is_told() {
    // Nobody listens at this port.
    let away = connect("127.0.0.1:1", &[]);
    let topic = Topic::own("t");
    assert_eq!(code(append(&away, &topic, &[RecordRef::new(b"x").at(1)])), ErrorCode::Unavailable);
}

#[test]
fn what_another_client_appends_wakes_who_waits() {
    let Some(made) = Made::new(2) else { return };
    let (send, woken) = channel();
    let guard = made.topics.watch(&made.at(1), Waker::new(move || _ = send.send(()))).unwrap();
    for value in ["a", "b"] {
        made.cluster.append(&made.topic.name, 1, &[RecordRef::new(value.as_bytes()).at(1)]);
        woken.recv_timeout(PATIENCE).unwrap();
    }
    drop(guard);
    // The last guard is gone: another begins anew.
    let (send, woken) = channel();
    let _guard = made.topics.watch(&made.at(1), Waker::new(move || _ = send.send(()))).unwrap();
    made.cluster.append(&made.topic.name, 1, &[RecordRef::new(b"c").at(1)]);
    woken.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_group_is_one_of_kafkas() {
    let Some(made) = Made::new(1) else { return };
    let (groups, name) = (KafkaGroups::new(&made.topics), unique_of(&made));
    append(&made.topics, &made.topic, &[b"a", b"b", b"c"].map(|value| RecordRef::new(value).at(1))).unwrap();
    assert_eq!(take(&groups, &name, &made.at(0)).unwrap().as_deref(), Some("a"));
    assert_eq!(made.cluster.committed(&name, &made.topic.name, 0), Some(1), "other tools see it");

    // While a consumer is in the group nothing is given.
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &made.cluster.bootstrap).set("group.id", &name);
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    let member: BaseConsumer = config.create().unwrap();
    member.subscribe(&[&made.topic.name]).unwrap();
    // Being assigned something is no message.
    let message = loop {
        if let Some(message) = member.poll(PATIENCE) {
            break message.unwrap();
        }
    };
    assert_eq!(rdkafka::Message::payload(&message), Some(&b"b"[..]), "it goes on where requests stood");
    assert_eq!(code(take(&groups, &name, &made.at(0))), ErrorCode::GroupInUse);
    assert_eq!(made.cluster.committed(&name, &made.topic.name, 0), Some(1));
    drop(message);

    // What it has committed counts.
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&made.topic.name, 0, Offset::Offset(2)).unwrap();
    member.commit(&offsets, CommitMode::Sync).unwrap();
    drop(member);
    assert_eq!(take(&groups, &name, &made.at(0)).unwrap().as_deref(), Some("c"));
    assert_eq!(take(&groups, &name, &made.at(0)).unwrap(), None);
}

#[test]
fn topics_that_are_nobodys_business_are_neither_listed_nor_changed() {
    let Some(made) = Made::new(1) else { return };
    let hidden = format!("server.7.{}.log", made.topic.name);
    made.cluster.create(&hidden, 1);
    let all: Vec<_> = made.topics.page(None, usize::MAX).unwrap().into_iter().map(|topic| topic.name).collect();
    assert!(all.contains(&made.topic.name));
    assert!(!all.iter().any(|name| **name == *hidden || name.starts_with("__")), "{all:?}");
    let hidden = Topic::own(hidden);
    assert_eq!(made.topics.delete(&hidden).unwrap_err().code, ErrorCode::InvalidRequest);
    assert_eq!(code(append(&made.topics, &hidden, &[RecordRef::new(b"x").at(1)])), ErrorCode::InvalidRequest);
    assert_eq!(made.topics.describe(&hidden).unwrap().partitions.len(), 1, "it may be looked at");
}
