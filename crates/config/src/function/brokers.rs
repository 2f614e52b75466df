// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which settings of a broker's client a function may give, and why not the others: the engine commits positions and
//! output together, and a client with other settings would lose or repeat events.

const POSITIONS: &str = "positions are committed with the output, by the engine";
const COMMITTED: &str = "only what was committed is read, or an aborted event would count";
const TRANSACTIONS: &str = "the engine commits in transactions and names them itself";
const ASSIGNMENT: &str = "the engine assigns partitions to tasks";
const SERVERS: &str = "it is 'bootstrap_servers' here";

/// Of a Kafka consumer.
pub(super) static KAFKA_INPUT_REFUSED: &[(&str, &str)] = &[
    ("enable.auto.commit", POSITIONS),
    ("auto.commit.enable", POSITIONS),
    ("auto.commit.interval.ms", POSITIONS),
    ("enable.auto.offset.store", POSITIONS),
    ("offset.store.method", POSITIONS),
    ("isolation.level", COMMITTED),
    ("group.instance.id", ASSIGNMENT),
    ("partition.assignment.strategy", ASSIGNMENT),
    ("group.protocol", ASSIGNMENT),
    ("group.remote.assignor", ASSIGNMENT),
    ("group.id", "it is 'group_id' here"),
    ("bootstrap.servers", SERVERS),
    ("metadata.broker.list", SERVERS),
];

/// Of a Kafka producer.
pub(super) static KAFKA_OUTPUT_REFUSED: &[(&str, &str)] = &[
    ("transactional.id", TRANSACTIONS),
    ("transaction.timeout.ms", TRANSACTIONS),
    ("enable.idempotence", TRANSACTIONS),
    ("enable.gapless.guarantee", TRANSACTIONS),
    ("acks", "a commit is durable on all replicas"),
    ("request.required.acks", "a commit is durable on all replicas"),
    ("retries", "a commit is repeated until its outcome is known"),
    ("message.send.max.retries", "a commit is repeated until its outcome is known"),
    ("max.in.flight", "more would change the order of events"),
    ("max.in.flight.requests.per.connection", "more would change the order of events"),
    ("partitioner", "an event's partition follows from its key and its input"),
    ("bootstrap.servers", SERVERS),
    ("metadata.broker.list", SERVERS),
];

/// Settings of the client whose names have no dot; any other name without one is a mistake of ours.
pub(super) static KAFKA_PLAIN: &[&str] = &["debug"];
