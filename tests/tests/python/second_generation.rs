// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Existing code: a class of the second generation and a module that it imports, made by the client whose calls and names are the old
//! ones, on the server's own topics and on those of Kafka (`FNSTREAM_KAFKA`, as in tests/tests/kafka.rs).

#![allow(clippy::print_stdout, reason = "what was measured is part of the result")]

use std::process::Command;

use anyhow::{Context, Result, ensure};
use fnstream_tests::binary::root;
use fnstream_tests::broker_jobs::kafka;
use fnstream_tests::cli::{self, Cli};
use fnstream_tests::node::Node;
use fnstream_tests::python::python_for;
use fnstream_tests::scripts::consumed;
use fnstream_tests::{seed, usage};

use crate::server;

/// A script of tests/python with what it needs.
struct Scripts {
    python: String,
    /// The server's address and what follows the step.
    address: String,
    topics: Vec<String>,
}

impl Scripts {
    /// None on a machine without Python.
    fn new(url: &str, topics: &[String]) -> Result<Option<Scripts>> {
        let Some(python) = python_for("sdks/python/tests/requirements.txt")? else { return Ok(None) };
        let address = url.trim_start_matches("http://").to_owned();
        Ok(Some(Scripts { python, address, topics: topics.to_vec() }))
    }

    /// What the old client prints of a step.
    fn client(&self, step: &str) -> Result<String> {
        let script = Command::new(&self.python)
            .arg("-B")
            .arg(root().join("tests/python/second_generation.py"))
            .args([&self.address, step])
            .args(&self.topics)
            .env("PYTHONPATH", root().join("sdks/python/src").canonicalize()?)
            .output()
            .context("cannot run python")?;
        cli::printed(script)
    }
}

#[tokio::test]
async fn a_class_of_two_modules_counts_over_a_restart() -> Result<()> {
    let (mut node, client, cli) = server().await?;
    let Some(scripts) = Scripts::new(client.url(), &[])? else { return Ok(()) };
    assert_eq!(scripts.client("create")?, "True\n");
    assert_eq!(scripts.client("show")?, "word-count processor Running\n");
    assert_eq!(scripts.client("create-again")?, "ConflictError 409 FS-1101\n");
    for words in ["a b", "", "a"] {
        cli.prints(&["produce", "-n", "in", "-c", &format!("words {words}")])?;
    }
    assert_eq!(consumed(&cli, "out", 3)?, ["A=1", "B=1", "A=2"]);
    node.kill()?;
    let restarted = node.start().await?;
    let Some(scripts) = Scripts::new(restarted.url(), &[])? else { return Ok(()) };
    let cli = Cli::new(restarted.url(), node.folder())?;
    cli.prints(&["produce", "-n", "in", "-c", "words b"])?;
    assert_eq!(consumed(&cli, "out", 1)?, ["B=2"]);
    assert_eq!(scripts.client("stop")?, "True\nword-count processor Stopped\n");
    assert_eq!(scripts.client("start")?, "True\nword-count processor Running\n");
    assert_eq!(scripts.client("drop")?, "True\n");
    assert_eq!(scripts.client("show")?, "");
    Ok(())
}

