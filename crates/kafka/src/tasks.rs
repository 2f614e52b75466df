// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the tasks of a function have committed, for those who do not run them.
//!
//! Where a task stands is the last entry of its delta log. Its state is that of the local disk with the deltas over it that are
//! not applied yet.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fnstream_core::delta::{Delta, Lookup, appended};
use fnstream_core::epoch::{Epoch, FunctionId, Progress, TaskId};
use fnstream_core::state::{Marker, StateStore, StateStores, Unfinished, Visit};
use fnstream_core::tasks::{Standing, Tasks};
use fnstream_core::{Error, ErrorCode, Result};

use crate::delta_log::{Assembly, Entry};
use crate::place::{Function, Kafka};

/// So many offsets before its end a log is searched first for where the task stands.
const TAIL: i64 = 1_000;

/// For so long a cluster that did not answer is not asked again by those who only look on.
const AWAY: Duration = Duration::from_secs(10);

/// So many keys, and about so many bytes, are looked at in one go.
const CHUNK_KEYS: usize = 1_000;
const CHUNK_BYTES: usize = 1 << 20;

/// So often a look is taken again that an apply has disturbed.
const TRIES: usize = 20;

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
        let stands = || -> Result<(Option<Marker>, Option<Unfinished>)> { Ok((store.marker()?, store.unfinished()?)) };
        let mut at = stands()?;
        let (moment, deltas) = self.deltas_after(task, at.0.as_ref())?;
        let mut from = start.to_vec();
        let mut overlay = over(&deltas, &at)?;
        for _ in 0..TRIES {
            loop {
                let (chunk, is_all) = chunk(&*store, &overlay, &from)?;
                let now = stands()?;
                if now != at {
                    at = now;
                    overlay = over(&deltas, &at)?;
                    break;
                }
                for (key, value) in &chunk {
                    if visit(key, value).is_break() {
                        return Ok(());
                    }
                }
                match chunk.last() {
                    Some((last, _)) if !is_all => from = [&last[..], &[0]].concat(),
                    _ => return Ok(()),
                }
            }
            if at.0.as_ref().is_some_and(|marker| marker.epoch > moment) {
                break;
            }
        }
        Err(Error::new(ErrorCode::Unavailable, format!("the state of task {task} changed while it was read")))
    }
}

/// Encoded deltas with their epochs.
type Deltas = Vec<(Epoch, Vec<u8>)>;

/// What a store lacks of these deltas, as one.
fn over(deltas: &Deltas, (applied, begun): &(Option<Marker>, Option<Unfinished>)) -> Result<Delta> {
    let has = applied.as_ref().map_or(Epoch(0), |marker| marker.epoch);
    let mut begun = begun.as_ref();
    let mut all = Delta::new();
    for (epoch, delta) in deltas.iter().filter(|(epoch, _)| *epoch > has) {
        let delta = Delta::decode(delta)?;
        if let Some(begun) = begun.take_if(|begun| *epoch > begun.marker.epoch) {
            all.drop_through(&begun.through);
        }
        if delta.deletes_all() {
            begun = None;
        }
        all.absorb(delta);
    }
    if let Some(begun) = begun {
        all.drop_through(&begun.through);
    }
    Ok(all)
}

/// Keys with their values.
type Pairs = Vec<(Bytes, Bytes)>;

/// The next keys of a store as a delta leaves them, and whether these are all.
fn chunk(store: &dyn StateStore, delta: &Delta, start: &[u8]) -> Result<(Pairs, bool)> {
    let (mut pairs, mut bytes) = (Pairs::new(), 0);
    let mut newer = delta.next_key(Bound::Included(start), None);
    let mut show = |key: &[u8], stored: Option<&[u8]>| {
        let value = match delta.lookup(key) {
            Lookup::Below => stored.map(Bytes::copy_from_slice),
            Lookup::Append(operand) => Some(appended(stored.unwrap_or_default(), &operand)),
            Lookup::Value(value) => Some(value),
            Lookup::Absent => None,
        };
        if let Some(value) = value {
            bytes += key.len() + value.len();
            pairs.push((Bytes::copy_from_slice(key), value));
        }
        match pairs.len() < CHUNK_KEYS && bytes < CHUNK_BYTES {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    let mut is_all = true;
    store.scan(start, None, &mut |key, value| {
        while let Some(only_newer) = newer.take_if(|newer| newer[..] < *key) {
            newer = delta.next_key(Bound::Excluded(&only_newer), None);
            if show(&only_newer, None).is_break() {
                is_all = false;
                return ControlFlow::Break(());
            }
        }
        if newer.as_ref().is_some_and(|newer| newer[..] == *key) {
            newer = delta.next_key(Bound::Excluded(key), None);
        }
        let flow = show(key, Some(value));
        is_all = flow.is_continue();
        flow
    })?;
    while is_all && let Some(only_newer) = newer.take() {
        newer = delta.next_key(Bound::Excluded(&only_newer), None);
        is_all = show(&only_newer, None).is_continue();
    }
    Ok((pairs, is_all))
}

impl std::fmt::Debug for KafkaTasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaTasks").field("log", &self.log).finish_non_exhaustive()
    }
}
