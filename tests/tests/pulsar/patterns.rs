// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that read all topics whose names match a pattern, those included that are made while they run.

use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fnstream_api::{Client, Function};
use fnstream_core::topic::TopicRef;
use fnstream_tests::node::Node;
use fnstream_tests::pulsar::Pulsar;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, seed};
use rand::RngExt;

use super::{done_by, reach_by, until, wait};

/// The records of a topic, each with a number that no other topic's record has.
const RECORDS: usize = 20_000;

/// A cluster with topics that match a pattern, and a function that reads them.
struct Case {
    cluster: Pulsar,
    node: Node,
}

impl Case {
    /// The topic of a name.
    fn topic(&self, name: &str) -> String {
        self.cluster.topic(name, "orders")
    }

    /// The topics whose names begin with `begin`, as a function names them.
    fn pattern(&self, begin: &str) -> Result<TopicRef> {
        let named = self.cluster.named(&self.topic(&format!("{begin}.*")))?;
        Ok(format!("{named}&topics_pattern=true").parse()?)
    }

    fn fill(&self, name: &str, first: usize, records: usize) -> Result<Child> {
        let (first, prefix) = (first.to_string(), format!("{name}-"));
        self.cluster.fill_topic("money", &self.topic(name), records, &["--first", &first, "--prefix", &prefix])
    }

    async fn create(&self, client: &Client, function: &str, input: TopicRef) -> Result<()> {
        let archive = client.upload_artifact(std::fs::read(binary::example("basic_rust")?)?).await?.digest;
        let output = self.cluster.named(&self.cluster.topic("out", function))?;
        let mut wanted = Function::new(format!("sha256:{archive}"), vec![input], output);
        wanted.replicas = 4;
        client.create_function(function, &wanted).await?;
        Ok(())
    }

    /// Each record of these topics has come once.
    fn check(&self, function: &str, names: &[&str], records: usize) -> Result<()> {
        let topics: Vec<_> = names.iter().map(|name| self.topic(name)).collect();
        let output = self.cluster.topic("out", function);
        let found = self.cluster.check(&["money", &self.cluster.url, &topics.join(","), &output])?;
        println!("{function}, by the client of Pulsar in Python: {found}");
        for (what, wanted) in [
            ("inputs", records),
            ("outputs", records),
            ("lost", 0),
            ("duplicated", 0),
            ("wrong", 0),
            ("out_of_order", 0),
        ] {
            ensure!(found[what] == wanted, "{what} is {}, and should be {wanted}", found[what]);
        }
        Ok(())
    }

