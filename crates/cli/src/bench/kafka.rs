// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A bench on topics of Apache Kafka: what [`outside`](super::outside) asks of a cluster.
//!
//! Progress are the offsets that the program's group has committed, which move with the outputs in one transaction. Outputs are read by a
//! consumer that reads what is committed.
//!
//! Reading order: [`cluster`], [`traffic`], [`copy`] (the plain copy).

mod cluster;
pub(super) mod copy;
mod traffic;

use self::cluster::KafkaCluster;
use super::Args;
use super::outside::Cluster;
use super::report::Report;
use crate::failure::Result;

/// How long the oldest outputs of a transaction wait, in milliseconds: the program is told so, and a server of ours does it.
const COMMIT_INTERVAL_MS: u64 = 100;

/// Makes the topics of a bench.
pub(super) fn open(args: &Args, bootstrap: &str, report: &mut Report) -> Result<Box<dyn Cluster>> {
    // Records that are to be timed do not wait for others.
    let cluster = KafkaCluster::open(bootstrap, args.partitions(), args.rate.is_some())?;
    report.bootstrap = Some(bootstrap.to_owned());
    report.commit_interval_ms = Some(COMMIT_INTERVAL_MS);
    Ok(Box::new(cluster))
}
