// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The broker as clients see it that produce and consume: topics with their records, and groups of consumers.

use std::collections::BTreeMap;

use bytes::Bytes;
use fnstream_frame::Frame;

use super::producers::Known;
use super::{MemBroker, State};
use crate::batch::Batch;
use crate::broker::{PollLimit, TaskInput};
use crate::error::{Error, ErrorCode, Result};
use crate::groups::{Claim, GroupPlace, Groups, Taken, Taking};
use crate::record::{Position, TopicPartition, partition_for_key};
use crate::topic::Topic;
use crate::topics::{
    Ahead, AppendDone, Appended, PartitionInfo, Retention, TopicChange, TopicInfo, Topics, Watch, check_partitions,
    read_on,
};
use crate::waker::Waker;

/// What is known of clients.
#[derive(Default)]
pub(super) struct Clients {
    retention: BTreeMap<Topic, Retention>,
    watchers: BTreeMap<u64, (TopicPartition, Waker)>,
    places: BTreeMap<(Topic, u32, String), Position>,
    claims: BTreeMap<(Topic, String), Open>,
    pub(super) producers: Known,
    /// Counts watchers, claims and keyless appends.
    count: u64,
}

/// A claim that is open.
struct Open {
    claim: Claim,
    process: u32,
    at: TopicPartition,
    before: Position,
    /// Who was refused meanwhile.
    refused: Vec<Waker>,
}

impl Clients {
    pub(super) fn watchers<'a>(&'a self, at: &'a TopicPartition) -> impl Iterator<Item = Waker> + 'a {
        self.watchers.values().filter(move |(watched, _)| watched == at).map(|(_, waker)| waker.clone())
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Closes a claim; answers it, if it was open.
    fn close(&mut self, claim: Claim) -> Option<Open> {
        let key = self.claims.iter().find(|(_, open)| open.claim == claim).map(|(key, _)| key.clone())?;
        self.claims.remove(&key)
    }
}

impl State {
    fn info(&self, topic: &Topic) -> Result<TopicInfo> {
        let partition = |partition| {
            let found = self.ledger.topics.get(&TopicPartition::new(topic.clone(), partition))?;
            let bytes = found.records.iter().map(|record| record.size() as u64).sum();
            Ok(PartitionInfo { partition, earliest: found.earliest(), end: found.end, bytes: Some(bytes) })
        };
        let partitions = (0..self.ledger.topics.partitions(topic)?).map(partition).collect::<Result<_>>()?;
        let retention = self.clients.retention.get(topic).copied().unwrap_or_default();
        Ok(TopicInfo { topic: topic.clone(), partitions, retention, created_ms: Some(0) })
    }

    pub(super) fn append(&mut self, topic: &Topic, partition: Option<u32>, frame: &Bytes) -> Result<Appended> {
        let partitions = self.ledger.topics.partitions(topic)?;
        if let Some(partition) = partition {
            self.ledger.topics.get(&TopicPartition::new(topic.clone(), partition))?;
        }
        let malformed = |e| Error::new(ErrorCode::InvalidRequest, format!("records to append: {e}"));
        let frame = Frame::parse(frame).map_err(malformed)?;
        let keyless = (self.clients.next() % u64::from(partitions)) as u32;
        let mut appended: BTreeMap<u32, (Position, u32)> = BTreeMap::new();
        for record in frame.iter() {
            let by_key = || record.key.map_or(keyless, |key| partition_for_key(key, partitions));
            let number = partition.unwrap_or_else(by_key);
            let at = TopicPartition::new(topic.clone(), number);
            let position = self.ledger.topics.get_mut(&at)?.append(record);
            appended.entry(number).or_insert((position, 0)).1 += 1;
        }
        for number in appended.keys() {
            let at = TopicPartition::new(topic.clone(), *number);
            self.ledger.topics.end_transaction(&at, 0)?;
            self.ledger.appended.insert(at);
        }
        Ok(appended.into_iter().map(|(number, (first, count))| (number, first, count)).collect())
    }

    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        let input = TaskInput { group: 0, partition: partition.clone() };
        let found = self.ledger.topics.get(partition)?;
        found.check(partition, from)?;
        found.read(&input, from..found.end, limit)
    }
}

impl Topics for MemBroker {
    fn create(&self, topic: &Topic, partitions: u32, retention: Retention) -> Result<()> {
        check_partitions(partitions)?;
        let mut state = self.shared.state.lock();
        if !state.ledger.topics.create(topic, partitions) {
            return Err(Error::new(ErrorCode::TopicExists, format!("topic '{topic}' exists")));
        }
        state.clients.retention.insert(topic.clone(), retention);
        Ok(())
    }

    fn list(&self) -> Result<Vec<TopicInfo>> {
        let state = self.shared.state.lock();
        state.ledger.topics.names().map(|topic| state.info(topic)).collect()
    }

    fn page(&self, after: Option<&Topic>, limit: usize) -> Result<Vec<Topic>> {
        let state = self.shared.state.lock();
        let names = state.ledger.topics.names();
        Ok(names.filter(|topic| after.is_none_or(|after| *topic > after)).take(limit).cloned().collect())
    }

    fn describe(&self, topic: &Topic) -> Result<TopicInfo> {
        self.shared.state.lock().info(topic)
    }

    fn alter(&self, topic: &Topic, change: TopicChange) -> Result<()> {
        let mut state = self.shared.state.lock();
        let partitions = change.partitions(topic, state.ledger.topics.partitions(topic)?)?;
        state.ledger.topics.grow(topic, partitions);
        let retention = state.clients.retention.entry(topic.clone()).or_default();
        *retention = change.retention(*retention);
        Ok(())
    }

