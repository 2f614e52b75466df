// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The topics of a bench in a cluster, how far its group has got, and removing all of it.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio::runtime::Runtime;

use super::COMMIT_INTERVAL_MS;
use super::traffic;
use crate::bench::outside::{Cluster, Place, Sender, Server, Topics, failed, unique};
use crate::bench::target::Outputs;
use crate::failure::{Failure, Result};

/// How long the cluster may take for an answer.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// How often progress is looked at.
const STEP: Duration = Duration::from_millis(20);

/// How the internal topics of a server of ours begin.
const SERVER: &str = "function-stream-";

/// An input topic and an output topic of one bench, and its group.
pub(super) struct KafkaCluster {
    place: Place,
    bootstrap: String,
    /// Whether each record is sent at once.
    at_once: bool,
    runtime: Runtime,
    admin: AdminClient<DefaultClientContext>,
    /// Asks for the group; it is no member of it.
    group: BaseConsumer,
}

impl KafkaCluster {
    pub(super) fn open(bootstrap: &str, partitions: u32, at_once: bool) -> Result<Self> {
        let name = unique();
        let admin = config(bootstrap).create().map_err(|e| failed("making a client of Kafka", &e))?;
        let mut group = config(bootstrap);
        // What an open transaction may move is not waited for.
        group.set("group.id", &name).set("enable.auto.commit", "false").set("isolation.level", "read_uncommitted");
        let cluster = KafkaCluster {
            place: place(bootstrap, name, partitions),
            bootstrap: bootstrap.to_owned(),
            at_once,
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?,
            admin,
            group: group.create().map_err(|e| failed("making a client of Kafka", &e))?,
        };
        cluster.create()?;
        Ok(cluster)
    }

    fn create(&self) -> Result {
        let Topics { input, output, partitions, .. } = &self.place.topics;
        let topic = |name| NewTopic::new(name, *partitions as i32, TopicReplication::Fixed(-1));
        let made = self.runtime.block_on(self.admin.create_topics(&[topic(input), topic(output)], &options()));
        let answers = made.map_err(|e| failed(&format!("reaching Kafka at {}", self.bootstrap), &e))?;
        match answers.into_iter().find_map(std::result::Result::err) {
            Some((topic, code)) => Err(Failure::Plain(format!("the topic '{topic}' could not be made: {code}"))),
            None => Ok(()),
        }
    }
}

fn place(bootstrap: &str, name: String, partitions: u32) -> Place {
    let topics = Topics::new(name.clone(), partitions, |of| format!("{name}-{of}"));
    let server = Server {
        verb: vec!["standalone".into()],
        environment: Vec::new(),
        input: format!("{}@kafka://{bootstrap}?group_id={name}", topics.input),
        output: format!("{}@kafka://{bootstrap}", topics.output),
    };
    let told =
        vec![("BENCH_BOOTSTRAP", bootstrap.to_owned()), ("BENCH_COMMIT_INTERVAL_MS", COMMIT_INTERVAL_MS.to_string())];
    Place { topics, server, told, step: STEP }
}

impl Cluster for KafkaCluster {
    fn place(&self) -> &Place {
        &self.place
    }

    /// How many records of the input its group has committed. They are its offsets: it was not filled by transactions, whose ends take
    /// offsets of their own.
    fn done(&self) -> Result<u64> {
        let mut asked = TopicPartitionList::new();
        let Topics { input, partitions, .. } = &self.place.topics;
        asked.add_partition_range(input, 0, *partitions as i32 - 1);
        let found = self.group.committed_offsets(asked, ANSWER).map_err(|e| failed("asking for the group", &e))?;
        let offsets = found.elements().into_iter().filter_map(|at| match at.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        });
        Ok(offsets.sum())
    }

    fn sender(&self) -> Result<Box<dyn Sender>> {
        Ok(Box::new(traffic::Sender::new(&self.bootstrap, &self.place.topics, self.at_once)?))
    }

    fn reader(&self) -> Result<Box<dyn Outputs>> {
        Ok(Box::new(traffic::Reader::open(&self.bootstrap, &self.place.topics)?))
    }

    fn made(&self) -> Result<Vec<String>> {
        let doing = "asking for the topics";
        let metadata = self.group.fetch_metadata(None, ANSWER).map_err(|e| failed(doing, &e))?;
        Ok(of_bench(metadata.topics().iter().map(|topic| topic.name()), &self.place.topics.group))
    }

    fn remove(&self, made: &[String]) -> Result {
        let names: Vec<_> = made.iter().map(String::as_str).collect();
        let removed = self.runtime.block_on(self.admin.delete_topics(&names, &options()));
        let answers = removed.map_err(|e| failed("removing the topics", &e))?;
        // A server that ends may have removed some of its own.
        let mut refused = answers.into_iter().filter_map(std::result::Result::err);
        if let Some((topic, code)) = refused.find(|(_, code)| *code != RDKafkaErrorCode::UnknownTopicOrPartition) {
            return Err(Failure::Plain(format!("the topic '{topic}' could not be removed: {code}")));
        }
        let group: &str = &self.place.topics.group;
        let removed = self.runtime.block_on(self.admin.delete_groups(&[group], &options()));
        for (group, code) in removed.map_err(|e| failed("removing the group", &e))?.into_iter().filter_map(|r| r.err())
        {
            // One that never was needs no removal; one of a program that was killed goes by itself with its offsets.
            let passes = [RDKafkaErrorCode::GroupIdNotFound, RDKafkaErrorCode::NonEmptyGroup].contains(&code);
            if !passes {
                return Err(Failure::Plain(format!("the group '{group}' could not be removed: {code}")));
            }
        }
        Ok(())
    }
}

/// The properties that all clients of the bench have.
pub(super) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("client.id", "function-stream-bench");
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER))
}

/// Those topics that have the bench's name in theirs, and those of a server of ours that has made one of them: what is before the first dot
/// tells its topics from those of others.
fn of_bench<'a>(topics: impl Iterator<Item = &'a str> + Clone, name: &str) -> Vec<String> {
    let mut own = topics.clone().filter(|topic| topic.contains(name)).filter_map(first_of);
    let server = own.find(|first| first.starts_with(SERVER));
    let is_meant = |topic: &&str| topic.contains(name) || server.is_some() && first_of(topic) == server;
    topics.filter(is_meant).map(str::to_owned).collect()
}

fn first_of(topic: &str) -> Option<&str> {
    topic.split_once('.').map(|(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_for_a_bench_is_found_and_nothing_else() {
        let topics = [
            "bench-1-input",
            "bench-1-counts-changelog",
            "bench-2-input",
            "bench-3.more",
            "function-stream-ab.1.bench-1.log",
            "function-stream-ab.watermarks",
            "function-stream-cd.1.bench-2.log",
            "function-stream-cd.watermarks",
            "orders",
        ];
        let found = |name| of_bench(topics.into_iter(), name);
        assert_eq!(
            found("bench-1"),
            [
                "bench-1-input",
                "bench-1-counts-changelog",
                "function-stream-ab.1.bench-1.log",
                "function-stream-ab.watermarks"
            ]
        );
        assert_eq!(found("bench-3"), ["bench-3.more"]);
    }
}
