// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consuming: the next records of a topic, waiting for them when there are none.
//!
//! **For a group** the server keeps the group's place in each partition (a cursor), beginning at the earliest record, so
//! that nothing is missed whichever of produce and consume comes first. A record goes to one consumer of each group. Its
//! cursor is moved durably just before the answer is sent: a record whose answer is lost on the way, or with a crash at
//! that moment, is not delivered again (at most once). A consumer that goes away while it waits takes nothing with it.
//! When retention dropped records that the group had not consumed, the delivery says where the group stood.
//!
//! **From a position** nothing is kept: the answer says where to go on, and the consumer decides when it has consumed.
//! That is the way to exactly-once.
//!
//! What is given is read only when there is memory for it (`memory`), which is held until the answer is sent.
//!
//! Whoever waits is woken by the append, the deletion of the topic, the shutdown, or its own deadline; nothing is polled.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::budget::Held;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::check_name;
use fnstream_core::topic::Topic;
use fnstream_core::topics::{TopicInfo, read_on};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::RecordView;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::group::Group;
use super::memory::{Allowance, Measured};
use super::{Records, at};
use crate::app::ops::blocking;
use crate::app::places::earliest;

/// How often a topic of a broker is looked for that is not there.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// The topic; it is made with one partition when it is not there.
    pub(crate) topic: String,
    /// Where to read.
    pub(crate) start: Start,
    /// Only this partition.
    pub(crate) partition: Option<u32>,
    /// At most so many records.
    pub(crate) max: usize,
    /// How long to wait; for ever without it.
    pub(crate) timeout: Option<Duration>,
    /// Whether the first record can be given: one that cannot moves no group's place.
    pub(crate) check: fn(&RecordView<'_>) -> Result<()>,
}

/// Where reading begins.
#[derive(Debug, Clone)]
pub(crate) enum Start {
    /// Where the group stands; its place moves.
    Group(String),
    /// At the oldest record.
    Earliest,
    /// At the next record that comes.
    Latest,
    /// At a position.
    At(Position),
}

/// How reading ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// There were records.
    Delivered(Delivered),
    /// The time ran out. Where reading from a position goes on.
    Nothing(Option<Position>),
}

/// Records of one partition.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// At least one record.
    pub(crate) batch: Batch,
    /// Where reading goes on.
    pub(crate) next: Position,
    /// Where the group stood before records that it had not consumed were dropped.
    pub(crate) skipped_from: Option<Position>,
    /// The memory that they take.
    pub(crate) memory: Held,
}

/// How an attempt to read ended.
pub(super) enum Attempt {
    Delivered(Delivered),
    Nothing,
    /// Somebody else of the group, in another process, has records that are not given yet.
    Busy,
    /// The next records need so many bytes, which the attempt was not allowed.
    TooLarge(usize),
}

