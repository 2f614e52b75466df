// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consumer groups with acknowledgement: records are leased to consumers and given again until one of them has acknowledged them.
//!
//! ```text
//! take ──► leased for a time ──► acknowledged                    durable; never given again
//!               │  ▲
//!               ▼  │ take
//!            returned: the lease ended, or the consumer gave it back (at once or with a delay)
//!               │
//!               └─► delivered as often as it may be: a dead letter, in the write that acknowledges it
//! ```
//!
//! **At least once.** A record is acknowledged when the answer says so, and not given again then. Whatever is not acknowledged is
//! given again: after its lease, after `nack`, after a restart. A consumer may therefore see a record twice.
//!
//! **Durable** is what was acknowledged, and how often records were delivered in vain until the group's last write. Leases are in
//! memory: a restart ends all of them, and does not count as a delivery in vain. So a record may be delivered a few times more than
//! its limit says if the server dies meanwhile.
//!
//! **Order.** New records of a partition are given in their order. One that is given again comes late.
//!
//! **Bounds.** At most 10,000 records of a partition are out at a time; no more are given until some are acknowledged.
//!
//! A group either acknowledges or has a place that moves when records are given (`consume`), never both: the first take makes it one
//! that acknowledges, from its place on. The two are kept apart by the turn of the group, which both hold while they change.
//!
//! Reading order: `deliveries` (the rules, pure), `group`, `take`, `settle`, `letters`, `manage`.

mod deliveries;
mod group;
mod letters;
mod manage;
mod receipt;
mod settle;
mod take;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use fnstream_core::acks::Acks;
use fnstream_core::clock::Clock;
use fnstream_core::topic::Topic;
use fnstream_core::{Error, ErrorCode, Result};
use tokio::sync::OnceCell;

pub(crate) use group::{GroupSample, Skipped};
pub(crate) use manage::ResetTo;
pub(crate) use settle::Settling;
pub(crate) use take::{Taken, TakenRecord, Taking};

use crate::app::places::check_embedded;
use crate::clusters::Clusters;
use group::Table;

/// The least and the most time of a lease.
const LEASES: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(12 * 3600);

/// The most time for which a record may be given back.
const MOST_DELAY: Duration = Duration::from_secs(7 * 24 * 3600);

/// The groups that acknowledge.
pub(in crate::app) struct Leases {
    /// None if the topics' cluster keeps no acknowledgements.
    acks: Option<Arc<dyn Acks>>,
    /// Read from the store when it is first needed.
    table: OnceCell<Arc<Table>>,
    /// The number of the next lease; none of an earlier process has it.
    next: AtomicU64,
}

/// Refuses a group that acknowledges where nobody keeps acknowledgements.
fn check_acks(clusters: &Clusters, topic: &Topic) -> Result<()> {
    let instead = "consume with a group without acknowledgement, or from a position";
    check_embedded(clusters, topic, "no acknowledgements are kept", instead)
}

impl Leases {
    pub(in crate::app) fn new(acks: Option<Arc<dyn Acks>>, clock: &dyn Clock) -> Self {
        let first = u64::try_from(clock.unix_ms()).unwrap_or_default() << 20;
        Leases { acks, table: OnceCell::new(), next: AtomicU64::new(first | 1) }
    }

    fn acks(&self) -> Result<&Arc<dyn Acks>> {
        let missing = || Error::new(ErrorCode::AcksUnavailable, "the topics of this server keep no acknowledgements");
        self.acks.as_ref().ok_or_else(missing)
    }
}
