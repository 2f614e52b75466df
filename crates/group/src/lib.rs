// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the processes of a server group share: everything that must last is in logs of their cluster ([`Log`]), whatever broker that is.
//!
//! | log | has |
//! | --- | --- |
//! | `functions` | the register: each function with its history, [`Register`] |
//! | `artifacts` | artifacts in pieces, [`GroupArtifacts`] |
//! | `peers` | what each process says of itself, [`GroupPeers`] |
//!
//! Each is a table of keys and values, which every process follows (`table`). The register and the artifacts are changed by
//! one process at a time: whoever writes has fenced all who wrote before, and has read to the end then, so that each change is based on
//! the latest.
//!
//! Who runs which task the processes agree upon elsewhere, by means of their broker.

mod artifacts;
mod log;
mod peers;
mod register;
mod table;
#[cfg(feature = "test-util")]
#[allow(clippy::unwrap_used, reason = "a check panics at the first thing that must not be")]
pub mod test_util;

pub use artifacts::GroupArtifacts;
pub use log::{Entry, Failed, Follower, Log, Row};
pub use peers::{Exchange, GroupPeers};
pub use register::{Register, Removed};
