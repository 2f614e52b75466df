// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Processes of one server group on a real cluster of Kafka, and on one of Pulsar, which share functions: killed, stopped and let go on,
//! added and taken away while these run. Each output comes once and in order, and any process answers for all.
//!
//! `FNSTREAM_KAFKA` and `FNSTREAM_PULSAR` name the clusters (`scripts/kafka.sh start`, `scripts/pulsar.sh env`); without one of them its
//! tests are skipped, and say so. `FNSTREAM_SEED` repeats their choices. Of Kafka `FNSTREAM_KAFKA_KILLS` (of each process) and
//! `FNSTREAM_KAFKA_RECORDS` make them more, and `FNSTREAM_KAFKA_RESTARTS` restarts the broker so often meanwhile, whose folder is then
//! `FNSTREAM_KAFKA_FOLDER`; nobody else may use it. Those of Pulsar are called `FNSTREAM_PULSAR_…`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test says its seed and what it did")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fnstream_api::{
    Client, Function, FunctionDescription, FunctionStatus, Place, SeekRequest, TaskStatus, TopicRequest,
};
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_tests::broker_jobs::{Job, Work, done, kafka, read_counts, restart_broker};
use fnstream_tests::node::Node;
use fnstream_tests::pulsar::Pulsar;
use fnstream_tests::python::python_for;
use fnstream_tests::server::{Server, ServerOptions};
use fnstream_tests::{binary, seed, within};
use rand::RngExt;
use rand::rngs::StdRng;

const WORDS: usize = 200;
const PARTITIONS: u32 = 4;

