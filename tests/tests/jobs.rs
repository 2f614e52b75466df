// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Dead letters that are replayed by a job while the server is killed, and what the command line shows of it.
#![allow(clippy::print_stdout, reason = "a test says what it did")]

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fnstream_api::{
    Client, ConsumeOptions, DeadLetterSelection, Function, JobState, PageOptions, ProduceOptions, ReadFrom,
};
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_frame::{Frame, FrameBuilder, HeadersBuilder, RecordRef};
use fnstream_tests::cli::Cli;
use fnstream_tests::node::Node;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary};

const LETTERS: usize = 2_000;
/// How often the server is killed.
const KILLS: usize = 3;

/// A module that computes for about a millisecond before it copies a record.
const SLOW: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "_initialize"))
    (func (export "process")
      (local $n i32)
      (local.set $n (i32.const 1500000))
      (loop $on
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (i32.store (i32.const 2000) (local.get $n))
        (br_if $on (local.get $n)))
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 60000))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#;

/// A module that traps at each record.
const TRAP: &str = r#"(module
    (memory (export "memory") 2)
    (func (export "_initialize"))
    (func (export "process") unreachable))"#;

/// A server with a slow function `f` that has dead letters. They are made as anybody can make them.
async fn with_letters(node: &mut Node, letters: usize) -> Result<Client> {
    let client = node.start().await?;
    let digest = client.upload_artifact(wat::parse_str(SLOW)?).await?.digest;
    client.create_function("f", &Function::new(format!("sha256:{digest}"), vec!["in".into()], "out")).await?;
    client.produce("in", "first", &ProduceOptions::default()).await?;
    // Whatever is there before a function's first commit is of a former one of the name.
    let first = ConsumeOptions { timeout: Some(PATIENCE), ..ConsumeOptions::default() };
    client.consume("out", &first).await?.context("the function does not run")?;
    let mut frame = FrameBuilder::new();
    for number in 0..letters {
        let letter = DeadLetter {
            code: "FS-1402".into(),
            message: "unreachable".into(),
            backtrace: None,
            function: "f".into(),
            revision: 1,
            source: TopicPartition::new("in", 0),
            position: Position(number as u128),
            input: 0,
            attempts: 4,
            failed_at_ms: 1,
        };
        let headers = letter.headers(HeadersBuilder::new().as_headers())?;
        frame.push(RecordRef::new(format!("l{number}").as_bytes()).with_headers(headers.as_headers()));
    }
    client.produce_frame("f.dlq", frame.to_bytes()).await?;
    Ok(client)
}

/// The letters among the outputs, in order.
async fn letters_out(client: &Client) -> Result<Vec<String>> {
    let from = |from| ConsumeOptions {
        timeout: Some(std::time::Duration::ZERO),
        from: Some(from),
        ..ConsumeOptions::default()
    };
    let (mut values, mut options) = (Vec::new(), from(ReadFrom::Earliest));
    while let Some((frame, next)) = client.consume_frame("out", &options, 65_536).await? {
        let frame = Frame::parse(&frame)?;
        values.extend(frame.iter().map(|record| String::from_utf8_lossy(record.bytes()).into_owned()));
        options = from(ReadFrom::Position(next));
    }
    values.retain(|value| value.starts_with('l'));
    Ok(values)
}

