// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A function with state through updates and rollbacks, as its user commands them: what it has counted stays, comes back,
//! or is counted again, and a server that is killed meanwhile has done the change or not.
#![allow(clippy::print_stdout, reason = "a test says its seed and what it did")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ConsumeOptions, Function, FunctionUpdate, ProduceOptions, RollbackRequest};
use fnstream_core::ErrorCode;
use fnstream_tests::cli::Cli;
use fnstream_tests::node::Node;
use fnstream_tests::seed::Seed;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary};
use rand::RngExt;

/// How often the server is killed.
const KILLS: usize = 24;
/// How long a change takes at most that nobody disturbs, about.
const TYPICAL: Duration = Duration::from_millis(25);

/// Counts so many more occurrences of a word, and answers the counts.
fn count(cli: &Cli, times: usize) -> Result<Vec<u64>> {
    for _ in 0..times {
        cli.prints(&["produce", "-n", "words", "-c", "w"])?;
    }
    counted(cli, times)
}

fn counted(cli: &Cli, times: usize) -> Result<Vec<u64>> {
    let printed = cli.prints(&["consume", "-n", "counts", "--count", &times.to_string()])?;
    printed.lines().map(|line| Ok(line.trim_matches('"').parse()?)).collect()
}

/// A server whose function `f` has counted to 10 in revision 1 and to 15 in revision 2.
async fn counted_to_15(node: &mut Node) -> Result<Cli> {
    let client = node.start().await?;
    let cli = Cli::new(client.url(), node.folder())?;
    let archive = binary::example("word_count_rust")?.canonicalize()?;
    let archive = archive.to_str().context("a path that is not text")?;
    cli.prints(&["create", "-n", "f", "-a", archive, "-i", "words", "-o", "counts"])?;
    ensure!(count(&cli, 10)? == (1..=10).collect::<Vec<_>>());
    ensure!(
        cli.prints(&["update", "-n", "f", "-c", "version=2"])?
            == "Function f is at revision 2\nFunction f is running\n"
    );
    ensure!(count(&cli, 5)? == (11..=15).collect::<Vec<_>>(), "the state did not survive the update");
    Ok(cli)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rollback_brings_the_state_back_and_says_what_it_cannot_undo() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let cli = counted_to_15(&mut node).await?;
    let listed = cli.prints(&["revisions", "-n", "f"])?;
    for (line, words) in listed.lines().skip(1).zip([["config", "in use"], ["-", "kept"]]) {
        ensure!(words.iter().all(|word| line.contains(word)), "{listed}");
    }
    let told = cli.prints(&["rollback", "-n", "f", "--to", "1", "--with-state"])?;
    let expected = "Function f is back to revision 1 with its state, as revision 3
  5 records were emitted to counts since then, dead letters counted in: they stay
  5 input records were processed since then: that is not in the state any more and is not done again
  dead letters that were written to f.dlq since then stay there
Function f is running\n";
    ensure!(told == expected, "{told}");
    ensure!(count(&cli, 1)? == [11], "the state of revision 1 is not back");
    node.kill()?;
    let cli = Cli::new(node.start().await?.url(), node.folder())?;
    ensure!(count(&cli, 1)? == [12], "not after a restart");
    // What was rolled back is itself kept.
    cli.prints(&["rollback", "-n", "f", "--to", "2", "--with-state"])?;
    ensure!(count(&cli, 1)? == [16], "the state of revision 2 is lost");
    cli.prints(&["restart", "-n", "f"])?;
    ensure!(count(&cli, 1)? == [17], "not after a restart of the function");
    cli.refuses(&["rollback", "-n", "f", "--to", "4"], "FS-1001")?;
    cli.refuses(&["rollback", "-n", "f", "--to", "99"], "FS-1106")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rollback_can_process_again_what_came_since() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let cli = counted_to_15(&mut node).await?;
    let told = cli.prints(&["rollback", "-n", "f", "--to", "1", "--with-state", "--reprocess"])?;
    ensure!(told.contains("5 input records were processed since then: that is done again"), "{told}");
    ensure!(counted(&cli, 5)? == (11..=15).collect::<Vec<_>>(), "they were not processed again");
    ensure!(count(&cli, 1)? == [16]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_change_during_which_the_server_is_killed_is_done_or_not_done() -> Result<()> {
    let mut rng = Seed::of("a_change_during_which_the_server_is_killed")?.rng(0);
    let mut node = Node::new(ServerOptions::new(binary::server()?).arg("--state-dirty-keys", 1))?;
    let client = node.start().await?;
    let artifact = client.upload_artifact(std::fs::read(binary::example("word_count_rust")?)?).await?;
    let function = Function::new(format!("sha256:{}", artifact.digest), vec!["words".into()], "counts");
    client.create_function("f", &function).await?;
    // What was counted when each revision ended, which is what a rollback to it must bring back.
    let mut ended = std::collections::BTreeMap::new();
    let (mut revision, mut at) = (1, one_more(&client).await?);
    let (mut done, mut undone) = (0, 0);
    for round in 0..KILLS {
        let client = node.finder().alive().await?.client;
        let back = ended.keys().rev().nth(rng.random_range(0..3)).copied().filter(|_| round % 2 == 1);
        let asked = tokio::spawn({
            let client = client.clone();
            async move { change(&client, round, back).await }
        });
        // Squared, so that short waits, in which most steps fall, are the more likely ones.
        node.server()?.runs_for(TYPICAL.mul_f64(rng.random_range(0.0..1.0_f64).powi(2))).await?;
        node.kill()?;
        let answer = asked.await?;
        let client = node.start().await?;
        let now = client.describe_function("f").await?.revision;
        let doing = format!("round {round}, back to {back:?}, revision {revision} became {now}, answered {answer:?}");
        ensure!(now == revision || now == revision + 1, "{doing}");
        ensure!(now > revision || answer.is_err(), "an answered change is gone: {doing}");
        let expected = match back {
            Some(back) if now > revision => ended[&back],
            _ => at,
        };
        if now > revision {
            ended.insert(revision, at);
            done += 1;
        } else {
            undone += 1;
        }
        (revision, at) = (now, one_more(&client).await.with_context(|| doing.clone())?);
        ensure!(at == expected + 1, "counted on to {at}, not {}: {doing}", expected + 1);
    }
    println!("a_change_during_which_the_server_is_killed: {done} changes done, {undone} not done");
    Ok(())
}

/// Updates the function, or rolls it back with its state.
async fn change(client: &Client, round: usize, back: Option<u64>) -> Result<()> {
    match back {
        Some(to) => {
            client.rollback_function("f", RollbackRequest { to, with_state: true, reprocess: false }).await?;
        }
        None => {
            let config = Some([("round".to_owned(), round.to_string())].into());
            client.update_function("f", &FunctionUpdate { config, ..FunctionUpdate::default() }).await?;
        }
    }
    Ok(())
}

/// Counts the word once more, and answers its count.
async fn one_more(client: &Client) -> Result<u64> {
    client.produce("words", "w", &Default::default()).await?;
    let options = ConsumeOptions { timeout: Some(PATIENCE), ..ConsumeOptions::default() };
    let event = client.consume("counts", &options).await?.context("nothing was counted")?;
    Ok(std::str::from_utf8(&event.json)?.trim_matches('"').parse()?)
}

/// What has no handler of timers would fail for ever once one comes due.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_artifact_without_a_handler_of_timers_is_refused_while_timers_are_set() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let client = node.start().await?;
    let upload = async |name: &str| -> Result<String> {
        let bytes = std::fs::read(binary::example(name)?)?;
        Ok(format!("sha256:{}", client.upload_artifact(bytes).await?.digest))
    };
    let (window, basic) = (upload("window_rust").await?, upload("basic").await?);
    let function: Function = serde_json::from_value(serde_json::json!({
        "archive": window, "inputs": ["clicks"], "output": "windows", "watermarks": {"clicks": {"strategy": "monotonic"}},
    }))?;
    client.create_function("w", &function).await?;
    let to = |archive: &str| FunctionUpdate { archive: Some(archive.to_owned()), ..FunctionUpdate::default() };
    // Nothing is set yet.
    ensure!(client.update_function("w", &to(&basic)).await?.revision == 2);
    ensure!(client.update_function("w", &to(&window)).await?.revision == 3);
    let click = async |at: i64| {
        let options = ProduceOptions { timestamp: Some(at), key: Some(b"k".to_vec()), ..ProduceOptions::default() };
        client.produce("clicks", "click", &options).await
    };
    // The second click ends the window of the first, whose count comes with the timer of its own.
    click(5_000).await?;
    click(15_000).await?;
    let options = ConsumeOptions { timeout: Some(PATIENCE), ..ConsumeOptions::default() };
    client.consume("windows", &options).await?.context("the first window is not there")?;

    let refused =
        client.update_function("w", &to(&basic)).await.err().context("an update without a handler was taken")?;
    ensure!(refused.is(ErrorCode::TimersSet), "{refused}");
    let rollback = RollbackRequest { to: 2, with_state: false, reprocess: false };
    let refused =
        client.rollback_function("w", rollback).await.err().context("a rollback without a handler was taken")?;
    ensure!(refused.is(ErrorCode::TimersSet), "{refused}");
    ensure!(client.describe_function("w").await?.revision == 3, "something was changed");

    // It goes on as it was, and one with a handler takes its place.
    ensure!(client.update_function("w", &to(&upload("word_count_rust").await?)).await?.revision == 4);
    ensure!(client.update_function("w", &to(&window)).await?.revision == 5);
    click(25_000).await?;
    client.consume("windows", &options).await?.context("the timer of the second window is lost")?;
    Ok(())
}