/// The tests, on each of the brokers.
macro_rules! on_both {
    ($($(#[$about:meta])* $test:ident,)*) => {
        mod kafka {
            $($(#[$about])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() -> anyhow::Result<()> {
                match super::Home::kafka()? {
                    Some(home) => super::$test(home).await,
                    None => Ok(()),
                }
            })*
        }

        mod pulsar {
            $($(#[$about])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() -> anyhow::Result<()> {
                match super::Home::pulsar()? {
                    Some(home) => super::$test(home).await,
                    None => Ok(()),
                }
            })*
        }
    };
}

on_both! {
    processes_that_are_killed_lose_and_double_nothing,
    a_process_that_slept_through_the_loss_of_its_tasks_commits_nothing,
    processes_come_and_go_while_their_functions_run,
    any_process_answers_for_all,
    a_process_that_dies_while_it_hands_tasks_over_leaves_none_of_them_alone,
    a_process_that_cannot_join_says_why,
}

/// The cluster of a group.
enum Home {
    Kafka(String),
    Pulsar(Pulsar),
}

impl Home {
    fn kafka() -> Result<Option<Home>> {
        Ok(kafka()?.map(Home::Kafka))
    }

    fn pulsar() -> Result<Option<Home>> {
        Ok(Pulsar::find("group")?.map(Home::Pulsar))
    }

    /// How a process of a group of that name is started.
    fn options(&self, group: &str) -> Result<ServerOptions> {
        let binary = binary::server()?;
        Ok(match self {
            Home::Kafka(cluster) => ServerOptions::of_kafka_group(binary, cluster, group),
            Home::Pulsar(cluster) => ServerOptions::of_pulsar_group(binary, &cluster.url, &cluster.admin, group),
        })
    }

    /// The same where nobody is.
    fn nowhere(&self) -> Result<ServerOptions> {
        let binary = binary::server()?;
        Ok(match self {
            Home::Kafka(_) => ServerOptions::of_kafka_group(binary, "127.0.0.1:1", "g"),
            Home::Pulsar(_) => {
                ServerOptions::of_pulsar_group(binary, "pulsar://127.0.0.1:1", "http://127.0.0.1:1", "g")
            }
        })
    }

    /// A number that a variable of this broker gives.
    fn number(&self, what: &str, usual: usize) -> Result<usize> {
        let broker = if matches!(self, Home::Kafka(_)) { "KAFKA" } else { "PULSAR" };
        seed::number(&format!("FNSTREAM_{broker}_{what}"), usual)
    }

    /// What a process says that is given tasks.
    fn says_of_tasks(&self) -> &'static str {
        match self {
            Home::Kafka(_) => "tasks fall to this process",
            Home::Pulsar(_) => "whose a task is has changed",
        }
    }

    /// What the group of that name keeps its functions in, as clients name it.
    fn register(&self, group: &str) -> String {
        match self {
            Home::Kafka(_) => format!("{group}.functions"),
            Home::Pulsar(_) => format!("public/function-stream/{group}.functions"),
        }
    }
}

/// A group, its topics and what its function should make of them.
struct Group {
    options: ServerOptions,
    input: String,
    output: String,
    wanted: BTreeMap<String, u64>,
    records: u64,
}

impl Group {
    fn new(home: &Home) -> Result<Group> {
        let id: u64 = rand::random();
        Ok(Group {
            options: home.options(&format!("group-{id:016x}"))?,
            input: format!("words-{id:016x}"),
            output: format!("counts-{id:016x}"),
            wanted: BTreeMap::new(),
            records: 0,
        })
    }

    fn node(&self) -> Result<Node> {
        Node::new(self.options.clone())
    }

    /// Makes topics and function by way of a process.
    async fn create(&self, client: &Client) -> Result<()> {
        for topic in [&self.input, &self.output] {
            client
                .create_topic(topic, &TopicRequest { partitions: Some(PARTITIONS), ..TopicRequest::default() })
                .await?;
        }
        let archive = client.upload_artifact(std::fs::read(binary::example("word_count_rust")?)?).await?.digest;
        let function = Function::new(
            format!("sha256:{archive}"),
            vec![self.input.parse()?],
            self.output.parse::<fnstream_core::topic::TopicRef>()?,
        );
        client.create_function("count", &Function { replicas: PARTITIONS, ..function }).await?;
        Ok(())
    }

    async fn produce(&mut self, client: &Client, rng: &mut StdRng, records: usize) -> Result<()> {
        for chunk in 0..records.div_ceil(1_000) {
            let mut frame = FrameBuilder::new();
            for _ in 0..(records - chunk * 1_000).min(1_000) {
                let word = format!("word{}", rng.random_range(0..WORDS));
                frame.push(RecordRef::new(word.as_bytes()).with_key(Some(word.as_bytes())).at(1));
                *self.wanted.entry(word).or_default() += 1;
                self.records += 1;
            }
            client.produce_frame(&self.input, frame.to_bytes()).await?;
        }
        Ok(())
    }

    /// Waits until all records are counted, as that process sees it.
    async fn counted(&self, client: &Client) -> Result<()> {
        let done = |f: &FunctionDescription| f.tasks.iter().map(|task| task.records_in).sum::<u64>() == self.records;
        let counted = within("all words to be counted", async {
            while !client.describe_function("count").await.is_ok_and(|f| done(&f)) {}
        });
        match counted.await {
            Ok(()) => Ok(()),
            Err(error) => {
                let tasks = client.describe_function("count").await.map(|f| f.tasks);
                let read = tasks.iter().flatten().map(|task| task.records_in).sum::<u64>();
                Err(error.context(format!("{read} of {} words: {tasks:?}", self.records)))
            }
        }
    }

    /// Each word is in one partition, whose order is that of its counts.
    async fn check(&self, client: &Client) -> Result<()> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            for (word, count) in read_counts(client, &self.output, partition).await? {
                let last = counts.entry(word.clone()).or_default();
                ensure!(count == *last + 1, "'{word}' is counted {count} after {last}");
                *last = count;
            }
        }
        ensure!(counts == self.wanted, "the counts are {counts:?}, and should be {:?}", self.wanted);
        Ok(())
    }
}

