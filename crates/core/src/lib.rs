// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The words of Function Stream and the seams between its parts.
//!
//! Owns: records and batches, positions, epochs, state deltas, function specs, error codes, the clock, and the traits
//! that a broker, a state store, a metadata store and a language runtime implement. It must not know any of their
//! implementations: no RocksDB, no wasmtime, no network.
//!
//! # Reading order
//!
//! 1. [`topic`], [`record`], [`batch`]: what flows and where; [`dead_letter`]: what became of a record that no function could take. 2. [`epoch`], [`delta`], [`state_key`]: what one commit makes durable.
//! 3. [`spec`]: what a user asks for. 4. The seams: [`broker`] (with [`broker::Source`]), [`committer`], [`state`],
//!    [`runtime`], [`metadata`], [`function_log`]; for the server's requests [`topics`], [`groups`], [`acks`], [`producers`], [`tasks`],
//!    [`forks`], [`artifacts`], [`peers`], [`upkeep`], [`backups`], [`notes`]. 5. [`error`]: what can go wrong, and whose fault it is; [`panics`]: what
//!    should not have gone wrong; [`interrupt`]: ending what is under way; [`leave`]: ending the process; [`budget`]: the memory that all of it may use together;
//!    [`dir`]: how files that belong to the server alone are opened.
//!
//! With the feature `test-util`, `test_util` has the conformance suite of each seam and an in-memory broker that
//! behaves like a foreign one.
//!
//! ```
//! use fnstream_core::record::partition_for_key;
//!
//! // Records of one key always land on one partition.
//! assert_eq!(partition_for_key(b"alice", 8), partition_for_key(b"alice", 8));
//! ```

pub mod acks;
pub mod artifacts;
pub mod backups;
pub mod batch;
pub mod broker;
pub mod budget;
pub mod clock;
pub mod committer;
pub mod dead_letter;
pub mod delta;
pub mod dir;
pub mod epoch;
pub mod error;
pub mod failpoint;
pub mod forks;
pub mod function_log;
pub mod groups;
pub mod interrupt;
pub mod leave;
pub mod metadata;
pub mod notes;
pub mod panics;
pub mod peers;
pub mod producers;
pub mod record;
pub mod runtime;
pub mod spec;
pub mod state;
pub mod state_key;
pub mod tasks;
pub mod timer;
pub mod topic;
pub mod topics;
pub mod units;
pub mod upkeep;
pub mod waker;
pub mod watermarks;

#[cfg(any(test, feature = "test-util"))]
pub mod test_util;

pub use error::{Error, ErrorCode, Result};
