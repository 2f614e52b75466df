// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The functions, what each is given, and the producers that give it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use fnstream_api::ProduceOptions;
use fnstream_tests::node::{Finder, Node};
use fnstream_tests::seed::Seed;
use rand::RngExt;
use tokio::task::JoinSet;

/// A function by what its bad records make it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Good,
    Loop,
    Memory,
    Trap,
    Large,
}

impl Kind {
    pub(crate) const BAD: [Kind; 4] = [Kind::Loop, Kind::Memory, Kind::Trap, Kind::Large];
    pub(crate) const ALL: [Kind; 5] = [Kind::Good, Kind::Loop, Kind::Memory, Kind::Trap, Kind::Large];

    /// Its name, and the word that its bad records begin with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Good => "good",
            Kind::Loop => "loop",
            Kind::Memory => "memory",
            Kind::Trap => "trap",
            Kind::Large => "large",
        }
    }

    pub(crate) fn input(self) -> String {
        format!("{}-in", self.name())
    }

    pub(crate) fn output(self) -> String {
        format!("{}-out", self.name())
    }

    /// Every how manyth record is bad, and the code of what becomes of it. A loop costs its time limit at each attempt,
    /// so there are fewer of them.
    pub(crate) fn bad(self) -> Option<(u64, &'static str)> {
        match self {
            Kind::Good => None,
            Kind::Loop => Some((250, "FS-1403")),
            Kind::Memory => Some((50, "FS-1404")),
            Kind::Trap => Some((10, "FS-1402")),
            Kind::Large => Some((20, "FS-1410")),
        }
    }

    /// Whether a record makes the function fail.
    pub(crate) fn is_bad(self, record: &str) -> bool {
        self != Kind::Good && record.starts_with(self.name())
    }

    pub(crate) fn record(self, number: u64) -> String {
        match self.bad() {
            Some((every, _)) if number.is_multiple_of(every) => format!("{} {number}", self.name()),
            _ => format!("r {number}"),
        }
    }
}

/// Producers of all functions.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    producers: JoinSet<Result<()>>,
}

impl Load {
    /// Begins to produce, also through the server's deaths.
    pub(crate) fn start(node: &Node, seed: Seed) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let mut producers = JoinSet::new();
        for (part, kind) in (1..).zip(Kind::BAD) {
            producers.spawn(produce(kind, node.finder(), seed, part, stop.clone()));
        }
        Load { stop, producers }
    }

    /// Ends it; what was answered is in the topics, and what was not may be.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.producers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Some dozen records each second, several in a request, with numbers that never repeat.
async fn produce(kind: Kind, mut finder: Finder, seed: Seed, part: u64, stop: Arc<AtomicBool>) -> Result<()> {
    let mut rng = seed.rng(part);
    let mut life = finder.alive().await?;
    let mut number = 0;
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let count = rng.random_range(1..16);
        let lines: Vec<_> = (number..number + count).map(|number| kind.record(number)).collect();
        number += count;
        let produced = life.client.produce_lines(&kind.input(), lines.join("\n"), &ProduceOptions::default()).await;
        // Whether they are there is for the account to see.
        if produced.is_err() && !stop.load(Ordering::Relaxed) {
            life = finder.next(&life).await?;
        }
    }
    Ok(())
}
