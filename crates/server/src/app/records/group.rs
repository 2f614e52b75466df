// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consuming for a group: what is taken is given to a consumer or put back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fnstream_core::Result;
use fnstream_core::broker::PollLimit;
use fnstream_core::groups::{Claim, Groups, Taking};
use fnstream_core::record::TopicPartition;
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_frame::RecordView;

use super::Records;
use super::consume::{Attempt, Delivered};
use super::memory::{Allowance, Measured};
use crate::app::ops::blocking;
use crate::key_locks::KeyGuard;

/// One group's reading of a topic.
pub(super) struct Group {
    pub(super) records: Arc<Records>,
    pub(super) topic: Topic,
    pub(super) name: String,
    pub(super) partitions: Vec<TopicPartition>,
    /// The most records to take.
    pub(super) most: usize,
    /// Whether the first of them can be given.
    pub(super) check: fn(&RecordView<'_>) -> Result<()>,
}

impl Group {
    /// The next records of the group; nobody else of the group gets them.
    pub(super) async fn next(&self, free: Waker, allowance: Allowance) -> Result<Attempt> {
        let turn = self.records.turns.lock((self.topic.to_string(), self.name.clone())).await;
        self.records.check_has_place(&self.topic, &self.name).await?;
        let check = self.check;
        let (groups, name, limit) = (
            self.records.topics.clusters.groups(&self.topic)?,
            self.name.clone(),
            PollLimit { records: self.most, bytes: allowance.bytes },
        );
        let mut partitions = self.partitions.clone();
        let first = self.records.turn.fetch_add(1, Ordering::Relaxed) as usize % partitions.len();
        partitions.rotate_left(first);
        blocking(move || {
            Ok(match groups.take(&name, &partitions, limit, free)? {
                Taking::Nothing => Untaken::Nothing,
                Taking::Busy => Untaken::Busy,
                Taking::Taken(taken) if let Err(error) = check(&taken.batch.frame().record(0)) => {
                    groups.put_back(taken.claim)?;
                    return Err(error);
                }
                Taking::Taken(taken) => match allowance.measure(&taken.batch) {
                    Measured::Fits(memory) => {
                        let (next, skipped_from) = (taken.next, taken.skipped_from);
                        let delivered = Delivered { batch: taken.batch, next, skipped_from, memory };
                        let (claim, delivered) = (taken.claim, Some(delivered));
                        Untaken::Taken(Taken { groups, claim, delivered, turn: Some(turn) })
                    }
                    Measured::TooLarge(bytes) => {
                        drop(taken.batch);
                        groups.put_back(taken.claim)?;
                        Untaken::TooLarge(bytes)
                    }
                },
            })
        })
        .await
        .map(Untaken::accept)
    }
}

/// What came of an attempt to take, while nobody has it yet.
#[expect(clippy::large_enum_variant, reason = "it is made for an attempt and taken apart at once")]
enum Untaken {
    Taken(Taken),
    Nothing,
    Busy,
    TooLarge(usize),
}

impl Untaken {
    fn accept(self) -> Attempt {
        match self {
            Untaken::Nothing => Attempt::Nothing,
            Untaken::Busy => Attempt::Busy,
            Untaken::TooLarge(bytes) => Attempt::TooLarge(bytes),
            Untaken::Taken(taken) => taken.accept(),
        }
    }
}

/// Records that a group has taken, but which the consumer does not have yet. When it goes away before it takes them, they
/// are put back: the drop of this may come anywhere, with the request's future or with the thread that took them for nobody.
struct Taken {
    groups: Arc<dyn Groups>,
    claim: Claim,
    delivered: Option<Delivered>,
    /// Nobody else of the group reads until it is known whether the records are given or put back.
    turn: Option<KeyGuard<(String, String)>>,
}

impl Taken {
    fn accept(mut self) -> Attempt {
        self.groups.accept(self.claim);
        self.delivered.take().map_or(Attempt::Nothing, Attempt::Delivered)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.delivered.take().is_none() {
            return;
        }
        let (groups, claim, turn) = (self.groups.clone(), self.claim, self.turn.take());
        let put_back = move || {
            let _until_done = turn;
            if let Err(error) = groups.put_back(claim) {
                tracing::warn!(code = %error.code, error = error.message, "records of a consumer that went away were lost to its group");
            }
            Ok(())
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(blocking(put_back))),
            Err(_) => drop(put_back()),
        }
    }
}
