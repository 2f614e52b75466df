// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Taking: records are leased to a consumer, which waits for them if it likes.
//!
//! Records are read before they are leased, so one for which there is no memory is leased to nobody. What was leased for a request
//! that goes away before it has an answer is taken back, and counts as no delivery.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::budget::Held;
use fnstream_core::clock::Clock;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::check_name;
use fnstream_core::topics::{PartitionInfo, TopicInfo, Topics};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::deliveries::Terms;
use super::group::{Group, Skipped};
use super::letters::dead_letter_topic;
use super::receipt::Receipt;
use super::settle::lease_message;
use super::{LEASES, check_acks};
use crate::app::ops::blocking;
use crate::app::records::memory::{Allowance, Measured};
use crate::app::records::{Records, at, consume};

/// The most records of one take.
const MOST_RECORDS: usize = 10_000;

/// The most time that a take waits.
const MOST_WAIT: Duration = Duration::from_secs(3600);

/// What is to be taken.
#[derive(Debug, Clone)]
pub(crate) struct Taking {
    /// The topic; it is made with one partition when it is not there.
    pub(crate) topic: String,
    pub(crate) group: String,
    /// Only from this partition.
    pub(crate) partition: Option<u32>,
    /// At most so many records.
    pub(crate) records: usize,
    /// About so many bytes; one record may have more.
    pub(crate) bytes: usize,
    /// How long to wait for the first.
    pub(crate) wait: Duration,
    /// How long they are the consumer's.
    pub(crate) lease: Duration,
    /// A record that was delivered so often is a dead letter.
    pub(crate) max_deliveries: Option<u32>,
}

impl Taking {
    /// The time of a lease when nothing is said.
    pub(crate) const LEASE: Duration = Duration::from_secs(30);

    /// About the most bytes of an answer when nothing is said.
    pub(crate) const BYTES: usize = 1 << 20;
}

/// What a take gave.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) records: Vec<TakenRecord>,
    /// What retention dropped before the group had acknowledged it, and no answer has told yet.
    pub(crate) skipped: Vec<Skipped>,
    /// The memory that they take.
    pub(crate) memory: Option<Held>,
}

/// A record that is leased.
#[derive(Debug, Clone)]
pub(crate) struct TakenRecord {
    /// The records among which it is, and which of them.
    pub(crate) batch: Arc<Batch>,
    pub(crate) index: usize,
    pub(crate) receipt: String,
    /// How often it was delivered, this time included.
    pub(crate) deliveries: u32,
}

/// How an attempt ended.
enum Attempt {
    Taken(Taken),
    Nothing,
    /// The next record needs so many bytes.
    TooLarge(usize),
}

impl Records {
    /// Leases the next records to a consumer; none if none came in time.
    pub(crate) async fn take(self: &Arc<Self>, taking: Taking) -> Result<Taken> {
        self.ops.check_open()?;
        check(&taking)?;
        check_acks(&self.topics.clusters, &self.named(&taking.topic)?)?;
        let deadline = Instant::now() + taking.wait;
        let Some(topic) = self.topic(&taking.topic, Some(deadline)).await? else {
            return Ok(Taken { records: Vec::new(), skipped: Vec::new(), memory: None });
        };
        let group = self.made_acknowledging(&topic, &taking.group).await?;
        let partitions = consume::named_partitions(&topic, taking.partition)?;
        let (mut counted, mut place, mut needed) = (None, None, None);
        loop {
            // Before the attempt, so that nothing falls between the two.
            let changed = group.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let appended = Arc::new(Notify::new());
            let notified = appended.clone();
            let _watches = self.watch(&partitions, Waker::new(move || notified.notify_one())).await?;
            let allowance = match needed.take() {
                Some(bytes) => self.memory.allowance_of(bytes).await?,
                None => self.memory.allowance().await?,
            };
            match self.attempt(&group, &taking, allowance).await? {
                Attempt::Taken(taken) => return Ok(taken),
                Attempt::TooLarge(bytes) => {
                    needed = Some(bytes);
                    continue;
                }
                Attempt::Nothing if Instant::now() >= deadline => break,
                Attempt::Nothing => {
                    counted.get_or_insert_with(|| self.waiting.begin(&topic.topic));
                }
            }
            if place.is_none() {
                place = Some(self.room.enter()?);
            }
            let by_itself = self.changes_by_itself(&group);
            tokio::select! {
                () = appended.notified() => {}
                () = &mut changed => {}
                () = at(by_itself) => {}
                () = at(Some(deadline)) => break,
                () = self.ops.closing().cancelled() => self.ops.check_open()?,
            }
        }
        let skipped = std::mem::take(&mut group.state.lock().skipped);
        Ok(Taken { records: Vec::new(), skipped, memory: None })
    }