    /// Waits until the description of a function says this of its pattern.
    async fn says(&self, client: &Client, function: &str, wanted: &str) -> Result<()> {
        let says = async || {
            let described = client.describe_function(function).await?;
            Ok(described.notes.iter().any(|note| note.contains(wanted)).then_some(()))
        };
        until(&self.node, wanted, says).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn topics_of_a_pattern_are_read_once_those_included_that_appear_and_grow() -> Result<()> {
    let Some(cluster) = Pulsar::find("patterns")? else { return Ok(()) };
    let mut rng = seed::Seed::of("pulsar-patterns")?.rng(0);
    let mut case = Case { cluster, node: Node::new(ServerOptions::durable(binary::server()?))? };
    case.cluster.create(4, &[case.cluster.topic("out", "sums")])?;
    case.cluster.create(2, &[case.topic("eu-a"), case.topic("us-a")])?;
    case.cluster.create(1, &[case.topic("eu-b")])?;
    let mut client = case.node.start().await?;
    case.create(&client, "sums", case.pattern("eu-")?).await?;
    case.says(&client, "sums", "2 topics match").await?;

    let mut fills = vec![case.fill("eu-a", 0, RECORDS)?, case.fill("eu-b", RECORDS, RECORDS)?];
    wait(case.fill("us-a", 0, 10)?).await?;
    reach_by(&case.node, &client, "sums", 1).await?;
    // One with more partitions than the others, so that there are more tasks.
    case.cluster.create(4, &[case.topic("eu-c")])?;
    let began = Instant::now();
    case.says(&client, "sums", "3 topics match").await?;
    println!("a new topic was read after {:?}", began.elapsed());
    fills.push(case.fill("eu-c", 2 * RECORDS, RECORDS)?);
    let mut amidst = 0;
    for _ in 0..3 {
        case.node.server()?.runs_for(Duration::from_millis(rng.random_range(0..400))).await?;
        amidst += usize::from(done_by(&client, "sums").await? < 3 * RECORDS);
        case.node.kill()?;
        client = case.node.start().await?;
    }
    for fill in fills {
        wait(fill).await?;
    }
    reach_by(&case.node, &client, "sums", 3 * RECORDS).await?;
    println!("{amidst} of 3 kills amidst of the work");

    // One of them gets more partitions, of which there is a task for each.
    case.cluster.check(&["grow", &case.cluster.admin, "5", &case.topic("eu-b")])?;
    let tasks = async || Ok((client.describe_function("sums").await?.tasks.len() == 5).then_some(()));
    until(&case.node, "a fifth task", tasks).await?;
    wait(case.fill("eu-b", 3 * RECORDS, 1_000)?).await?;
    reach_by(&case.node, &client, "sums", 3 * RECORDS + 1_000).await?;
    case.check("sums", &["eu-a", "eu-b", "eu-c"], 3 * RECORDS + 1_000)?;

    // What goes away is dropped, and the others are read on.
    case.cluster.check(&["delete", &case.cluster.admin, &case.topic("eu-c")])?;
    case.says(&client, "sums", "2 topics match").await?;
    wait(case.fill("eu-a", 4 * RECORDS, 1_000)?).await?;
    reach_by(&case.node, &client, "sums", 3 * RECORDS + 2_000).await?;

    // Another topic under its name is a new one.
    case.cluster.create(2, &[case.topic("eu-c")])?;
    case.says(&client, "sums", "3 topics match").await?;
    wait(case.fill("eu-c", 5 * RECORDS, 1_000)?).await?;
    reach_by(&case.node, &client, "sums", 3 * RECORDS + 3_000).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pattern_without_topics_waits_for_one_and_a_bad_one_is_refused() -> Result<()> {
    let Some(cluster) = Pulsar::find("patterns")? else { return Ok(()) };
    let mut case = Case { cluster, node: Node::new(ServerOptions::durable(binary::server()?))? };
    case.cluster.create(1, &[case.cluster.topic("out", "first"), case.topic("other")])?;
    let client = case.node.start().await?;
    // Topics that are found later begin at their beginning, whatever is said of those that are there.
    let input: TopicRef = format!("{}&initial_position=latest", case.pattern("new-")?).parse()?;
    case.create(&client, "first", input).await?;
    let status = client.status(Some("first")).await?.remove(0);
    let reason = status.reason.unwrap_or_default();
    ensure!(status.status.as_str() == "running", "it is {}", status.status.as_str());
    ensure!(reason.starts_with("no topic matches") && reason.ends_with("the function waits for one"), "{reason}");
    case.cluster.create(2, &[case.topic("new-a")])?;
    wait(case.fill("new-a", 0, 100)?).await?;
    reach_by(&case.node, &client, "first", 100).await?;
    case.check("first", &["new-a"], 100)?;

    for (pattern, why) in [
        ("public/default/orders-(", "unclosed group"),
        ("public/.*/orders", "it is for one namespace"),
        (&*case.cluster.topic("out", ".*"), "the function would feed itself for ever"),
    ] {
        let named = format!("{}@{}?topics_pattern=true", pattern.replace('?', "%3F"), case.cluster.url);
        let refused = case.create(&client, "bad", named.parse()?).await.unwrap_err().to_string();
        ensure!(refused.contains(why) && refused.contains("FS-1103"), "{refused}");
    }
    Ok(())
}
