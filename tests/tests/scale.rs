// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A log of many records makes nothing slower and nothing larger: records are preloaded over the network, drained by one
//! function with a `kill -9` on the way, and read back byte by byte.
//!
//! Measured and demanded: the processor time for each record stays the same to the end, the server's memory stays below
//! 300 MiB at every moment, and a server that starts on that folder processes its first record within 2 seconds, after a
//! crash and after an orderly end.
//!
//! `make scale` runs all of it, on the disk of `TMPDIR`; `make test` a short version without the demand on the processor
//! time, which would be too little to be seen in the kernel's ticks.
#![allow(clippy::print_stdout, reason = "what was measured is part of the result")]

#[path = "scale/curve.rs"]
mod curve;
#[path = "scale/workload.rs"]
mod workload;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use curve::Curve;
use fnstream_api::{Client, ConsumeOptions, Function, FunctionDescription, ReadFrom};
use fnstream_tests::node::Node;
use fnstream_tests::server::{Server, ServerOptions};
use fnstream_tests::{PATIENCE, binary, seed, usage};
use workload::Workload;

/// Records of one request.
const FRAME: u64 = 50_000;
/// The most records that the server gives at once.
const MOST_AT_ONCE: u32 = 65_536;
/// How often a running server is looked at.
const SAMPLE: Duration = Duration::from_millis(50);
/// What a server may have in memory.
const MEMORY: u64 = 300 << 20;
/// How long a start may take until the first record is processed.
const START: Duration = Duration::from_secs(2);
/// How much dearer the second half of the records may be than the first: the noise of a shared machine.
const DEARER: f64 = 1.15;
/// The same for a million of them.
const BULK: f64 = 1.5;

const NAME: &str = "pass-through";
const INPUT: &str = "scale-input";
const OUTPUT: &str = "scale-output";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_hundred_thousand_records_fit_and_a_start_is_quick() -> Result<()> {
    run(200_000).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "takes minutes and gigabytes of disk: make scale"]
async fn the_twentieth_million_of_records_costs_what_the_first_cost() -> Result<()> {
    const M: u64 = 1_000_000;
    let curve = run(20 * M).await?;
    let millions: Vec<_> = (0..20).map(|begin| curve.cost(begin * M, (begin + 1) * M)).collect();
    println!("cpu per record within each million, us: {millions:.2?}");
    let up_to = [1, 10, 20].map(|end| curve.cost(0, end * M));
    let halves = [curve.cost(0, 10 * M), curve.cost(10 * M, 20 * M)];
    println!("cpu per record up to 1, 10 and 20 M, us: {up_to:.3?}; first and second half: {halves:.3?}");
    ensure!(halves[1] <= DEARER * halves[0], "the second half costs more than the first");
    // What is done in bulk falls on some millions and not on others, and not on the very first.
    ensure!(up_to[2] <= BULK * up_to[0], "a record costs more than among the first million");
    ensure!(millions.iter().all(|cost| *cost <= BULK * halves[0]), "a million stands out");
    Ok(())
}

/// Preloads, drains, kills, restarts, checks; answers what the records cost on the way.
async fn run(records: u64) -> Result<Curve> {
    let work = Workload { seed: seed::Seed::of("scale")?.0, records };
    println!("{records} records of {} bytes", workload::RECORD);
    let mut node = Node::new(ServerOptions::durable(binary::server()?))?;
    let mut curve = Curve::default();

    let client = node.start().await?;
    preload(&client, node.server()?, work).await?;
    create(&client).await?;
    drain(&client, node.server()?, &mut curve, records * 6 / 10).await?;
    report_memory("drained by six tenths", node.server()?)?;
    node.kill()?;

    let begun = Instant::now();
    let client = node.start().await?;
    quick_start("kill -9", begun, first_of_backlog(&client, work).await?)?;
    drain(&client, node.server()?, &mut curve, records).await?;
    read_back(&client, work).await?;
    report_memory("drained and read back", node.server()?)?;
    let (status, log) = node.terminate().await?;
    ensure!(status.success(), "{status}:\n{}", log.join("\n"));

    let begun = Instant::now();
    let client = node.start().await?;
    quick_start("an orderly end", begun, first_of_one(&client, work).await?)?;
    report_memory("restarted", node.server()?)?;
    Ok(curve)
}

/// Sends all records, in order; the next frame is made while one is on its way.
async fn preload(client: &Client, server: &Server, work: Workload) -> Result<()> {
    let begun = Instant::now();
    let make = |first| tokio::task::spawn_blocking(move || work.frame(first, FRAME));
    let mut next = make(0);
    for first in (0..work.records).step_by(FRAME as usize) {
        let frame = next.await?;
        next = make(first + FRAME);
        client.produce_frame(INPUT, frame).await?;
        check_memory("preloading", server)?;
    }
    let cost = usage::cpu(server.pid())?.as_secs_f64() * 1e6 / work.records as f64;
    println!("preloaded in {:.1} s, server's cpu per record {cost:.3} us", begun.elapsed().as_secs_f64());
    report_memory("preloaded", server)
}

