// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server with a chain of functions under load, whose files fail when a test says so.

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, ProduceOptions};
use fnstream_core::ErrorCode;
use fnstream_tests::chain::ledger::{Append, Record};
use fnstream_tests::chain::producer::{Load, Producer, Style, is_of_disk};
use fnstream_tests::chain::step::Step;
use fnstream_tests::chain::{Chain, OUT, check, reader};
use fnstream_tests::faults::Faults;
use fnstream_tests::node::{Finder, Node};
use fnstream_tests::seed::Seed;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, within};
use tokio::task::JoinSet;

/// What the functions do: the second counts, so that anything lost or repeated shows.
pub(crate) const CHAIN: Chain = Chain { partitions: 2, first: Step::PassThrough, second: Step::KeyedCount };

/// An event that makes the database write files rather than its log alone.
const BALLAST: &str = "ballast";
const BALLAST_BYTES: usize = 512 << 10;

/// The server.
pub(crate) struct Site {
    pub node: Node,
    pub faults: Faults,
    pub load: Load,
    producers: JoinSet<Result<Vec<Append>>>,
    followers: JoinSet<Result<(u32, Vec<Record>)>>,
}

impl Site {
    /// Starts it, and sets the load off.
    pub(crate) async fn new(durability: &str, seed: Seed) -> Result<Self> {
        let options = ServerOptions::durable(binary::server()?);
        let mut node = Node::new(options.arg("--durability", durability).arg("--state-dirty-keys", 16))?;
        let faults = Faults::new(node.folder())?;
        node.options = faults.preload(node.options.clone(), &node.data_dir());
        let client = node.start().await?;
        CHAIN.create(&client).await?;
        client.create_topic(BALLAST, &fnstream_api::TopicRequest::default()).await?;
        let load = Load::new(20, 20);
        let mut producers = JoinSet::new();
        for (number, style) in (0..).zip([Style::Single, Style::Lines, Style::Frame]) {
            let producer = Producer { number, style, rng: seed.rng(1 + u64::from(number)), load: load.clone() };
            producers.spawn(producer.run(node.finder()));
        }
        let mut followers = JoinSet::new();
        for partition in 0..CHAIN.partitions {
            let (finder, load) = (node.finder(), load.clone());
            followers.spawn(async move { Ok((partition, reader::follow(OUT, partition, finder, load).await?)) });
        }
        let site = Site { node, faults, load, producers, followers };
        site.flows().await?;
        Ok(site)
    }

    /// Waits until more was acknowledged and has come out at the end.
    pub(crate) async fn flows(&self) -> Result<()> {
        let enough = *self.load.events.borrow() + 200;
        within("records to flow", self.load.events.subscribe().wait_for(|events| *events >= enough)).await??;
        Ok(())
    }

    /// Ends the load, and checks the account of every record.
    pub(crate) async fn settle(mut self) -> Result<usize> {
        self.faults.lift()?;
        self.load.stop();
        let ledgers = within("the producers to end", self.producers.join_all()).await?;
        let mut ledger = ledgers.into_iter().collect::<Result<Vec<Vec<Append>>>>()?.concat();
        let client = self.node.finder().alive().await?.client;
        let mut found = CHAIN.settle(&client, &mut ledger, 0).await?;
        for followed in within("the readers to end", self.followers.join_all()).await? {
            let (partition, seen) = followed?;
            let Some(last) = seen.last() else { continue };
            let there = reader::read_until(&client, OUT, partition, last).await?;
            found.problems.extend(check::seen(&format!("{OUT}/{partition}"), &seen, &there));
        }
        found.must_be_clean().with_context(|| last_words(&self.node))?;
        // What is in memory is what is on the disk.
        self.node.kill()?;
        let client = self.node.start().await?;
        CHAIN.touch(&client, &mut ledger, &self.load, 1).await?;
        CHAIN.settle(&client, &mut ledger, 1).await?.must_be_clean().context("after another start")?;
        Ok(ledger.iter().filter(|append| append.is_acknowledged()).count())
    }
}

/// The end of the server's log.
pub(crate) fn last_words(node: &Node) -> String {
    node.server().map(|server| server.last_words()).unwrap_or_default()
}

/// Produces a large event; answers the code with which the disk refused it, if it did.
pub(crate) async fn produce(client: &Client, number: usize) -> Result<Option<ErrorCode>> {
    // No two blocks are alike, so that it does not compress to nothing.
    let mut state = number as u64 | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let event: Vec<u8> = std::iter::repeat_with(next).take(BALLAST_BYTES).collect();
    match client.produce(BALLAST, event, &ProduceOptions::default()).await {
        Ok(_) => Ok(None),
        Err(error) => {
            ensure!(is_of_disk(&error), "refused with {error}");
            Ok(ErrorCode::ALL.iter().find(|code| error.is(**code)).copied())
        }
    }
}

/// Produces until an event is refused.
pub(crate) async fn until_refused(client: &Client) -> Result<ErrorCode> {
    for number in 0..400 {
        if let Some(code) = produce(client, number).await? {
            return Ok(code);
        }
    }
    anyhow::bail!("nothing is refused")
}

/// Produces until an event is accepted.
pub(crate) async fn until_accepted(finder: &mut Finder) -> Result<()> {
    let life = finder.alive().await?;
    let accepted = async {
        while produce(&life.client, 0).await?.is_some() {
            finder.pause(&life).await?;
        }
        anyhow::Ok(())
    };
    within("an event to be accepted", accepted).await?
}

/// Waits until the server says that all is well.
pub(crate) async fn until_ready(finder: &mut Finder) -> Result<()> {
    let life = finder.alive().await?;
    let ready = async {
        while get(&life.client, "/readyz").await?.0 != 200 {
            finder.pause(&life).await?;
        }
        anyhow::Ok(())
    };
    within("the server to be ready", ready).await?
}

/// What a path of the server answers: the status, and the body.
pub(crate) async fn get(client: &Client, path: &str) -> Result<(u16, String)> {
    let answer = reqwest::get(format!("{}{path}", client.url())).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// A number of the server's metrics.
pub(crate) async fn metric(client: &Client, name: &str) -> Result<u64> {
    let (_, text) = get(client, "/metrics").await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no metric {name}"))?.parse().context("an odd number")
}
