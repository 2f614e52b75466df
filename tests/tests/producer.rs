// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A producer in Python that numbers its events is killed at any moment, and at times the server with it. It goes on, and
//! nothing is lost or doubled. `FNSTREAM_PRODUCER_KILLS` and `FNSTREAM_PRODUCER_EVENTS` say how often and of how many events.
#![allow(clippy::print_stdout, reason = "a test says what it did")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{Client, TopicRequest};
use fnstream_tests::node::Node;
use fnstream_tests::python::python;
use fnstream_tests::seed::{Seed, number};
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{PATIENCE, binary, cli};
use rand::RngExt;
use rand::rngs::StdRng;

/// Answers between two kills, about.
const ANSWERS: usize = 5;

/// After an answer the producer lives at most so long.
const LONGEST_MICROS: u64 = 3_000;

/// One time in so many kills the server is killed, too.
const WITH_SERVER: u32 = 8;

/// A run of the producer, and what it says.
struct Run {
    child: Child,
    lines: Receiver<String>,
}

impl Run {
    fn start(python: &str, client: &Client, events: usize, batch: usize, seed: u64) -> Result<Run> {
        let mut child = Command::new(python)
            .arg(binary::root().join("tests/producer/producer.py"))
            .args(["produce", client.url(), "t", "the-producer"])
            .args([events.to_string(), batch.to_string(), seed.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run python")?;
        let out = child.stdout.take().context("no output")?;
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // Nobody may listen any more.
                let _ = tell.send(line);
            }
        });
        Ok(Run { child, lines })
    }

    /// Lets it live for some answers and a moment; answers whether it is done before.
    fn live(&self, rng: &mut StdRng) -> Result<bool> {
        for _ in 0..rng.random_range(1..2 * ANSWERS) {
            if self.lines.recv_timeout(PATIENCE).context("the producer ended")? == "done" {
                return Ok(true);
            }
        }
        // What it says meanwhile is not waited for.
        let (_silent, nothing) = channel::<()>();
        let _ = nothing.recv_timeout(Duration::from_micros(rng.random_range(0..LONGEST_MICROS)));
        Ok(false)
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

#[tokio::test]
async fn a_producer_that_is_killed_at_any_moment_doubles_nothing() -> Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    let (kills, events) = (number("FNSTREAM_PRODUCER_KILLS", 20)?, number("FNSTREAM_PRODUCER_EVENTS", 5_000)?);
    let (seed, mut node) = (Seed::of("producer")?, Node::new(ServerOptions::new(binary::server()?))?);
    let (mut rng, mut client) = (seed.rng(0), node.start().await?);
    let request = TopicRequest { partitions: Some(3), ..TopicRequest::default() };
    client.create_topic("t", &request).await?;
    // The mean request has half of it, and some are sent again. The end is not to come before the last kill.
    let batch = (events / (kills * ANSWERS)).max(1);
    let (mut killed, mut servers) = (0, 0);
    loop {
        let run = Run::start(&python, &client, events, batch, rng.random())?;
        if killed == kills {
            while run.lines.recv_timeout(PATIENCE).context("the producer ended")? != "done" {}
            run.kill()?;
            break;
        }
        let is_done = run.live(&mut rng)?;
        if rng.random_ratio(1, WITH_SERVER) {
            node.kill()?;
            run.kill()?;
            client = node.start().await?;
            servers += 1;
        } else {
            run.kill()?;
        }
        killed += 1;
        ensure!(!is_done || killed == kills, "it was done after {killed} kills");
    }
    let verified = Command::new(&python)
        .arg(binary::root().join("tests/producer/producer.py"))
        .args(["verify", client.url(), "t", &events.to_string()])
        .output()?;
    assert_eq!(cli::printed(verified)?, format!("{events} events, each once\n"));
    let place = client.describe_producer("t", "the-producer").await?.context("it is not known")?;
    assert_eq!(place.next_sequence, events as u64);
    println!("{killed} kills, {servers} of them with the server: {events} events, each once");
    Ok(())
}
