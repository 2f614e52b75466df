// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The embedded log: topics, their partitions, and what is in memory of them.
//!
//! Positions of a partition are counted from 0 without gaps. In memory a partition is four numbers and its watchers:
//!
//! ```text
//!        dropped by retention          readable             being written
//!  0 ──────────────────────────┤ floor ──────────────┤ end ───────────────
//! ```
//!
//! `end` is moved by the committer thread after a write is durable, so a reader never sees a record that could vanish.
//! `floor` is moved by retention before the records go, so a reader gets an error rather than a hole.
//!
//! Reading order: this file (the register of topics), `read`, `source`, `clients`, `claims`, `cursor`, `retention`,
//! `producers`, `watermarks`.

pub(crate) mod acks;
pub(crate) mod claims;
pub(crate) mod clients;
pub(crate) mod cursor;
pub(crate) mod cut;
pub(crate) mod partition;
pub(crate) mod producers;
pub(crate) mod read;
pub(crate) mod retention;
pub(crate) mod source;
pub(crate) mod topics;
pub(crate) mod watermarks;
