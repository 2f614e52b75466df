// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the tests on real processes share.
//!
//! Owns: finding what was built ([`binary`]), a server as a process that can be killed ([`server`]), a server that comes
//! back on the same data folder ([`node`]), calls on files that fail ([`faults`]), the command line ([`cli`]), what a process uses ([`usage`]), modules written by
//! hand ([`guests`]), functions given as source ([`scripts`]), Python for clients of another language ([`python`]), how long a function takes ([`latency`]), and the chain of functions whose every record is accounted for ([`chain`]).
//! A server is reached only as a user reaches it: by its command line, its REST interface and signals.
//!
//! Nothing here sleeps: what is waited for is a line of the server's log, an answer, or a record, and each wait has an end
//! ([`within`]) that says what was waited for.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use fnstream_tests::{binary, node::Node, server::ServerOptions};
//!
//! let mut node = Node::new(ServerOptions::new(binary::server()?))?;
//! let client = node.start().await?;
//! client.create_topic("orders", &Default::default()).await?;
//! node.kill()?;
//! let client = node.start().await?;
//! assert_eq!(client.list_topics().await?, ["orders"]);
//! # Ok(())
//! # }
//! ```

pub mod binary;
pub mod broker_jobs;
pub mod cgroup;
pub mod chain;
pub mod cli;
pub mod faults;
pub mod guests;
pub mod latency;
pub mod node;
pub mod pulsar;
pub mod python;
pub mod scripts;
pub mod seed;
pub mod server;
pub mod usage;

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long anything may take that should take milliseconds, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something at most [`PATIENCE`] long.
pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(PATIENCE, wait).await.with_context(|| format!("waited {PATIENCE:?} for {what}"))
}