/// Records that are there before the function is, in order and counted exactly; an empty one has no output. The function is stopped and
/// started, and the server killed, without a change of the result.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn words_of_kafka_are_counted_exactly_from_the_earliest_record() -> Result<()> {
    let Some(broker) = kafka()? else { return Ok(()) };
    let Some(independent) = python_for("tests/kafka/requirements.txt")? else { return Ok(()) };
    let id: u64 = rand::random();
    let topics = [broker, format!("words-{id:016x}"), format!("counts-{id:016x}")];
    let words = |step: &str| {
        let script = root().join("tests/python/kafka_words.py");
        let run = Command::new(&independent).arg("-B").arg(script).arg(step).args(&topics).output();
        cli::printed(run.context("cannot run python")?)
    };
    words("fill")?;

    let (mut node, client, _) = server().await?;
    let Some(scripts) = Scripts::new(client.url(), &topics)? else { return Ok(()) };
    assert_eq!(scripts.client("create")?, "True\n");
    let told = words("check")?;
    let found: serde_json::Value = serde_json::from_str(&told)?;
    ensure!(found["outputs"] == found["wanted"] && found["elsewhere"] == 0 && found["inputs"] == 500, "{told}");

    assert_eq!(scripts.client("stop")?, "True\nword-count processor Stopped\n");
    assert_eq!(scripts.client("start")?, "True\nword-count processor Running\n");
    node.kill()?;
    let restarted = node.start().await?;
    let Some(scripts) = Scripts::new(restarted.url(), &topics)? else { return Ok(()) };
    // What Kafka has of it is taken over meanwhile.
    assert_eq!(scripts.client("start")?, "True\nword-count processor Running\n");
    assert_eq!(words("check")?, told);
    assert_eq!(scripts.client("drop")?, "True\n");
    Ok(())
}

/// How often a function is made and dropped before it is counted what the server has.
const WARM_UP: usize = 40;

/// How often then. `FNSTREAM_CYCLES` says how often on Kafka, where a cycle takes half a second.
const CYCLES: usize = 200;
const CYCLES_ON_KAFKA: usize = 50;

/// What the server may have more after the cycles. The allocator's arenas and RocksDB's tables come and go by some MiB; a leak of an
/// instance's own pages (2 MiB) or of a compiled source (50 KiB) in each of 200 cycles would be beyond it.
const GROWTH: u64 = 8 << 20;

/// The same of each cycle on Kafka: a client keeps for a while what it heard of topics, and each function has two of its own, which go
/// with it. A client that is not ended has some hundred KiB, and is seen by its threads and connections at once.
const GROWTH_ON_KAFKA: u64 = 100 << 10;

/// Sockets of clients and files of the store come and go; a leak of one descriptor or thread in each cycle would be more.
const SPARE: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_hundred_functions_that_come_and_go_leave_nothing() -> Result<()> {
    let (node, client, _) = server().await?;
    let Some(scripts) = Scripts::new(client.url(), &[])? else { return Ok(()) };
    leaves_nothing(&node, &scripts, CYCLES, 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn functions_on_kafka_that_come_and_go_leave_nothing() -> Result<()> {
    let Some(broker) = kafka()? else { return Ok(()) };
    let (node, client, _) = server().await?;
    let id: u64 = rand::random();
    let topics = [broker, format!("words-{id:016x}"), format!("counts-{id:016x}")];
    let Some(scripts) = Scripts::new(client.url(), &topics)? else { return Ok(()) };
    leaves_nothing(&node, &scripts, seed::number("FNSTREAM_CYCLES", CYCLES_ON_KAFKA)?, GROWTH_ON_KAFKA)
}

fn leaves_nothing(node: &Node, scripts: &Scripts, cycles: usize, for_each: u64) -> Result<()> {
    scripts.client(&format!("cycles-{WARM_UP}"))?;
    let before = Held::by(node)?;
    scripts.client(&format!("cycles-{cycles}"))?;
    let after = Held::by(node)?;
    println!("before and after {cycles} functions: {before:?}, {after:?}");
    let most = before.bytes + GROWTH + for_each * cycles as u64;
    ensure!(after.bytes <= most, "{} bytes grew to {}", before.bytes, after.bytes);
    ensure!(after.files <= before.files + SPARE, "{} descriptors grew to {}", before.files, after.files);
    ensure!(after.threads <= before.threads + SPARE, "{} threads grew to {}", before.threads, after.threads);
    Ok(())
}

/// What a server has.
#[derive(Debug)]
struct Held {
    bytes: u64,
    files: usize,
    threads: usize,
}

impl Held {
    fn by(node: &Node) -> Result<Held> {
        let pid = node.server()?.pid();
        let count = |what: &str| Ok::<_, anyhow::Error>(std::fs::read_dir(format!("/proc/{pid}/{what}"))?.count());
        Ok(Held { bytes: usage::memory(pid)?.resident, files: count("fd")?, threads: count("task")? })
    }
}
