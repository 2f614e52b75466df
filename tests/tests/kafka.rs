// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `kill -9` of a server whose functions read and write topics of a real Kafka cluster: each output comes once and in order. One function
//! changes records (money), the other counts the records of each key in state (keyed count); both commit in the same transactions.
//!
//! The outputs are compared with the inputs twice: through the server, and by a client of Kafka that has nothing of ours
//! (`tests/kafka/check.py`, where there is Python).
//!
//! `FNSTREAM_KAFKA` names the cluster (`scripts/kafka.sh start`); without it the test is skipped, and says so. `FNSTREAM_SEED` repeats its
//! choices, `FNSTREAM_KAFKA_KILLS` and `FNSTREAM_KAFKA_RECORDS` make them more. `FNSTREAM_KAFKA_RESTARTS` restarts the broker so often
//! meanwhile, whose folder is then `FNSTREAM_KAFKA_FOLDER`; nobody else may use it. `make kafka-kill-long` does all of that.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test says its seed and what it did")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fnstream_api::{Client, ConsumeOptions, Function, ReadFrom, TopicRequest};
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::topic::TopicRef;
use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use fnstream_tests::node::Node;
use fnstream_tests::python::python_for;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, seed};
use rand::RngExt;
use rand::rngs::StdRng;

const PARTITIONS: u32 = 2;

/// There is a key for so many records, on average.
const RECORDS_PER_KEY: usize = 20;

/// Records of one request.
const AT_ONCE: usize = 10_000;

/// How often it is looked how far the functions are.
const STEP: Duration = Duration::from_millis(5);

/// What a function does, with what it is called.
#[derive(Clone, Copy)]
enum Work {
    Money,
    KeyedCount,
}

/// A function and its topics.
struct Job {
    work: Work,
    input: String,
    output: String,
    archive: String,
    keys: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_on_kafka_that_is_killed_loses_and_doubles_nothing() -> Result<()> {
    let Ok(broker) = std::env::var("FNSTREAM_KAFKA") else {
        ensure!(std::env::var_os("CI").is_none(), "FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        eprintln!("SKIPPED: FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        return Ok(());
    };
    let mut rng = seed::Seed::of("kafka")?.rng(0);
    let (kills, records) = (seed::number("FNSTREAM_KAFKA_KILLS", 6)?, seed::number("FNSTREAM_KAFKA_RECORDS", 40_000)?);
    let restarts = seed::number("FNSTREAM_KAFKA_RESTARTS", 0)?;
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let mut client = node.start().await?;
    let mut jobs = Vec::new();
    for work in [Work::Money, Work::KeyedCount] {
        let job = Job::new(work, &broker, &client, records).await?;
        job.create(&client).await?;
        jobs.push(job);
    }

    let (mut restarted, mut amidst, mut slowest) = (0, 0, Duration::ZERO);
    for life in 1..=kills {
        // Each life has something to do, and dies amidst of it: while it begins, or wherever it has got.
        let (from, to) = (records * (life - 1) / (kills + 1), records * life / (kills + 1));
        for job in &jobs {
            job.fill(&client, from..to, &mut rng).await?;
        }
        if rng.random_ratio(1, 3) {
            node.server()?.runs_for(Duration::from_millis(rng.random_range(0..200))).await?;
        } else {
            reach(&node, &client, &jobs, jobs.len() * rng.random_range(from..to)).await?;
        }
        if restarted * kills < restarts * life {
            restart_broker().await?;
            restarted += 1;
        }
        amidst += usize::from(done(&client, &jobs).await? < jobs.len() * to);
        node.kill()?;
        client = node.start().await?;
        slowest = slowest.max(node.last_start());
    }
    for job in &jobs {
        job.fill(&client, records * kills / (kills + 1)..records, &mut rng).await?;
    }
    let began = Instant::now();
    reach(&node, &client, &jobs, jobs.len() * records).await?;
    println!(
        "{records} records each, {kills} kills, {amidst} of them amidst of the work, {restarted} restarts of the broker; the slowest \
         start took {slowest:?}, the last of the work {:?}",
        began.elapsed()
    );
    for job in &jobs {
        job.check(&client, records).await?;
    }
    let Some(python) = python_for("tests/kafka/requirements.txt")? else { return Ok(()) };
    for job in &jobs {
        job.check_by(&python, &broker, records)?;
    }
    Ok(())
}

/// How many records the functions have committed.
async fn done(client: &Client, jobs: &[Job]) -> Result<usize> {
    let mut done = 0;
    for job in jobs {
        let function = client.describe_function(job.work.name()).await?;
        done += function.tasks.iter().map(|task| task.records_in as usize).sum::<usize>();
    }
    Ok(done)
}

/// Waits until the functions have committed so many records.
async fn reach(node: &Node, client: &Client, jobs: &[Job], wanted: usize) -> Result<()> {
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let done = done(client, jobs).await?;
        if done >= wanted {
            return Ok(());
        }
        if done > last {
            (last, moved) = (done, Instant::now());
        }
        if moved.elapsed() > PATIENCE {
            bail!("stopped at {last} of {wanted}\n{}", node.server()?.last_words());
        }
        node.server()?.runs_for(STEP).await?;
    }
}

/// Stops the broker in order and starts it again.
async fn restart_broker() -> Result<()> {
    let folder = std::env::var("FNSTREAM_KAFKA_FOLDER").context("FNSTREAM_KAFKA_FOLDER names no folder of a broker")?;
    let script = move || -> Result<()> {
        for command in ["stop", "start"] {
            let said =
                Command::new(binary::root().join("scripts/kafka.sh")).args([command, "--at", &folder]).output()?;
            ensure!(said.status.success(), "{command}: {}", String::from_utf8_lossy(&said.stderr));
        }
        Ok(())
    };
    tokio::task::spawn_blocking(script).await?
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Work::Money => "money",
            Work::KeyedCount => "keyed-count",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Work::Money => "basic_rust",
            Work::KeyedCount => "keyed_count_rust",
        }
    }
}

