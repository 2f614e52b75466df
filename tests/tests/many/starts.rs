// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server with many functions and topics is ready soon after `kill -9`: `/readyz` answers 200 when all functions have come up, and
//! not before.
//!
//! `FNSTREAM_MANY=1000` sets how many functions there are; each has three topics of its own, and there are five topics for each in all.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fnstream_api::topic::TopicRequest;
use fnstream_api::{Client, ConsumeOptions, Function, FunctionStatus, ProduceOptions, ReadFrom};
use fnstream_tests::node::Node;
use fnstream_tests::seed::number;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, usage};
use tokio::task::JoinSet;

/// How many functions there are, unless said otherwise.
const FUNCTIONS: usize = 200;
/// Topics for each function, its own included.
const TOPICS: usize = 5;
/// How often the server is killed.
const KILLS: usize = 5;
/// How many requests are under way when order does not matter.
const AT_ONCE: usize = 32;
/// How long from the start of the process until it is ready, at best: other things may run on the machine, too.
const READY: Duration = Duration::from_secs(2);
/// How often it is looked whether it is.
const SAMPLE: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_with_many_functions_is_ready_soon_after_a_kill() -> Result<()> {
    let functions = number("FNSTREAM_MANY", FUNCTIONS)?;
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let mut client = node.start().await?;
    deploy(&client, functions).await?;
    let mut took = Vec::new();
    for kill in 0..KILLS {
        ask_all(&client, functions, kill).await?;
        node.kill()?;
        let begun = Instant::now();
        client = node.start().await?;
        let listening = begun.elapsed();
        let ready = ready(client.url(), begun).await?;
        let up =
            client.status(None).await?.iter().filter(|function| function.status == FunctionStatus::Running).count();
        println!("kill {kill}: listens after {listening:.0?}, ready after {ready:.0?}");
        ensure!(up == functions, "ready with {up} of {functions} functions up");
        took.push(ready);
    }
    ask_all(&client, functions, KILLS).await?;
    took.sort_unstable();
    let topics = client.list_topics().await?.len();
    println!(
        "{functions} functions, {topics} topics: ready after {:.0?} at best, {:.0?} in the middle",
        took[0],
        took[KILLS / 2]
    );
    ensure!(topics >= functions * TOPICS, "{topics} topics");
    ensure!(took[0] < READY, "it is ready only {:?} after its start", took[0]);
    Ok(())
}

/// How long it took from then on until the server says that it is ready.
async fn ready(url: &str, begun: Instant) -> Result<Duration> {
    let client = reqwest::Client::new();
    loop {
        let answer = client.get(format!("{url}/readyz")).send().await?;
        if answer.status() == 200 {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "it does not become ready: {}", answer.text().await?);
        usage::window(SAMPLE);
    }
}

/// Creates all functions from one artifact, and the topics that nobody uses.
async fn deploy(client: &Client, functions: usize) -> Result<()> {
    let artifact = client.upload_artifact(std::fs::read(binary::example("pass_through_rust")?)?).await?;
    let archive = format!("sha256:{}", artifact.digest);
    each(functions, |number| {
        let (client, archive) = (client.clone(), archive.clone());
        async move {
            let function = Function::new(archive, vec![input(number).into()], output(number));
            client.create_function(&format!("many-{number}"), &function).await?;
            // It has dead letters, too.
            for spare in 3..TOPICS {
                client.create_topic(&format!("many-{number}-{spare}"), &TopicRequest::default()).await?;
            }
            Ok(())
        }
    })
    .await
}

/// Sends each function its next record, and reads what it makes of it.
async fn ask_all(client: &Client, functions: usize, position: usize) -> Result<()> {
    each(functions, |number| {
        let client = client.clone();
        async move {
            let content = format!("record {position} of {number}");
            client.produce(&input(number), content.clone(), &ProduceOptions::default()).await?;
            let from = Some(ReadFrom::Position(position.to_string()));
            let options = ConsumeOptions { from, timeout: Some(PATIENCE), ..Default::default() };
            let answer = client.consume(&output(number), &options).await?;
            let answer = answer.with_context(|| format!("function {number} does not answer"))?;
            ensure!(answer.json == format!("\"{content}\""), "function {number} answers {:?}", answer.json);
            Ok(())
        }
    })
    .await
}

/// Does something for each function, some at once.
async fn each<F>(functions: usize, todo: impl Fn(usize) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for number in 0..functions {
        if running.len() >= AT_ONCE {
            running.join_next().await.context("nothing runs")???;
        }
        running.spawn(todo(number));
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

fn input(number: usize) -> String {
    format!("many-{number}-input")
}

fn output(number: usize) -> String {
    format!("many-{number}-output")
}
