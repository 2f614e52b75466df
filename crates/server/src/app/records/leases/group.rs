// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The groups that acknowledge: found, made, forgotten with their topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use fnstream_core::acks::{AckWrite, Acknowledged};
use fnstream_core::error::internal;
use fnstream_core::record::Position;
use fnstream_core::topic::Topic;
use fnstream_core::topics::{TopicInfo, Topics};
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::deliveries::Deliveries;
use super::settle::Pending;
use crate::app::ops::blocking;
use crate::app::records::Records;

/// The most groups that acknowledge, so that what they take and what is told of them is bounded.
const MOST_GROUPS: usize = 1_000;

/// The most partitions of all of them.
const MOST_PARTITIONS: usize = 50_000;

/// A group of a topic.
pub(super) struct Group {
    pub(super) topic: Topic,
    /// Which of the topics that have had this name.
    pub(super) incarnation: u64,
    pub(super) name: String,
    pub(super) state: Mutex<State>,
    /// Takes go one after the other.
    pub(super) taking: tokio::sync::Mutex<()>,
    /// So do writes. Those who come meanwhile wait in the queue and are written together.
    pub(super) writing: tokio::sync::Mutex<()>,
    pub(super) queue: Mutex<Vec<Pending>>,
    /// Something may be given that could not be given before.
    pub(super) changed: Notify,
    pub(super) counts: Counts,
}

/// What is known of a group.
pub(super) struct State {
    /// Of partitions that come later, too.
    pub(super) era: u64,
    pub(super) partitions: BTreeMap<u32, Deliveries>,
    /// What is durable.
    pub(super) durable: BTreeMap<u32, Acknowledged>,
    /// What retention dropped and no consumer was told yet.
    pub(super) skipped: Vec<Skipped>,
    /// Below these positions what was dropped is counted.
    dropped_below: BTreeMap<u32, Position>,
    /// Something may be given that could not be given before the changes that are being written.
    pub(super) frees: bool,
    /// Nobody finds it any more.
    pub(super) is_deleted: bool,
}

/// Records of a partition that retention dropped before the group had acknowledged them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) partition: u32,
    /// Where the group stood.
    pub(crate) from: Position,
    /// How many.
    pub(crate) records: u64,
}

/// What happened in a group since the start of the server.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) delivered: AtomicU64,
    pub(super) delivered_again: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) dead_letters: AtomicU64,
}

/// How a group fares, for monitoring.
#[derive(Debug, Clone)]
pub(crate) struct GroupSample {
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) lag: u64,
    pub(crate) leased: u64,
    pub(crate) returned: u64,
    pub(crate) delivered: u64,
    pub(crate) delivered_again: u64,
    pub(crate) acknowledged: u64,
    pub(crate) dead_letters: u64,
}

/// All groups by topic and name.
#[derive(Default)]
pub(super) struct Table(Mutex<BTreeMap<(Topic, String), Arc<Group>>>);

impl Table {
    fn find(&self, topic: &Topic, name: &str) -> Option<Arc<Group>> {
        self.0.lock().get(&(topic.clone(), name.to_owned())).cloned()
    }

    pub(super) fn remove(&self, group: &Arc<Group>) {
        let mut table = self.0.lock();
        let key = (group.topic.clone(), group.name.clone());
        if table.get(&key).is_some_and(|found| Arc::ptr_eq(found, group)) {
            table.remove(&key);
        }
        drop(table);
        group.state.lock().is_deleted = true;
        group.changed.notify_waiters();
    }

    pub(super) fn all(&self) -> Vec<Arc<Group>> {
        self.0.lock().values().cloned().collect()
    }
}

impl Records {
    /// The groups that there are.
    pub(super) async fn table(&self) -> Result<Arc<Table>> {
        let load = || async {
            let Some(acks) = self.leases.acks.clone() else { return Ok(Arc::default()) };
            let clock = self.clock.clone();
            blocking(move || {
                let (now, unix_ms) = (clock.now(), clock.unix_ms());
                let mut table: BTreeMap<_, Group> = BTreeMap::new();
                for of in acks.load()? {
                    let key = (of.topic.clone(), of.group.clone());
                    let era = of.acknowledged.era;
                    let group = table.entry(key).or_insert_with(|| Group::new(of.topic, of.incarnation, of.group, era));
                    let state = group.state.get_mut();
                    // A reset of one partition begins another life there alone.
                    state.era = state.era.max(era);
                    state.put(of.partition, of.acknowledged, now, unix_ms);
                }
                Ok(Arc::new(Table(Mutex::new(table.into_iter().map(|(key, group)| (key, Arc::new(group))).collect()))))
            })
            .await
        };
        self.leases.table.get_or_try_init(load).await.cloned()
    }