/// The letters that wait, page by page.
async fn letters_waiting(client: &Client) -> Result<Vec<String>> {
    let (mut values, mut options) = (Vec::new(), PageOptions { max: Some(300), after: None });
    loop {
        let page = client.dead_letters_page("f", &options).await?;
        values.extend(page.dead_letters.into_iter().filter_map(|letter| letter.value));
        options.after = page.next;
        if options.after.is_none() {
            return Ok(values);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_replayed_once_or_still_waits_when_the_server_is_killed() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let mut client = with_letters(&mut node, LETTERS).await?;
    let all: Vec<_> = (0..LETTERS).map(|number| format!("l{number}")).collect();
    let mut done_before = 0;
    for kill in 0..KILLS {
        let job = client.start_replay("f", &DeadLetterSelection::default()).await?;
        let until = Instant::now() + PATIENCE;
        while client.job(&job.id, None).await?.processed < 100 {
            ensure!(Instant::now() < until, "the replay does not come on");
        }
        node.kill()?;
        client = node.start().await?;
        let (out, waiting) = (letters_out(&client).await?, letters_waiting(&client).await?);
        ensure!([out.clone(), waiting].concat() == all, "a letter is lost, doubled or out of order");
        let job = client.job(&job.id, Some(PATIENCE)).await?;
        ensure!(job.state == JobState::Interrupted, "{job:?}");
        let done = out.len() - done_before;
        ensure!(done < LETTERS && job.processed == done as u64, "{done} were replayed: {job:?}");
        println!("kill {kill}: {done} replayed, {} in all", out.len());
        done_before = out.len();
        // The function comes up again; until then it has no task that could replay.
        client.produce("in", "again", &ProduceOptions::default()).await?;
        let until = Instant::now() + PATIENCE;
        while client.describe_function("f").await?.tasks.first().is_none_or(|task| task.records_in < 2 + kill as u64) {
            ensure!(Instant::now() < until, "the function does not come back");
        }
    }
    let rest = client.replay_dead_letters("f", &DeadLetterSelection::default()).await?;
    ensure!(rest.replayed as usize == LETTERS - done_before && rest.waiting == 0, "{rest:?}");
    ensure!(letters_out(&client).await? == all, "a letter is lost, doubled or out of order");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_goes_through_pages_and_watches_jobs() -> Result<()> {
    let mut node = Node::new(ServerOptions::new(binary::server()?))?;
    let client = with_letters(&mut node, 1_500).await?;
    let cli = Cli::new(client.url(), node.folder())?;

    let listed = cli.prints(&["dlq", "ls", "-n", "f", "--max", "5000"])?;
    let ids = listed.lines().filter(|line| line.trim_start().starts_with("0:")).count();
    ensure!(ids == 1_500 && listed.matches("ATTEMPTS").count() == 1, "{ids} of 1500 letters");
    ensure!(listed.ends_with("\n1500 waiting in f.dlq\n"), "{}", &listed[listed.len() - 100..]);
    let output = cli.run(&["dlq", "ls", "-n", "f", "--max", "1200", "--json"])?;
    let page: fnstream_api::DeadLetters = serde_json::from_slice(&output.stdout)?;
    ensure!((page.waiting, page.dead_letters.len()) == (Some(1_500), 1_200));
    let whole = serde_json::to_string_pretty(&page)? + "\n";
    ensure!(whole.as_bytes() == output.stdout, "it is not printed as other JSON is");
    let next = page.next.context("no cursor")?;
    let rest = cli.prints(&["dlq", "ls", "-n", "f", "--max", "5000", "--json", "--after", &next])?;
    let rest: fnstream_api::DeadLetters = serde_json::from_str(&rest)?;
    ensure!(rest.dead_letters.len() == 300 && rest.dead_letters[0].id == "0:1200" && rest.next.is_none());

    let id = cli.prints(&["dlq", "replay", "-n", "f", "--no-wait"])?.trim().to_owned();
    cli.refuses(&["dlq", "drop", "-n", "f", "--all"], "FS-1116")?;
    let shown = cli.prints(&["dlq", "job", &id, "--cancel", "--wait"])?;
    ensure!(shown.contains("state      cancelled"), "{shown}");
    let job = client.job(&id, None).await?;
    ensure!(cli.prints(&["dlq", "jobs", "-n", "f"])?.contains(&id));
    let printed = cli.prints(&["dlq", "replay", "-n", "f", "--count", "10"])?;
    ensure!(printed == format!("10 replayed, 0 failed again, {} waiting\n", 1_490 - job.replayed), "{printed}");
    std::fs::write(node.folder().join("slow.wasm"), wat::parse_str(SLOW)?)?;
    let trial = cli.prints(&["dlq", "replay", "-n", "f", "--count", "3", "--with-archive", "slow.wasm"])?;
    ensure!(trial.ends_with("3 of 3 would succeed; nothing was kept\n") && trial.lines().count() == 4, "{trial}");

    // What failed again is no success, for a script either.
    std::fs::write(node.folder().join("trap.wasm"), wat::parse_str(TRAP)?)?;
    let trial = cli.run(&["dlq", "replay", "-n", "f", "--count", "2", "--with-archive", "trap.wasm"])?;
    let told = String::from_utf8(trial.stdout)?;
    ensure!(trial.status.code() == Some(1) && told.ends_with("0 of 2 would succeed; nothing was kept\n"), "{told}");
    cli.prints(&["update", "-n", "f", "-a", "trap.wasm"])?;
    let waiting = 1_490 - job.replayed;
    let replay = cli.run(&["dlq", "replay", "-n", "f", "--count", "2"])?;
    let told = (replay.status.code(), String::from_utf8(replay.stdout)?);
    ensure!(told == (Some(1), format!("0 replayed, 2 failed again, {waiting} waiting\n")), "{told:?}");
    let replay = cli.run(&["dlq", "replay", "-n", "f", "--count", "2", "--json"])?;
    let told: fnstream_api::DeadLetterResult = serde_json::from_slice(&replay.stdout)?;
    ensure!(replay.status.code() == Some(1) && (told.replayed, told.failed_again) == (0, 2), "{told:?}");
    let id = cli.prints(&["dlq", "replay", "-n", "f", "--count", "2", "--no-wait"])?.trim().to_owned();
    let waited = cli.run(&["dlq", "job", &id, "--wait"])?;
    let told = (waited.status.code(), String::from_utf8(waited.stdout)?);
    ensure!(told.0 == Some(1) && told.1.contains("failed     2 again"), "{told:?}");
    cli.prints(&["dlq", "job", &id])?;

    let listed = client.list_dead_letters("f", 2).await?.dead_letters;
    let printed = cli.prints(&["dlq", "drop", "-n", "f", &listed[0].id, &listed[1].id])?;
    ensure!(printed == format!("2 dropped, {} waiting\n", waiting - 2), "{printed}");
    let listed = client.list_dead_letters("f", 2).await?.dead_letters;
    let printed = cli.prints(&["dlq", "drop", "-n", "f", &listed[1].id, "--json"])?;
    let told: fnstream_api::DeadLetterResult = serde_json::from_str(&printed)?;
    ensure!((told.dropped, told.moved, told.waiting) == (1, waiting - 3, waiting - 3), "{told:?}");
    cli.refuses(&["dlq", "drop", "-n", "f", &listed[1].id], "FS-1308")?;
    let printed = cli.prints(&["dlq", "drop", "-n", "f", "--all"])?;
    ensure!(printed == format!("{} dropped, 0 waiting\n", waiting - 3), "{printed}");
    cli.refuses(&["dlq", "job", "none"], "FS-1115")?;

    // Names in pages, in the form that they always had.
    ensure!(cli.prints(&["list", "--json"])? == "[\"f\"]\n");
    ensure!(cli.prints(&["topic", "list"])? == "f.dlq\nin\nout\n");
    let statuses: Vec<fnstream_api::FunctionSummary> = serde_json::from_str(&cli.prints(&["status", "--json"])?)?;
    ensure!(serde_json::to_string_pretty(&statuses)? + "\n" == cli.prints(&["status", "--json"])?);
    Ok(())
}
