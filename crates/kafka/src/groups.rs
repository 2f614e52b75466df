// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Groups of consumers as Kafka's consumer groups: a group's places are the offsets that it has committed, which other tools see and
//! may move.
//!
//! The groups have no members: offsets are committed by hand, just before records are given. So Kafka refuses a group in which an
//! ordinary consumer is ([`ErrorCode::GroupInUse`]), and both are never given the same records.
//!
//! Claims are this process's own. Processes of a server group move a group's offsets in transactions of a common transactional id:
//! whoever begins has fenced the others, and looks where the group is after that. So none of two that take at the same time is given
//! what the other has; one whose claim was overtaken cannot put it back any more. Servers that have nothing to do with each other may
//! give a record twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fnstream_core::broker::PollLimit;
use fnstream_core::groups::{Claim, GroupPlace, Groups, Taken, Taking};
use fnstream_core::record::TopicPartition;
use fnstream_core::topic::Topic;
use fnstream_core::topics::Topics;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::native::Proof;
use crate::place::Options;
use crate::source::{offset_of, position_of};
use crate::topics::KafkaTopics;
use crate::writer::{Failed, Writer, let_others};

/// How long a take is tried while other processes take too.
const CONTENDED: Duration = Duration::from_secs(30);
/// So many groups are kept ready for the next take.
const WRITERS: usize = 16;
/// The broker aborts a take that takes longer.
const TIMEOUT_MS: u32 = 10_000;

/// See the module.
pub struct KafkaGroups {
    topics: Arc<KafkaTopics>,
    table: Mutex<Table>,
    /// What begins the transactional ids of the processes that share the groups; none if no others do.
    shared: Option<String>,
}

/// A group's reading of a topic.
type Key = (String, Topic);

#[derive(Default)]
struct Table {
    /// Those of which somebody holds a claim or is about to, and who waits for its end.
    busy: HashMap<Key, Vec<Waker>>,
    claims: HashMap<Claim, Claimed>,
    /// Those that move offsets, while nobody uses them; the latest last.
    writers: Vec<(Key, Writer)>,
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
        Arc::new(KafkaGroups { topics: topics.clone(), table: Mutex::default(), shared: None })
    }

    /// The same of a server whose other processes take from the same groups.
    pub fn shared(topics: &Arc<KafkaTopics>) -> Arc<KafkaGroups> {
        let Options { namespace, server, .. } = topics.options();
        let shared = Some(format!("{namespace}{server}.consume"));
        Arc::new(KafkaGroups { topics: topics.clone(), table: Mutex::default(), shared })
    }

    /// Takes, with all other processes kept from it.
    fn take_shared(&self, key: &Key, partitions: &[TopicPartition], limit: PollLimit) -> Result<Option<Taken>> {
        let Some(prefix) = &self.shared else { return self.take_next(key, partitions, limit, None) };
        let mut writer = self.writer(key, prefix);
        let until = Instant::now() + CONTENDED;
        let mut lost = 0;
        let taken = loop {
            let begun = writer.begin();
            let taken = begun.and_then(|()| self.take_next(key, partitions, limit, Some(&mut writer)));
            match taken {
                // Another process was faster.
                Err(error) if error.code == ErrorCode::Fenced => {
                    if Instant::now() > until {
                        break Err(Error::new(ErrorCode::Unavailable, error.message));
                    }
                    lost += 1;
                    let_others(lost);
                }
                taken => break taken,
            }
        };
        self.table.lock().writers.push((key.clone(), writer));
        taken
    }

    fn writer(&self, (group, topic): &Key, prefix: &str) -> Writer {
        let mut table = self.table.lock();
        if let Some(known) = table.writers.iter().position(|(of, _)| (&of.0, &of.1) == (group, topic)) {
            return table.writers.remove(known).1;
        }
        if table.writers.len() >= WRITERS {
            table.writers.remove(0);
        }
        Writer::new(&self.topics.options().properties, format!("{prefix}.{group}.{}", topic.name), TIMEOUT_MS)
    }

    /// Moves the offset of a group.
    fn move_to(&self, group: &str, at: (&str, u32), offset: i64, writer: Option<&mut Writer>) -> Result<()> {
        let (name, partition) = at;
        let Some(writer) = writer else { return self.topics.admin.commit(group, name, partition, offset) };
        let doing = format!("moving the offset of group '{group}'");
        let proof = Proof::without_members(group).map_err(|failure| failure.error(&doing))?;
        let mut mark = [0; 8];
        let filled = getrandom::fill(&mut mark);
        filled.map_err(|e| fnstream_core::error::internal(format!("{doing}: no random number: {e}")))?;
        let mark = format!("{:016x}", u64::from_be_bytes(mark));
        let mut list = TopicPartitionList::with_capacity(1);
        let mut element = list.add_partition(name, partition as i32);
        element.set_offset(Offset::Offset(offset)).map_err(|e| crate::error::failed(&doing, &e))?;
        element.set_metadata(&mark);
        match writer.write(&[], Some((&proof, &list))) {
            Ok(_) => Ok(()),
            Err(Failed::Fenced) => Err(Error::new(ErrorCode::Fenced, format!("{doing}: another process has taken"))),
            Err(Failed::Nothing(error)) => Err(error.context(&doing)),
            Err(Failed::Unknown(error)) => {
                // Whoever begins anew has it decided.
                writer.begin()?;
                match self.topics.admin.offset_with_mark(group, name, partition)? {
                    (_, found) if found == mark.as_bytes() => Ok(()),
                    // It may have moved, and others have moved it since: what was taken is not given, or given twice it would be.
                    (now, _) if now >= Some(offset) => Err(error.context(&doing)),
                    _ => Err(Error::new(ErrorCode::Fenced, format!("{doing}: it was aborted"))),
                }
            }
        }
    }

    /// Takes from the first partition that has something, with the group kept from others.
    fn take_next(
        &self,
        key: &Key,
        partitions: &[TopicPartition],
        limit: PollLimit,
        mut writer: Option<&mut Writer>,
    ) -> Result<Option<Taken>> {
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
            self.move_to(group, (&name, at.partition), offset_of(next)?, writer.as_deref_mut())?;
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
        match self.take_shared(&key, partitions, limit) {
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
        let Claimed { key, name, partition, stood } = claimed;
        let moved = match &self.shared {
            None => self.move_to(&key.0, (&name, partition), stood, None),
            Some(prefix) => {
                let mut writer = self.writer(&key, prefix);
                // One that has to begin anew has been overtaken: the group is further on.
                let moved = match writer.has_begun() {
                    true => self.move_to(&key.0, (&name, partition), stood, Some(&mut writer)),
                    false => Err(Error::new(ErrorCode::Fenced, "another process has taken from the group since")),
                };
                self.table.lock().writers.push((key.clone(), writer));
                moved
            }
        };
        self.free(&key);
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
