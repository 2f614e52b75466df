// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A backlog with bad records, at which the function fails: all others are emitted once and in order, and each bad one is a dead
//! letter once. Then a replay of the letters.
//!
//! `make poison` prints how many records the server processes in a second of processor time, by how many are bad, by how they
//! fail, and in Rust and Go. It takes any build (`POISON_BIN=path`), so that two of them can be compared, also on a busy machine;
//! `POISON_SHARE=10` takes a tenth of the records where all are bad, for builds that take long for each, and `POISON_ONLY=traps` the
//! backlogs alone whose name has this in it. `make test` has small backlogs.
//!
//! `make kafka-poison` does the same for one bad record in a thousand on topics of Kafka.
#![allow(clippy::print_stdout, reason = "what was measured is part of the result")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use fnstream_api::units::Quantity;
use fnstream_api::{
    Client, ConsumeOptions, DeadLetterSelection, Function, FunctionUpdate, OnError, OnErrorAction, ReadFrom,
};
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::topic::TopicRef;
use fnstream_frame::{Frame, FrameBuilder, RecordRef};
use fnstream_tests::node::Node;
use fnstream_tests::seed::number;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, usage};

/// Records of one request.
const FRAME: u64 = 50_000;
/// How long a build may take that opens its task anew for each bad record, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1800);
/// The most records that the server gives at once.
const MOST_AT_ONCE: u32 = 65_536;

/// The records of a backlog on Kafka.
const ON_KAFKA: u64 = 1_000_000;

/// A function and its topics.
#[derive(Debug, Clone)]
struct Place {
    name: String,
    /// What the topics' names end with.
    cluster: String,
}

impl Place {
    /// In the embedded log.
    fn own() -> Place {
        Place { name: "poisoned".to_owned(), cluster: String::new() }
    }

    fn on_kafka(broker: &str) -> Place {
        Place { name: format!("poisoned-{:016x}", rand::random::<u64>()), cluster: format!("@kafka://{broker}") }
    }

    fn topic(&self, what: &str) -> String {
        format!("{}{what}{}", self.name, self.cluster)
    }
}

/// A reader of a topic.
#[derive(Debug)]
struct Cursor {
    topic: String,
    next: ReadFrom,
}

impl Cursor {
    fn new(topic: String) -> Cursor {
        Cursor { topic, next: ReadFrom::Earliest }
    }

    /// The next records; `None` when none come within the time.
    async fn next(&mut self, client: &Client, timeout: Duration) -> Result<Option<Bytes>> {
        let options =
            ConsumeOptions { from: Some(self.next.clone()), timeout: Some(timeout), ..ConsumeOptions::default() };
        let Some((frame, next)) = client.consume_frame(&self.topic, &options, MOST_AT_ONCE).await? else {
            return Ok(None);
        };
        self.next = ReadFrom::Position(next);
        Ok(Some(frame))
    }
}

/// A language in which there is the example `unruly`, which does what the first word of a record says.
#[derive(Debug, Clone, Copy)]
enum Language {
    Rust,
    Go,
}

/// How a bad record fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// The function returns an error.
    Error,
    /// It panics, which in Rust is a trap.
    Trap,
}

/// A backlog.
#[derive(Debug, Clone, Copy)]
struct Backlog {
    language: Language,
    records: u64,
    way: Way,
    /// One record in so many is bad; none with 0.
    one_in: u64,
    /// The retries that the policy has; its own when it says none.
    retries: Option<u32>,
}

impl Backlog {
    fn is_bad(&self, index: u64) -> bool {
        self.one_in > 0 && index % self.one_in == self.one_in / 2
    }

    fn value(&self, index: u64) -> String {
        let word = match self.way {
            _ if !self.is_bad(index) => "good",
            Way::Error => "error",
            Way::Trap => "trap",
        };
        format!("{word} {index:0>94}")
    }

