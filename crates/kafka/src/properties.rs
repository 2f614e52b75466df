// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The properties of clients: what users write is passed on as it is, but for what would break exactly-once.

use std::collections::BTreeMap;
use std::fmt;

use fnstream_core::topic::{OWN_OPTIONS, masked};
use fnstream_core::{Error, ErrorCode, Result};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

use crate::error::unusable;

/// Where a partition begins that has no position.
pub const AUTO_OFFSET_RESET: &str = "auto.offset.reset";

/// Properties that users do not set, with the reason.
const RESERVED: [(&str, &str); 12] = [
    ("enable.auto.commit", "positions are committed together with what was made of the records"),
    ("enable.auto.offset.store", "positions are committed together with what was made of the records"),
    ("enable.idempotence", "it is always on"),
    ("enable.partition.eof", "it is always on"),
    ("group.id", "the group is named with group_id"),
    ("bootstrap.servers", "the addresses are those of the cluster"),
    ("transactional.id", "it follows from the server's own name"),
    ("isolation.level", "records of transactions that were aborted are never read"),
    ("metadata.broker.list", "the addresses are those of the cluster"),
    ("auto.commit.enable", "positions are committed together with what was made of the records"),
    ("request.required.acks", "all replicas in sync have to have a record"),
    ("acks", "all replicas in sync have to have a record"),
];

/// The addresses of a cluster and how its clients talk to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Properties {
    bootstrap: String,
    given: BTreeMap<String, String>,
}

impl Properties {
    /// Takes addresses (`host:port,host:port`) and properties as users write them. The options of a topic reference that are
    /// not the client's ([`OWN_OPTIONS`]) are passed over.
    ///
    /// All that is wrong is told at once, as [`ErrorCode::InvalidConfig`].
    pub fn new(bootstrap: &str, given: &BTreeMap<String, String>) -> Result<Properties> {
        let given: BTreeMap<_, _> =
            given.iter().filter(|(name, _)| !OWN_OPTIONS.contains(&name.as_str())).map(own).collect();
        let mut problems = Vec::new();
        for (name, reason) in RESERVED {
            if given.contains_key(name) {
                problems.push(format!("'{name}' cannot be set: {reason}"));
            }
        }
        for (name, value) in &given {
            if name == AUTO_OFFSET_RESET {
                if !matches!(value.as_str(), "earliest" | "latest") {
                    problems.push(format!("'{name}' is 'earliest' or 'latest', not '{}'", value.escape_debug()));
                }
            } else if let Err(KafkaError::ClientConfig(_, why, ..)) =
                ClientConfig::new().set(name, value).create_native_config().map(drop)
            {
                problems.push(format!("'{name}': {why}"));
            }
        }
        match problems.is_empty() {
            true => Ok(Properties { bootstrap: bootstrap.to_owned(), given }),
            false => Err(unusable(&problems.join("; "))),
        }
    }

    /// These properties with others over them, such as the options of a topic reference.
    pub(crate) fn with(&self, given: &BTreeMap<String, String>) -> Result<Properties> {
        let over = Properties::new(&self.bootstrap, given)?;
        let given = self.given.iter().chain(&over.given).map(own).collect();
        Ok(Properties { bootstrap: over.bootstrap, given })
    }

    /// The addresses.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Whether a partition without a position begins at its end.
    pub(crate) fn begins_at_end(&self) -> bool {
        self.given.get(AUTO_OFFSET_RESET).is_some_and(|value| value == "latest")
    }

    /// The most bytes of key and value that the client takes, if that was set.
    pub(crate) fn max_message_bytes(&self) -> Option<usize> {
        self.given.get("message.max.bytes")?.parse().ok()
    }