    /// The group of this name, if it acknowledges.
    pub(super) async fn acknowledging(&self, topic: &Topic, name: &str) -> Result<Option<Arc<Group>>> {
        let table = self.table().await?;
        let (Some(group), Some(acks)) = (table.find(topic, name), self.leases.acks.clone()) else { return Ok(None) };
        blocking(move || {
            // A topic of the same name may have been made since.
            if acks.incarnation(&group.topic).is_ok_and(|incarnation| incarnation == group.incarnation) {
                return Ok(Some(group));
            }
            table.remove(&group);
            Ok(None)
        })
        .await
    }

    /// Refuses to move the place of a group that acknowledges. Whoever asks holds the group's turn.
    pub(in crate::app::records) async fn check_has_place(&self, topic: &Topic, name: &str) -> Result<()> {
        match self.acknowledging(topic, name).await? {
            None => Ok(()),
            Some(_) => {
                let message = format!("group '{name}' of topic '{topic}' is consumed with acknowledgement");
                Err(Error::new(ErrorCode::GroupAcknowledges, message))
            }
        }
    }

    /// The group of this name, which acknowledges from now on.
    pub(super) async fn made_acknowledging(self: &Arc<Self>, topic: &TopicInfo, name: &str) -> Result<Arc<Group>> {
        if let Some(group) = self.acknowledging(&topic.topic, name).await? {
            return Ok(group);
        }
        let (records, topic, name) = (self.clone(), topic.clone(), name.to_owned());
        // To its end, whoever waits for it: what is durable and what is known here must not differ.
        self.ops
            .detached(|| async move {
                let _turn = records.turns.lock((topic.topic.to_string(), name.clone())).await;
                match records.acknowledging(&topic.topic, &name).await? {
                    Some(group) => Ok(group),
                    None => records.begin(topic, name).await,
                }
            })
            .await
    }

    /// Makes a group one that acknowledges, from its place on, or from the earliest record. The caller has its turn.
    async fn begin(self: &Arc<Self>, topic: TopicInfo, name: String) -> Result<Arc<Group>> {
        let acks = self.leases.acks()?.clone();
        let table = self.table().await?;
        let partitions: usize = table.all().iter().map(|group| group.state.lock().partitions.len()).sum();
        if table.all().len() >= MOST_GROUPS || partitions + topic.partitions.len() > MOST_PARTITIONS {
            let message = format!(
                "there are {} groups with acknowledgement on {partitions} partitions; at most {MOST_GROUPS} on {MOST_PARTITIONS} may be",
                table.all().len()
            );
            return Err(Error::new(ErrorCode::TooManyGroups, message));
        }
        let (groups, of) = (self.topics.clusters.groups(&topic.topic)?, topic.topic.clone());
        let (places, incarnation) = blocking(move || Ok((groups.places(&of)?, acks.incarnation(&of)?))).await?;
        let place = |partition: u32| {
            let place = places.iter().find(|place| place.group == name && place.partition == partition);
            place.map(|place| place.position)
        };
        let from: Vec<_> =
            topic.partitions.iter().map(|of| (of.partition, place(of.partition).unwrap_or(of.earliest))).collect();
        let group = Arc::new(Group::new(topic.topic, incarnation, name, self.new_era(0)));
        self.stand(&group, &from).await?;
        table.0.lock().insert((group.topic.clone(), group.name.clone()), group.clone());
        Ok(group)
    }

    /// The number of a new life of a group, after another one.
    pub(super) fn new_era(&self, after: u64) -> u64 {
        u64::try_from(self.clock.unix_ms()).unwrap_or_default().max(after + 1)
    }

    /// Makes durable that a group has acknowledged all below these positions and nothing else, and has it so.
    pub(super) async fn stand(&self, group: &Arc<Group>, from: &[(u32, Position)]) -> Result<()> {
        let era = group.state.lock().era;
        let stands = |position| Acknowledged { era, committed: position, ..Acknowledged::default() };
        let write = AckWrite {
            group: group.name.clone(),
            acknowledged: from.iter().map(|(partition, position)| (*partition, Some(stands(*position)))).collect(),
            places: from.iter().map(|(partition, _)| (*partition, None)).collect(),
            letters: None,
        };
        self.write_acks(&group.topic, group.incarnation, write).await?;
        let (now, unix_ms) = (self.clock.now(), self.clock.unix_ms());
        let mut state = group.state.lock();
        for (partition, position) in from {
            state.put(*partition, stands(*position), now, unix_ms);
        }
        Ok(())
    }

