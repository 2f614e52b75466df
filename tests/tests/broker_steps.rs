// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server on a real cluster of Kafka or Pulsar dies at each step of a commit, while its function counts words: each count comes once and
//! in order.
//!
//! `FNSTREAM_KAFKA` names the one (`scripts/kafka.sh start`), `FNSTREAM_PULSAR` and `FNSTREAM_PULSAR_ADMIN` the other (`scripts/pulsar.sh
//! env`); without them the tests are skipped, and say so. `FNSTREAM_SEED` repeats their choices.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test says its seed and what it did")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Result, ensure};
use fnstream_api::{Client, Function, FunctionDescription, TopicRequest};
use fnstream_core::topic::TopicRef;
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_tests::broker_jobs::{kafka, read_counts};
use fnstream_tests::node::Node;
use fnstream_tests::pulsar::Pulsar;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, seed, within};
use rand::RngExt;
use rand::rngs::StdRng;

const WORDS: usize = 50;
const PARTITIONS: u32 = 2;

/// The steps of a commit and of an apply.
const PULSAR_STEPS: [&str; 6] = [
    "pulsar.commit.begin",
    "pulsar.commit.before-log",
    "pulsar.commit.after-log",
    "pulsar.commit.before-outputs",
    "pulsar.commit.after-outputs",
    "pulsar.state.after-marker",
];

/// The same of Kafka.
const STEPS: [&str; 7] = [
    "kafka.commit.before-begin",
    "kafka.commit.after-outputs",
    "kafka.commit.after-blob",
    "kafka.commit.after-offsets",
    "kafka.commit.after-commit",
    "kafka.state.before-marker",
    "kafka.state.after-marker",
];

/// A function that counts, and what it should come to.
struct Words {
    input: String,
    output: String,
    /// What the function's topics have behind their names.
    options: String,
    wanted: BTreeMap<String, u64>,
    produced: u64,
    rng: StdRng,
}

impl Words {
    /// None, said aloud, where there is no broker.
    fn new(test: &str) -> Result<Option<Words>> {
        let Some(broker) = kafka()? else { return Ok(None) };
        let id: u64 = rand::random();
        let named = |what: &str| format!("{what}-{id:016x}@kafka://{broker}");
        let rng = seed::Seed::of(test)?.rng(0);
        let (input, output) = (named("words"), named("counts"));
        Ok(Some(Words { input, output, options: String::new(), wanted: BTreeMap::new(), produced: 0, rng }))
    }

    /// On Pulsar, with topics that a client of its own has made.
    fn on_pulsar(test: &str) -> Result<Option<Words>> {
        let Some(cluster) = Pulsar::find("steps")? else { return Ok(None) };
        let topics = ["words", "counts"].map(|what| cluster.topic("count", what));
        cluster.create(PARTITIONS, &topics)?;
        let [input, output] = topics.map(|topic| format!("{topic}@{}", cluster.url));
        let (options, rng) = (format!("?admin_url={}", cluster.admin), seed::Seed::of(test)?.rng(0));
        Ok(Some(Words { input, output, options, wanted: BTreeMap::new(), produced: 0, rng }))
    }

    async fn make_topics(&self, client: &Client) -> Result<()> {
        for topic in [&self.input, &self.output] {
            client
                .create_topic(topic, &TopicRequest { partitions: Some(PARTITIONS), ..TopicRequest::default() })
                .await?;
        }
        Ok(())
    }

    async fn create_function(&self, client: &Client) -> Result<()> {
        let archive = client.upload_artifact(std::fs::read(binary::example("word_count_rust")?)?).await?.digest;
        let named = |topic: &str| format!("{topic}{}", self.options).parse::<TopicRef>();
        let (from, to) = (named(&self.input)?, named(&self.output)?);
        client.create_function("count", &Function::new(format!("sha256:{archive}"), vec![from], to)).await?;
        Ok(())
    }

    async fn produce(&mut self, client: &Client, count: usize) -> Result<()> {
        let mut frame = FrameBuilder::new();
        let words: Vec<_> = (0..count).map(|_| format!("word{}", self.rng.random_range(0..WORDS))).collect();
        words.iter().for_each(|word| frame.push(RecordRef::new(word.as_bytes()).with_key(Some(word.as_bytes())).at(1)));
        client.produce_frame(&self.input, frame.to_bytes()).await?;
        self.produced += count as u64;
        words.into_iter().for_each(|word| *self.wanted.entry(word).or_default() += 1);
        Ok(())
    }