async fn create(client: &Client) -> Result<()> {
    let artifact = client.upload_artifact(std::fs::read(binary::example("pass_through_rust")?)?).await?;
    let function = Function::new(format!("sha256:{}", artifact.digest), vec![INPUT.into()], OUTPUT);
    client.create_function(NAME, &function).await?;
    Ok(())
}

/// Looks at the server at intervals until so many records are committed.
async fn drain(client: &Client, server: &Server, curve: &mut Curve, until: u64) -> Result<()> {
    let (begun, mut moved, mut from, mut done) = (Instant::now(), Instant::now(), None, 0);
    curve.begin(usage::cpu(server.pid())?);
    while done < until {
        // The samples are the measurement.
        usage::window(SAMPLE);
        let (Some(at), cpu) = (position(&client.describe_function(NAME).await?)?, usage::cpu(server.pid())?) else {
            ensure!(begun.elapsed() < PATIENCE, "the function does not come up\n{}", server.last_words());
            continue;
        };
        if at > done {
            moved = Instant::now();
        }
        ensure!(moved.elapsed() < PATIENCE, "nothing is processed any more\n{}", server.last_words());
        done = at;
        from.get_or_insert(at);
        curve.add(done, cpu);
        check_memory("draining", server)?;
    }
    let (from, seconds) = (from.unwrap_or_default(), begun.elapsed().as_secs_f64());
    println!("drained {from} to {done} in {seconds:.1} s, {:.0} records/s", (done - from) as f64 / seconds);
    Ok(())
}

/// Where the function's one task stands; `None` while it comes up.
fn position(function: &FunctionDescription) -> Result<Option<u64>> {
    let partition = function.tasks.first().and_then(|task| task.partitions.first());
    partition.map(|partition| partition.position.parse()).transpose().context("a position is not a number")
}

/// Waits until a record more than the folder had is in the output; answers when. A fast machine may have processed the last one
/// already.
async fn first_of_backlog(client: &Client, work: Workload) -> Result<Instant> {
    let end = end(client).await?.min(work.records - 1);
    let first = client.consume_frame(OUTPUT, &from(end), 1).await?;
    let (at, (frame, _)) = (Instant::now(), first.context("nothing was processed")?);
    work.check(end, &frame)?;
    Ok(at)
}

/// Waits until a record that is produced now is in the output; answers when.
async fn first_of_one(client: &Client, work: Workload) -> Result<Instant> {
    let more = Workload { records: work.records + 1, ..work };
    client.produce_frame(INPUT, more.frame(work.records, 1)).await?;
    let first = client.consume_frame(OUTPUT, &from(work.records), 1).await?;
    let (at, (frame, _)) = (Instant::now(), first.context("nothing was processed")?);
    more.check(work.records, &frame)?;
    Ok(at)
}

fn quick_start(after: &str, begun: Instant, first: Instant) -> Result<()> {
    let took = first - begun;
    println!("start after {after}: the first record is processed after {:.0} ms", took.as_secs_f64() * 1e3);
    ensure!(took < START, "the first record is processed only {took:?} after the start");
    Ok(())
}

/// Reads the whole output: nothing is lost, doubled, changed or out of order.
async fn read_back(client: &Client, work: Workload) -> Result<()> {
    let (begun, mut at) = (Instant::now(), 0);
    while at < work.records {
        let read = client.consume_frame(OUTPUT, &from(at), MOST_AT_ONCE).await?;
        let (frame, next) = read.with_context(|| format!("output {at} did not come"))?;
        at += work.check(at, &frame)?;
        ensure!(next == at.to_string(), "reading goes on at {next}, not at {at}");
    }
    let end = end(client).await?;
    ensure!(end == work.records, "the output has {end} records");
    println!("read back in {:.1} s: lost 0, doubled 0", begun.elapsed().as_secs_f64());
    Ok(())
}

/// The end of the output.
async fn end(client: &Client) -> Result<u64> {
    let topic = client.describe_topic(OUTPUT).await?;
    topic.partitions.first().context("a topic without partitions")?.end.parse().context("an end is not a number")
}

fn from(position: u64) -> ConsumeOptions {
    let from = Some(ReadFrom::Position(position.to_string()));
    ConsumeOptions { from, timeout: Some(PATIENCE), ..Default::default() }
}

fn report_memory(when: &str, server: &Server) -> Result<()> {
    let memory = usage::memory(server.pid())?;
    println!("{when}: {:.0} MiB in memory, at most {:.0} MiB", usage::mib(memory.resident), usage::mib(memory.peak));
    check_memory(when, server)
}

fn check_memory(when: &str, server: &Server) -> Result<()> {
    let peak = usage::memory(server.pid())?.peak;
    ensure!(peak < MEMORY, "{when}: the server had {:.0} MiB in memory", usage::mib(peak));
    Ok(())
}
