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

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fnstream_api::Client;
use fnstream_tests::broker_jobs::{Job, Work, done, kafka, restart_broker};
use fnstream_tests::node::Node;
use fnstream_tests::python::python_for;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, seed};
use rand::RngExt;

/// How often it is looked how far the functions are.
const STEP: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_on_kafka_that_is_killed_loses_and_doubles_nothing() -> Result<()> {
    let Some(broker) = kafka()? else { return Ok(()) };
    let mut rng = seed::Seed::of("kafka")?.rng(0);
    let (kills, records) = (seed::number("FNSTREAM_KAFKA_KILLS", 6)?, seed::number("FNSTREAM_KAFKA_RECORDS", 40_000)?);
    let restarts = seed::number("FNSTREAM_KAFKA_RESTARTS", 0)?;
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let mut client = node.start().await?;
    let mut jobs = Vec::new();
    for work in [Work::Money, Work::KeyedCount] {
        let job = Job::new(work, &format!("@kafka://{broker}"), &client, records).await?;
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
            restart_broker("kafka").await?;
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
