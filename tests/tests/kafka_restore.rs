// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State on Kafka whose local copy is lost: a function has state, its server dies, and the disk is found as it was before there was any.
//! What Kafka keeps makes all of it again, exactly; also where the server is killed while it does.
//!
//! `FNSTREAM_KAFKA` names the cluster; without it the test is skipped, and says so. `FNSTREAM_STATE_MIB` is how much state there is;
//! `make kafka-restore` measures a GiB of it, beside a client of Kafka that reads the same topics (`tests/kafka/check.py`).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what was measured is part of the result")]

use std::path::Path;
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
use fnstream_tests::{PATIENCE, binary, seed, usage};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

const PARTITIONS: u32 = 2;

/// Bytes of a key. The count beside it has eight.
const KEY: usize = 1016;
const COUNT: usize = 8;

/// Keys of one request.
const AT_ONCE: usize = 4_000;

/// One key in so many is counted again after a restore.
const SAMPLE: usize = 97;

/// How long a restore may take, on a machine that is busy with other things.
const LONGEST: Duration = Duration::from_secs(600);

/// How often it is looked how far the function is.
const STEP: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn state_whose_disk_is_lost_is_made_again_from_kafka_even_if_that_is_cut_off() -> Result<()> {
    let Ok(broker) = std::env::var("FNSTREAM_KAFKA") else {
        ensure!(std::env::var_os("CI").is_none(), "FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        eprintln!("SKIPPED: FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        return Ok(());
    };
    let seed = seed::Seed::of("kafka_restore")?;
    let mib = seed::number("FNSTREAM_STATE_MIB", 16)?;
    let keys = (mib << 20) / (KEY + COUNT);
    let mut job = Job::start(&broker, seed).await?;
    let before = job.node.folder().join("before");
    job.node.terminate().await?;
    copy(&job.node.data_dir(), &before)?;
    job.client = job.node.start().await?;
    job.count(keys).await?;
    job.node.terminate().await?;

    let mut took = Duration::ZERO;
    for cut in [false, true] {
        // As if the disk was new: it knows of the function and of nothing that it did.
        std::fs::remove_dir_all(job.node.data_dir())?;
        copy(&before, &job.node.data_dir())?;
        if cut {
            let moment = took.mul_f64(seed.rng(1).random_range(0.2..0.8));
            job.client = job.node.start().await?;
            job.node.server()?.runs_for(moment).await?;
            println!("killed after {moment:.1?}: {}", job.status().await);
            job.node.kill()?;
        }
        let begun = Instant::now();
        job.client = job.node.start().await?;
        job.sample(keys, if cut { 3 } else { 2 }).await?;
        took = begun.elapsed();
        let memory = usage::memory(job.node.server()?.pid())?;
        println!(
            "{mib} MiB of state, {keys} keys{}: {took:.1?} from the start to new outputs, {:.1} MB/s, {:.0} MiB of memory at most",
            if cut { ", the rest of it after a kill" } else { "" },
            (mib << 20) as f64 / 1e6 / took.as_secs_f64(),
            usage::mib(memory.peak)
        );
        job.node.terminate().await?;
    }
    let Some(python) = python_for("tests/kafka/requirements.txt")? else { return Ok(()) };
    let read = Command::new(python)
        .arg(binary::root().join("tests/kafka/check.py"))
        .args(["read", &broker, &job.name()])
        .output()?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    println!("a plain consumer of its topics: {}", String::from_utf8_lossy(&read.stdout).trim());
    Ok(())
}

/// A function that counts the records of each key, and its server.
struct Job {
    node: Node,
    client: Client,
    id: u64,
    seed: seed::Seed,
    input: String,
    output: String,
}

impl Job {
    async fn start(broker: &str, seed: seed::Seed) -> Result<Job> {
        let id: u64 = rand::random();
        let [input, output] = ["input", "output"].map(|what| format!("restored-{what}-{id:016x}@kafka://{broker}"));
        let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
        let client = node.start().await?;
        for topic in [&input, &output] {
            let request = TopicRequest { partitions: Some(PARTITIONS), ..TopicRequest::default() };
            client.create_topic(topic, &request).await?;
        }
        let archive = client.upload_artifact(std::fs::read(binary::example("keyed_count_rust")?)?).await?.digest;
        let (from, to): (TopicRef, TopicRef) = (input.parse()?, output.parse()?);
        let function = Function::new(format!("sha256:{archive}"), vec![from], to);
        let job = Job { node, client, id, seed, input, output };
        job.client.create_function(&job.name(), &function).await?;
        Ok(job)
    }

    fn name(&self) -> String {
        format!("restored-{:016x}", self.id)
    }

    /// Keys that nothing can be compressed of.
    fn key(&self, number: usize) -> [u8; KEY] {
        let mut key = [0; KEY];
        StdRng::seed_from_u64(self.seed.0 ^ number as u64).fill_bytes(&mut key);
        key
    }

    async fn send(&self, numbers: &[usize]) -> Result<()> {
        let now = SystemClock::new().unix_ms();
        for numbers in numbers.chunks(AT_ONCE) {
            let mut frame = FrameBuilder::new();
            for number in numbers {
                frame.push(RecordRef::new(b"").with_key(Some(&self.key(*number))).at(now));
            }
            self.client.produce_frame(&self.input, frame.to_bytes()).await?;
        }
        Ok(())
    }

    /// Counts all keys once.
    async fn count(&self, keys: usize) -> Result<()> {
        self.send(&(0..keys).collect::<Vec<_>>()).await?;
        let (mut last, mut moved) = (0, Instant::now());
        while last < keys as u64 {
            let function = self.client.describe_function(&self.name()).await?;
            let done = function.tasks.iter().map(|task| task.records_in).sum();
            if done > last {
                (last, moved) = (done, Instant::now());
            }
            if moved.elapsed() > PATIENCE {
                bail!("stopped at {last} of {keys}\n{}", self.node.server()?.last_words());
            }
            self.node.server()?.runs_for(STEP).await?;
        }
        Ok(())
    }

    /// Counts some keys once more: each of them must now have come so often.
    async fn sample(&self, keys: usize, wanted: u64) -> Result<()> {
        let ends = self.client.describe_topic(&self.output).await?.partitions;
        let numbers: Vec<_> = (0..keys).step_by(SAMPLE).collect();
        self.send(&numbers).await?;
        let (mut found, begun) = (0, Instant::now());
        let mut from: Vec<_> = ends.into_iter().map(|partition| partition.end).collect();
        while found < numbers.len() {
            for (partition, position) in (0..).zip(&mut from) {
                let options = ConsumeOptions {
                    from: Some(ReadFrom::Position(position.clone())),
                    partition: Some(partition),
                    timeout: Some(STEP),
                    ..ConsumeOptions::default()
                };
                let Some((frame, next)) = self.client.consume_frame(&self.output, &options, 10_000).await? else {
                    ensure!(begun.elapsed() < LONGEST, "{found} of {} outputs: {}", numbers.len(), self.status().await);
                    continue;
                };
                for record in Frame::parse(&frame)?.iter() {
                    let count = u64::from_le_bytes(*record.bytes().first_chunk().context("an output without a count")?);
                    ensure!(count == wanted, "a key has the count {count}, and should have {wanted}");
                    found += 1;
                }
                *position = next;
            }
        }
        Ok(())
    }

    /// What its tasks do.
    async fn status(&self) -> String {
        match self.client.describe_function(&self.name()).await {
            Ok(function) => {
                let tasks = function.tasks.iter().map(|task| format!("{:?} ({:?})", task.status, task.restored));
                tasks.collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().context("cannot run cp")?;
    ensure!(copied.success(), "'{}' could not be copied", from.display());
    Ok(())
}