fn runs(f: &FunctionDescription) -> bool {
    let running = f.tasks.iter().filter(|task| task.status == TaskStatus::Running).count();
    f.status == FunctionStatus::Running && running == PARTITIONS as usize
}

/// Waits until all tasks run, as that process sees it; answers how long that took.
async fn all_run(client: &Client) -> Result<Duration> {
    let begun = Instant::now();
    within("all tasks to run", async { while !client.describe_function("count").await.is_ok_and(|f| runs(&f)) {} })
        .await?;
    Ok(begun.elapsed())
}

async fn processes_that_are_killed_lose_and_double_nothing(home: Home) -> Result<()> {
    let mut rng = seed::Seed::of("server_group")?.rng(0);
    let (kills, records) = (home.number("KILLS", 3)?, home.number("RECORDS", 40_000)?);
    let restarts = home.number("RESTARTS", 0)?;
    let group = Group::new(&home)?;
    let mut nodes = [group.node()?, group.node()?];
    let mut clients = [nodes[0].start().await?, nodes[1].start().await?];
    let mut jobs = Vec::new();
    for work in [Work::Money, Work::KeyedCount, Work::Scatter] {
        let client = &clients[jobs.len() % 2];
        let job = Job::new(work, "", client, records).await?;
        job.create(client).await?;
        jobs.push(job);
    }
    // Each of the two dies in turn, while there is something to do.
    let (lives, mut restarted, mut slowest) = (2 * kills, 0, Duration::ZERO);
    for life in 0..lives {
        let (living, dying) = (life % 2, 1 - life % 2);
        for job in &jobs {
            job.fill(&clients[living], records * life / (lives + 1)..records * (life + 1) / (lives + 1), &mut rng)
                .await?;
        }
        nodes[dying].server()?.runs_for(Duration::from_millis(rng.random_range(0..1_500))).await?;
        nodes[dying].kill()?;
        if restarted * lives < restarts * life {
            restart_broker(if matches!(home, Home::Kafka(_)) { "kafka" } else { "pulsar" }).await?;
            restarted += 1;
        }
        // Amid of the work of the other.
        if let Home::Pulsar(cluster) = &home {
            cluster.unload(&jobs.iter().flat_map(Job::full_topics).collect::<Vec<_>>())?;
        }
        clients[dying] = nodes[dying].start().await?;
        slowest = slowest.max(nodes[dying].last_start());
    }
    for job in &jobs {
        job.fill(&clients[0], records * lives / (lives + 1)..records, &mut rng).await?;
    }
    let began = Instant::now();
    within("all records to be processed", async {
        while !done(&clients[1], &jobs).await.is_ok_and(|done| done == jobs.len() * records) {}
    })
    .await
    .with_context(|| {
        nodes.iter().filter_map(|node| Some(node.server().ok()?.last_words())).collect::<Vec<_>>().join("\n")
    })?;
    println!(
        "{records} records each, two processes killed {kills} times each, {restarted} restarts of the broker; the slowest start took \
         {slowest:?}, the last of the work {:?}",
        began.elapsed()
    );
    for job in &jobs {
        job.check(&clients[0], records).await?;
    }
    match &home {
        Home::Kafka(cluster) => {
            let Some(python) = python_for("tests/kafka/requirements.txt")? else { return Ok(()) };
            jobs.iter().try_for_each(|job| job.check_by(&python, cluster, records))
        }
        Home::Pulsar(cluster) => jobs.iter().try_for_each(|job| {
            let [input, output] = job.full_topics();
            cluster.check_all(job.work().name(), &input, &output, records)
        }),
    }
}

