// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Each backup under load is one moment of everything.
//!
//! Two functions in a row, of which the second counts. At the moment of a backup each task has made exactly one record of each that
//! it has consumed, so what `check` finds in what was restored must agree: positions, outputs and inputs. Then a server goes on from
//! there: it must make of the rest of its input what the functions' models do, which shows that the state was of the same moment; and
//! its input must be a beginning of that of the server whose backup it is, with everything that was acknowledged before the backup was
//! asked for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fnstream_api::{BackupRequest, Client, ConsumeOptions, ReadFrom};
use fnstream_tests::chain::check::{self, Problem};
use fnstream_tests::chain::ledger::{Append, Record};
use fnstream_tests::chain::producer::{Load, Producer, Style};
use fnstream_tests::chain::step::Step;
use fnstream_tests::chain::{Chain, IN, MID, OUT, reader};
use fnstream_tests::cli::printed;
use fnstream_tests::node::Node;
use fnstream_tests::seed::{Seed, number};
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, within};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::task::JoinSet;

use super::{run, text};

const CHAIN: Chain = Chain { partitions: 2, first: Step::PassThrough, second: Step::KeyedCount };
/// A backup is asked for at most so many appends after the one before: some follow at once, some after more than a memtable.
const MOST_EVENTS: [u64; 3] = [10, 1_000, 20_000];

/// After so many backups another server begins with nothing: each backup is compared from its first record on.
const OF_ONE_SERVER: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_moment() -> Result<()> {
    let (begun, name) = (Instant::now(), "a_backup_under_load");
    let seed = Seed::of(name)?;
    let times: usize = number("FNSTREAM_BACKUPS", 3)?;
    let mut all = Under::default();
    for first in (0..times).step_by(OF_ONE_SERVER) {
        let turns = first..times.min(first + OF_ONE_SERVER);
        let of = under_load(seed, turns.clone()).await.with_context(|| format!("backups {turns:?}"))?;
        all = Under {
            records: all.records + of.records,
            behind: all.behind + of.behind,
            appends: all.appends + of.appends,
        };
        let (made, elapsed) = (turns.end, begun.elapsed());
        println!("{name}: {made} backups, each restored and gone on from, {elapsed:?}");
    }
    let Under { records, behind, appends } = all;
    println!(
        "{name}: {records} inputs in them, {behind} of them not processed yet at the moment of the backup; {appends} appends"
    );
    Ok(())
}

/// What was in backups, and what was appended beside them.
#[derive(Default)]
struct Under {
    records: usize,
    behind: u64,
    appends: usize,
}

/// Makes some backups of one server.
async fn under_load(seed: Seed, turns: Range<usize>) -> Result<Under> {
    let first = turns.start as u64;
    let mut rng = seed.rng(10 * first);
    let mut node = Node::new(ServerOptions::durable(binary::server()?).arg("--state-dirty-keys", 16))?;
    let client = node.start().await?;
    CHAIN.create(&client).await?;
    let load = Load::new(40, 40);
    let mut producers = JoinSet::new();
    for (number, style) in (0..).zip([Style::Single, Style::Lines, Style::Frame]) {
        let rng = seed.rng(10 * first + 1 + u64::from(number));
        let producer = Producer { number, style, rng, load: load.clone() };
        producers.spawn(producer.run(node.finder()));
    }
    let (mut inputs, mut behind) = (Vec::new(), 0);
    for turn in turns {
        let enough = *load.events.borrow() + rng.random_range(1..=MOST_EVENTS[turn % MOST_EVENTS.len()]);
        within("records to flow", load.events.subscribe().wait_for(|events| *events >= enough)).await??;
        let (input, unprocessed) =
            backed_up(&node, &client, turn, &mut rng).await.with_context(|| format!("backup {turn}"))?;
        behind += unprocessed;
        inputs.push(input);
    }
    load.stop();
    let ledgers = within("the producers to end", producers.join_all()).await?;
    let mut ledger = ledgers.into_iter().collect::<Result<Vec<Vec<Append>>>>()?.concat();
    CHAIN.settle(&client, &mut ledger, 0).await?.must_be_clean()?;
    let mut problems = Vec::new();
    for (partition, _) in inputs.first().into_iter().flatten().enumerate() {
        let there = reader::read_now(&client, IN, partition as u32).await?;
        problems.extend(
            inputs.iter().flat_map(|input| check::seen(&format!("{IN}/{partition}"), &input[partition], &there)),
        );
    }
    clean(&problems)?;
    Ok(Under { records: inputs.iter().flatten().map(Vec::len).sum(), behind, appends: ledger.len() })
}

