// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A bench on topics of Apache Pulsar: what [`outside`](super::outside) asks of a cluster.
//!
//! The topics are in a namespace of their own, in the tenant `public`: what is read there is kept, and repeats of a producer are dropped.
//! What a server of ours keeps for itself is in another one. Both are removed with all that is in them.
//!
//! Progress is how many records brokers have taken for the output, which the REST interface counts. The function is exactly once, which on
//! Pulsar is also called effectively once; the product has no other mode. The plain copy acknowledges what was stored, so it repeats after a
//! crash.
//!
//! Reading order: [`cluster`], [`admin`] (the REST interface), [`traffic`], [`copy`] (the plain copy).

mod admin;
mod cluster;
pub(super) mod copy;
mod traffic;

use fnstream_pulsar_client::{Client, Error};
use tokio::runtime::{Builder, Runtime};

use self::admin::Admin;
use self::cluster::PulsarCluster;
use super::Args;
use super::outside::{Cluster, failed};
use super::report::Report;
use crate::failure::{Failure, Result};

pub(super) use self::admin::admin_url;

/// Makes the topics of a bench.
pub(super) fn open(args: &Args, url: &str, report: &mut Report) -> Result<Box<dyn Cluster>> {
    let runtime = runtime()?;
    let client = client(url)?;
    let admin = Admin::new(&match &args.admin_url {
        Some(given) => given.clone(),
        None => admin::default_url(url),
    })?;
    let cluster = PulsarCluster::open(runtime, client, admin, url, args.partitions(), args.unbatched)?;
    report.pulsar_url = Some(url.to_owned());
    report.unbatched = args.unbatched;
    Ok(Box::new(cluster))
}

/// Threads for clients.
fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A client, which connects when it is used.
fn client(url: &str) -> Result<Client> {
    Client::builder(url).build().map_err(|e| match e {
        Error::InvalidUrl(_) => Failure::Usage(format!("--pulsar-url: {e}")),
        _ => failed("making a client of Pulsar", &e),
    })
}
