// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the tasks of a function have committed, for those who do not run them.
//!
//! Where a task stands is the last commit of its delta log. Its state is that of the local disk with the deltas over it that are
//! not applied yet.

use std::sync::Arc;

use fnstream_core::delta::Delta;
use fnstream_core::epoch::{Epoch, FunctionId, Progress, TaskId};
use fnstream_core::record::Position;
use fnstream_core::state::{Marker, StateStores, Visit};
use fnstream_core::tasks::{Deltas, Standing, Tasks, peek};
use fnstream_core::{Error, ErrorCode, Result};

use crate::delta_log::{Assembly, Commit, Entry};
use crate::place::{Function, Pulsar, Shared};
use crate::position::from_bytes;
use crate::{names, runtime};

/// The tasks of one function that commits to Pulsar.
pub struct PulsarTasks {
    pulsar: Arc<Pulsar>,
    id: FunctionId,
    /// Its delta logs.
    log: String,
    local: Arc<dyn StateStores>,
}

impl PulsarTasks {
    /// The tasks of a function of that id and name, whose state is in these stores of the local disk.
    pub fn new(pulsar: Arc<Pulsar>, id: FunctionId, name: &str, local: Arc<dyn StateStores>) -> PulsarTasks {
        let log = Function::internal(&pulsar.shared.options, id, name, "log");
        PulsarTasks { pulsar, id, log, local }
    }

    /// How many tasks have a log.
    fn count(&self, function: FunctionId) -> Result<u32> {
        if function != self.id {
            return Ok(0);
        }
        match runtime::wait(self.pulsar.shared.count(&self.log)) {
            Err(error) if error.code == ErrorCode::TopicNotFound => Ok(0),
            count => count,
        }
    }
}

impl Shared {
    /// The last progress in a log before a position.
    fn progress_before(&self, topic: &str, until: Position) -> Result<Option<Progress>> {
        Ok(self.commit_before(topic, until)?.map(|commit| commit.progress))
    }

    /// The last commit in a log before a position.
    pub(crate) fn commit_before(&self, topic: &str, until: Position) -> Result<Option<Commit>> {
        let mut assembly = Assembly::amid();
        let mut from = Position::START;
        self.told_last(topic, until, &mut |at, payload, last| {
            // It is read again from further back.
            if at < from {
                assembly = Assembly::amid();
            }
            from = at;
            if let Some(commit) = assembly.take(at, Entry::decode(payload)?)? {
                *last = Some(commit);
            }
            Ok(())
        })
    }

    /// Behind the last entry of a log.
    fn log_end(&self, topic: &str) -> Result<Position> {
        Ok(runtime::wait(self.bounds(topic))?.1)
    }

    /// Gives the deltas of a task that a store does not have.
    pub(crate) fn each_delta(
        &self,
        log: &str,
        task: TaskId,
        applied: Option<&Marker>,
        each: &mut dyn FnMut(Epoch, &Delta),
    ) -> Result<()> {
        let topic = names::partition(log, task.index, 1);
        let has = applied.map_or(Epoch(0), |marker| marker.epoch);
        let from = applied.filter(|_| has > Epoch(0)).and_then(|marker| from_bytes(&marker.log_end));
        let end = self.log_end(&topic)?;
        if end == Position::START {
            return Ok(());
        }
        let mut assembly = Assembly::amid();
        self.read_log(&topic, from, end, &mut |at, payload| {
            if let Some(commit) =
                assembly.take(at, Entry::decode(payload)?)?.filter(|commit| commit.progress.epoch > has)
            {
                each(commit.progress.epoch, &commit.delta);
            }
            Ok(())
        })
    }
}

impl Tasks for PulsarTasks {
    fn fence(&self, function: FunctionId) -> Result<Standing> {
        let shared = &self.pulsar.shared;
        let mut standing = Standing::new();
        for index in 0..self.count(function)? {
            let topic = names::partition(&self.log, index, 1);
            let (producer, _, fence) = runtime::wait(shared.fence(&topic, TaskId::new(function, index)))?;
            let progress = shared.progress_before(&topic, fence);
            runtime::wait(crate::outputs::end(&producer));
            if let Some(progress) = progress? {
                standing.insert(index, progress);
            }
        }
        Ok(standing)
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        let shared = &self.pulsar.shared;
        let mut standing = Standing::new();
        // Whoever looks on is not to wait for each task of a cluster that is away.
        runtime::soon("looking for a broker", shared.answers(&self.log))?;
        for index in 0..self.count(function)? {
            let topic = names::partition(&self.log, index, 1);
            let end = shared.log_end(&topic)?;
            if end == Position::START {
                continue;
            }
            if let Some(progress) = shared.progress_before(&topic, end)? {
                standing.insert(index, progress);
            }
        }
        Ok(standing)
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        if task.index >= self.count(task.function)? {
            return Ok(());
        }
        let store = self.local.open(task)?;
        let applied = store.marker()?;
        let has = applied.as_ref().map_or(Epoch(0), |marker| marker.epoch);
        let (mut moment, mut deltas) = (has, Deltas::new());
        self.pulsar.shared.each_delta(&self.log, task, applied.as_ref(), &mut |epoch, delta| {
            moment = moment.max(epoch);
            deltas.push((epoch, delta.encode()));
        })?;
        // What the log has not any more is in the state log.
        if deltas.first().is_some_and(|(epoch, _)| *epoch > has.next())
            && self.pulsar.shared.has_state_log(&self.log, task)?
        {
            let message = format!("the state of task {task} is not on the disk of this server");
            return Err(Error::new(ErrorCode::Unavailable, message));
        }
        match peek(&*store, moment, &deltas, start, visit)? {
            true => Ok(()),
            false => {
                let message = format!("the state of task {task} changed while it was read");
                Err(Error::new(ErrorCode::Unavailable, message))
            }
        }
    }
}

impl Shared {
    /// Whether anything was ever applied.
    fn has_state_log(&self, log: &str, task: TaskId) -> Result<bool> {
        let state = names::partition(&format!("{}.state", log.trim_end_matches(".log")), task.index, 1);
        Ok(self.log_end(&state)? > Position::START)
    }
}

impl std::fmt::Debug for PulsarTasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PulsarTasks").field("log", &self.log).finish_non_exhaustive()
    }
}
