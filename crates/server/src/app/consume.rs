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
//! Whoever waits is woken by the append, the deletion of the topic, the shutdown, or its own deadline; nothing is polled.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::check_name;
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_store::TopicInfo;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::App;
use crate::key_locks::KeyGuard;

/// About the most bytes of one answer.
const MAX_BYTES: usize = 8 << 20;

/// What is to be read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The topic; it is made with one partition when it is not there.
    pub topic: String,
    /// Where to read.
    pub start: Start,
    /// Only this partition.
    pub partition: Option<u32>,
    /// At most so many records.
    pub max: usize,
    /// How long to wait; for ever without it.
    pub timeout: Option<Duration>,
}

/// Where reading begins.
#[derive(Debug, Clone)]
pub enum Start {
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
pub enum Outcome {
    /// There were records.
    Delivered(Delivered),
    /// The time ran out. Where reading from a position goes on.
    Nothing(Option<Position>),
}

/// Records of one partition.
#[derive(Debug)]
pub struct Delivered {
    /// At least one record.
    pub batch: Batch,
    /// Where reading goes on.
    pub next: Position,
    /// Where the group stood before records that it had not consumed were dropped.
    pub skipped_from: Option<Position>,
}

impl App {
    /// The next records.
    pub async fn consume(self: &Arc<Self>, mut reading: Reading) -> Result<Outcome> {
        self.check_open()?;
        if let Start::Group(group) = &reading.start {
            check_name("group", group)?;
        }
        reading.topic = self.ensure_topic(&reading.topic).await?;
        let topic = self.store.topic(&reading.topic)?;
        let partitions = partitions(&topic, &reading)?;
        let limit = PollLimit { records: reading.max, bytes: MAX_BYTES };
        match reading.start {
            Start::Group(group) => {
                let group = Group { app: self.clone(), topic: reading.topic, name: group, partitions, limit };
                let delivered = self.wait(&group.partitions.clone(), reading.timeout, || group.next()).await?;
                Ok(delivered.map_or(Outcome::Nothing(None), Outcome::Delivered))
            }
            start => {
                let partition = &partitions[0];
                let at = position(&topic, partition, &start);
                let read = || async { self.read_at(partition, at, limit).await };
                let delivered = self.wait(&partitions, reading.timeout, read).await?;
                Ok(delivered.map_or(Outcome::Nothing(Some(at)), Outcome::Delivered))
            }
        }
    }

    /// Repeats an attempt whenever something was appended, until it gives something or the time is over.
    async fn wait<F>(
        &self,
        partitions: &[TopicPartition],
        timeout: Option<Duration>,
        attempt: impl Fn() -> F,
    ) -> Result<Option<Delivered>>
    where
        F: Future<Output = Result<Option<Delivered>>>,
    {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut counted = None;
        loop {
            // Anew each time: a topic that was deleted and made again has other watchers. Watched before the attempt, so that
            // no append falls between the two; a notification is kept until it is awaited.
            let appended = Arc::new(Notify::new());
            let mut watches = Vec::with_capacity(partitions.len());
            for partition in partitions {
                let appended = appended.clone();
                watches.push(self.store.watch(partition, Waker::new(move || appended.notify_one()))?);
            }
            if let Some(delivered) = attempt().await? {
                return Ok(Some(delivered));
            }
            counted.get_or_insert_with(|| Waiting::begin(self, &partitions[0].topic.name));
            tokio::select! {
                () = appended.notified() => {}
                () = at(deadline) => return Ok(None),
                () = self.closing.cancelled() => self.check_open()?,
            }
        }
    }

    async fn read_at(
        self: &Arc<Self>,
        partition: &TopicPartition,
        from: Position,
        limit: PollLimit,
    ) -> Result<Option<Delivered>> {
        let partition = partition.clone();
        let batch = self.blocking(move |app| app.store.read(&partition, from, limit)).await?;
        Ok(batch.and_then(|batch| Delivered::new(batch, None)))
    }
}

/// A consumer that waits, for as long as this lives.
struct Waiting<'a> {
    app: &'a App,
    topic: Arc<str>,
}

impl<'a> Waiting<'a> {
    fn begin(app: &'a App, topic: &Arc<str>) -> Self {
        *app.waiting.lock().entry(topic.clone()).or_default() += 1;
        Waiting { app, topic: topic.clone() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.app.waiting.lock();
        if let Some(count) = waiting.get_mut(&self.topic) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.topic);
            }
        }
    }
}

