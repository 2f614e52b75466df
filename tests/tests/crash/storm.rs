// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A chain of functions under load whose server is killed again and again, also while it starts.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fnstream_api::Client;
use fnstream_tests::binary;
use fnstream_tests::chain::check::{self, Problem};
use fnstream_tests::chain::ledger::{Append, Record};
use fnstream_tests::chain::producer::{Load, Producer, Style};
use fnstream_tests::chain::step::Step;
use fnstream_tests::chain::{Chain, OUT, reader};
use fnstream_tests::node::Node;
use fnstream_tests::seed::Seed;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::within;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::task::JoinSet;

/// A kill comes at most so many acknowledgements and outputs after the start: lives are of all sorts, from such that end
/// in their recovery to such that grow large epochs.
const MOST_EVENTS: [u64; 4] = [20, 400, 400, 6000];

/// And at most so long after the last of them, so that it can fall between any two steps.
const MOST_AFTER: Duration = Duration::from_millis(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_tasks_each_lose_and_repeat_nothing() -> Result<()> {
    let chain = Chain { partitions: 4, first: Step::PassThrough, second: Step::KeyedCount };
    storm("four_tasks_each", chain, "os").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stateful_functions_lose_and_repeat_nothing() -> Result<()> {
    let chain = Chain { partitions: 1, first: Step::WordCount, second: Step::KeyedCount };
    // As users run it: what is answered is synced.
    storm("two_stateful_functions", chain, "group").await
}

async fn storm(name: &str, chain: Chain, durability: &str) -> Result<()> {
    let begun = Instant::now();
    let seed = Seed::of(name)?;
    // Few keys may be unapplied, so that the bulk apply runs all the time.
    let options = ServerOptions::durable(binary::server()?);
    let mut node = Node::new(options.arg("--durability", durability).arg("--state-dirty-keys", 16))?;
    let client = node.start().await?;
    chain.create(&client).await?;

    let load = Load::new(40, 40);
    let (producers, followers) = set_off(&chain, &node, &load, seed);
    let kills = kill_often(&mut node, &load, &mut seed.rng(0), super::kills()?).await?;
    load.stop();
    let ledgers = within("the producers to end", producers.join_all()).await?;
    let mut ledger = ledgers.into_iter().collect::<Result<Vec<Vec<Append>>>>()?.concat();

    let client = node.finder().alive().await?.client;
    chain.settle(&client, &mut ledger, 0).await?.must_be_clean()?;
    // What was counted is still known after one more death.
    node.kill()?;
    let client = node.start().await?;
    chain.touch(&client, &mut ledger, &load, 1).await?;
    let mut found = chain.settle(&client, &mut ledger, 1).await?;
    for followed in within("the readers to end", followers.join_all()).await? {
        let (partition, seen) = followed?;
        found.problems.extend(still_there(&client, partition, &seen).await?);
    }
    found.must_be_clean()?;

    let answered = ledger.iter().filter(|append| append.is_acknowledged()).count();
    println!(
        "{name}: {} kills, {} of them during a start; {answered} appends answered, {} not; {} records in all topics; \
         none lost, none repeated; the last start took {:?}; {:?} in all",
        kills.total,
        kills.starting,
        ledger.len() - answered,
        found.records,
        node.last_start(),
        begun.elapsed()
    );
    ensure!(kills.starting > 0, "no kill fell into a start");
    ensure!(answered > kills.total, "too few appends were answered to tell anything");
    Ok(())
}

type Producers = JoinSet<Result<Vec<Append>>>;
type Followers = JoinSet<Result<(u32, Vec<Record>)>>;

/// Producers of all styles, and a reader of each partition at the end of the chain.
fn set_off(chain: &Chain, node: &Node, load: &Load, seed: Seed) -> (Producers, Followers) {
    let mut producers = Producers::new();
    let styles = [Style::Single, Style::Single, Style::Lines, Style::Frame, Style::Frame];
    for (number, style) in (0..).zip(styles) {
        let producer = Producer { number, style, rng: seed.rng(1 + u64::from(number)), load: load.clone() };
        producers.spawn(producer.run(node.finder()));
    }
    let mut followers = Followers::new();
    for partition in 0..chain.partitions {
        let (finder, load) = (node.finder(), load.clone());
        followers.spawn(async move { Ok((partition, reader::follow(OUT, partition, finder, load).await?)) });
    }
    (producers, followers)
}

struct Kills {
    total: usize,
    starting: usize,
}

async fn kill_often(node: &mut Node, load: &Load, rng: &mut StdRng, times: usize) -> Result<Kills> {
    let mut kills = Kills { total: 0, starting: 0 };
    while kills.total < times {
        let most = MOST_EVENTS[rng.random_range(0..MOST_EVENTS.len())];
        let enough = *load.events.borrow() + rng.random_range(1..=most);
        within("records to flow", load.events.subscribe().wait_for(|events| *events >= enough)).await??;
        node.server()?.runs_for(rng.random_range(Duration::ZERO..MOST_AFTER)).await?;
        node.kill()?;
        kills.total += 1;
        while kills.total < times && rng.random_bool(0.4) {
            let moment = rng.random_range(Duration::ZERO..node.last_start() * 3 / 2);
            node.spawn()?;
            node.server()?.runs_for(moment).await?;
            node.kill()?;
            kills.total += 1;
            kills.starting += 1;
        }
        node.start().await?;
    }
    Ok(kills)
}

async fn still_there(client: &Client, partition: u32, seen: &[Record]) -> Result<Vec<Problem>> {
    let Some(last) = seen.last() else { return Ok(Vec::new()) };
    let there = reader::read_until(client, OUT, partition, last).await?;
    Ok(check::seen(&format!("{OUT}/{partition}"), seen, &there))
}
