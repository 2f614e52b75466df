// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the tasks of a function have committed, for those who do not run them.
//!
//! Where a task stands is the last entry of its delta log. Its state is that of the local disk with the deltas over it that are
//! not applied yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fnstream_core::epoch::{Epoch, FunctionId, Progress, TaskId};
use fnstream_core::state::{Marker, StateStores, Visit};
use fnstream_core::tasks::{Deltas, Standing, Tasks, peek};
use fnstream_core::{Error, ErrorCode, Result};

use crate::delta_log::{Assembly, Entry};
use crate::place::{Function, Kafka};

/// So many offsets before its end a log is searched first for where the task stands.
const TAIL: i64 = 1_000;

/// For so long a cluster that did not answer is not asked again by those who only look on.
const AWAY: Duration = Duration::from_secs(10);

/// The tasks of one function that commits to Kafka.
pub struct KafkaTasks {
    kafka: Arc<Kafka>,
    id: FunctionId,
    /// Its delta log.
    log: String,
    local: Arc<dyn StateStores>,
}

impl KafkaTasks {
    /// The tasks of a function of that id and name, whose state is in these stores of the local disk.
    pub fn new(kafka: Arc<Kafka>, id: FunctionId, name: &str, local: Arc<dyn StateStores>) -> KafkaTasks {
        let log = Function::internal(&kafka.shared.options, id, name, "log");
        KafkaTasks { kafka, id, log, local }
    }

    /// How many tasks have a log.
    fn count(&self, function: FunctionId) -> Result<u32> {
        if function != self.id {
            return Ok(0);
        }
        Ok(self.kafka.shared.admin.describe(&self.log)?.map_or(0, |layout| layout.partitions))
    }

    /// The last progress before an offset.
    fn progress_before(&self, task: u32, until: i64) -> Result<Option<Progress>> {
        let shared = &self.kafka.shared;
        let earliest = shared.admin.bounds(&self.log, task)?.0;
        let (mut end, mut span) = (until, TAIL);
        while end > earliest {
            let from = end.saturating_sub(span).max(earliest);
            let mut last = None;
            shared.read_log(&self.log, task, from, end, &mut |message| {
                if let Entry::Epoch(commit, _) = Entry::decode(message.value().unwrap_or_default())? {
                    last = Some(commit.progress);
                }
                Ok(())
            })?;
            if last.is_some() {
                return Ok(last);
            }
            (end, span) = (from, span.saturating_mul(4));
        }
        Ok(None)
    }

    fn standing(&self, function: FunctionId) -> Result<Standing> {
        let mut standing = Standing::new();
        for index in 0..self.count(function)? {
            // The last offset is that of the transaction's end.
            let end = self.kafka.shared.admin.bounds(&self.log, index)?.1;
            if let Some(progress) = self.progress_before(index, end - 1)? {
                standing.insert(index, progress);
            }
        }
        Ok(standing)
    }

    /// The deltas of a task after what a store has, and up to which epoch they are.
    fn deltas_after(&self, task: TaskId, applied: Option<&Marker>) -> Result<(Epoch, Deltas)> {
        let shared = &self.kafka.shared;
        let has = applied.map_or(Epoch(0), |marker| marker.epoch);
        let (earliest, end) = shared.admin.bounds(&self.log, task.index)?;
        let from = applied.and_then(crate::place::place).unwrap_or(0).max(earliest);
        let (mut deltas, mut last, mut is_applied) = (Deltas::new(), has, false);
        let mut assembly = Assembly::default();
        if from < end {
            shared.read_log(&self.log, task.index, from, end - 1, &mut |message| {
                let entry = Entry::decode(message.value().unwrap_or_default())?;
                is_applied |= matches!(entry, Entry::Applied(_));
                if let Some((commit, delta)) = assembly.take(entry)? {
                    last = last.max(commit.progress.epoch);
                    if commit.progress.epoch > has {
                        deltas.push((commit.progress.epoch, delta.encode()));
                    }
                }
                Ok(())
            })?;
        }
        // What the log has not any more is in the state topic, if the task has state at all.
        if is_applied && deltas.first().is_some_and(|(epoch, _)| *epoch > has.next()) {
            let message = format!("the state of task {task} is not on the disk of this server");
            return Err(Error::new(ErrorCode::Unavailable, message));
        }
        Ok((last, deltas))
    }
}

impl Tasks for KafkaTasks {
    fn fence(&self, function: FunctionId) -> Result<Standing> {
        let mut standing = Standing::new();
        for index in 0..self.count(function)? {
            let task = TaskId::new(function, index);
            // Whose task is another process's has nothing here that could be fenced; there it has ended, or this would not be asked.
            let is_here = self.kafka.shared.share().is_none_or(|share| share.holds(&self.log, index));
            let fences = is_here.then_some(task);
            let fence = self.kafka.lane(task).note_of(fences, &self.log, index, Entry::Fence.encode()?)?;
            if let Some(progress) = self.progress_before(index, fence)? {
                standing.insert(index, progress);
            }
        }
        Ok(standing)
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        let away = &self.kafka.shared.away;
        if let Some((_, error)) = away.lock().as_ref().filter(|(since, _)| since.elapsed() < AWAY) {
            return Err(error.clone());
        }
        // Whether it answers at all is found out soon.
        let answers = self.kafka.shared.admin.glance(&self.log);
        let standing = answers.and_then(|_| self.standing(function));
        let failure = standing.as_ref().err().filter(|error| error.code == ErrorCode::Unavailable);
        *away.lock() = failure.map(|error| (Instant::now(), error.clone()));
        standing
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        if task.index >= self.count(task.function)? {
            return Ok(());
        }
        let store = self.local.open(task)?;
        let (moment, deltas) = self.deltas_after(task, store.marker()?.as_ref())?;
        match peek(&*store, moment, &deltas, start, visit)? {
            true => Ok(()),
            false => {
                let message = format!("the state of task {task} changed while it was read");
                Err(Error::new(ErrorCode::Unavailable, message))
            }
        }
    }
}

impl std::fmt::Debug for KafkaTasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaTasks").field("log", &self.log).finish_non_exhaustive()
    }
}
