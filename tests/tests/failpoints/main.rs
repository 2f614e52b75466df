// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The server dies at each named step of its work, alone and once more while it recovers, and the account is right each
//! time. A step that is never reached fails the test, and so does a step that nobody lists.
//!
//! One committer is wrong on purpose: it shows that the account would notice.
#![allow(clippy::print_stdout, reason = "a test says its seed and what it did")]

mod drill;
mod points;
mod sources;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use fnstream_tests::binary;
use fnstream_tests::chain::check;
use fnstream_tests::seed::Seed;
use rand::RngExt;
use tokio::task::{JoinSet, LocalSet};

use self::drill::{Drill, Fault, Report};
use self::points::{POINTS, RECOVERY, WRONG};

/// Drills that run at once.
const AT_ONCE: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_death_at_any_step_loses_and_repeats_nothing() -> Result<()> {
    let faults = POINTS.iter().flat_map(|point| point.hits.iter().map(|hit| vec![Fault::new(point.name, *hit)]));
    drill_all("a_death_at_any_step", faults.collect()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_death_during_the_recovery_loses_and_repeats_nothing() -> Result<()> {
    let name = "a_second_death_during_the_recovery";
    let mut rng = Seed::of(name)?.rng(0);
    let mut pairs = Vec::new();
    for first in POINTS {
        for second in RECOVERY {
            let hit = first.hits[rng.random_range(0..first.hits.len())];
            pairs.push(vec![Fault::new(first.name, hit), Fault::new(second, 0)]);
        }
    }
    drill_all(name, pairs).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_committer_that_writes_in_two_steps_is_caught() -> Result<()> {
    let harmless = run(Vec::new(), true).await?;
    ensure!(harmless.problems.is_empty(), "wrong without any death: {}", check::report(&harmless.problems));
    // The first commit of each task says where it begins and has no outputs: a death there is harmless.
    for hit in [9, 12, 16] {
        let caught = run(vec![Fault::new(WRONG, hit)], true).await?;
        ensure!(!caught.problems.is_empty(), "a death between the two writes, after {hit} of them, was not noticed");
        println!("a_committer_that_writes_in_two_steps, after {hit}: {}", check::report(&caught.problems));
    }
    Ok(())
}

/// Runs a drill for each list of faults, some at once; reports all that fail.
async fn drill_all(name: &str, all: Vec<Vec<Fault>>) -> Result<()> {
    LocalSet::new().run_until(drill_each(name, all)).await
}

async fn drill_each(name: &str, all: Vec<Vec<Fault>>) -> Result<()> {
    let begun = Instant::now();
    let (count, mut deaths, mut failures) = (all.len(), 0, Vec::new());
    let mut running = JoinSet::new();
    let mut all = all.into_iter();
    loop {
        while running.len() < AT_ONCE
            && let Some(faults) = all.next()
        {
            let what = format!("{faults:?}");
            running.spawn_local(async move { (what, run(faults, false).await) });
        }
        let Some(ended) = running.join_next().await else { break };
        match ended? {
            (what, Err(error)) => failures.push(format!("{what}: {error:?}")),
            (what, Ok(report)) if !report.problems.is_empty() => {
                failures.push(format!("{what}: {}", check::report(&report.problems)));
            }
            (_, Ok(report)) => deaths += report.deaths,
        }
    }
    println!("{name}: {count} drills, {deaths} deaths, {} drills failed; {:?}", failures.len(), begun.elapsed());
    if !failures.is_empty() {
        bail!("{}", failures.join("\n\n"));
    }
    Ok(())
}

async fn run(faults: Vec<Fault>, wrong_committer: bool) -> Result<Report> {
    let binary = binary::server_with_failpoints()?;
    Drill::new(binary, faults.clone(), wrong_committer)?.run().await.with_context(|| format!("the drill {faults:?}"))
}
