// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Moving a function to another place in its inputs.
//!
//! ```text
//! held: tasks ended everywhere -> fenced, state of now forked -> the fork's tasks placed -> switched to the fork (durable)
//!      -> released -> runs here, if it is to run
//! ```
//!
//! It is the way of a rollback with state, with the state of now: what is read again is processed again, upon the state that has
//! it already, and its outputs come again. The revision before keeps where it stood, so that a rollback with its state and
//! `reprocess` takes the move back. A function that commits to a broker keeps no state with its revisions: the places of its groups
//! are moved instead, at which it goes on with the state that it has. The artifact is not looked at: a function that is stuck because of it can be moved too.

use std::sync::Arc;

use fnstream_api::{Moved, Place, SeekRequest, Sought};
use fnstream_core::broker::Subscription;
use fnstream_core::epoch::FunctionId;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::tasks::Standing;
use fnstream_core::topics::{PartitionInfo, Topics};
use fnstream_core::{Error, ErrorCode, Result};

use super::Functions;
use super::coming_up::{Changed, Wait};
use crate::app::ops::blocking;
use crate::app::places;

impl Functions {
    /// Has a function read on from another place of its inputs.
    pub(crate) async fn seek(
        self: &Arc<Self>,
        name: String,
        request: SeekRequest,
        wait: Option<Wait>,
    ) -> Result<Sought> {
        let functions = self.clone();
        let done = self.ops.alone(name, move |name| async move {
            let entry = functions.entry(name).await?;
            let asked = (functions.clone(), entry.clone(), request.clone());
            // What can be refused is refused while the function still runs.
            blocking(move || asked.0.places(&asked.1.spec, &asked.2).map(drop)).await?;
            let change = move |functions: &Functions, entry: &FunctionEntry| functions.move_to(entry, &request);
            let (entry, moved) = functions.replace(entry, change).await?;
            let started = functions.go_on(entry.clone()).await;
            Ok((entry, moved, started))
        });
        let (entry, moved, started) = done.await?;
        let done = format!("was moved, as revision {}", entry.revision);
        let function = self.seen_up(done, Changed::for_good(entry), started, wait).await?;
        Ok(Sought { function, moved })
    }

    /// The new revision, whose tasks stand where they are to. None of the tasks runs. Blocks.
    fn move_to(&self, entry: &FunctionEntry, request: &SeekRequest) -> Result<(FunctionEntry, Vec<Moved>)> {
        let Ok(forks) = self.clusters.forks(&entry.spec) else { return self.move_by_groups(entry, request) };
        self.tasks.fence(entry.id)?;
        let fork = forks.fork(entry.id)?;
        let mut moved = Vec::new();
        let entry = self.with_fork(fork, &entry.spec, |spec| {
            let mut standing = self.tasks.progress(fork)?;
            for (task, at, to) in self.places(&entry.spec, request)? {
                let from = standing.entry(task).or_default().positions.insert(at.clone(), to);
                moved.push(told(&at, from, to));
            }
            forks.place(fork, &standing)?;
            self.register.switch(spec, entry.revision, fork)
        })?;
        let to = request.to;
        tracing::info!(function = entry.spec.name, revision = entry.revision, %to, "function moved in its inputs");
        self.note(&entry, &format!("moved to {to}, as revision {}", entry.revision));
        Ok((entry, moved))
    }

    /// The same where a function goes on at the places of its groups: they are moved, and there is no new revision.
    fn move_by_groups(&self, entry: &FunctionEntry, request: &SeekRequest) -> Result<(FunctionEntry, Vec<Moved>)> {
        // What was handed in before counts now, or never: it would move the offsets once more.
        let standing = self.tasks.fence(entry.id)?;
        let places = self.places(&entry.spec, request)?;
        let from = |task: &u32, at: &TopicPartition| standing.get(task)?.positions.get(at).copied();
        let moved = places.iter().map(|(task, at, to)| told(at, from(task, at), *to)).collect();
        let (read, _) = self.clusters.expand(&entry.spec)?;
        self.clusters.move_groups(entry.id, &read, &of_groups(places))?;
        let to = request.to;
        tracing::info!(function = entry.spec.name, %to, "function moved in its inputs, with its groups");
        self.note(entry, &format!("moved to {to}, with its groups"));
        Ok((entry.clone(), moved))
    }

