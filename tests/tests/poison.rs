// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A backlog of which each hundredth record is one that the function fails at: all others are emitted once and in order, and
//! each bad one is a dead letter once.
//!
//! `make poison` has 200,000 records and prints how many of them the server processes in a second of processor time, for
//! errors that are returned and for traps, and for the same backlog without bad records. It takes any build
//! (`POISON_BIN=path`), so that two of them can be compared, also on a busy machine. `make test` has a small backlog.
#![allow(clippy::print_stdout, reason = "what was measured is part of the result")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::units::Quantity;
use fnstream_api::{Client, ConsumeOptions, Function, OnError, OnErrorAction, ReadFrom};
use fnstream_core::dead_letter::DeadLetter;
use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, usage};

/// One record in so many is bad.
const ONE_IN: u64 = 100;
/// Records of one request.
const FRAME: u64 = 50_000;
/// How long a build may take that opens its task anew for each bad record, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1800);
/// The most records that the server gives at once.
const MOST_AT_ONCE: u32 = 65_536;

const NAME: &str = "poisoned";
const INPUT: &str = "poison-input";
const OUTPUT: &str = "poison-output";

/// A backlog. The example `unruly` does what the first word of a record says.
#[derive(Debug, Clone, Copy)]
struct Backlog {
    records: u64,
    /// What the bad ones begin with, and the code of their letters.
    bad: Option<(&'static str, &'static str)>,
}

const ERRORS: Option<(&str, &str)> = Some(("error", "FS-1401"));
const TRAPS: Option<(&str, &str)> = Some(("trap", "FS-1402"));

impl Backlog {
    fn is_bad(&self, index: u64) -> bool {
        // Never the last one: its output says that all is done.
        self.bad.is_some() && index % ONE_IN == ONE_IN / 2
    }

    fn value(&self, index: u64) -> String {
        let word = self.bad.filter(|_| self.is_bad(index)).map_or("good", |(word, _)| word);
        format!("{word} {index:0>94}")
    }

    /// The numbers of the good records, or of the bad ones.
    fn numbers(&self, bad: bool) -> impl Iterator<Item = u64> + use<'_> {
        (0..self.records).filter(move |index| self.is_bad(*index) == bad)
    }

    fn frame(&self, first: u64) -> Vec<u8> {
        let mut frame = FrameBuilder::new();
        for index in first..self.records.min(first + FRAME) {
            frame.push(RecordRef::new(self.value(index).as_bytes()).at(index as i64));
        }
        frame.to_bytes()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_record_in_a_hundred_that_fails_is_a_dead_letter_and_the_rest_goes_on() -> Result<()> {
    for bad in [ERRORS, TRAPS] {
        run(Backlog { records: 2_000, bad }).await.with_context(|| format!("{bad:?}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement: make poison"]
async fn two_hundred_thousand_records_with_poison_among_them() -> Result<()> {
    let records = 200_000;
    println!("{}", binary::server()?.display());
    for (what, bad) in [("none bad", None), ("errors", ERRORS), ("traps", TRAPS)] {
        let cpu = run(Backlog { records, bad }).await.with_context(|| what.to_owned())?;
        println!(
            "{what:<10} {records} records, {cpu:6.2} s of processor time, {:9.0} records/s of it",
            records as f64 / cpu
        );
    }
    Ok(())
}

/// Has a server of its own drain the backlog, checks every record, and answers the seconds of processor time.
async fn run(backlog: Backlog) -> Result<f64> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let client = node.start().await?;
    for first in (0..backlog.records).step_by(FRAME as usize) {
        client.produce_frame(INPUT, backlog.frame(first)).await?;
    }
    let artifact = client.upload_artifact(std::fs::read(binary::example("unruly_rust")?)?).await?;
    let on_error = OnError {
        action: Some(OnErrorAction::DeadLetter),
        retries: Some(0),
        backoff: Some(Quantity::duration(Duration::ZERO)),
        ..OnError::default()
    };
    let digest = format!("sha256:{}", artifact.digest);
    let function = Function { on_error, ..Function::new(digest, vec![INPUT.into()], OUTPUT) };
    let begun = usage::cpu(node.server()?.pid())?;
    client.create_function(NAME, &function).await?;
    let good: Vec<_> = backlog.numbers(false).collect();
    // Reads them as they come; of the server's work that is little.
    check_outputs(&client, &backlog, &good).await?;
    let cpu = usage::cpu(node.server()?.pid())? - begun;
    check_dead_letters(&client, &backlog).await?;
    Ok(cpu.as_secs_f64())
}

async fn check_outputs(client: &Client, backlog: &Backlog, good: &[u64]) -> Result<()> {
    let mut at = 0;
    while at < good.len() {
        let (frame, _) = client.consume_frame(OUTPUT, &from(at as u64), MOST_AT_ONCE).await?.context("no outputs")?;
        for record in Frame::parse(&frame)?.iter() {
            let wanted = good.get(at).map(|index| backlog.value(*index));
            ensure!(wanted.as_deref().map(str::as_bytes) == Some(record.bytes()), "output {at} is another record");
            at += 1;
        }
    }
    ensure!(end(client, OUTPUT).await? == good.len() as u64, "there are more outputs than good records");
    Ok(())
}

async fn check_dead_letters(client: &Client, backlog: &Backlog) -> Result<()> {
    let (topic, bad) = (format!("{NAME}.dlq"), backlog.numbers(true).collect::<Vec<_>>());
    let mut at = 0;
    while at < bad.len() {
        let (frame, _) = client.consume_frame(&topic, &from(at as u64), MOST_AT_ONCE).await?.context("no letters")?;
        for record in Frame::parse(&frame)?.iter() {
            let index = *bad.get(at).context("more dead letters than bad records")?;
            ensure!(record.bytes() == backlog.value(index).as_bytes(), "dead letter {at} is another record");
            let dead_letter = DeadLetter::read(record.headers).context("a dead letter without its reason")?;
            ensure!(dead_letter.position.0 == u128::from(index), "dead letter {at} was at {}", dead_letter.position);
            let code = backlog.bad.map(|(_, code)| code);
            ensure!(Some(dead_letter.code.as_str()) == code, "dead letter {at} has the code {}", dead_letter.code);
            at += 1;
        }
    }
    let waiting = client.list_dead_letters(NAME, 1).await?.waiting.unwrap_or_default();
    ensure!(waiting == bad.len() as u64, "{waiting} dead letters wait, not {}", bad.len());
    Ok(())
}

async fn end(client: &Client, topic: &str) -> Result<u64> {
    let topic = client.describe_topic(topic).await?;
    topic.partitions.first().context("a topic without partitions")?.end.parse().context("an end is not a number")
}

fn from(position: u64) -> ConsumeOptions {
    let from = Some(ReadFrom::Position(position.to_string()));
    ConsumeOptions { from, timeout: Some(PATIENCE), ..Default::default() }
}
