// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The changelog of a task: its generations, its progress and its deltas, apart from any state store.
//!
//! ```text
//! changelog position   7      8   9      10  11             12
//!                      delta  |   delta  |   (an abort)  |  end = what the next commit gets
//!                      epoch 1    epoch 2
//! ```
//!
//! A position is not an epoch: aborts and markers take positions too, so that an engine which mixes them up is found.
//! Compaction turns the oldest deltas into one that deletes everything and puts what is left. It takes the position and
//! the epoch of the last of them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::state_stores::Landing;
use super::state_topic::{self, StateTopic};
use crate::delta::Delta;
use crate::epoch::{Epoch, Generation, Progress};
use crate::error::{Error, ErrorCode, Result};
use crate::state::Marker;
use crate::test_util::model::{self, Model};

/// Where a changelog begins: not 0, for the reason above.
const FIRST: u64 = 7;

#[derive(Debug, Clone)]
struct Entry {
    position: u64,
    epoch: Epoch,
    delta: Bytes,
}

#[derive(Debug)]
pub(super) struct TaskLog {
    /// The highest generation that was given.
    pub generation: Generation,
    /// A generation whose connection broke: nothing more is committed under it.
    pub broken: Option<Generation>,
    /// Under which assignment each generation was given.
    pub leases: BTreeMap<Generation, u64>,
    pub progress: Progress,
    /// The process of the present generation: of the state topic's writers all others are fenced.
    pub writer: Option<u32>,
    /// Which generation committed last.
    pub committed_by: Generation,
    pub trimmed: Option<Epoch>,
    entries: Vec<Entry>,
    end: u64,
    /// Whether it came as a copy of another task.
    placed: bool,
    /// What was applied, where deltas are dropped behind that.
    topic: StateTopic,
}

impl Entry {
    fn marker(&self) -> Marker {
        Marker { epoch: self.epoch, log_end: place(self.position + 1) }
    }
}

impl Default for TaskLog {
    fn default() -> Self {
        TaskLog {
            generation: Generation(0),
            broken: None,
            leases: BTreeMap::new(),
            progress: Progress::default(),
            writer: None,
            committed_by: Generation(0),
            trimmed: None,
            entries: Vec::new(),
            end: FIRST,
            placed: false,
            topic: StateTopic::default(),
        }
    }
}

impl TaskLog {
    /// Gives the next generation to a process.
    pub(super) fn take_over(&mut self, process: u32, lease: u64) -> Generation {
        self.generation.0 += 1;
        self.writer = Some(process);
        self.broken = None;
        self.leases.insert(self.generation, lease);
        self.generation
    }

    /// Makes the present generation stale without giving another.
    pub(super) fn fence(&mut self) {
        self.generation.0 += 1;
    }

    /// Whether anybody has taken the task over or placed it.
    pub(super) fn is_known(&self) -> bool {
        self.generation > Generation(0) || self.placed
    }

    /// The same past for a task of another id, which nobody has taken over yet.
    pub(super) fn copy(&self) -> TaskLog {
        let entries = self.entries.clone();
        let (progress, end) = (self.progress.clone(), self.end);
        TaskLog { progress, entries, end, placed: true, ..TaskLog::default() }
    }

    /// The task stands elsewhere, its state stays.
    pub(super) fn place(&mut self, progress: Progress) {
        self.progress = progress;
        self.placed = true;
    }

    pub(super) fn append(&mut self, generation: Generation, progress: Progress, delta: &Delta) {
        self.entries.push(Entry { position: self.end, epoch: progress.epoch, delta: delta.encode().into() });
        self.end += 2;
        self.progress = progress;
        self.committed_by = generation;
    }

    pub(super) fn skip(&mut self) {
        self.end += 1;
    }

    /// Where the log goes on after everything committed.
    pub(super) fn log_end(&self) -> Bytes {
        place(self.end)
    }