/// One group's reading of a topic.
struct Group {
    app: Arc<App>,
    topic: String,
    name: String,
    partitions: Vec<TopicPartition>,
    limit: PollLimit,
}

impl Group {
    /// The next records of the group; nobody else of the group gets them.
    async fn next(&self) -> Result<Option<Delivered>> {
        let guard = self.app.groups.lock((self.topic.clone(), self.name.clone())).await;
        let (name, partitions, limit) = (self.name.clone(), self.partitions.clone(), self.limit);
        let taken = self.app.blocking(move |app| take(app, name, &partitions, limit, guard)).await?;
        Ok(taken.and_then(Taken::accept))
    }
}

/// Records whose cursor has been moved, but which the consumer does not have yet. When it goes away before it takes
/// them, they are put back: the drop of this may come anywhere, with the request's future or with the thread that took
/// them for nobody.
struct Taken {
    app: Arc<App>,
    group: String,
    before: Position,
    delivered: Option<Delivered>,
    /// Nobody else of the group reads until it is known whether the records are given or put back.
    guard: Option<KeyGuard<(String, String)>>,
}

impl Taken {
    fn accept(mut self) -> Option<Delivered> {
        self.delivered.take()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(delivered) = self.delivered.take() else { return };
        let (app, group, before) = (self.app.clone(), std::mem::take(&mut self.group), self.before);
        let guard = self.guard.take();
        let put_back = move || {
            let _until_done = guard;
            if let Err(error) = app.store.set_cursor(&group, delivered.batch.from(), before) {
                tracing::warn!(code = %error.code, error = error.message, group, "records of a consumer that went away were lost to its group");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(put_back)),
            Err(_) => put_back(),
        }
    }
}

/// Takes the next records of a group and moves its cursor. Blocks.
fn take(
    app: &Arc<App>,
    group: String,
    partitions: &[TopicPartition],
    limit: PollLimit,
    guard: KeyGuard<(String, String)>,
) -> Result<Option<Taken>> {
    let first = app.turn.fetch_add(1, Ordering::Relaxed) as usize;
    for i in 0..partitions.len() {
        let partition = &partitions[(first.wrapping_add(i)) % partitions.len()];
        let mut at = match app.store.cursor(&group, partition)? {
            Some(position) => position,
            None => earliest(app, partition)?,
        };
        let mut skipped_from = None;
        let read = match app.store.read(partition, at, limit) {
            Err(error) if error.code == ErrorCode::PositionDropped => {
                skipped_from = Some(at);
                at = earliest(app, partition)?;
                app.store.read(partition, at, limit)
            }
            read => read,
        };
        if let Some(delivered) = read?.and_then(|batch| Delivered::new(batch, skipped_from)) {
            app.store.set_cursor(&group, partition, delivered.next)?;
            return Ok(Some(Taken {
                app: app.clone(),
                group,
                before: at,
                delivered: Some(delivered),
                guard: Some(guard),
            }));
        }
    }
    Ok(None)
}

impl Delivered {
    fn new(batch: Batch, skipped_from: Option<Position>) -> Option<Self> {
        batch.end().map(|next| Delivered { next, batch, skipped_from })
    }
}

fn earliest(app: &App, partition: &TopicPartition) -> Result<Position> {
    let topic = app.store.topic(&partition.topic.name)?;
    topic
        .partitions
        .iter()
        .find(|p| p.partition == partition.partition)
        .map(|p| p.earliest)
        .ok_or_else(|| no_partition(&partition.topic.name, partition.partition))
}

/// The partitions to read. From a position it is one, which must be named when there are several: positions of different
/// partitions are not comparable.
fn partitions(topic: &TopicInfo, reading: &Reading) -> Result<Vec<TopicPartition>> {
    let name = Topic::own(topic.name.as_str());
    let all = || topic.partitions.iter().map(|p| TopicPartition::new(name.clone(), p.partition)).collect::<Vec<_>>();
    match reading.partition {
        Some(wanted) => all()
            .into_iter()
            .find(|p| p.partition == wanted)
            .map(|p| vec![p])
            .ok_or_else(|| no_partition(&name.name, wanted)),
        None if matches!(reading.start, Start::Group(_)) || topic.partitions.len() == 1 => Ok(all()),
        None => Err(Error::new(
            ErrorCode::InvalidRequest,
            format!(
                "topic '{name}' has {} partitions: reading from a position needs 'partition'",
                topic.partitions.len()
            ),
        )),
    }
}

fn no_partition(topic: &str, partition: u32) -> Error {
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

/// Waits until a moment; for ever without one.
pub(super) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
