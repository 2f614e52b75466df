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

use super::failed;
use crate::failure::{Failure, Result};

/// How long the cluster may take for an answer.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// An input topic and an output topic of one bench, and its group.
pub(super) struct Cluster {
    pub bootstrap: String,
    /// What everything that is made is called, or begins with: the group too.
    pub name: String,
    pub input: String,
    pub output: String,
    pub partitions: u32,
    pub runtime: Runtime,
    admin: AdminClient<DefaultClientContext>,
    /// Asks for the group; it is no member of it.
    group: BaseConsumer,
}

impl Cluster {
    pub(super) fn open(bootstrap: &str, partitions: u32) -> Result<Self> {
        let name = format!("bench-{:016x}", rand::random::<u64>());
        let admin = config(bootstrap).create().map_err(|e| failed("making a client of Kafka", &e))?;
        let mut group = config(bootstrap);
        // What an open transaction may move is not waited for.
        group.set("group.id", &name).set("enable.auto.commit", "false").set("isolation.level", "read_uncommitted");
        let cluster = Cluster {
            bootstrap: bootstrap.to_owned(),
            input: format!("{name}-input"),
            output: format!("{name}-output"),
            name,
            partitions,
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?,
            admin,
            group: group.create().map_err(|e| failed("making a client of Kafka", &e))?,
        };
        cluster.create()?;
        Ok(cluster)
    }

    fn create(&self) -> Result {
        let topic = |name| NewTopic::new(name, self.partitions as i32, TopicReplication::Fixed(-1));
        let topics = [topic(&self.input), topic(&self.output)];
        let made = self.runtime.block_on(self.admin.create_topics(&topics, &options()));
        let answers = made.map_err(|e| failed(&format!("reaching Kafka at {}", self.bootstrap), &e))?;
        match answers.into_iter().find_map(std::result::Result::err) {
            Some((topic, code)) => Err(Failure::Plain(format!("the topic '{topic}' could not be made: {code}"))),
            None => Ok(()),
        }
    }

    /// How many records of the input its group has committed. They are its offsets: it was not filled by transactions, whose ends take
    /// offsets of their own.
    pub(super) fn committed(&self) -> Result<u64> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&self.input, 0, self.partitions as i32 - 1);
        let found = self.group.committed_offsets(asked, ANSWER).map_err(|e| failed("asking for the group", &e))?;
        let offsets = found.elements().into_iter().filter_map(|at| match at.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        });
        Ok(offsets.sum())
    }

    /// The topics that were made for this bench. A program whose internal topics begin with that prefix names them by itself; of one of
    /// them, which has the bench's name in it, the rest is known.
    pub(super) fn made_by(&self, prefix: Option<&str>) -> Result<Vec<String>> {
        let doing = "asking for the topics";
        let metadata = self.group.fetch_metadata(None, ANSWER).map_err(|e| failed(doing, &e))?;
        Ok(of_bench(metadata.topics().iter().map(|topic| topic.name()), &self.name, prefix))
    }

    /// Removes topics, and the group.
    pub(super) fn remove(&self, topics: &[String]) -> Result {
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        let removed = self.runtime.block_on(self.admin.delete_topics(&names, &options()));
        let answers = removed.map_err(|e| failed("removing the topics", &e))?;
        // A server that ends may have removed some of its own.
        let mut refused = answers.into_iter().filter_map(std::result::Result::err);
        if let Some((topic, code)) = refused.find(|(_, code)| *code != RDKafkaErrorCode::UnknownTopicOrPartition) {
            return Err(Failure::Plain(format!("the topic '{topic}' could not be removed: {code}")));
        }
        let removed = self.runtime.block_on(self.admin.delete_groups(&[&self.name], &options()));
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

/// Those topics that have the bench's name in theirs, and those of a program that has made one of them: what is before the first dot tells
/// its topics from those of others.
fn of_bench<'a>(topics: impl Iterator<Item = &'a str> + Clone, name: &str, prefix: Option<&str>) -> Vec<String> {
    let own = topics.clone().filter(|topic| topic.contains(name));
    let program = prefix.and_then(|prefix| own.filter_map(first_of).find(|first| first.starts_with(prefix)));
    let is_meant = |topic: &&str| topic.contains(name) || program.is_some() && first_of(topic) == program;
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
            "function-stream-ab.1.bench-1.log",
            "function-stream-ab.watermarks",
            "function-stream-cd.1.bench-2.log",
            "function-stream-cd.watermarks",
            "orders",
        ];
        let found = |prefix| of_bench(topics.into_iter(), "bench-1", prefix);
        assert_eq!(found(None), ["bench-1-input", "bench-1-counts-changelog", "function-stream-ab.1.bench-1.log"]);
        assert_eq!(found(Some("function-stream-"))[3], "function-stream-ab.watermarks");
        assert_eq!(found(Some("function-stream-")).len(), 4);
    }
}