/// Makes a backup, restores it elsewhere and goes on from there; answers its input, and how much of that was not processed at its
/// moment.
async fn backed_up(node: &Node, client: &Client, turn: usize, rng: &mut StdRng) -> Result<(Vec<Vec<Record>>, u64)> {
    let acknowledged = ends(client, IN).await?;
    let to = node.folder().join(format!("backup-{turn}"));
    let rate = rng.random_bool(0.3).then(|| rng.random_range(1 << 20..64 << 20));
    let asked = BackupRequest { to: text(&to)?.to_owned(), rate };
    let made = client.backup(&asked, |_| ()).await?;
    ensure!(made.topics >= 3 && made.functions == 2, "{made:?}");

    let mut restored = Node::new(ServerOptions::durable(binary::server()?))?;
    let data = restored.data_dir();
    printed(run(&["restore", "--from", text(&to)?, "--data-dir", text(&data)?])?)?;
    let report = printed(run(&["check", "--json", "--data-dir", text(&data)?])?)?;
    let (at, tasks) = found(&serde_json::from_str(&report)?)?;
    let mut behind = 0;
    for partition in 0..CHAIN.partitions {
        let end = |topic: &str| at.get(&(topic.to_owned(), partition)).copied().unwrap_or_default();
        let consumed = |name: &str| tasks.get(&(name.to_owned(), partition)).copied().unwrap_or_default();
        let (input, mid, out, first, second) = (end(IN), end(MID), end(OUT), consumed("first"), consumed("second"));
        let all = format!("{IN} {input}, first {first}, {MID} {mid}, second {second}, {OUT} {out}");
        ensure!(first == mid && second == out, "outputs are not those of what was consumed: {all}");
        ensure!(first <= input && second <= mid, "more was consumed than is there: {all}");
        ensure!(input >= acknowledged[partition as usize], "what was acknowledged before is missing: {all}");
        behind += input - second;
    }
    let client = restored.start().await?;
    let mut input = Vec::new();
    for partition in 0..CHAIN.partitions {
        let end = at.get(&(IN.to_owned(), partition)).copied().unwrap_or_default();
        input.push(gone_on(&client, partition, end).await?);
    }
    // State that is asked for now is that of the moment and of what came after it.
    let mut ledger = Vec::new();
    CHAIN.touch(&client, &mut ledger, &Load::new(40, 40), turn as u32).await?;
    for partition in 0..CHAIN.partitions {
        let end = ends(&client, IN).await?[partition as usize];
        let more = gone_on(&client, partition, end).await?;
        ensure!(more.starts_with(&input[partition as usize]), "the input changed");
    }
    restored.kill()?;
    std::fs::remove_dir_all(&to)?;
    Ok((input, behind))
}

/// Waits until all of a partition is processed, and compares it with what must be made of it; answers its input.
async fn gone_on(client: &Client, partition: u32, end: u64) -> Result<Vec<Record>> {
    let index = partition as usize;
    let mut at = ends(client, OUT).await?[index];
    while at < end {
        let from = Some(ReadFrom::Position(at.to_string()));
        let options =
            ConsumeOptions { from, partition: Some(partition), timeout: Some(PATIENCE), ..ConsumeOptions::default() };
        client.consume(OUT, &options).await?.with_context(|| format!("{OUT}/{partition} stays at {at} of {end}"))?;
        at = ends(client, OUT).await?[index];
    }
    let mut topics = Vec::new();
    for topic in [IN, MID, OUT] {
        topics.push(vec![reader::read_now(client, topic, partition).await?]);
    }
    ensure!(topics[0][0].len() as u64 == end, "{} inputs, not {end}", topics[0][0].len());
    let mut problems = check::processed("first", CHAIN.first, &topics[0], &topics[1]);
    problems.extend(check::processed("second", CHAIN.second, &topics[1], &topics[2]));
    clean(&problems)?;
    Ok(topics.swap_remove(0).swap_remove(0))
}

type Ends = BTreeMap<(String, u32), u64>;

/// The ends of partitions, and how much tasks have consumed, in a report of `check`.
fn found(report: &serde_json::Value) -> Result<(Ends, Ends)> {
    let numbers = |list: &str, name: &str, index: &str, number: &str| -> Result<Ends> {
        let list = report[list].as_array().context("no list")?;
        list.iter()
            .map(|item| {
                let key = (item[name].as_str()?.to_owned(), u32::try_from(item[index].as_u64()?).ok()?);
                Some((key, item[number].as_u64()?))
            })
            .collect::<Option<_>>()
            .context("an odd report")
    };
    Ok((numbers("partitions", "topic", "partition", "end")?, numbers("tasks", "function", "task", "records_in")?))
}

async fn ends(client: &Client, topic: &str) -> Result<Vec<u64>> {
    let described = client.describe_topic(topic).await?;
    described.partitions.iter().map(|partition| partition.end.parse().context("an odd position")).collect()
}

fn clean(problems: &[Problem]) -> Result<()> {
    ensure!(problems.is_empty(), "{}", check::report(problems));
    Ok(())
}
