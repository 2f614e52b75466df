// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the processes of a server group share: everything that must last is in topics of their cluster.
//!
//! | topic | has |
//! | --- | --- |
//! | `GROUP.functions` | the register: each function with its history, [`KafkaRegister`] |
//! | `GROUP.artifacts` | artifacts in pieces, [`KafkaArtifacts`] |
//! | `GROUP.peers` | what each process says of itself, [`KafkaPeers`] |
//!
//! All three are compacted and have one partition, which each process follows ([`table`]). The register and the artifacts are written in
//! transactions: whoever writes has fenced all who wrote before, and has read to the end then, so that each change is based on the
//! latest.
//!
//! Who runs which task is agreed upon in a group of consumers ([`crate::place`]).

mod artifacts;
mod peers;
mod register;
mod table;

pub use artifacts::KafkaArtifacts;
pub use peers::{Exchange, KafkaPeers};
pub use register::KafkaRegister;

use crate::place::Options;

/// The topic of the register.
pub(crate) fn register_topic(options: &Options) -> String {
    topic(options, "functions")
}

/// The name of a topic of the group.
fn topic(options: &Options, what: &str) -> String {
    format!("{}{}.{what}", options.namespace, options.server)
}