    /// Waits until all words are counted, and looks at each count.
    async fn check(&self, client: &Client) -> Result<()> {
        let done = |f: &FunctionDescription| f.tasks.iter().map(|task| task.records_in).sum::<u64>() == self.produced;
        within("all words to be counted", async {
            while !client.describe_function("count").await.is_ok_and(|f| done(&f)) {}
        })
        .await?;
        // Each word is in one partition, whose order is that of its counts.
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            for (word, count) in read_counts(client, &self.output, partition).await? {
                let last = counts.entry(word.clone()).or_default();
                ensure!(count == *last + 1, "'{word}' is counted {count} after {last}");
                *last = count;
            }
        }
        ensure!(counts == self.wanted, "the counts are {counts:?}, and should be {:?}", self.wanted);
        Ok(())
    }
}

/// Early in the life of a process, which is while it takes its tasks over, and later. Another server writes the words meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_death_at_each_step_of_a_commit_to_kafka_loses_and_doubles_nothing() -> Result<()> {
    let Some(words) = Words::new("kafka-steps")? else { return Ok(()) };
    let mut writer = Node::new(ServerOptions::new(binary::server()?))?;
    let writing = writer.start().await?;
    words.make_topics(&writing).await?;
    die_at(&each(&STEPS), words, &writing).await
}

/// The same on Pulsar, where outputs follow a commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_death_at_each_step_of_a_commit_to_pulsar_loses_and_doubles_nothing() -> Result<()> {
    let Some(words) = Words::on_pulsar("pulsar-steps")? else { return Ok(()) };
    let mut writer = Node::new(ServerOptions::new(binary::server()?))?;
    let writing = writer.start().await?;
    die_at(&each(&PULSAR_STEPS), words, &writing).await
}

/// A life that ends at one step goes on from what another one has left that ended at any step.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn deaths_at_any_two_steps_of_a_commit_to_pulsar_lose_and_double_nothing() -> Result<()> {
    let Some(words) = Words::on_pulsar("pulsar-pairs")? else { return Ok(()) };
    let mut writer = Node::new(ServerOptions::new(binary::server()?))?;
    let writing = writer.start().await?;
    let pairs =
        PULSAR_STEPS.iter().flat_map(|first| PULSAR_STEPS.iter().map(move |second| [(*first, 1), (*second, 0)]));
    die_at(&pairs.flatten().collect::<Vec<_>>(), words, &writing).await
}

/// Each step with how often it is passed before.
fn each<'a>(steps: &[&'a str]) -> Vec<(&'a str, u32)> {
    steps.iter().flat_map(|step| [0, 2, 9].map(|passed| (*step, passed))).collect()
}

async fn die_at(steps: &[(&str, u32)], mut words: Words, writing: &Client) -> Result<()> {
    // Keys are applied soon.
    let options = |failpoints: &str| {
        let options = ServerOptions::new(binary::server_with_failpoints()?).arg("--state-dirty-keys", 20);
        Ok::<_, anyhow::Error>(options.env("FAILPOINTS", failpoints))
    };
    let mut node = Node::new(options("")?)?;
    words.create_function(&node.start().await?).await?;
    node.kill()?;
    let mut deaths = 0;
    for (step, reached) in steps {
        node.options = options(&format!("{step}={reached}*off->return"))?;
        node.spawn()?;
        let (status, lines) = ends_while_words_come(&mut node, &mut words, writing).await?;
        ensure!(status.signal() == Some(ABORT), "{step} after {reached}: {status}\n{}", lines.join("\n"));
        deaths += 1;
    }
    node.options = options("")?;
    words.check(&node.start().await?).await?;
    println!("{} records, {deaths} deaths", words.produced);
    Ok(())
}

/// The signal of a process that has ended itself at a step.
const ABORT: i32 = 6;

/// Writes words, some at a time, until the server has ended.
async fn ends_while_words_come(
    node: &mut Node,
    words: &mut Words,
    client: &Client,
) -> Result<(ExitStatus, Vec<String>)> {
    let has_ended = Cell::new(false);
    let ending = async {
        let ended = node.ended().await;
        has_ended.set(true);
        ended
    };
    let writing = async {
        // Each request is waited for: of one that is cut off nobody knows what it wrote.
        while !has_ended.get() {
            words.produce(client, 20).await?;
        }
        Ok(())
    };
    let (ended, written) = tokio::join!(ending, writing);
    written.and(ended)
}