    /// When a lease or a delay ends.
    fn changes_by_itself(&self, group: &Group) -> Option<Instant> {
        let now = self.clock.now();
        let state = group.state.lock();
        let next = state.partitions.values().filter_map(|deliveries| deliveries.changes_at(now)).min()?;
        Instant::now().checked_add(next.saturating_sub(now).max(Duration::from_millis(1)))
    }

    async fn attempt(self: &Arc<Self>, group: &Arc<Group>, taking: &Taking, allowance: Allowance) -> Result<Attempt> {
        self.bury_spent(group, taking.max_deliveries).await?;
        let one_by_one = group.taking.lock().await;
        let (topics, records, group, taking) =
            (self.topics.topics.clone(), self.clone(), group.clone(), taking.clone());
        let attempt = blocking(move || {
            let info = topics.describe(&group.topic)?;
            group.state.lock().check(&group)?;
            let mut lease =
                Leasing { topics: &*topics, records: &records, group: &group, taking: &taking, given: Vec::new() };
            let read = lease.read(&info, &allowance)?;
            let bytes = read.iter().map(|batch| batch.bytes().len()).sum();
            if read.is_empty() {
                return Ok(Leased::Nothing);
            }
            let memory = match allowance.measure_bytes(bytes) {
                Measured::Fits(memory) => memory,
                Measured::TooLarge(bytes) => return Ok(Leased::TooLarge(bytes)),
            };
            lease.lease(read);
            let given = lease.given;
            if given.is_empty() {
                return Ok(Leased::Nothing);
            }
            Ok(Leased::Given(Unsent {
                group: group.clone(),
                clock: records.clock.clone(),
                given,
                memory: Some(memory),
            }))
        })
        .await;
        drop(one_by_one);
        Ok(match attempt? {
            Leased::Given(unsent) => Attempt::Taken(unsent.send()),
            Leased::Nothing => Attempt::Nothing,
            Leased::TooLarge(bytes) => Attempt::TooLarge(bytes),
        })
    }
}

/// What a thread found, which may have nobody left to tell.
enum Leased {
    Given(Unsent),
    Nothing,
    TooLarge(usize),
}

/// Records that are leased to a consumer that does not have them yet. If it goes away they are taken back.
struct Unsent {
    group: Arc<Group>,
    clock: Arc<dyn Clock>,
    given: Vec<(TakenRecord, Receipt)>,
    memory: Option<Held>,
}

impl Unsent {
    fn send(mut self) -> Taken {
        let counts = &self.group.counts;
        counts.delivered.fetch_add(self.given.len() as u64, Relaxed);
        let again = self.given.iter().filter(|(record, _)| record.deliveries > 1).count();
        counts.delivered_again.fetch_add(again as u64, Relaxed);
        let records = std::mem::take(&mut self.given).into_iter().map(|(record, _)| record).collect();
        let skipped = std::mem::take(&mut self.group.state.lock().skipped);
        Taken { records, skipped, memory: self.memory.take() }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if self.given.is_empty() {
            return;
        }
        let now = self.clock.now();
        let mut state = self.group.state.lock();
        for (_, receipt) in &self.given {
            if let Some(deliveries) = state.partitions.get_mut(&receipt.partition) {
                deliveries.release(receipt.position, receipt.lease, now);
            }
        }
        drop(state);
        self.group.changed.notify_waiters();
    }
}

/// How reading a partition ended.
#[derive(PartialEq, Eq)]
enum Reached {
    Read,
    /// Retention dropped what was to be read, and nothing was read.
    Overtaken,
}

/// Reads what may be given, then leases it. Nobody else takes from the group meanwhile; others may settle.
struct Leasing<'a> {
    topics: &'a dyn Topics,
    records: &'a Records,
    group: &'a Group,
    taking: &'a Taking,
    given: Vec<(TakenRecord, Receipt)>,
}

