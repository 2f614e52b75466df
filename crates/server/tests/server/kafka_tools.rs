// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is done to a Kafka cluster beside the server, as with Kafka's own tools; and a broker of a test's own.

use std::process::Command;
use std::time::Instant;

use fnstream_core::topic::Topic;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::support::LONG;

fn of(topic: &str) -> (AdminClient<DefaultClientContext>, Topic) {
    let topic: Topic = topic.parse().unwrap();
    let addresses = topic.cluster.as_str().strip_prefix("kafka://").unwrap();
    (ClientConfig::new().set("bootstrap.servers", addresses).create().unwrap(), topic)
}

/// Drops the records of partition 0 below an offset.
pub(crate) async fn delete_records(topic: &str, below: i64) {
    let (admin, topic) = of(topic);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic.name, 0, Offset::Offset(below)).unwrap();
    admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
}

pub(crate) async fn delete(topic: &str) {
    let (admin, topic) = of(topic);
    let options = AdminOptions::new().operation_timeout(Some(LONG));
    admin.delete_topics(&[&topic.name], &options).await.unwrap().remove(0).unwrap();
}

/// Changes a setting of a topic.
pub(crate) async fn set(topic: &str, name: &str, value: &str) {
    let (admin, topic) = of(topic);
    let alter = AlterConfig::new(ResourceSpecifier::Topic(&topic.name)).set(name, value);
    admin.alter_configs([&alter], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
}

/// The number of partitions of each topic whose name holds a text, in the cluster of a topic.
pub(crate) fn topics(like: &str, part: &str) -> Vec<(String, usize)> {
    let (admin, _) = of(like);
    let metadata = admin.inner().fetch_metadata(None, LONG).unwrap();
    let found = metadata.topics().iter().filter(|topic| topic.name().contains(part));
    found.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect()
}

/// A broker of a test's own, which it stops.
pub(crate) struct Broker {
    folder: TempDir,
    address: String,
}

impl Broker {
    /// None, said aloud, where there is no broker to be tested with.
    pub(crate) fn start() -> Option<Broker> {
        crate::kafka::topic()?;
        let mut broker = Broker { folder: tempfile::tempdir().unwrap(), address: String::new() };
        broker.address = broker.script("start");
        Some(broker)
    }

    /// The reference to a topic there.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{name}@kafka://{}", self.address)
    }

    /// Runs the project's script on it; gives what it prints.
    pub(crate) fn script(&self, command: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka.sh");
        let ended = Command::new(script).args([command, "--at"]).arg(self.folder.path()).output().unwrap();
        assert!(ended.status.success(), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8_lossy(&ended.stdout).trim().to_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.script("stop");
    }
}

/// Looks again and again until something is so. Each look asks the cluster.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "{what}");
    }
}
