// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to groups of consumers: clients that share the records of a topic, each record going to one of them.

use crate::batch::Batch;
use crate::broker::PollLimit;
use crate::error::Result;
use crate::record::{Position, TopicPartition};
use crate::topic::Topic;
use crate::waker::Waker;

/// Records that a group has taken and that nobody has accepted yet.
#[derive(Debug)]
pub struct Taken {
    /// At least one record of one partition.
    pub batch: Batch,
    /// Where the group goes on.
    pub next: Position,
    /// Where the group stood, when records that it had not taken were dropped since.
    pub skipped_from: Option<Position>,
    /// Names the records in [`Groups::accept`] and [`Groups::put_back`].
    pub claim: Claim,
}

/// The number of a claim; no other claim of a process has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim(pub u64);

/// The answer to an attempt to take.
#[derive(Debug)]
pub enum Taking {
    /// There were records.
    Taken(Taken),
    /// There are none now.
    Nothing,
    /// Somebody else holds a claim of the group; the waker is called when that has ended.
    Busy,
}

/// A group's place in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlace {
    /// The group.
    pub group: String,
    /// The partition.
    pub partition: u32,
    /// The next record that the group takes.
    pub position: Position,
}

/// The groups of consumers of a cluster's topics.
///
/// ```text
///            take                    accept
///   place p ──────► claim p..q ─────────────────► place q
///                        └── put back ──► place p         a crash: place q, at most once
/// ```
///
/// Contract:
/// - **Begin**: a group that never took anything begins at the earliest record of each partition.
/// - **One at a time**: while a claim is open, no record of the topic is given to the group, whichever process asks: the answer
///   is [`Taking::Busy`]. A claim is closed by `accept`, by `put_back`, or by the end of its process.
/// - **At most once**: the group's place is durably behind the records before `take` answers with them.
/// - **Put back** makes the records the group's next ones again, and what was said of dropped ones is said again.
/// - **Order**: within a partition records are given in their order. The first of the named partitions that has some is taken
///   from.
/// - **Dropped records** are passed over, and `skipped_from` says where the group stood.
///
/// All methods but `accept` may block.
pub trait Groups: Send + Sync {
    /// Takes the next records of a group from one of these partitions of one topic.
    fn take(&self, group: &str, partitions: &[TopicPartition], limit: PollLimit, free: Waker) -> Result<Taking>;

    /// Closes a claim: its records were given to a consumer. A claim that is closed already stays so.
    fn accept(&self, claim: Claim);

    /// Closes a claim whose consumer went away; does nothing when it is closed already.
    fn put_back(&self, claim: Claim) -> Result<()>;

    /// The places of all groups in a topic, by partition and group.
    fn places(&self, topic: &Topic) -> Result<Vec<GroupPlace>>;
}