impl Job {
    async fn new(work: Work, broker: &str, client: &Client, records: usize) -> Result<Job> {
        let id: u64 = rand::random();
        let named = |what: &str| format!("{}-{what}-{id:016x}@kafka://{broker}", work.name());
        let (input, output) = (named("input"), named("output"));
        for topic in [&input, &output] {
            let request = TopicRequest { partitions: Some(PARTITIONS), ..TopicRequest::default() };
            client.create_topic(topic, &request).await?;
        }
        let archive = client.upload_artifact(std::fs::read(binary::example(work.example())?)?).await?.digest;
        Ok(Job { work, input, output, archive, keys: (records / RECORDS_PER_KEY).max(1) })
    }

    /// Each record has its number, and one of some keys.
    async fn fill(&self, client: &Client, records: Range<usize>, rng: &mut StdRng) -> Result<()> {
        // What is old is dropped by the broker.
        let now = SystemClock::new().unix_ms();
        for first in records.clone().step_by(AT_ONCE) {
            let mut frame = FrameBuilder::new();
            for number in first..records.end.min(first + AT_ONCE) {
                let key = format!("key{}", rng.random_range(0..self.keys));
                let value = format!("{{\"name\":\"{number}\",\"money\":{number}}}");
                frame.push(RecordRef::new(value.as_bytes()).with_key(Some(key.as_bytes())).at(now));
            }
            client.produce_frame(&self.input, frame.to_bytes()).await?;
        }
        Ok(())
    }

    async fn create(&self, client: &Client) -> Result<()> {
        let (input, output): (TopicRef, TopicRef) = (self.input.parse()?, self.output.parse()?);
        let function = Function::new(format!("sha256:{}", self.archive), vec![input], output);
        client.create_function(self.work.name(), &function).await?;
        Ok(())
    }

    /// Compares the outputs with the inputs, as the server tells them. A key is in one partition, whose order is that of its outputs.
    async fn check(&self, client: &Client, records: usize) -> Result<()> {
        let mut outputs = 0;
        for partition in 0..PARTITIONS {
            let (mut counts, mut wanted) = (BTreeMap::<String, u64>::new(), Vec::new());
            for (key, value) in read(client, &self.input, partition).await? {
                let count = counts.entry(key.clone()).or_default();
                *count += 1;
                wanted.push((key, self.work.output(&value, *count)?));
            }
            let found = read(client, &self.output, partition).await?;
            outputs += found.len();
            let differ = wanted.iter().zip(&found).position(|(wanted, found)| wanted != found);
            if let Some(at) = differ {
                bail!(
                    "{} partition {partition}: output {at} is {:?} and not {:?}",
                    self.work.name(),
                    found[at],
                    wanted[at]
                );
            }
            ensure!(found.len() == wanted.len(), "{} outputs of {} in {partition}", found.len(), wanted.len());
        }
        ensure!(outputs == records, "{outputs} outputs of {records} records");
        Ok(())
    }

    /// The same by an independent client.
    fn check_by(&self, python: &str, broker: &str, records: usize) -> Result<()> {
        let name = |topic: &str| topic.split_once('@').map_or(topic, |(name, _)| name).to_owned();
        let checked = Command::new(python)
            .arg(binary::root().join("tests/kafka/check.py"))
            .args([self.work.name(), broker, &name(&self.input), &name(&self.output)])
            .output()
            .context("cannot run python")?;
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        ensure!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
        println!("{}, by confluent-kafka: {}", self.work.name(), said.trim());
        let found: serde_json::Value = serde_json::from_str(&said)?;
        for (what, wanted) in [
            ("inputs", records),
            ("outputs", records),
            ("lost", 0),
            ("duplicated", 0),
            ("wrong", 0),
            ("out_of_order", 0),
        ] {
            ensure!(found[what] == wanted, "{}: {what} is {}, and should be {wanted}", self.work.name(), found[what]);
        }
        Ok(())
    }
}

impl Work {
    /// What comes out for a record, which is the one of that number with its key.
    fn output(self, value: &[u8], count: u64) -> Result<Vec<u8>> {
        let Work::Money = self else { return Ok(count.to_le_bytes().into()) };
        let person: serde_json::Value = serde_json::from_slice(value)?;
        let (name, money) = (person["name"].as_str(), person["money"].as_u64());
        let (name, money) = name.zip(money).context("a record of nobody")?;
        Ok(format!("{{\"name\":\"{name}\",\"money\":{},\"expected\":0}}", money + 1).into())
    }
}

/// The keys and values of a partition.
async fn read(client: &Client, topic: &str, partition: u32) -> Result<Vec<(String, Vec<u8>)>> {
    let mut options = ConsumeOptions {
        from: Some(ReadFrom::Earliest),
        partition: Some(partition),
        timeout: Some(Duration::ZERO),
        ..ConsumeOptions::default()
    };
    let mut pairs = Vec::new();
    while let Some((frame, next)) = client.consume_frame(topic, &options, 10_000).await? {
        for record in Frame::parse(&frame)?.iter() {
            let key = record.key.context("an output without its key")?;
            pairs.push((String::from_utf8_lossy(key).into_owned(), record.bytes().to_vec()));
        }
        options.from = Some(ReadFrom::Position(next));
    }
    Ok(pairs)
}
