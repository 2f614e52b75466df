// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Taking a task over.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::broker::Assignment;
use fnstream_core::committer::{Acquired, Replay};
use fnstream_core::epoch::{Epoch, Generation, Progress, TaskId};
use fnstream_core::state::Marker;
use fnstream_core::{Error, ErrorCode, Result};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Function, Kafka, Shared};
use crate::delta_log::{Assembly, Entry};
use crate::lane::{STATES, log_end, producers_of};
use crate::native::{Consumed, Consumer, Message};
use crate::state::{self, FENCE, Restore};
use crate::writer::Writer;

/// How long a step of reading waits.
const STEP_MS: i32 = 500;
/// After so many steps without an answer a transaction that is not decided is in the way.
const STUCK: u32 = 2;
/// After so many the broker is away.
const STEPS: u32 = 30;
/// A transaction that is never begun may take so long.
const FENCING_MS: u32 = 10_000;

impl Kafka {
    pub(super) fn take_over(
        &self,
        assignment: &Assignment,
        applied: Option<&Marker>,
        replay: &mut Replay<'_>,
    ) -> Result<Acquired> {
        let (shared, task) = (&self.shared, assignment.task);
        let latest = || shared.owners.lock().get(&task).map_or(0, |owner| owner.lease);
        let stale = || {
            let message = format!("lease {} of task {task} is not the latest, {}", assignment.lease, latest());
            Error::new(ErrorCode::Fenced, message)
        };
        if assignment.lease < latest() {
            return Err(stale());
        }
        let function = shared.function(task.function)?;
        let fence = self.lane(task).note_of(Some(task), &function.log, task.index, Entry::Fence.encode()?)?;
        let generation = Generation(fence as u64 + 1);
        let earliest = shared.admin.bounds(&function.log, task.index)?.0;
        // What an apply that was under way has written is there, or never.
        let written = vec![(FENCE.to_vec(), Some(Vec::new()))];
        let end_of_state = self.states.write(None, &function.state, task.index, written, None)?;
        // A store that has what the log begins with, or more, needs nothing but the log.
        let reaches =
            |applied: &&Marker| applied.epoch > Epoch(0) && place(applied).is_some_and(|place| place >= earliest);
        let mut has = applied.filter(reaches).cloned();
        let mut closed = Epoch(0);
        if has.is_none() {
            // What comes from the topic is no news for it.
            shared.closed.lock().insert(task, (Epoch(u64::MAX), Arc::default()));
            has = shared.restore(&function, task, applied, end_of_state, replay)?;
            closed = has.as_ref().map_or(Epoch(0), |has| has.epoch);
        }
        let from = has.as_ref().and_then(place).unwrap_or(0).max(earliest);
        let has = has.map_or(Epoch(0), |has| has.epoch);
        // How far the topic is has to be known before a delta is applied; and which keys it has that the store gets only now.
        let mut keys: Vec<(Epoch, Bytes)> = Vec::new();
        let mut assembly = Assembly::default();
        let stuck = || shared.fence_predecessor(&function.log, task);
        shared.read_decided(&function.log, task.index, from, fence, &stuck, &mut |message| {
            let entry = Entry::decode(message.value().unwrap_or_default())?;
            if let Entry::Applied(epoch) = entry {
                closed = closed.max(epoch);
            }
            if let Some((commit, delta)) = assembly.take(entry)?.filter(|(commit, _)| commit.progress.epoch > has) {
                keys.extend(delta.entries().map(|(key, _)| (commit.progress.epoch, key.clone())));
            }
            Ok(())
        })?;
        let ahead = keys.into_iter().filter(|(epoch, _)| *epoch <= closed).map(|(_, key)| key).collect();
        shared.closed.lock().insert(task, (closed, Arc::new(ahead)));
        let (mut progress, mut end) = (Progress::default(), None);
        let mut offsets = Vec::new();
        let mut has_state = has > Epoch(0) || closed > Epoch(0);
        let mut assembly = Assembly::default();
        shared.read_log(&function.log, task.index, from, fence, &mut |message| {
            let entry = Entry::decode(message.value().unwrap_or_default())?;
            let Some((commit, delta)) = assembly.take(entry)? else { return Ok(()) };
            has_state |= !delta.is_empty();
            let epoch = commit.progress.epoch;
            progress = commit.progress;
            end = Some(message.offset());
            offsets.push((epoch, message.offset()));
            if epoch > has { replay(Marker { epoch, log_end: log_end(message.offset()) }, delta) } else { Ok(()) }
        })?;
        let mut owners = shared.owners.lock();
        let owner = owners.entry(task).or_default();
        // Whoever has taken it over meanwhile knows more.
        if owner.generation == Some(generation) {
            owner.committed = progress.epoch;
            owner.committed_by = None;
            owner.log_end = end.unwrap_or(0);
            owner.offsets = offsets.into();
            owner.has_state = has_state;
        }
        Ok(Acquired { generation, progress, log_end: end.map_or_else(Default::default, log_end) })
    }
}

/// The offset of the entry that a store has last.
pub(crate) fn place(applied: &Marker) -> Option<i64> {
    Some(i64::from_be_bytes(applied.log_end[..].try_into().ok()?))
}

