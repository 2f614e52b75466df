// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to what consumer groups have acknowledged.
//!
//! Only acknowledgements are durable. Leases live in the memory of the process that gives them: after its end, whatever was out and
//! not acknowledged is delivered again.
//!
//! ```text
//! a partition   0 1 2 3 4 5 6 7 8 9 …
//!               └─────┘   └─┘
//!             all below   acknowledged out of order
//!             committed
//! ```

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::record::Position;
use crate::topic::Topic;

/// What a group has acknowledged in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Differs between the lives of a group: a reset, or a deletion and a new group of the name, begins another.
    pub era: u64,
    /// Every record below is acknowledged.
    pub committed: Position,
    /// Records beyond that are acknowledged too: the first of a run, and the position after its last. The runs ascend and do not
    /// touch each other.
    pub acked: Vec<(Position, Position)>,
    /// Records that were delivered in vain, ascending.
    pub failed: Vec<Failed>,
}

/// A record whose deliveries all ended without an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Where it is.
    pub position: Position,
    /// How often it was delivered.
    pub deliveries: u32,
    /// It is not delivered before this time, in milliseconds since the Unix epoch.
    pub not_before_ms: i64,
}

/// What a group has acknowledged, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupAcknowledged {
    /// The topic.
    pub topic: Topic,
    /// Which of the topics that have had this name: see [`Acks::incarnation`].
    pub incarnation: u64,
    /// The group.
    pub group: String,
    /// The partition.
    pub partition: u32,
    /// What it has acknowledged.
    pub acknowledged: Acknowledged,
}

/// Changes of one group that become durable together.
#[derive(Debug, Clone, Default)]
pub struct AckWrite {
    /// The group.
    pub group: String,
    /// New acknowledged by partition; `None` removes one.
    pub acknowledged: Vec<(u32, Option<Acknowledged>)>,
    /// The same for the places that [`crate::groups::Groups`] moves.
    pub places: Vec<(u32, Option<Position>)>,
    /// Dead letters: a topic, and a packed frame of records to append to it.
    pub letters: Option<(Topic, Bytes)>,
}

/// Called exactly once with what became of a write, from any thread. It does not block.
pub type AckDone = Box<dyn FnOnce(Result<()>) + Send>;

/// What consumer groups have acknowledged in the topics of a cluster.
///
/// Contract:
/// - **Atomic**: when `done` is called with `Ok`, all of an [`AckWrite`] is durable, dead letters included; after an error nothing of
///   it is, unless the process ended.
/// - **Order**: writes count in the order in which they were handed in.
/// - **Deletion** of a topic takes the acknowledged of its groups. A write that names a topic of an earlier incarnation is refused with
///   [`crate::ErrorCode::TopicNotFound`].
///
/// `load` may block.
pub trait Acks: Send + Sync {
    /// The acknowledged of all groups of all topics.
    fn load(&self) -> Result<Vec<GroupAcknowledged>>;

    /// The number of a topic; no other topic has it, also none of the same name.
    fn incarnation(&self, topic: &Topic) -> Result<u64>;

    /// Makes changes of a group durable; returns at once.
    fn write(&self, topic: &Topic, incarnation: u64, write: AckWrite, done: AckDone);
}