    /// The deltas that a store of that marker does not have, each with the marker of a store that has it.
    pub(super) fn after(&self, applied: Option<&Marker>) -> Result<Vec<(Marker, Delta)>> {
        let complete_to = self.topic.complete_to();
        let mut deltas = Vec::new();
        let from = match applied.filter(|applied| !state_topic::is_begun(applied) && applied.epoch >= complete_to) {
            Some(applied) => self.seek(applied)?,
            None => {
                deltas = self.topic.pieces(applied);
                0
            }
        };
        for entry in &self.entries[from..] {
            let delta = self.topic.over(&Delta::decode(&entry.delta)?, entry.epoch);
            deltas.push((entry.marker(), delta));
        }
        Ok(deltas)
    }

    /// Brings the state topic up to what a store already has: its owner before may have died between the two.
    pub(super) fn catch_up(&mut self, applied: Option<&Marker>) -> Result<()> {
        let Some(applied) = applied.filter(|applied| self.lacks(applied)) else { return Ok(()) };
        for index in 0..self.entries.partition_point(|entry| entry.epoch <= applied.epoch) {
            let entry = &self.entries[index];
            let (delta, epoch) = (Delta::decode(&entry.delta)?, entry.epoch);
            self.topic.land_ranges(&delta, epoch);
            delta.entries().for_each(|(key, write)| self.topic.land(key, write, epoch));
        }
        self.land(Landing::Close(applied.clone()));
        Ok(())
    }

    /// Whether a store of that marker is ahead of the state topic.
    pub(super) fn lacks(&self, marker: &Marker) -> bool {
        marker.epoch > self.topic.complete_to()
    }

    /// Something arrives at the state topic.
    pub(super) fn land(&mut self, landing: Landing) {
        match landing {
            Landing::Ranges(delta, marker) => self.topic.land_ranges(&delta, marker.epoch),
            Landing::Write(key, write, marker) => self.topic.land(&key, &write, marker.epoch),
            Landing::Close(marker) => {
                self.topic.close(&marker);
                self.entries.retain(|entry| entry.epoch > self.topic.complete_to());
            }
        }
    }

    /// The state that all deltas together make.
    pub(super) fn state(&self) -> Result<Model> {
        let mut state = Model::new();
        for (_, delta) in self.after(None)? {
            model::apply(&mut state, &delta);
        }
        Ok(state)
    }

    /// Replaces the entries up to `through` by one.
    pub(super) fn compact(&mut self, through: Epoch) -> Result<()> {
        let count = self.entries.partition_point(|entry| entry.epoch <= through);
        let mut state = Model::new();
        for entry in &self.entries[..count] {
            model::apply(&mut state, &Delta::decode(&entry.delta)?);
        }
        let Some(last) = self.entries[..count].last() else { return Ok(()) };
        let entry =
            Entry { position: last.position, epoch: last.epoch, delta: model::snapshot(&state).encode().into() };
        self.entries.splice(..count, [entry]);
        Ok(())
    }

    /// The index of the first entry after the marker; `Err` when the marker contradicts the log.
    fn seek(&self, marker: &Marker) -> Result<usize> {
        let wrong = |why: String| Error::new(ErrorCode::DataCorrupt, format!("a marker of the state store {why}"));
        if marker.epoch > self.progress.epoch {
            return Err(wrong(format!("has epoch {}, the log ends at {}", marker.epoch.0, self.progress.epoch.0)));
        }
        if marker.epoch == Epoch(0) && marker.log_end.is_empty() {
            return Ok(0);
        }
        let position: [u8; 8] = marker.log_end[..]
            .try_into()
            .map_err(|_| wrong(format!("of epoch {} has no position of this log", marker.epoch.0)))?;
        let by_position = self.entries.partition_point(|e| e.position < u64::from_be_bytes(position));
        let by_epoch = self.entries.partition_point(|e| e.epoch <= marker.epoch);
        if by_position != by_epoch {
            return Err(wrong(format!("has the log's position of another epoch than its own {}", marker.epoch.0)));
        }
        Ok(by_epoch)
    }
}

/// A changelog position as the engine carries it.
fn place(position: u64) -> Bytes {
    Bytes::copy_from_slice(&position.to_be_bytes())
}
