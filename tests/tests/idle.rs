// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A thousand deployed functions that have nothing to do cost next to nothing: less than 1 MiB of memory each, less than
//! 1 % of one core together. The server starts with them in seconds, and a record for any of them is answered in
//! milliseconds, however long it has rested.
//!
//! Functions given as source, in Python and in JavaScript, are held to bounds of their own: each has an interpreter.
//!
//! `make scale` looks at them for longer, so that everything that is done from time to time is part of it.
#![allow(clippy::print_stdout, reason = "what was measured is part of the result")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ConsumeOptions, Function, ProduceOptions, ReadFrom};
use fnstream_runtime::source::pack;
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, seed, usage, within};
use rand::seq::index::sample;
use tokio::task::JoinSet;

/// How many functions there are.
const FUNCTIONS: usize = 1000;
/// How many are asked one by one for the time of their answer.
const ASKED: usize = 40;
/// How many requests are under way when order does not matter.
const AT_ONCE: usize = 32;
/// In how many windows of time it is looked how much they use: in one of them it is no more than they may.
const WINDOWS: usize = 4;

/// How much of one core they may use together.
const SHARE: f64 = 0.01;
/// What each may add to the server's memory.
const MEMORY: u64 = 1 << 20;
/// How long a start may take until all functions are up.
const START: Duration = Duration::from_secs(10);
/// How long an answer may take in the middle: two synced writes and the way there and back, on a machine that does other
/// things as well.
const ANSWER: Duration = Duration::from_millis(100);

/// What is deployed a thousand times, and what it may take.
struct Kind {
    archive: Vec<u8>,
    /// Further settings of the server.
    environment: Vec<(&'static str, String)>,
    /// What each may add to the server's memory when all have just answered.
    memory: u64,
    /// The same once they have rested.
    rested: u64,
    /// How long a start may take until all functions are up.
    start: Duration,
}

impl Kind {
    fn wasm() -> Result<Kind> {
        let archive = std::fs::read(binary::example("pass_through_rust")?)?;
        Ok(Kind { archive, environment: Vec::new(), memory: MEMORY, rested: MEMORY, start: START })
    }

    /// A function given as source, in a file of that name. All share one compiled engine, which is there already.
    fn script(language: &str, file: &str, source: &str, kind: Kind) -> Result<Kind> {
        let code = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{language}-code"));
        let environment = vec![
            ("FUNCTION_STREAM_WASM_ENGINES_DIR", binary::engines(language)?.display().to_string()),
            ("FUNCTION_STREAM_WASM_CACHE_DIR", code.display().to_string()),
        ];
        Ok(Kind { archive: pack(vec![(file.to_owned(), source.into())], None)?, environment, ..kind })
    }

    fn python() -> Result<Kind> {
        let source = "from functionstream import function\n@function\ndef echo(record): return record.value\n";
        let bounds = Kind { memory: 4 << 20, rested: 3 << 19, start: Duration::from_secs(60), ..Kind::wasm()? };
        Kind::script("python", "app.py", source, bounds)
    }

