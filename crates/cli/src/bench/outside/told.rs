// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a program that is not ours is told, by its environment.
//!
//! It writes the line `ready` when it reads the input, and goes on until it gets SIGTERM.
//!
//! | variable | |
//! | --- | --- |
//! | `BENCH_INPUT`, `BENCH_OUTPUT` | the topics; of Pulsar as `TENANT/NAMESPACE/NAME` |
//! | `BENCH_PARTITIONS` | how many partitions each of them has |
//! | `BENCH_GROUP` | the group whose offsets it moves, or the subscription that it uses, from the oldest record on; what it makes in the cluster begins with that name |
//! | `BENCH_WORKLOAD` | `pass-through`, `money` or `keyed-count` |
//! | `BENCH_FOLDER` | an empty folder for its files |
//! | on Kafka: `BENCH_BOOTSTRAP` | the address of the cluster |
//! | `BENCH_COMMIT_INTERVAL_MS` | the age at which a transaction is committed |
//! | on Pulsar: `BENCH_URL`, `BENCH_ADMIN` | the service URL of the cluster, and the URL of its REST interface |
//!
//! The rest of its environment is that of the bench: so whoever starts the bench may tell a peer more.

use std::path::Path;
use std::process::Command;

use super::Place;
use crate::failure::{Failure, Result};

/// What a program says when it reads the input.
pub(in crate::bench) const READY: &str = "ready";

/// What a copy is told on every cluster.
pub(in crate::bench) struct Told {
    pub input: String,
    pub output: String,
    pub partitions: u32,
    pub group: String,
}

impl Told {
    pub(in crate::bench) fn from_environment() -> Result<Told> {
        Ok(Told {
            input: text("BENCH_INPUT")?,
            output: text("BENCH_OUTPUT")?,
            partitions: number("BENCH_PARTITIONS")?,
            group: text("BENCH_GROUP")?,
        })
    }
}

/// Tells a program.
pub(super) fn tell(command: &mut Command, place: &Place, workload: &str, folder: &Path) {
    let topics = &place.topics;
    command
        .env("BENCH_INPUT", &topics.input)
        .env("BENCH_OUTPUT", &topics.output)
        .env("BENCH_PARTITIONS", topics.partitions.to_string())
        .env("BENCH_GROUP", &topics.group)
        .env("BENCH_WORKLOAD", workload)
        .env("BENCH_FOLDER", folder)
        .envs(place.told.iter().map(|(name, value)| (name, value)));
}

/// What a variable says.
pub(in crate::bench) fn text(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| Failure::Usage(format!("{name} is not set: 'bench' starts the copy by itself")))
}

/// The number that a variable says.
pub(in crate::bench) fn number(name: &str) -> Result<u32> {
    text(name)?.parse().map_err(|e| Failure::Usage(format!("{name} is no number: {e}")))
}