impl Shared {
    /// Gives a store that lacks it what the state topic has, in pieces; answers the marker that it has then.
    fn restore(
        &self,
        function: &Function,
        task: TaskId,
        applied: Option<&Marker>,
        until: i64,
        replay: &mut Replay<'_>,
    ) -> Result<Option<Marker>> {
        let (topic, partition) = (&*function.state, task.index);
        let begun = applied.and_then(state::place_within);
        let from = begun.map_or(0, |offset| offset + 1).max(self.admin.bounds(topic, partition)?.0);
        let mut restore = Restore::begin(begun.is_some());
        let stuck = || self.fence_predecessor(&function.log, task);
        self.read_decided(topic, partition, from, until, &stuck, &mut |message| match restore.take(
            message.offset(),
            message.key().unwrap_or_default(),
            message.value(),
        )? {
            Some((marker, piece)) => replay(marker, piece),
            None => Ok(()),
        })?;
        let Some((marker, piece)) = restore.end() else { return Ok(None) };
        replay(marker.clone(), piece)?;
        Ok(Some(marker))
    }

    /// Gives the committed records of a partition from an offset on up to another one, inclusive.
    pub(crate) fn read_log(
        &self,
        topic: &str,
        partition: u32,
        from: i64,
        until: i64,
        each: &mut dyn FnMut(&Message) -> Result<()>,
    ) -> Result<()> {
        self.read_decided(topic, partition, from, until, &|| Ok(()), each)
    }

    /// Aborts what the process has left open that had a task before, where processes share them. It has lost the task, or this one
    /// would not have it, but the broker keeps its last transaction open until that is too old. Whoever lives and is fenced so begins
    /// anew.
    fn fence_predecessor(&self, log: &str, task: TaskId) -> Result<()> {
        if self.share().is_none() {
            return Ok(());
        }
        let at = (log.to_owned(), task.index);
        let Some((earliest, decided)) = self.admin.all_bounds(std::slice::from_ref(&at))?.remove(&at) else {
            return Ok(());
        };
        let (mut writer, mut end, mut span) = (None, decided, 100);
        while writer.is_none() && end > earliest {
            let from = end.saturating_sub(span).max(earliest);
            // Nothing is read at the end itself, and nobody would say that it has been reached.
            self.read_log(log, task.index, from, end - 1, &mut |message| {
                writer = message.key().map(|key| String::from_utf8_lossy(key).into_owned());
                Ok(())
            })?;
            (end, span) = (from, span.saturating_mul(4));
        }
        let own = self.options.transactional_id("");
        let Some((process, lane)) = writer.as_deref().and_then(|writer| writer.rsplit_once('.')) else { return Ok(()) };
        // Its own lanes have fenced what was before them; another life may have had more.
        let is_lane = lane.parse().is_ok_and(|number: usize| number < self.options.lanes.max(1));
        if own.strip_suffix('.') == Some(process) && is_lane {
            return Ok(());
        }
        tracing::warn!(%task, process, "what the process has left open that had this task before is aborted");
        producers_of(lane)
            .iter()
            .map(String::as_str)
            .chain([STATES])
            .try_for_each(|name| Writer::new(&self.options.properties, format!("{process}.{name}"), FENCING_MS).begin())
    }

    /// The same. `stuck` is asked to help when a transaction in between is not decided for a while.
    fn read_decided(
        &self,
        topic: &str,
        partition: u32,
        from: i64,
        until: i64,
        stuck: &dyn Fn() -> Result<()>,
        each: &mut dyn FnMut(&Message) -> Result<()>,
    ) -> Result<()> {
        let reader = self.readers.lock().pop();
        let mut reader = match reader {
            Some(reader) => reader,
            None => Consumer::new(&self.options.properties.reading("function-stream"), |_| ())?,
        };
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(topic, partition as i32, Offset::Offset(from));
        added.map_err(|e| crate::error::failed("reading a delta log", &e))?;
        let doing = format!("reading the delta log {topic}-{partition}");
        reader.assign(&list).map_err(|failure| failure.error(&doing))?;
        let read = read_until(&mut reader, until, stuck, each, &doing);
        let given_up = reader.unassign(&list);
        // One whose assignment is not what is thought is used no more.
        if read.is_ok() && given_up.is_ok() {
            self.readers.lock().push(reader);
        }
        read
    }
}

fn read_until(
    reader: &mut Consumer,
    until: i64,
    stuck: &dyn Fn() -> Result<()>,
    each: &mut dyn FnMut(&Message) -> Result<()>,
    doing: &str,
) -> Result<()> {
    let mut silent = 0;
    loop {
        let mut batch = Vec::new();
        silent = if reader.consume(STEP_MS, 1_000, |consumed| batch.push(consumed)) == 0 { silent + 1 } else { 0 };
        if silent == STUCK
            && let Err(error) = stuck()
        {
            tracing::debug!(%error, "a transaction that is not decided is waited for");
        }
        if silent > STEPS {
            return Err(Error::new(ErrorCode::Unavailable, format!("{doing}: no answer")));
        }
        for consumed in batch {
            match consumed {
                Consumed::Record(message) if message.offset() < until => each(&message)?,
                Consumed::Record(_) => return Ok(()),
                Consumed::End { offset, .. } if offset > until => return Ok(()),
                Consumed::End { .. } => {}
                Consumed::Failed { failure, .. } | Consumed::Trouble(failure) => {
                    if !failure.passes() {
                        return Err(failure.error(doing));
                    }
                }
            }
        }
    }
}