async fn a_process_that_slept_through_the_loss_of_its_tasks_commits_nothing(home: Home) -> Result<()> {
    let mut rng = seed::Seed::of("server_group")?.rng(1);
    let mut group = Group::new(&home)?;
    let (mut sleeper, mut other) = (group.node()?, group.node()?);
    let clients = [sleeper.start().await?, other.start().await?];
    group.create(&clients[0]).await?;
    all_run(&clients[1]).await.context("before")?;
    group.produce(&clients[1], &mut rng, 20_000).await?;
    sleeper.server()?.suspend()?;
    group.produce(&clients[1], &mut rng, 20_000).await?;
    // The other one takes over what the sleeper had, and counts all.
    group.counted(&clients[1]).await.with_context(|| other.server().map(Server::last_words).unwrap_or_default())?;
    sleeper.server()?.resume()?;
    if matches!(home, Home::Kafka(_)) {
        sleeper.server()?.logged(&["this process was taken for dead"]).await?;
    }
    group.produce(&clients[1], &mut rng, 10_000).await?;
    let last_words =
        || [&sleeper, &other].map(|node| node.server().map(Server::last_words).unwrap_or_default()).join("\n");
    group.counted(&clients[1]).await.with_context(last_words)?;
    all_run(&clients[0]).await.with_context(last_words)?;
    group.check(&clients[0]).await
}

async fn processes_come_and_go_while_their_functions_run(home: Home) -> Result<()> {
    let mut rng = seed::Seed::of("server_group")?.rng(2);
    let mut group = Group::new(&home)?;
    let mut nodes = vec![group.node()?];
    let first = nodes[0].start().await?;
    group.create(&first).await?;
    all_run(&first).await?;
    group.produce(&first, &mut rng, 10_000).await?;
    for _ in 0..2 {
        let mut node = group.node()?;
        let client = node.start().await?;
        group.produce(&client, &mut rng, 10_000).await?;
        all_run(&client).await?;
        nodes.push(node);
    }
    let last = nodes[1].server()?.listening().await?.context("the second process serves")?;
    let last = Client::new(&last)?;
    let (status, _) = nodes[0].terminate().await?;
    ensure!(status.success(), "{status}");
    let pause = all_run(&last).await?;
    group.produce(&last, &mut rng, 10_000).await?;
    group.counted(&last).await?;
    group.check(&last).await?;
    println!("the tasks of a process that ended ran elsewhere after {pause:?}");
    Ok(())
}

/// Whatever is asked of one process is done by all; what one of them has alone is asked of it.
async fn any_process_answers_for_all(home: Home) -> Result<()> {
    let mut rng = seed::Seed::of("server_group")?.rng(3);
    let mut group = Group::new(&home)?;
    let (mut a, mut b) = (group.node()?, group.node()?);
    let (here, there) = (a.start().await?, b.start().await?);
    group.create(&here).await?;
    all_run(&there).await?;
    group.produce(&there, &mut rng, 5_000).await?;
    group.counted(&here).await?;
    there.stop_function("count").await?;
    let stopped = here.describe_function("count").await?;
    ensure!(stopped.status == FunctionStatus::Stopped && stopped.tasks.is_empty(), "{stopped:?}");
    group.produce(&here, &mut rng, 5_000).await?;
    here.start_function("count").await?;
    group.counted(&there).await?;
    group.check(&there).await?;
    // A restart of all of them finds everything.
    a.kill()?;
    b.kill()?;
    let (here, there) = (a.start().await?, b.start().await?);
    group.produce(&there, &mut rng, 5_000).await?;
    group.counted(&here).await?;
    group.check(&here).await?;
    // Moved back to the beginning, by way of either, it reads all once more upon the state that it has.
    let sought = there.seek_function("count", &SeekRequest { to: Place::Earliest, topic: None }).await?;
    ensure!(sought.moved.len() == PARTITIONS as usize, "{sought:?}");
    group.records *= 2;
    group.wanted.values_mut().for_each(|count| *count *= 2);
    group.counted(&there).await?;
    group.check(&here).await?;
    // What all of them rely on is nobody else's to write or to delete.
    let own = home.register(&group.input.replace("words", "group"));
    let mut garbage = FrameBuilder::new();
    garbage.push(RecordRef::new(b"junk").with_key(Some(b"junk")));
    let refused = here.produce_frame(&own, garbage.to_bytes()).await.err().context("it is the register")?;
    ensure!(refused.code() == "FS-1001", "{refused}");
    let refused = here.delete_topic(&own).await.err().context("it is the register")?;
    ensure!(refused.code() == "FS-1001", "{refused}");
    let archive = here.upload_artifact(std::fs::read(binary::example("word_count_rust")?)?).await?.digest;
    let spoils = Function::new(
        format!("sha256:{archive}"),
        vec![group.input.parse()?],
        own.parse::<fnstream_core::topic::TopicRef>()?,
    );
    here.create_function("spoils", &spoils).await?;
    within("the function to be refused its output", async {
        while !here.describe_function("spoils").await.is_ok_and(|f| format!("{f:?}").contains("keeps for itself")) {}
    })
    .await?;
    here.delete_function("spoils").await?;
    there.delete_function("count").await?;
    let gone = here.describe_function("count").await.err().context("it was deleted")?;
    ensure!(gone.code() == "FS-1102", "{gone}");
    group.create(&there).await.err().context("the topics are there")?;
    Ok(())
}