    /// Writes and waits until it is durable.
    pub(super) async fn write_acks(&self, topic: &Topic, incarnation: u64, write: AckWrite) -> Result<()> {
        let (acks, topic) = (self.leases.acks()?.clone(), topic.clone());
        let (done, durable) = tokio::sync::oneshot::channel();
        blocking(move || {
            acks.write(&topic, incarnation, write, Box::new(move |written| drop(done.send(written))));
            Ok(())
        })
        .await?;
        durable.await.map_err(|_| internal("the store forgot to answer a write of acknowledgements"))?
    }

    /// How all groups fare that acknowledge.
    pub(crate) async fn group_samples(&self) -> Result<Vec<GroupSample>> {
        let (table, topics) = (self.table().await?, self.topics.topics.clone());
        blocking(move || Ok(table.all().iter().filter_map(|group| group.sample(&*topics)).collect())).await
    }
}

impl Group {
    /// How it fares; `None` if its topic is gone.
    fn sample(&self, topics: &dyn Topics) -> Option<GroupSample> {
        let group = self;
        let info = topics.describe(&group.topic).ok()?;
        let state = group.state.lock();
        let lag = info.partitions.iter().map(|of| state.lag(of.partition, of.earliest, of.end)).sum();
        let (leased, returned) = state
            .partitions
            .values()
            .fold((0, 0), |(leased, returned), of| (leased + of.leased() as u64, returned + of.returned() as u64));
        let counts = &group.counts;
        Some(GroupSample {
            topic: group.topic.to_string(),
            group: group.name.clone(),
            lag,
            leased,
            returned,
            delivered: counts.delivered.load(Relaxed),
            delivered_again: counts.delivered_again.load(Relaxed),
            acknowledged: counts.acknowledged.load(Relaxed),
            dead_letters: counts.dead_letters.load(Relaxed),
        })
    }
}

impl State {
    /// Goes on from what is durable.
    pub(super) fn put(&mut self, partition: u32, durable: Acknowledged, now: Duration, unix_ms: i64) {
        let mut deliveries = Deliveries::new(&durable, now, unix_ms);
        if let Some(floor) = self.dropped_below.get(&partition) {
            deliveries.drop_below(*floor);
        }
        self.partitions.insert(partition, deliveries);
        self.durable.insert(partition, durable);
    }

    /// Forgets what retention dropped; the next answer tells it. How many of those records the group had not acknowledged.
    pub(super) fn drop_below(&mut self, partition: u32, floor: Position) -> u64 {
        let dropped = self.partitions.get_mut(&partition).and_then(|deliveries| deliveries.drop_below(floor));
        let Some((from, records)) = dropped else { return 0 };
        self.dropped_below.insert(partition, floor);
        match self.skipped.iter_mut().find(|skipped| skipped.partition == partition) {
            Some(skipped) => skipped.records = skipped.records.saturating_add(records),
            None => self.skipped.push(Skipped { partition, from, records }),
        }
        records
    }

    /// How many records of a partition the group has not acknowledged.
    pub(super) fn lag(&self, partition: u32, earliest: Position, end: Position) -> u64 {
        let deliveries = self.partitions.get(&partition);
        let from = deliveries.map_or(earliest, Deliveries::committed);
        let beyond = deliveries.map_or(0, Deliveries::acked_beyond);
        u64::try_from(end.0.saturating_sub(from.0)).unwrap_or(u64::MAX).saturating_sub(beyond)
    }

    pub(super) fn check(&self, group: &Group) -> Result<()> {
        if self.is_deleted { Err(no_group(&group.topic, &group.name)) } else { Ok(()) }
    }
}

impl Group {
    fn new(topic: Topic, incarnation: u64, name: String, era: u64) -> Self {
        let state = State {
            era,
            partitions: BTreeMap::new(),
            durable: BTreeMap::new(),
            skipped: Vec::new(),
            dropped_below: BTreeMap::new(),
            frees: false,
            is_deleted: false,
        };
        Group {
            topic,
            incarnation,
            name,
            state: Mutex::new(state),
            taking: Default::default(),
            writing: Default::default(),
            queue: Mutex::default(),
            changed: Notify::new(),
            counts: Counts::default(),
        }
    }
}

pub(super) fn no_group(topic: &Topic, name: &str) -> Error {
    Error::new(ErrorCode::GroupNotFound, format!("topic '{topic}' has no group '{name}'"))
}
