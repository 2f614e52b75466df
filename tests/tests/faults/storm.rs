// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Errors of the disk and `kill -9` together, by seed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fnstream_tests::faults::{Fault, Manner, calls};
use fnstream_tests::seed::{Seed, number};
use fnstream_tests::within;
use rand::RngExt;
use rand::rngs::StdRng;
use rustix::io::Errno;

use super::site::{Site, last_words, until_accepted};

const ERRORS: [Errno; 7] =
    [Errno::IO, Errno::MFILE, Errno::ROFS, Errno::ACCESS, Errno::DQUOT, Errno::NOMEM, Errno::NOSPC];
const CALLS: [u32; 6] = [
    calls::SYNC,
    calls::WRITE,
    calls::OPEN,
    calls::WRITE | calls::SYNC,
    calls::CHANGES,
    calls::RENAME | calls::TRUNCATE | calls::REMOVE,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_and_kills_together_lose_and_repeat_nothing() -> Result<()> {
    storm("storm", "group").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_and_kills_together_lose_and_repeat_nothing_without_syncs() -> Result<()> {
    storm("storm-os", "os").await
}

async fn storm(name: &str, durability: &str) -> Result<()> {
    let (begun, rounds) = (Instant::now(), number("FNSTREAM_STORM_ROUNDS", 6)?);
    let seed = Seed::of(name)?;
    let mut rng = seed.rng(0);
    let mut site = Site::new(durability, seed).await?;
    let (mut dealt, mut kills) = (0, 0);
    for round in 0..rounds {
        let fault = any_fault(&mut rng);
        site.faults.set(fault)?;
        // Some errors are met at once, some never: by then it is over either way.
        let lasts = Duration::from_millis(rng.random_range(1..1500));
        site.node.server()?.runs_for(lasts).await?;
        let killed_within = rng.random_bool(0.4);
        if killed_within {
            site.node.kill()?;
            kills += 1;
        }
        dealt += site.faults.dealt()?;
        site.faults.lift()?;
        if killed_within {
            site.node.start().await?;
        } else if rng.random_bool(0.4) {
            // While it recovers, perhaps.
            let moment = Duration::from_millis(rng.random_range(0..1200));
            site.node.server()?.runs_for(moment).await?;
            site.node.kill()?;
            kills += 1;
            site.node.start().await?;
        }
        let accepted = until_accepted(&mut site.node.finder()).await;
        accepted.with_context(|| format!("round {round}, {fault:?}\n{}", last_words(&site.node)))?;
        let enough = *site.load.events.borrow() + rng.random_range(1..=300);
        within("records to flow", site.load.events.subscribe().wait_for(|events| *events >= enough)).await??;
        if (round + 1) % 25 == 0 {
            println!("{name}: {} rounds in {:?}", round + 1, begun.elapsed());
        }
    }
    let appends = site.settle().await?;
    println!(
        "{name}: {rounds} rounds, {dealt} calls failed, {kills} kills, {appends} appends answered; none lost, none repeated; {:?}",
        begun.elapsed()
    );
    ensure!(dealt > 0, "no call failed");
    Ok(())
}

fn any_fault(rng: &mut StdRng) -> Fault {
    let manner = match rng.random_range(0..4) {
        0 => Manner::Torn,
        1 => Manner::Slow(Duration::from_millis(rng.random_range(1..50))),
        _ => Manner::Fail,
    };
    let times = rng.random_bool(0.5).then(|| rng.random_range(1..4));
    Fault {
        calls: CALLS[rng.random_range(0..CALLS.len())],
        manner,
        errno: ERRORS[rng.random_range(0..ERRORS.len())].raw_os_error(),
        skip: rng.random_range(0..100),
        times,
    }
}
