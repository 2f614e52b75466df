// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The server is killed while functions and topics are created, deleted, started and stopped: each change is done or not
//! done, never half, and what was answered is done.

mod world;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fnstream_tests::binary;
use fnstream_tests::node::Node;
use fnstream_tests::seed::Seed;
use fnstream_tests::server::ServerOptions;
use rand::RngExt;

use self::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_killed_is_done_or_not_done() -> Result<()> {
    let begun = Instant::now();
    let seed = Seed::of("a_change_that_is_killed")?;
    let mut rng = seed.rng(0);
    let mut node = Node::new(ServerOptions::new(binary::server()?).arg("--state-dirty-keys", 4))?;
    let client = node.start().await?;
    let mut world = World::new(&client, node.folder()).await?;

    let (mut answered, mut done, mut undone) = (0, 0, 0);
    let kills = super::kills()?;
    for _ in 0..kills {
        let client = node.finder().alive().await?.client;
        let change = world.choose(&mut rng)?;
        let request = tokio::spawn({
            let (change, client) = (change.clone(), client.clone());
            async move { change.ask(&client).await }
        });
        // Squared, so that short waits, in which most steps fall, are the more likely ones.
        let moment = change.typical().mul_f64(rng.random_range(0.0..1.0_f64).powi(2));
        node.server()?.runs_for(moment).await?;
        node.kill()?;
        let answer = request.await.context("the request panicked")?;
        if rng.random_bool(0.2) {
            node.spawn()?;
            node.server()?.runs_for(rng.random_range(Duration::ZERO..node.last_start() * 3 / 2)).await?;
            node.kill()?;
        }
        let client = node.start().await?;
        let doing = format!("{change:?}, killed after {moment:?}, answered {answer:?}");
        let is_done = world.observe(&client, &change, answer.is_ok()).await.with_context(|| doing)?;
        world.check_artifacts(&client, &node.data_dir()).await.with_context(|| format!("after {change:?}"))?;
        match (answer, is_done) {
            (Ok(()), _) => answered += 1,
            (Err(_), true) => done += 1,
            (Err(_), false) => undone += 1,
        }
    }
    let client = node.finder().alive().await?.client;
    world.everything_can_be_made_anew(&client).await?;
    println!(
        "a_change_that_is_killed: {kills} kills; {answered} changes answered before, {done} done without an answer, {undone} not done; {:?}",
        begun.elapsed()
    );
    ensure!(kills < 20 || undone + done > 0, "no kill came before an answer");
    Ok(())
}