/// What a process gives up for another one is run by somebody, even if the process dies before the group hears of it, and is back
/// before the group has noticed.
async fn a_process_that_dies_while_it_hands_tasks_over_leaves_none_of_them_alone(home: Home) -> Result<()> {
    let mut rng = seed::Seed::of("server_group")?.rng(4);
    let mut group = Group::new(&home)?;
    let mut old = group.node()?;
    let mut there = old.start().await?;
    group.create(&there).await?;
    all_run(&there).await?;
    for _ in 0..3 {
        let mut new = group.node()?;
        new.start().await?;
        new.server()?.logged(&[home.says_of_tasks()]).await?;
        old.kill()?;
        there = old.start().await?;
        all_run(&there).await?;
        group.produce(&there, &mut rng, 1_000).await?;
        group.counted(&there).await?;
        new.terminate().await?;
        all_run(&there).await?;
    }
    group.check(&there).await
}

/// Each refusal names what is wrong, and the process ends.
async fn a_process_that_cannot_join_says_why(home: Home) -> Result<()> {
    let refused = async |node: &mut Node, words: &[&str]| -> Result<()> {
        ensure!(node.try_start().await?.is_none(), "a process has joined that should not: {words:?}");
        let told = node.server()?.last_words();
        ensure!(words.iter().all(|word| told.contains(word)), "{words:?} are not in:\n{told}");
        node.kill().map(drop)
    };
    let group = Group::new(&home)?;
    let mut node = group.node()?;
    node.start().await?;
    node.terminate().await?;
    let of_group = node.options.clone();
    // The data folder of a process of a group is of no use to anybody else.
    node.options = ServerOptions::new(binary::server()?);
    refused(&mut node, &["FS-1703", "belongs to a process of a server group"]).await?;
    node.options = Group::new(&home)?.options;
    refused(&mut node, &["FS-1703", "another server group"]).await?;
    node.options = of_group;
    node.start().await?;
    node.terminate().await?;
    // Nor is that of a standalone server, once it has something.
    let mut alone = Node::new(ServerOptions::new(binary::server()?))?;
    alone.start().await?.create_topic("mine", &TopicRequest::default()).await?;
    alone.terminate().await?;
    alone.options = group.options.clone();
    refused(&mut alone, &["FS-1703", "standalone server"]).await?;
    // Where there is no cluster.
    let mut lost = Node::new(home.nowhere()?)?;
    refused(&mut lost, &["FS-1704", "127.0.0.1:1"]).await?;
    let mut named_badly = Node::new(home.options("a/b")?)?;
    refused(&mut named_badly, &["a/b"]).await
}
