// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Who runs which task, and the records of tasks' inputs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fnstream_core::broker::{Assignment, AssignmentListener, Broker, Membership, Source, Subscription};
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};

use super::{Function, Kafka, Reading, Shared};
use crate::admin::POLICY;
use crate::delta_log::Entry;
use crate::feed::{Feed, out_of_range};
use crate::lane::Lane;
use crate::properties::Properties;
use crate::ring::Ring;
use crate::source::{KafkaSource, offset_of, position_of};
use crate::state;
use crate::watermarks::{self, Marks};

/// What the topic of delta logs has to be set to: nothing in it is dropped but by us.
const LOG_SETTINGS: [(&str, &str); 3] = [(POLICY, "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

impl Broker for Kafka {
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>> {
        static MEMBERS: AtomicU64 = AtomicU64::new(1);
        let shared = &self.shared;
        let id = subscription.function;
        let tasks = subscription.tasks(|topic| self.partitions(topic))?;
        let count = tasks.keys().next_back().map_or(1, |last| last + 1);
        let log = Function::internal(&shared.options, id, &subscription.name, "log");
        shared.have(&log, count, &LOG_SETTINGS)?;
        let state = Function::internal(&shared.options, id, &subscription.name, "state");
        shared.have(&state, count, &state::SETTINGS)?;
        shared.marks()?;
        let reading = Arc::new(Reading::new(&shared.options, &subscription.name, &subscription.groups, true));
        let tasks = tasks.into_iter().map(|(index, inputs)| (TaskId::new(id, index), inputs)).collect();
        let member = MEMBERS.fetch_add(1, Ordering::Relaxed);
        let function = Arc::new(Function { log, state, reading, tasks, listener, member });
        match shared.share() {
            Some(share) => {
                shared.functions.lock().insert(id, function.clone());
                share.want(&function.log);
            }
            None => {
                let lease = self.lanes[0].note(&function.log, 0, Entry::Join.encode()?)? as u64 + 1;
                shared.functions.lock().insert(id, function.clone());
                shared.assign(&function, lease, |_| true);
            }
        }
        Ok(Box::new(Member { shared: shared.clone(), id, member }))
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        let shared = &self.shared;
        let reading = shared.reading(assignment.task.function);
        // How each topic is read, and what of it.
        let mut by_properties: HashMap<Properties, Vec<(Arc<Ring>, i64)>> = HashMap::new();
        for input in &assignment.inputs {
            let at = &input.partition;
            let properties = shared.properties_of(reading.as_deref(), &at.topic)?;
            let name = (shared.name(&at.topic)?, at.partition as i32);
            let begin = shared.offset_at(&name, at, from.get(at))?;
            let ring = Arc::new(Ring::new(name, at.clone(), input.group, begin, waker.clone()));
            by_properties.entry(properties).or_default().push((ring, begin));
        }
        let marks = shared.marks()?;
        let mut parts = Vec::new();
        for (properties, rings) in by_properties {
            let feed = shared.feed(&properties, &rings)?;
            let rings = rings.into_iter().map(|(ring, _)| ring).collect();
            let (marks, shared) = (marks.clone(), shared.clone());
            parts.push(KafkaSource::new(feed, rings, marks, waker.clone(), move || shared.tidy_feeds()));
        }
        Ok(crate::source::join(parts))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32> {
        let name = self.shared.options.writable(topic)?;
        match self.shared.admin.describe(&name)? {
            Some(layout) => Ok(layout.partitions),
            None => Err(Error::new(ErrorCode::TopicNotFound, format!("Kafka has no topic '{name}'"))),
        }
    }

    fn max_record_bytes(&self, topic: &Topic) -> Option<usize> {
        self.shared.max_record_bytes(&self.shared.name(topic).ok()?)
    }

    fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
        Ok(position_of(self.bounds(partition)?.0))
    }

    fn latest(&self, partition: &TopicPartition) -> Result<Position> {
        Ok(position_of(self.bounds(partition)?.1))
    }

    fn begin(&self, assignment: &Assignment, known: &Positions) -> Result<Positions> {
        let shared = &self.shared;
        let reading = shared.reading(assignment.task.function);
        let offsets = match &reading {
            Some(reading) => shared.offsets(reading, assignment)?,
            None => HashMap::new(),
        };
        let mut positions = Positions::new();
        for at in assignment.inputs.iter().map(|input| &input.partition) {
            if let Some(position) = shared.begin(reading.as_deref(), at, known.get(at).copied(), &offsets)? {
                positions.insert(at.clone(), position);
            }
        }
        Ok(positions)
    }
}

impl Kafka {
    /// The oldest offset of a partition and its end.
    fn bounds(&self, partition: &TopicPartition) -> Result<(i64, i64)> {
        let name = self.shared.name(&partition.topic)?;
        let count = self.partitions(&partition.topic)?;
        if partition.partition >= count {
            let message =
                format!("topic '{name}' has {count} partitions, and none of the number {}", partition.partition);
            return Err(Error::new(ErrorCode::PartitionNotFound, message));
        }
        self.shared.admin.bounds(&name, partition.partition)
    }
}

/// Stays in the group of a function.
struct Member {
    shared: Arc<Shared>,
    id: FunctionId,
    member: u64,
}

impl Membership for Member {}

impl Drop for Member {
    fn drop(&mut self) {
        let mut functions = self.shared.functions.lock();
        let left = functions.get(&self.id).filter(|function| function.member == self.member).cloned();
        if left.is_some() {
            functions.remove(&self.id);
        }
        drop(functions);
        if let (Some(function), Some(share)) = (left, self.shared.share()) {
            share.leave(&function.log);
        }
    }
}

impl Shared {
    /// Tells a function which of its tasks this process runs.
    pub(crate) fn assign(&self, function: &Function, lease: u64, which: impl Fn(TaskId) -> bool) {
        for (task, inputs) in function.tasks.iter().filter(|(task, _)| which(*task)) {
            self.owners.lock().entry(*task).or_default().lease = lease;
            function.listener.assigned(Assignment { task: *task, lease, inputs: inputs.clone() });
        }
    }

    /// This process may commit nothing of a task any more.
    pub(super) fn disown(&self, task: TaskId) {
        self.owners.lock().entry(task).or_default().generation = None;
    }

    /// Somebody else has taken over what a lane commits: its tasks are lost, and fall to this process again.
    pub(crate) fn lose(&self, lane: &dyn Fn(TaskId) -> bool) -> Vec<Arc<Function>> {
        let functions: Vec<_> = self.functions.lock().values().cloned().collect();
        for function in &functions {
            for (task, _) in function.tasks.iter().filter(|(task, _)| lane(*task)) {
                self.owners.lock().entry(*task).or_default().generation = None;
                function.listener.lost(*task);
            }
        }
        functions
    }

    /// Makes an internal topic, or looks whether it is as it has to be.
    fn have(&self, topic: &str, partitions: u32, settings: &[(&str, &str)]) -> Result<()> {
        self.admin.have(topic, partitions, self.options.replication, settings)
    }

    /// Follows the watermarks of the server's functions, from the first time on that somebody asks.
    fn marks(&self) -> Result<Arc<Marks>> {
        let mut marks = self.marks.lock();
        if let Some(marks) = &*marks {
            return Ok(marks.clone());
        }
        let topic = self.watermarks();
        self.have(&topic, 1, &watermarks::SETTINGS)?;
        let from = self.admin.bounds(&topic, 0)?.0;
        let feed = Feed::start(&self.options.properties)?;
        let made = Arc::new(Marks::follow(feed.clone(), &topic, from));
        feed.take(&self.options.properties, &[(made.ring(), from)]);
        *marks = Some(made.clone());
        Ok(made)
    }

    /// The properties of the client that reads a topic.
    fn properties_of(&self, reading: Option<&Reading>, topic: &Topic) -> Result<Properties> {
        match reading.and_then(|reading| reading.refs.get(topic)) {
            Some(named) => self.options.properties.with(&named.options),
            None => Ok(self.options.properties.clone()),
        }
    }

    /// The offset at which a partition is read on.
    fn offset_at(&self, name: &(String, i32), at: &TopicPartition, from: Option<&Position>) -> Result<i64> {
        let (earliest, end) = self.admin.bounds(&name.0, name.1 as u32)?;
        let Some(position) = from else { return Ok(earliest) };
        let offset = offset_of(*position)?;
        out_of_range(at, offset, earliest, end).map_or(Ok(offset), Err)
    }

    /// Where a function begins in a partition that it stands nowhere in, and where it goes on if others have moved its group; `None`
    /// if it goes on where it stands.
    fn begin(
        &self,
        reading: Option<&Reading>,
        at: &TopicPartition,
        stands: Option<Position>,
        offsets: &HashMap<(String, u32), i64>,
    ) -> Result<Option<Position>> {
        let name = self.name(&at.topic)?;
        let group = reading.map_or("", |reading| reading.group_of(&at.topic));
        let found = offsets.get(&(name.clone(), at.partition)).copied();
        if let Some(stands) = stands {
            let Some(moved) = found.map(position_of).filter(|found| *found != stands) else { return Ok(None) };
            if !reading.is_some_and(|reading| reading.follows_group(&at.topic)) {
                return Ok(None);
            }
            tracing::warn!(group, partition = %at, stood = %stands, to = %moved, "the offset of the group was moved by others");
            return Ok(Some(moved));
        }
        let (earliest, end) = self.admin.bounds(&name, at.partition)?;
        match found {
            Some(offset) if (earliest..=end).contains(&offset) => return Ok(Some(position_of(offset))),
            Some(offset) => {
                tracing::warn!(group, partition = %at, offset, earliest, end, "the group's offset is out of range");
            }
            None => {}
        }
        let at_end = self.properties_of(reading, &at.topic)?.begins_at_end();
        Ok(Some(position_of(if at_end { end } else { earliest })))
    }

    /// The offsets that the groups of a task's inputs have committed.
    fn offsets(&self, reading: &Reading, assignment: &Assignment) -> Result<HashMap<(String, u32), i64>> {
        let mut asked: HashMap<&str, Vec<(String, u32)>> = HashMap::new();
        for at in assignment.inputs.iter().map(|input| &input.partition) {
            asked.entry(reading.group_of(&at.topic)).or_default().push((self.name(&at.topic)?, at.partition));
        }
        let mut offsets = HashMap::new();
        for (group, partitions) in asked {
            offsets.extend(self.admin.committed(group, &partitions)?);
        }
        Ok(offsets)
    }

    /// A consumer that reads none of these partitions yet.
    fn feed(&self, properties: &Properties, rings: &[(Arc<Ring>, i64)]) -> Result<Arc<Feed>> {
        let mut feeds = self.feeds.lock();
        if let Some(feed) = feeds.iter().find(|feed| feed.take(properties, rings)) {
            return Ok(feed.clone());
        }
        let feed = Feed::start(properties)?;
        feed.take(properties, rings);
        feeds.push(feed.clone());
        Ok(feed)
    }

    /// Keeps one consumer that reads nothing, for whoever comes next.
    fn tidy_feeds(&self) {
        let mut feeds = self.feeds.lock();
        let mut idle = 0;
        let (kept, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut *feeds).into_iter().partition(|feed| {
            idle += usize::from(feed.is_idle());
            !feed.is_idle() || idle == 1
        });
        *feeds = kept;
        drop(feeds);
        drop(ended);
    }
}

impl Lane {
    /// Writes an entry in a transaction; answers its offset.
    pub(crate) fn note(&self, topic: &str, partition: u32, value: Vec<u8>) -> Result<i64> {
        self.note_of(None, topic, partition, value)
    }
}