impl Records {
    /// The next records.
    pub(crate) async fn consume(self: &Arc<Self>, reading: Reading) -> Result<Outcome> {
        self.ops.check_open()?;
        if let Start::Group(group) = &reading.start {
            check_name("group", group)?;
        }
        let deadline = reading.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let Some(topic) = self.topic(&reading.topic, deadline).await? else {
            return Ok(Outcome::Nothing(match reading.start {
                Start::Group(_) => None,
                Start::At(position) => Some(position),
                Start::Earliest | Start::Latest => Some(Position::START),
            }));
        };
        let partitions = partitions(&topic, &reading)?;
        let timeout = reading
            .timeout
            .map(|_| deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now())));
        let (most, check) = (reading.max, reading.check);
        match reading.start {
            Start::Group(name) => {
                let group = Group { records: self.clone(), topic: topic.topic, name, partitions, most, check };
                let delivered = self
                    .wait(&group.partitions.clone(), timeout, |free, allowance| group.next(free, allowance))
                    .await?;
                if let Some(Delivered { batch, skipped_from: Some(stood), .. }) = &delivered {
                    let missed = batch.position(0).0.saturating_sub(stood.0);
                    self.meter.dropped_unread(u64::try_from(missed).unwrap_or(u64::MAX));
                }
                Ok(delivered.map_or(Outcome::Nothing(None), Outcome::Delivered))
            }
            start => {
                let partition = &partitions[0];
                let at = position(&topic, partition, &start);
                let read = |_, allowance| async { self.read_at(partition, (at, &start), most, allowance).await };
                let delivered = self.wait(&partitions, timeout, read).await?;
                delivered.iter().try_for_each(|delivered| check(&delivered.batch.frame().record(0)))?;
                Ok(delivered.map_or(Outcome::Nothing(Some(at)), Outcome::Delivered))
            }
        }
    }

    /// What a topic is. One that is not there is waited for: it is made by who writes to it. None if it is not made in time.
    pub(super) async fn topic(&self, text: &str, deadline: Option<Instant>) -> Result<Option<TopicInfo>> {
        let name = self.named(text)?;
        let expecting = self.topics.expect(&name);
        let (mut counted, mut place) = (None, None);
        loop {
            // Before it is looked up, so that no creation falls between the two.
            let made = expecting.made();
            let (topics, wanted) = (self.topics.topics.clone(), name.clone());
            match blocking(move || topics.describe(&wanted)).await {
                Err(error) if error.code == ErrorCode::TopicNotFound && name.cluster.is_own() => {}
                there => return there.map(Some),
            }
            self.topics.check_client(&name)?;
            counted.get_or_insert_with(|| self.waiting.begin(&name));
            if place.is_none() && deadline.is_none_or(|end| Instant::now() < end) {
                place = Some(self.room.enter()?);
            }
            // Nobody tells this server of a topic that is made in a broker, or by another process.
            let again = (!self.topics.clusters.is_embedded(&name)).then(|| Instant::now() + AGAIN);
            tokio::select! {
                () = made => {}
                () = at(again), if again.is_some() => {}
                () = at(deadline) => return Ok(None),
                () = self.ops.closing().cancelled() => self.ops.check_open()?,
            }
        }
    }

    /// Repeats an attempt whenever something was appended, until it gives something or the time is over.
    async fn wait<F>(
        &self,
        partitions: &[TopicPartition],
        timeout: Option<Duration>,
        attempt: impl Fn(Waker, Allowance) -> F,
    ) -> Result<Option<Delivered>>
    where
        F: Future<Output = Result<Attempt>>,
    {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (mut counted, mut place) = (None, None);
        let mut needed = None;
        loop {
            // Anew each time: a topic that was deleted and made again has other watchers. Watched before the attempt, so that
            // no append falls between the two; a notification is kept until it is awaited.
            let appended = Arc::new(Notify::new());
            let waker = || {
                let appended = appended.clone();
                Waker::new(move || appended.notify_one())
            };
            let _watches = self.watch(partitions, waker()).await?;
            let allowance = match needed.take() {
                Some(bytes) => self.memory.allowance_of(bytes).await?,
                None => self.memory.allowance().await?,
            };
            match attempt(waker(), allowance).await? {
                Attempt::Delivered(delivered) => return Ok(Some(delivered)),
                Attempt::Nothing => {
                    counted.get_or_insert_with(|| self.waiting.begin(&partitions[0].topic));
                }
                Attempt::Busy => {}
                Attempt::TooLarge(bytes) => {
                    needed = Some(bytes);
                    continue;
                }
            }
            if place.is_none() && timeout != Some(Duration::ZERO) {
                place = Some(self.room.enter()?);
            }
            tokio::select! {
                () = appended.notified() => {}
                () = at(deadline) => return Ok(None),
                () = self.ops.closing().cancelled() => self.ops.check_open()?,
            }
        }
    }

    /// Reads from a position. Who asked for none goes on when retention drops what it waits for, and is told where it stood if it
    /// asked for what comes next.
    async fn read_at(
        &self,
        partition: &TopicPartition,
        (from, start): (Position, &Start),
        most: usize,
        allowance: Allowance,
    ) -> Result<Attempt> {
        let (topics, partition) = (self.topics.topics.clone(), partition.clone());
        let (is_named, is_told) = (matches!(start, Start::At(_)), matches!(start, Start::Latest));
        blocking(move || {
            let limit = PollLimit { records: most, bytes: allowance.bytes };
            let read = |from| topics.read(&partition, from, limit);
            let (batch, stood) = match is_named {
                true => (read(from)?, None),
                false => read_on(from, || earliest(&*topics, &partition), read)?,
            };
            let Some(batch) = batch else { return Ok(Attempt::Nothing) };
            let Some(next) = batch.end() else { return Ok(Attempt::Nothing) };
            Ok(match allowance.measure(&batch) {
                Measured::Fits(memory) => {
                    let skipped_from = stood.filter(|_| is_told);
                    Attempt::Delivered(Delivered { batch, next, skipped_from, memory })
                }
                Measured::TooLarge(bytes) => Attempt::TooLarge(bytes),
            })
        })
        .await
    }
}

/// The partitions to read. From a position it is one, which must be named when there are several: positions of different
/// partitions are not comparable.
fn partitions(topic: &TopicInfo, reading: &Reading) -> Result<Vec<TopicPartition>> {
    let name = &topic.topic;
    match reading.partition {
        Some(_) => named_partitions(topic, reading.partition),
        None if matches!(reading.start, Start::Group(_)) || topic.partitions.len() == 1 => {
            named_partitions(topic, None)
        }
        None => Err(Error::new(
            ErrorCode::PartitionNeeded,
            format!(
                "topic '{name}' has {} partitions: reading from a position needs one of them",
                topic.partitions.len()
            ),
        )),
    }
}

/// That partition, or all.
pub(super) fn named_partitions(topic: &TopicInfo, wanted: Option<u32>) -> Result<Vec<TopicPartition>> {
    let name = &topic.topic;
    let numbers =
        topic.partitions.iter().map(|p| p.partition).filter(|number| wanted.is_none_or(|wanted| wanted == *number));
    let named: Vec<_> = numbers.map(|number| TopicPartition::new(name.clone(), number)).collect();
    match wanted {
        Some(wanted) if named.is_empty() => Err(no_partition(name, wanted)),
        _ => Ok(named),
    }
}

fn no_partition(topic: &Topic, partition: u32) -> Error {
    Error::new(ErrorCode::PartitionNotFound, format!("topic '{topic}' has no partition {partition}"))
}

fn position(topic: &TopicInfo, partition: &TopicPartition, start: &Start) -> Position {
    let info = topic.partitions.iter().find(|p| p.partition == partition.partition);
    match start {
        Start::At(position) => *position,
        Start::Latest => info.map_or(Position::START, |p| p.end),
        Start::Earliest | Start::Group(_) => info.map_or(Position::START, |p| p.earliest),
    }
}