    /// Moves the groups of a function that is not there yet to where its description says that it begins. Blocks.
    pub(super) fn begin_at_groups(&self, spec: &FunctionSpec) -> Result<()> {
        let request = SeekRequest { to: spec.from.into(), topic: None };
        let (read, _) = self.clusters.expand(spec)?;
        self.clusters.move_groups(FunctionId::NONE, &read, &of_groups(self.places(spec, &request)?))
    }

    /// Has the tasks of a fork of no function stand where a function of that description begins. Its topics are there. Blocks.
    pub(super) fn begin(&self, spec: &FunctionSpec, fork: FunctionId) -> Result<()> {
        let request = SeekRequest { to: spec.from.into(), topic: None };
        let mut standing = Standing::new();
        for (task, at, to) in self.places(spec, &request)? {
            standing.entry(task).or_default().positions.insert(at, to);
        }
        self.clusters.forks(spec)?.place(fork, &standing)
    }

    /// Where which task is to stand. Blocks.
    fn places(&self, spec: &FunctionSpec, request: &SeekRequest) -> Result<Vec<(u32, TopicPartition, Position)>> {
        self.clusters.check_moving(spec)?;
        let invalid = |why: String| Err(Error::new(ErrorCode::InvalidRequest, why));
        let (spec, _) = &self.clusters.expand(spec)?;
        let inputs: Vec<_> = spec.inputs.iter().flatten().collect();
        if let Some(topic) = &request.topic
            && !inputs.iter().any(|input| input.topic == topic.topic)
        {
            return invalid(format!("'{topic}' is not an input of function '{}'", spec.name));
        }
        if let (Place::At(..), None, 2..) = (request.to, &request.topic, inputs.len()) {
            return invalid(format!("function '{}' has several inputs: name the topic of the position", spec.name));
        }
        let topics = self.clusters.topics_of(spec);
        let tasks = Subscription::new(FunctionId::NONE, spec)
            .tasks(|topic| Ok(topics.describe(topic)?.partitions.len() as u32))?;
        let mut places = Vec::new();
        for (task, input) in tasks.into_iter().flat_map(|(task, inputs)| inputs.into_iter().map(move |of| (task, of))) {
            let at = input.partition;
            if request.topic.as_ref().is_none_or(|topic| topic.topic == at.topic)
                && let Some(position) = position(&*topics, &at, request.to)?
            {
                places.push((task, at, position));
            }
        }
        match (places.is_empty(), request.to) {
            (true, Place::At(partition, _)) => Err(Error::new(
                ErrorCode::PartitionNotFound,
                format!("function '{}' has no input with a partition {partition}", spec.name),
            )),
            _ => Ok(places),
        }
    }
}

fn told(at: &TopicPartition, from: Option<Position>, to: Position) -> Moved {
    let (topic, from) = (at.topic.to_string(), from.map(|from| from.to_string()));
    Moved { topic, partition: at.partition, from, to: to.to_string() }
}

/// Places without their tasks.
fn of_groups(places: Vec<(u32, TopicPartition, Position)>) -> Vec<(TopicPartition, Position)> {
    places.into_iter().map(|(_, at, to)| (at, to)).collect()
}

/// The position of a place in a partition; none when it is in another one.
fn position(topics: &dyn Topics, at: &TopicPartition, place: Place) -> Result<Option<Position>> {
    let topic = topics.describe(&at.topic)?;
    let Some(PartitionInfo { earliest, end, .. }) = topic.partitions.get(at.partition as usize) else {
        return Ok(None);
    };
    match place {
        Place::Earliest => Ok(Some(*earliest)),
        Place::Latest => Ok(Some(*end)),
        Place::Time(ms) => places::first_since(topics, at, *earliest, ms).map(Some),
        Place::At(partition, _) if partition != at.partition => Ok(None),
        Place::At(_, position) => match Position(position) {
            position if position < *earliest => {
                let message = format!("position {position} of {at} was dropped, the earliest is {earliest}");
                Err(Error::new(ErrorCode::PositionDropped, message))
            }
            position if position > *end => {
                let message = format!("position {position} of {at} is past the end, which is {end}");
                Err(Error::new(ErrorCode::PositionUnknown, message))
            }
            position => Ok(Some(position)),
        },
    }
}
