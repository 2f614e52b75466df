// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Groups of consumers as Kafka's consumer groups: a group's places are the offsets that it has committed, which other tools see and
//! may move.
//!
//! The groups have no members: offsets are committed by hand, just before records are given. So Kafka refuses a group in which an
//! ordinary consumer is ([`ErrorCode::GroupInUse`]), and both are never given the same records. Claims are this process's own:
//! processes that take from one group at the same time may give a record twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fnstream_core::broker::PollLimit;
use fnstream_core::groups::{Claim, GroupPlace, Groups, Taken, Taking};
use fnstream_core::record::TopicPartition;
use fnstream_core::topic::Topic;
use fnstream_core::topics::Topics;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use crate::source::{offset_of, position_of};
use crate::topics::KafkaTopics;

/// See the module.
pub struct KafkaGroups {
    topics: Arc<KafkaTopics>,
    table: Mutex<Table>,
}

/// A group's reading of a topic.
type Key = (String, Topic);

#[derive(Default)]
struct Table {
    /// Those of which somebody holds a claim or is about to, and who waits for its end.
    busy: HashMap<Key, Vec<Waker>>,
    claims: HashMap<Claim, Claimed>,
}

/// What a claim was given.
struct Claimed {
    key: Key,
    /// The topic in Kafka, the partition, and where the group stood: before its records, or before those that were dropped.
    name: String,
    partition: u32,
    stood: i64,
}

impl KafkaGroups {
    /// Groups of these topics.
    pub fn new(topics: &Arc<KafkaTopics>) -> Arc<KafkaGroups> {
        Arc::new(KafkaGroups { topics: topics.clone(), table: Mutex::default() })
    }

    /// Takes from the first partition that has something, with the group kept from others.
    fn take_next(&self, key: &Key, partitions: &[TopicPartition], limit: PollLimit) -> Result<Option<Taken>> {
        let (group, topic) = key;
        let admin = &self.topics.admin;
        let name = self.topics.name(topic)?;
        for at in partitions {
            self.topics.place(at)?;
        }
        let numbers: Vec<_> = partitions.iter().map(|at| at.partition).collect();
        let places = admin.offsets(group, &name, &numbers)?;
        for at in partitions {
            let (earliest, end) = self.topics.bounds(&name, at.partition)?;
            let stood = places.get(&at.partition).copied();
            if let Some(stood) = stood.filter(|stood| *stood > end) {
                let message = format!(
                    "the place of group '{group}' in {at}, {stood}, is past the end, {end}: reset the offsets of the group"
                );
                return Err(Error::new(ErrorCode::PositionUnknown, message));
            }
            let begin = stood.map_or(earliest, |stood| stood.max(earliest));
            if begin == end {
                continue;
            }
            let Some(batch) = self.topics.read(at, position_of(begin), limit)? else { continue };
            let Some(next) = batch.end() else { continue };
            admin.commit(group, &name, at.partition, offset_of(next)?)?;
            let claim = new_claim();
            let claimed = Claimed { key: key.clone(), name, partition: at.partition, stood: stood.unwrap_or(begin) };
            self.table.lock().claims.insert(claim, claimed);
            let skipped_from = stood.filter(|stood| *stood < earliest).map(position_of);
            return Ok(Some(Taken { batch, next, skipped_from, claim }));
        }
        Ok(None)
    }

    /// Lets others of the group come.
    fn free(&self, key: &Key) {
        let waiting = self.table.lock().busy.remove(key);
        waiting.iter().flatten().for_each(Waker::wake);
    }

    fn close(&self, claim: Claim) -> Option<Claimed> {
        self.table.lock().claims.remove(&claim)
    }
}

impl Groups for KafkaGroups {
    fn take(&self, group: &str, partitions: &[TopicPartition], limit: PollLimit, free: Waker) -> Result<Taking> {
        let Some(first) = partitions.first() else { return Ok(Taking::Nothing) };
        let key = (group.to_owned(), first.topic.clone());
        let mut table = self.table.lock();
        if let Some(waiting) = table.busy.get_mut(&key) {
            waiting.push(free);
            return Ok(Taking::Busy);
        }
        table.busy.insert(key.clone(), Vec::new());
        drop(table);
        match self.take_next(&key, partitions, limit) {
            Ok(Some(taken)) => Ok(Taking::Taken(taken)),
            other => {
                self.free(&key);
                other.map(|_| Taking::Nothing)
            }
        }
    }

    fn accept(&self, claim: Claim) {
        if let Some(claimed) = self.close(claim) {
            self.free(&claimed.key);
        }
    }

    fn put_back(&self, claim: Claim) -> Result<()> {
        let Some(claimed) = self.close(claim) else { return Ok(()) };
        let group = &claimed.key.0;
        let moved = self.topics.admin.commit(group, &claimed.name, claimed.partition, claimed.stood);
        self.free(&claimed.key);
        moved
    }

    fn places(&self, topic: &Topic) -> Result<Vec<GroupPlace>> {
        let name = self.topics.name(topic)?;
        let numbers: Vec<_> = (0..self.topics.partitions(&name)?).collect();
        let mut places = Vec::new();
        for group in self.topics.admin.groups()? {
            for (partition, offset) in self.topics.admin.offsets(&group, &name, &numbers)? {
                places.push(GroupPlace { group: group.clone(), partition, position: position_of(offset) });
            }
        }
        places.sort_by(|a, b| (a.partition, &a.group).cmp(&(b.partition, &b.group)));
        Ok(places)
    }
}

impl std::fmt::Debug for KafkaGroups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaGroups").field("topics", &self.topics).finish_non_exhaustive()
    }
}

/// A claim that no other of the process has.
fn new_claim() -> Claim {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Claim(NEXT.fetch_add(1, Ordering::Relaxed))
}