    fn javascript() -> Result<Kind> {
        let source = "export default (record) => record.value;\n";
        let bounds = Kind { memory: 1 << 20, rested: 1 << 20, start: Duration::from_secs(30), ..Kind::wasm()? };
        Kind::script("javascript", "app.js", source, bounds)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thousand_idle_functions_cost_next_to_nothing() -> Result<()> {
    run(&Kind::wasm()?, Duration::from_secs(10)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "takes minutes: make scale"]
async fn a_thousand_idle_functions_in_python_cost_little() -> Result<()> {
    run(&Kind::python()?, Duration::from_secs(30)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "takes minutes: make scale"]
async fn a_thousand_idle_functions_in_javascript_cost_little() -> Result<()> {
    run(&Kind::javascript()?, Duration::from_secs(30)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "looks on for two minutes: make scale"]
async fn a_thousand_idle_functions_cost_next_to_nothing_for_minutes() -> Result<()> {
    run(&Kind::wasm()?, Duration::from_secs(120)).await
}

async fn run(kind: &Kind, window: Duration) -> Result<()> {
    let mut rng = seed::Seed::of("idle")?.rng(0);
    let options = ServerOptions::durable(binary::server()?);
    let options = kind.environment.iter().fold(options, |options, (name, value)| options.env(name, value));
    let mut node = Node::new(options)?;

    let client = node.start().await?;
    node.server()?.logged(&["functions started"]).await?;
    let empty = usage::share_of_memory(node.server()?.pid())?;
    let begun = Instant::now();
    deploy(&client, kind.archive.clone()).await?;
    println!("{FUNCTIONS} functions created in {:.1} s", begun.elapsed().as_secs_f64());
    let (status, log) = node.terminate().await?;
    ensure!(status.success(), "{status}:\n{}", log.join("\n"));

    let begun = Instant::now();
    let client = node.start().await?;
    let (server, listening) = (node.server()?, begun.elapsed());
    server.logged(&["functions started", &format!("started={FUNCTIONS}"), "failed=0"]).await?;
    // The tasks come up in any order: the slowest answer is when the last one is up.
    let first = ask_all(&client, 0).await?;
    let up = begun.elapsed();
    println!(
        "start with all of them: listens after {listening:?}, all have answered after {up:?}, the slowest took {first:?}"
    );
    ensure!(up < kind.start, "the start took {up:?}");

    let memory = usage::share_of_memory(server.pid())?;
    let each = memory.saturating_sub(empty) / FUNCTIONS as u64;
    println!(
        "memory: {:.0} MiB empty, {:.0} MiB with all of them, {:.0} KiB for each",
        usage::mib(empty),
        usage::mib(memory),
        each as f64 / 1024.0
    );
    ensure!(each < kind.memory, "each function takes {each} bytes");

    // What the answers left to be done (commits applied, memory given back, one question whether the instance is well) ends after half
    // a minute.
    for left in (0..WINDOWS).rev() {
        let (before, begun) = (usage::cpu(server.pid())?, Instant::now());
        usage::window(window);
        let used = usage::cpu(server.pid())?.saturating_sub(before);
        let share = used.as_secs_f64() / begun.elapsed().as_secs_f64();
        println!("idle for {window:?}: {used:?} of processor time, {:.2} % of one core", share * 100.0);
        if share < SHARE {
            break;
        }
        ensure!(left > 0, "idle functions use {:.2} % of one core", share * 100.0);
    }
    let memory = usage::share_of_memory(server.pid())?;
    let each = memory.saturating_sub(empty) / FUNCTIONS as u64;
    println!(
        "after the rest: {:.0} MiB with all of them, {:.0} KiB for each",
        usage::mib(memory),
        each as f64 / 1024.0
    );
    println!("{}", std::fs::read_to_string(format!("/proc/{}/smaps_rollup", server.pid()))?);
    ensure!(each < kind.rested, "each function that has rested takes {each} bytes");

    let mut answers = Vec::new();
    for number in sample(&mut rng, FUNCTIONS, ASKED) {
        answers.push(ask(&client, number, 1).await?);
    }
    answers.sort_unstable();
    let (median, slowest) = (answers[ASKED / 2], answers[ASKED - 1]);
    println!("a first record after the rest is answered after {median:?} in the middle, {slowest:?} at most");
    ensure!(median < ANSWER, "a first record is answered only after {median:?}");
    Ok(())
}

/// Creates all functions from one artifact, each on topics of its own.
async fn deploy(client: &Client, archive: Vec<u8>) -> Result<()> {
    let artifact = client.upload_artifact(archive).await?;
    let archive = format!("sha256:{}", artifact.digest);
    each(|number| {
        let (client, archive) = (client.clone(), archive.clone());
        async move {
            let function = Function::new(archive, vec![input(number).into()], output(number));
            client.create_function(&format!("idle-{number}"), &function).await?;
            Ok(Duration::ZERO)
        }
    })
    .await
    .map(drop)
}

/// Sends each function a record; answers how long the slowest took.
async fn ask_all(client: &Client, position: u64) -> Result<Duration> {
    each(|number| {
        let client = client.clone();
        async move { ask(&client, number, position).await }
    })
    .await
}

/// Does something for each function, some at once; answers the longest time.
async fn each<F>(todo: impl Fn(usize) -> F) -> Result<Duration>
where
    F: Future<Output = Result<Duration>> + Send + 'static,
{
    let (mut running, mut longest) = (JoinSet::new(), Duration::ZERO);
    for number in 0..FUNCTIONS {
        if running.len() >= AT_ONCE {
            longest = longest.max(running.join_next().await.context("nothing runs")???);
        }
        running.spawn(todo(number));
    }
    while let Some(done) = running.join_next().await {
        longest = longest.max(done??);
    }
    Ok(longest)
}

/// Sends a function a record and waits for its output, which has that position; answers how long it took.
async fn ask(client: &Client, number: usize, position: u64) -> Result<Duration> {
    let (content, begun) = (format!("record {position} of {number}"), Instant::now());
    client.produce(&input(number), content.clone(), &ProduceOptions::default()).await?;
    let from = Some(ReadFrom::Position(position.to_string()));
    let options = ConsumeOptions { from, timeout: Some(PATIENCE), ..Default::default() };
    let answer = within("an answer", client.consume(&output(number), &options)).await??;
    let answer = answer.with_context(|| format!("function {number} does not answer"))?;
    ensure!(answer.json == format!("\"{content}\""), "function {number} answers {:?}", answer.json);
    Ok(begun.elapsed())
}

fn input(number: usize) -> String {
    format!("idle-{number}-input")
}

fn output(number: usize) -> String {
    format!("idle-{number}-output")
}