    /// The code of its letters.
    fn code(&self) -> &'static str {
        match (self.language, self.way) {
            (Language::Rust, Way::Trap) => "FS-1402",
            (Language::Go, _) | (_, Way::Error) => "FS-1401",
        }
    }

    /// The numbers of the good records, or of the bad ones.
    fn numbers(&self, bad: bool) -> impl Iterator<Item = u64> + use<'_> {
        (0..self.records).filter(move |index| self.is_bad(*index) == bad)
    }

    fn frame(&self, first: u64) -> Vec<u8> {
        let mut frame = FrameBuilder::new();
        // What is old is dropped by brokers.
        let now = SystemClock::new().unix_ms();
        for index in first..self.records.min(first + FRAME) {
            frame.push(RecordRef::new(self.value(index).as_bytes()).at(now));
        }
        frame.to_bytes()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bad_records_are_dead_letters_the_rest_goes_on_and_a_replay_brings_them_back() -> Result<()> {
    for (language, records) in [(Language::Rust, 2_000), (Language::Go, 400)] {
        for (way, one_in) in [(Way::Error, 100), (Way::Error, 1), (Way::Trap, 100)] {
            let backlog = Backlog { language, records, way, one_in, retries: None };
            let mut drained = drain(backlog, Place::own()).await.with_context(|| format!("{backlog:?}"))?;
            drained.replay_again().await.with_context(|| format!("{backlog:?}, again"))?;
            drained.replay_mended().await.with_context(|| format!("{backlog:?}, mended"))?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement: make poison"]
async fn backlogs_with_poison_among_them() -> Result<()> {
    println!("{}", binary::server()?.display());
    let share = std::env::var("POISON_SHARE").ok().and_then(|share| share.parse::<u64>().ok()).unwrap_or(1);
    let only = std::env::var("POISON_ONLY").unwrap_or_default();
    for language in [Language::Rust, Language::Go] {
        let all = |records: u64, way| Backlog { language, records: records / share, way, one_in: 1, retries: None };
        let some = |records, way, one_in| Backlog { language, records, way, one_in, retries: Some(0) };
        for (what, backlog) in [
            ("none bad", some(200_000, Way::Error, 0)),
            ("1 % errors", some(200_000, Way::Error, 100)),
            ("1 % traps", some(20_000, Way::Trap, 100)),
            ("all errors", all(20_000, Way::Error)),
            ("all traps", all(1_000, Way::Trap)),
        ] {
            if what.contains(&only) {
                let drained = drain(backlog, Place::own()).await.with_context(|| format!("{backlog:?}"))?;
                drained.cost.tell(language, what, backlog.records);
            }
        }
        if !"replays".contains(&only) {
            continue;
        }
        let backlog = all(10_000, Way::Error);
        let mut drained = drain(backlog, Place::own()).await.with_context(|| format!("{backlog:?}"))?;
        drained.replay_again().await?.tell(language, "a replay, in vain", backlog.records);
        drained.replay_mended().await?.tell(language, "a replay, mended", backlog.records);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement: make kafka-poison"]
async fn one_bad_record_in_a_thousand_on_kafka_is_borne() -> Result<()> {
    let broker = std::env::var("FNSTREAM_KAFKA").context("FNSTREAM_KAFKA names no broker: see scripts/kafka.sh")?;
    let records = number("POISON_RECORDS", ON_KAFKA as usize)? as u64;
    let rounds = number("POISON_ROUNDS", 3)?;
    let backlog = |way, one_in| Backlog { language: Language::Rust, records, way, one_in, retries: None };
    // The throughput beside that without, at least. A trap takes two transactions, an error none.
    let kinds = [
        ("none bad", Way::Error, 0, 1.0),
        ("0.1 % errors", Way::Error, 1_000, 0.5),
        ("0.1 % traps", Way::Trap, 1_000, 0.15),
    ];
    // The least of some rounds, since what else runs on the machine only adds.
    let mut least = [Duration::MAX; 3];
    for _ in 0..rounds {
        for ((what, way, one_in, _), least) in kinds.iter().zip(&mut least) {
            let backlog = backlog(*way, *one_in);
            let drained = drain(backlog, Place::on_kafka(&broker)).await.with_context(|| format!("{backlog:?}"))?;
            drained.cost.tell(backlog.language, what, records);
            *least = drained.cost.time.min(*least);
        }
    }
    for ((what, .., demanded), time) in kinds.iter().zip(least).skip(1) {
        let share = least[0].as_secs_f64() / time.as_secs_f64();
        println!("{what}: {share:.2} of the throughput without");
        ensure!(share >= *demanded, "{what}: less than {demanded} of the throughput without");
    }
    Ok(())
}

/// What a piece of work took.
struct Cost {
    cpu: Duration,
    time: Duration,
}

impl Cost {
    fn tell(&self, language: Language, what: &str, records: u64) {
        let (cpu, time) = (self.cpu.as_secs_f64(), self.time.as_secs_f64());
        println!(
            "{language:?} {what:<18} {records:>7} records, {cpu:7.2} s of processor time, {:9.0} records/s of it, {time:7.2} s",
            records as f64 / cpu
        );
    }
}

/// A server that has drained a backlog.
struct Drained {
    backlog: Backlog,
    node: Node,
    client: Client,
    place: Place,
    outputs: Cursor,
    letters: Cursor,
    cost: Cost,
}

/// Has a server of its own drain the backlog, and checks every record.
async fn drain(backlog: Backlog, place: Place) -> Result<Drained> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let client = node.start().await?;
    for first in (0..backlog.records).step_by(FRAME as usize) {
        client.produce_frame(&place.topic("-input"), backlog.frame(first)).await?;
    }
    let artifact = client.upload_artifact(unruly(backlog.language)?).await?;
    let on_error = OnError {
        action: Some(OnErrorAction::DeadLetter),
        retries: backlog.retries,
        backoff: backlog.retries.map(|_| Quantity::duration(Duration::ZERO)),
        ..OnError::default()
    };
    let digest = format!("sha256:{}", artifact.digest);
    let (input, output): (TopicRef, TopicRef) = (place.topic("-input").parse()?, place.topic("-output").parse()?);
    let function = Function { on_error, ..Function::new(digest, vec![input], output) };
    let mut begun = (Instant::now(), usage::cpu(node.server()?.pid())?);
    client.create_function(&place.name, &function).await?;
    if backlog.numbers(false).next().is_some() {
        // A start takes its time, which says nothing of the records.
        Cursor::new(place.topic("-output")).next(&client, PATIENCE).await?.context("no outputs")?;
        begun.0 = Instant::now();
    }
    // Reads them as they come; of the server's work that is little.
    let good: Vec<_> = backlog.numbers(false).collect();
    let (mut outputs, mut letters) = (Cursor::new(place.topic("-output")), Cursor::new(place.topic(".dlq")));
    check_outputs(&client, &backlog, &mut outputs, &good).await?;
    check_dead_letters(&client, &backlog, &place, &mut letters).await?;
    let cost = Cost { cpu: usage::cpu(node.server()?.pid())? - begun.1, time: begun.0.elapsed() };
    Ok(Drained { backlog, node, client, place, outputs, letters, cost })
}

fn unruly(language: Language) -> Result<Vec<u8>> {
    match language {
        Language::Rust => Ok(std::fs::read(binary::example("unruly_rust")?)?),
        Language::Go => {
            let scratch = tempfile::tempdir()?;
            let (dir, out) = (binary::root().join("examples/unruly/go"), Some(scratch.path().join("unruly.wasm")));
            let options = fnstream_build::Options { dir, out, tinygo: false, per_record: false, toolchain: None };
            Ok(fnstream_build::build(&options)?.artifact.bytes)
        }
    }
}

impl Drained {
    /// Replays the letters to the function that failed at them: they become letters once more.
    async fn replay_again(&mut self) -> Result<Cost> {
        let bad = self.backlog.numbers(true).count() as u64;
        let cost = self.replay((0, bad)).await?;
        check_dead_letters(&self.client, &self.backlog, &self.place, &mut self.letters).await?;
        Ok(cost)
    }

    /// Replays them to a function that takes all records.
    async fn replay_mended(&mut self) -> Result<Cost> {
        let artifact = self.client.upload_artifact(std::fs::read(binary::example("pass_through_rust")?)?).await?;
        let archive = Some(format!("sha256:{}", artifact.digest));
        self.client.update_function(&self.place.name, &FunctionUpdate { archive, ..FunctionUpdate::default() }).await?;
        let bad: Vec<_> = self.backlog.numbers(true).collect();
        let cost = self.replay((bad.len() as u64, 0)).await?;
        check_outputs(&self.client, &self.backlog, &mut self.outputs, &bad).await?;
        Ok(cost)
    }

    async fn replay(&mut self, expected: (u64, u64)) -> Result<Cost> {
        let pid = self.node.server()?.pid();
        let begun = (Instant::now(), usage::cpu(pid)?);
        let result = self.client.replay_dead_letters(&self.place.name, &DeadLetterSelection::default()).await?;
        let cost = Cost { cpu: usage::cpu(pid)? - begun.1, time: begun.0.elapsed() };
        ensure!((result.replayed, result.failed_again) == expected && result.finished, "{result:?}, not {expected:?}");
        Ok(cost)
    }
}

/// Checks that the next outputs are these records and no others.
async fn check_outputs(client: &Client, backlog: &Backlog, outputs: &mut Cursor, numbers: &[u64]) -> Result<()> {
    let mut at = 0;
    while at < numbers.len() {
        let frame = outputs.next(client, PATIENCE).await?.context("no outputs")?;
        for record in Frame::parse(&frame)?.iter() {
            let wanted = numbers.get(at).map(|index| backlog.value(*index));
            ensure!(wanted.as_deref().map(str::as_bytes) == Some(record.bytes()), "output {at} is another record");
            at += 1;
        }
    }
    ensure!(outputs.next(client, Duration::ZERO).await?.is_none(), "there are more outputs than records");
    Ok(())
}

/// Checks that the next letters are the bad records, and wait.
async fn check_dead_letters(client: &Client, backlog: &Backlog, place: &Place, letters: &mut Cursor) -> Result<()> {
    let bad = backlog.numbers(true).collect::<Vec<_>>();
    let mut at = 0;
    while at < bad.len() {
        let frame = letters.next(client, PATIENCE).await?.context("no letters")?;
        for record in Frame::parse(&frame)?.iter() {
            let index = *bad.get(at).context("more dead letters than bad records")?;
            ensure!(record.bytes() == backlog.value(index).as_bytes(), "dead letter {at} is another record");
            let dead_letter = DeadLetter::read(record.headers).context("a dead letter without its reason")?;
            ensure!(dead_letter.position.0 == u128::from(index), "dead letter {at} was at {}", dead_letter.position);
            ensure!(dead_letter.code == backlog.code(), "dead letter {at} has the code {}", dead_letter.code);
            at += 1;
        }
    }
    let waiting = client.list_dead_letters(&place.name, 1).await?.waiting.unwrap_or_default();
    ensure!(waiting == bad.len() as u64, "{waiting} dead letters wait, not {}", bad.len());
    Ok(())
}