impl Leasing<'_> {
    /// Records of as many partitions as it takes, a different one first each time.
    fn read(&mut self, info: &TopicInfo, allowance: &Allowance) -> Result<Vec<Batch>> {
        let wanted = |of: &&PartitionInfo| self.taking.partition.is_none_or(|wanted| wanted == of.partition);
        let mut partitions: Vec<_> = info.partitions.iter().filter(wanted).collect();
        let first = self.records.turn.fetch_add(1, Relaxed) as usize % partitions.len().max(1);
        partitions.rotate_left(first);
        let mut batches = Vec::new();
        let mut left = PollLimit { records: self.taking.records, bytes: self.taking.bytes.min(allowance.bytes) };
        for of in partitions {
            if left.records == 0 || left.bytes == 0 {
                break;
            }
            let mut of = of.clone();
            // Retention may be faster than the read: what is left then is read.
            while self.read_partition(&of, &mut left, &mut batches)? == Reached::Overtaken {
                let info = self.topics.describe(&self.group.topic)?;
                let Some(now) = info.partitions.into_iter().find(|now| now.partition == of.partition) else { break };
                of = now;
            }
        }
        Ok(batches)
    }

    fn read_partition(&self, of: &PartitionInfo, left: &mut PollLimit, batches: &mut Vec<Batch>) -> Result<Reached> {
        let partition = TopicPartition::new(self.group.topic.clone(), of.partition);
        let read_before = batches.len();
        let (now, unix_ms) = (self.records.clock.now(), self.records.clock.unix_ms());
        let plan = {
            let state = &mut *self.group.state.lock();
            if !state.partitions.contains_key(&of.partition) {
                // The topic has got partitions since the group was made. Durable with the group's next write there.
                let stands =
                    fnstream_core::acks::Acknowledged { era: state.era, committed: of.earliest, ..Default::default() };
                state.put(of.partition, stands, now, unix_ms);
            }
            self.records.meter.dropped_unread(state.drop_below(of.partition, of.earliest));
            let Some(deliveries) = state.partitions.get_mut(&of.partition) else { return Ok(Reached::Read) };
            deliveries.expire(now);
            deliveries.plan(now, self.taking.max_deliveries, left.records)
        };
        let runs = runs(&plan.again).chain((plan.new > 0 && plan.from < of.end).then_some((plan.from, plan.new)));
        for (from, records) in runs {
            let limit = PollLimit { records, bytes: left.bytes };
            let batch = match self.topics.read(&partition, from, limit) {
                Err(error) if error.code == ErrorCode::PositionDropped => {
                    // What was read is given first, and the next take sees it.
                    return Ok(if batches.len() == read_before { Reached::Overtaken } else { Reached::Read });
                }
                read => read?,
            };
            let Some(batch) = batch else { continue };
            // One record may be larger than all that is left, but only the first of all.
            if batch.bytes().len() > left.bytes && !batches.is_empty() {
                left.bytes = 0;
                break;
            }
            left.bytes = left.bytes.saturating_sub(batch.bytes().len());
            left.records = left.records.saturating_sub(batch.len());
            batches.push(batch);
            if left.bytes == 0 {
                break;
            }
        }
        Ok(Reached::Read)
    }

    fn lease(&mut self, batches: Vec<Batch>) {
        let terms = Terms {
            until: self.records.clock.now().saturating_add(self.taking.lease),
            most: self.taking.max_deliveries,
        };
        let mut state = self.group.state.lock();
        for batch in batches {
            let (batch, partition) = (Arc::new(batch.clone()), batch.from().partition);
            let Some(deliveries) = state.partitions.get_mut(&partition) else { continue };
            let era = deliveries.era();
            for index in 0..batch.len() {
                let position = batch.position(index);
                let lease = self.records.leases.next.fetch_add(1, Relaxed);
                let given = match deliveries.lease_again(position, lease, terms, self.records.clock.now()) {
                    None => deliveries.lease_new(position, lease, terms),
                    again => again,
                };
                let Some(count) = given else { continue };
                let receipt = Receipt { era, partition, position, lease };
                let record =
                    TakenRecord { batch: batch.clone(), index, receipt: receipt.to_string(), deliveries: count };
                self.given.push((record, receipt));
            }
        }
    }
}

/// Positions that follow each other, as the first and how many.
fn runs(positions: &[Position]) -> impl Iterator<Item = (Position, usize)> {
    positions.chunk_by(|a, b| a.next() == *b).map(|run| (run[0], run.len()))
}

fn check(taking: &Taking) -> Result<()> {
    check_name("group", &taking.group)?;
    let invalid = |message: String| Err(Error::new(ErrorCode::InvalidRequest, message));
    if !(1..=MOST_RECORDS).contains(&taking.records) {
        return invalid(format!("'max' is {}, not 1 to {MOST_RECORDS}", taking.records));
    }
    if taking.bytes == 0 {
        return invalid("'max_bytes' is 0".to_owned());
    }
    if taking.wait > MOST_WAIT {
        return invalid(format!("'wait' is {:?}, more than {MOST_WAIT:?}", taking.wait));
    }
    if !LEASES.contains(&taking.lease) {
        return invalid(lease_message(taking.lease));
    }
    if taking.max_deliveries == Some(0) {
        return invalid("'max_deliveries' is 0: a record is delivered at least once".to_owned());
    }
    match taking.max_deliveries {
        // Refused now, not when the first record has nowhere to go.
        Some(_) => dead_letter_topic(&taking.topic, &taking.group).map(drop),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_that_follow_each_other_are_read_at_once() {
        let positions: Vec<_> = [1, 2, 3, 7, 9, 10].map(Position).to_vec();
        let runs: Vec<_> = runs(&positions).map(|(first, count)| (first.0, count)).collect();
        assert_eq!(runs, [(1, 3), (7, 1), (9, 2)]);
        assert_eq!(super::runs(&[]).count(), 0);
    }
}
