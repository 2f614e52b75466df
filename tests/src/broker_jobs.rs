// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions between topics of a real cluster, and what should come out of them: one changes records (money), one counts the records of
//! each key in state (keyed count), and one emits a number of records that nobody knows before (scatter).

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fnstream_api::{Client, ConsumeOptions, Function, ReadFrom, TopicRequest};
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::topic::TopicRef;
use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::binary;

/// The cluster of Kafka that `FNSTREAM_KAFKA` names; `None`, said aloud, where there is none.
#[allow(clippy::print_stderr, reason = "a test that is passed over says so")]
pub fn kafka() -> Result<Option<String>> {
    if let Ok(cluster) = std::env::var("FNSTREAM_KAFKA") {
        return Ok(Some(cluster));
    }
    ensure!(std::env::var_os("CI").is_none(), "FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
    eprintln!("SKIPPED: FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
    Ok(None)
}

/// Partitions of each topic.
pub const PARTITIONS: u32 = 4;

/// There is a key for so many records, on average.
const RECORDS_PER_KEY: usize = 20;

/// Records of one request.
const AT_ONCE: usize = 10_000;

/// What a function does, with what it is called.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// Adds one to a number of a JSON record.
    Money,
    /// Counts the records of each key.
    KeyedCount,
    /// Emits one to four records of each, by chance.
    Scatter,
}

/// A function and its topics.
#[derive(Debug)]
pub struct Job {
    work: Work,
    input: String,
    output: String,
    archive: String,
    keys: usize,
}

/// How many records the functions have committed.
pub async fn done(client: &Client, jobs: &[Job]) -> Result<usize> {
    let mut done = 0;
    for job in jobs {
        let function = client.describe_function(job.work.name()).await?;
        done += function.tasks.iter().map(|task| task.records_in as usize).sum::<usize>();
    }
    Ok(done)
}

/// Stops the broker, `kafka` or `pulsar`, in order and starts it again.
pub async fn restart_broker(broker: &'static str) -> Result<()> {
    let variable = format!("FNSTREAM_{}_FOLDER", broker.to_uppercase());
    let folder = std::env::var(&variable).with_context(|| format!("{variable} names no folder of a broker"))?;
    let script = move || -> Result<()> {
        for command in ["stop", "start"] {
            let said = Command::new(binary::root().join(format!("scripts/{broker}.sh")))
                .args([command, "--at", &folder])
                .output()?;
            ensure!(said.status.success(), "{command}: {}", String::from_utf8_lossy(&said.stderr));
        }
        Ok(())
    };
    tokio::task::spawn_blocking(script).await?
}

impl Work {
    /// The name of its function.
    pub fn name(self) -> &'static str {
        match self {
            Work::Money => "money",
            Work::KeyedCount => "keyed-count",
            Work::Scatter => "scatter",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Work::Money => "basic_rust",
            Work::KeyedCount => "keyed_count_rust",
            Work::Scatter => "unruly_rust",
        }
    }
}

impl Job {
    /// Makes its topics: of the cluster that the topics' names end with, or of the server's own. There is a key for twenty records.
    pub async fn new(work: Work, cluster: &str, client: &Client, records: usize) -> Result<Job> {
        let id: u64 = rand::random();
        let named = |what: &str| format!("{}-{what}-{id:016x}{cluster}", work.name());
        let (input, output) = (named("input"), named("output"));
        for topic in [&input, &output] {
            let request = TopicRequest { partitions: Some(PARTITIONS), ..TopicRequest::default() };
            client.create_topic(topic, &request).await?;
        }
        let archive = client.upload_artifact(std::fs::read(binary::example(work.example())?)?).await?.digest;
        Ok(Job { work, input, output, archive, keys: (records / RECORDS_PER_KEY).max(1) })
    }

    /// What its function does.
    pub fn work(&self) -> Work {
        self.work
    }

    /// The names of its topics in Pulsar: input and output.
    pub fn full_topics(&self) -> [String; 2] {
        [&self.input, &self.output].map(|topic| format!("public/default/{topic}"))
    }