    /// Whether what is sent is smaller than it was.
    pub(crate) fn compresses(&self) -> bool {
        let mut codecs = ["compression.type", "compression.codec"].into_iter().filter_map(|name| self.given.get(name));
        codecs.any(|codec| codec != "none")
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // The certificates of the system, wherever it keeps them.
        config.set("ssl.ca.location", "probe");
        config.set("client.id", "function-stream");
        config.set("allow.auto.create.topics", "false");
        // A broker that is back is found within a second.
        config.set("reconnect.backoff.max.ms", "1000");
        config.extend(self.given.iter().filter(|(name, _)| *name != AUTO_OFFSET_RESET).map(own));
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Of a client that only asks.
    pub(crate) fn asking(&self, group: &str) -> ClientConfig {
        let mut config = self.base();
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        // What a transaction that is not decided yet has committed is waited for.
        config.set("isolation.level", "read_committed");
        config
    }

    /// Of a consumer of partitions that are assigned by hand.
    pub(crate) fn reading(&self, group: &str) -> ClientConfig {
        let mut config = self.asking(group);
        config.set("enable.auto.offset.store", "false");
        config.set("enable.partition.eof", "true");
        config.set(AUTO_OFFSET_RESET, "error");
        for (name, value) in [
            // Enough for about a tenth of a second; more takes memory.
            ("queued.min.messages", "10000"),
            ("queued.max.messages.kbytes", "4096"),
            ("fetch.wait.max.ms", "100"),
            ("fetch.queue.backoff.ms", "10"),
        ] {
            if !self.given.contains_key(name) {
                config.set(name, value);
            }
        }
        config
    }

    /// Of the producer of clients, whose records are not part of a transaction.
    pub(crate) fn appending(&self) -> ClientConfig {
        let mut config = self.producing("");
        config.remove("transactional.id");
        // One record should not wait for others, and a client not for longer than it would ask again.
        for (names, value) in
            [(&["linger.ms", "queue.buffering.max.ms"], "1"), (&["message.timeout.ms", "delivery.timeout.ms"], "30000")]
        {
            if names.iter().all(|name| !self.given.contains_key(*name)) {
                config.set(names[0], value);
            }
        }
        config
    }

    /// Of the producer of a transactional id.
    pub(crate) fn producing(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.base();
        config.set("transactional.id", transactional_id);
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        // The broker's own limit decides what is too large.
        for (name, value) in [("message.max.bytes", "100000000"), ("linger.ms", "5")] {
            if !self.given.contains_key(name) {
                config.set(name, value);
            }
        }
        config
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = masked(&self.given);
        f.debug_struct("Properties").field("bootstrap", &self.bootstrap).field("given", &given).finish()
    }
}

fn own((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

/// Refuses a topic whose name Kafka does not take, which is stricter than ours.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let refused = |why: &str| {
        Err(Error::new(
            ErrorCode::InvalidName,
            format!("Kafka takes no topic of the name '{}': {why}", name.escape_debug()),
        ))
    };
    match name {
        "" => refused("it is empty"),
        "." | ".." => refused("it stands for a folder"),
        _ if name.len() > 249 => refused("it has more than 249 characters"),
        _ if name.chars().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) => {
            refused("it may hold ASCII letters, digits, '.', '_' and '-'")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(given: &[(&str, &str)]) -> Result<Properties> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Properties::new("b:9092", &given)
    }

    #[test]
    fn what_users_write_reaches_every_client() {
        let given = properties(&[("socket.timeout.ms", "1234"), ("group_id", "g"), ("partition", "1")]).unwrap();
        for config in [given.reading("g"), given.producing("t"), given.asking("g")] {
            assert_eq!(config.get("socket.timeout.ms"), Some("1234"));
            assert_eq!(config.get("bootstrap.servers"), Some("b:9092"));
            assert_eq!((config.get("group_id"), config.get("partition")), (None, None));
            config.create_native_config().unwrap();
        }
    }

    #[test]
    fn what_would_break_exactly_once_is_refused_with_all_other_faults() {
        let error = properties(&[
            ("enable.auto.commit", "true"),
            ("acks", "1"),
            ("fetch.wait.max.mss", "1"),
            ("socket.timeout.ms", "soon"),
            ("auto.offset.reset", "none"),
        ])
        .unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidConfig);
        assert_eq!(
            error.message,
            "the properties of the Kafka client: 'enable.auto.commit' cannot be set: positions are committed together with \
             what was made of the records; 'acks' cannot be set: all replicas in sync have to have a record; \
             'auto.offset.reset' is 'earliest' or 'latest', not 'none'; 'fetch.wait.max.mss': No such configuration property: \"fetch.wait.max.mss\"; \
             'socket.timeout.ms': Invalid value for configuration property \"socket.timeout.ms\""
        );
    }

    #[test]
    fn secrets_reach_clients_and_nobody_else() {
        let given = properties(&[("sasl.password", "geheim"), ("sasl.username", "u")]).unwrap();
        assert_eq!(given.reading("g").get("sasl.password"), Some("geheim"));
        let shown = format!("{given:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn names_that_kafka_refuses_are_told() {
        for name in ["a", "A.b_c-9", &"x".repeat(249)] {
            check_name(name).unwrap();
        }
        for name in ["", ".", "..", "a/b", "persistent://a/b/c", "ü", &"x".repeat(250)] {
            assert_eq!(check_name(name).unwrap_err().code, ErrorCode::InvalidName, "{name}");
        }
    }
}