    fn delete(&self, topic: &Topic) -> Result<()> {
        let woken: Vec<_> = {
            let mut state = self.shared.state.lock();
            state.ledger.topics.partitions(topic)?;
            state.ledger.topics.remove(topic);
            let clients = &mut state.clients;
            clients.retention.remove(topic);
            clients.places.retain(|(of, ..), _| of != topic);
            clients.producers.retain(|(of, _), _| of != topic);
            let closed: Vec<_> = clients.claims.extract_if(.., |(of, _), _| of == topic).collect();
            let watching = clients.watchers.values().filter(|(at, _)| at.topic == *topic);
            let watching: Vec<_> = watching.map(|(_, waker)| waker.clone()).collect();
            closed.into_iter().flat_map(|(_, open)| open.refused).chain(watching).collect()
        };
        woken.iter().for_each(Waker::wake);
        Ok(())
    }

    fn append(&self, topic: &Topic, partition: Option<u32>, frame: Bytes, done: AppendDone) {
        let appended = self.shared.state.lock().append(topic, partition, &frame);
        self.wake();
        done(appended);
    }

    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        self.shared.state.lock().read(partition, from, limit)
    }

    fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>> {
        let mut state = self.shared.state.lock();
        state.ledger.topics.get(partition)?;
        let number = state.clients.next();
        state.clients.watchers.insert(number, (partition.clone(), waker));
        Ok(Box::new(MemWatch { broker: self.clone(), number }))
    }

    fn look(&self, partition: &TopicPartition, from: Position) -> Result<Ahead> {
        let state = self.shared.state.lock();
        let found = state.ledger.topics.get(partition)?;
        // Without gaps the difference of two positions is a number of records.
        let left = u64::try_from(found.end.0.saturating_sub(from.0)).ok();
        Ok(Ahead { end: found.end, lag: left.filter(|_| !state.ledger.topics.gaps) })
    }
}

struct MemWatch {
    broker: MemBroker,
    number: u64,
}

impl Watch for MemWatch {}

impl Drop for MemWatch {
    fn drop(&mut self) {
        let watcher = self.broker.shared.state.lock().clients.watchers.remove(&self.number);
        drop(watcher);
    }
}

/// The groups of consumers as one process sees them.
pub struct MemGroups {
    broker: MemBroker,
    process: u32,
}

impl MemGroups {
    /// The groups as the process of that number sees them.
    pub fn new(broker: &MemBroker, process: u32) -> Self {
        MemGroups { broker: broker.clone(), process }
    }

    /// Ends the process: its claims are closed, and their records are given.
    pub fn kill(&self) {
        let refused: Vec<_> = {
            let claims = &mut self.broker.shared.state.lock().clients.claims;
            claims.extract_if(.., |_, open| open.process == self.process).flat_map(|(_, open)| open.refused).collect()
        };
        refused.iter().for_each(Waker::wake);
    }
}

impl Groups for MemGroups {
    fn take(&self, group: &str, partitions: &[TopicPartition], limit: PollLimit, free: Waker) -> Result<Taking> {
        let mut state = self.broker.shared.state.lock();
        let Some(topic) = partitions.first().map(|at| at.topic.clone()) else { return Ok(Taking::Nothing) };
        let key = (topic.clone(), group.to_owned());
        if let Some(open) = state.clients.claims.get_mut(&key) {
            open.refused.push(free);
            return Ok(Taking::Busy);
        }
        for at in partitions {
            let earliest = state.ledger.topics.get(at)?.earliest();
            let place = (topic.clone(), at.partition, group.to_owned());
            let before = state.clients.places.get(&place).copied().unwrap_or(earliest);
            let (read, skipped_from) = read_on(before, || Ok(earliest), |from| state.read(at, from, limit))?;
            let Some((batch, next)) = read.and_then(|batch| batch.end().map(|next| (batch, next))) else { continue };
            state.clients.places.insert(place, next);
            let claim = Claim(state.clients.next());
            let open = Open { claim, process: self.process, at: at.clone(), before, refused: Vec::new() };
            state.clients.claims.insert(key, open);
            return Ok(Taking::Taken(Taken { batch, next, skipped_from, claim }));
        }
        Ok(Taking::Nothing)
    }

    fn accept(&self, claim: Claim) {
        let closed = self.broker.shared.state.lock().clients.close(claim);
        closed.into_iter().flat_map(|open| open.refused).for_each(|waker| waker.wake());
    }

    fn put_back(&self, claim: Claim) -> Result<()> {
        let closed = {
            let clients = &mut self.broker.shared.state.lock().clients;
            let closed = clients.claims.iter().find(|(_, open)| open.claim == claim);
            let closed =
                closed.map(|((topic, group), open)| ((topic.clone(), open.at.partition, group.clone()), open.before));
            if let Some((place, before)) = closed {
                clients.places.insert(place, before);
            }
            clients.close(claim)
        };
        closed.into_iter().flat_map(|open| open.refused).for_each(|waker| waker.wake());
        Ok(())
    }

    fn places(&self, topic: &Topic) -> Result<Vec<GroupPlace>> {
        let state = self.broker.shared.state.lock();
        state.ledger.topics.partitions(topic)?;
        let places = state.clients.places.iter().filter(|((of, ..), _)| of == topic);
        let place = |((_, partition, group), position): (&(Topic, u32, String), &Position)| GroupPlace {
            group: group.clone(),
            partition: *partition,
            position: *position,
        };
        Ok(places.map(place).collect())
    }
}