    /// Appends the records of these numbers. Each record has its number, and one of some keys.
    pub async fn fill(&self, client: &Client, records: Range<usize>, rng: &mut StdRng) -> Result<()> {
        // What is old is dropped by the broker.
        let now = SystemClock::new().unix_ms();
        for first in records.clone().step_by(AT_ONCE) {
            let mut frame = FrameBuilder::new();
            for number in first..records.end.min(first + AT_ONCE) {
                let key = format!("key{}", rng.random_range(0..self.keys));
                let value = match self.work {
                    Work::Scatter => format!("scatter{number}"),
                    Work::Money | Work::KeyedCount => format!("{{\"name\":\"{number}\",\"money\":{number}}}"),
                };
                frame.push(RecordRef::new(value.as_bytes()).with_key(Some(key.as_bytes())).at(now));
            }
            client.produce_frame(&self.input, frame.to_bytes()).await?;
        }
        Ok(())
    }

    /// Creates its function.
    pub async fn create(&self, client: &Client) -> Result<()> {
        let (input, output): (TopicRef, TopicRef) = (self.input.parse()?, self.output.parse()?);
        let function = Function::new(format!("sha256:{}", self.archive), vec![input], output);
        client.create_function(self.work.name(), &function).await?;
        Ok(())
    }

    /// Compares the outputs with the inputs, as the server tells them. A key is in one partition, whose order is that of its outputs.
    pub async fn check(&self, client: &Client, records: usize) -> Result<()> {
        let mut outputs = 0;
        for partition in 0..PARTITIONS {
            let (mut counts, mut wanted) = (BTreeMap::<String, u64>::new(), Vec::new());
            for (key, value) in read(client, &self.input, partition).await? {
                let count = counts.entry(key.clone()).or_default();
                *count += 1;
                wanted.push((key, self.work.output(&value, *count)?));
            }
            let mut found = read(client, &self.output, partition).await?;
            if let Work::Scatter = self.work {
                found = gathered(&found)?;
            }
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
    #[allow(clippy::print_stdout, reason = "it says what it found")]
    pub fn check_by(&self, python: &str, broker: &str, records: usize) -> Result<()> {
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
        match self {
            Work::Money => {}
            Work::KeyedCount => return Ok(count.to_le_bytes().into()),
            // When those that came of it are put together again.
            Work::Scatter => return Ok(value.to_vec()),
        }
        let person: serde_json::Value = serde_json::from_slice(value)?;
        let (name, money) = (person["name"].as_str(), person["money"].as_u64());
        let (name, money) = name.zip(money).context("a record of nobody")?;
        Ok(format!("{{\"name\":\"{name}\",\"money\":{},\"expected\":0}}", money + 1).into())
    }
}

/// The records of which these were made, each of which says its number and how many there are: all of a record come together.
fn gathered(mut found: &[(String, Vec<u8>)]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut records = Vec::new();
    while let Some((key, first)) = found.first() {
        let first = String::from_utf8_lossy(first).into_owned();
        let parts =
            first.strip_suffix(|_: char| true).and_then(|rest| rest.rsplit_once(" 0 ")).map(|(record, _)| record);
        let record = parts.with_context(|| format!("'{first}' does not begin a record"))?;
        let count: usize = first.rsplit(' ').next().unwrap_or_default().parse()?;
        let wanted = (0..count).map(|number| (key.clone(), format!("{record} {number} {count}").into_bytes()));
        let wanted: Vec<_> = wanted.collect();
        ensure!(found.starts_with(&wanted), "'{first}' is not followed by the rest of its record");
        found = &found[count..];
        records.push((key.clone(), record.as_bytes().to_vec()));
    }
    Ok(records)
}

/// The keys and values of a partition, as a server tells them.
pub async fn read(client: &Client, topic: &str, partition: u32) -> Result<Vec<(String, Vec<u8>)>> {
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

/// The same of a topic of counts, which are texts.
pub async fn read_counts(client: &Client, topic: &str, partition: u32) -> Result<Vec<(String, u64)>> {
    let count = |(key, value): (String, Vec<u8>)| {
        let text = String::from_utf8_lossy(&value).into_owned();
        Ok((key, text.parse().with_context(|| text.clone())?))
    };
    read(client, topic, partition).await?.into_iter().map(count).collect()
}
