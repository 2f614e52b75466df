// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task's inputs, read in turn, at once or as they are delivered.
//!
//! ```text
//! records of a partition    r   r   r   r   r   r
//! a source stands here          ▲       ▲       ▲
//!                        position    visible    end     prefetching: polls give what is below `visible`,
//!                                                       deliveries move it, seeking puts it back to the position
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use super::topics::Topics;
use super::{MemClient, Shared};
use crate::broker::{Assignment, PollLimit, Polled, Source, TaskInput};
use crate::error::{Error, Result};
use crate::record::{Position, Positions, TopicPartition};
use crate::waker::Waker;

/// Further than any partition reaches.
const EVERYTHING: Position = Position(u128::MAX);

/// How much one delivery brings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetch {
    /// Records of each partition.
    pub records: usize,
}

/// The open sources, as the broker sees them.
#[derive(Default)]
pub(super) struct Sources {
    /// Whether they are given only what was delivered.
    pub prefetch: bool,
    all: BTreeMap<u64, Reader>,
    last: u64,
}

struct Reader {
    waker: Waker,
    inputs: Vec<Input>,
    /// The input that is asked first at the next poll.
    turn: usize,
}

struct Input {
    input: TaskInput,
    /// Where the next batch begins.
    position: Position,
    /// Records below are here already.
    visible: Position,
    /// The partition's end, as it was last learnt.
    end: Option<Position>,
    /// The watermark that was given last.
    told: u64,
}

impl Sources {
    /// The wakers of those who are to look at a partition that has something new.
    pub(super) fn woken<'a>(&'a self, at: &'a TopicPartition, topics: &'a Topics) -> impl Iterator<Item = Waker> + 'a {
        let news = move |input: &Input| {
            input.input.partition == *at && (!self.prefetch || topics.get(at).is_ok_and(|p| input.has_watermark(p)))
        };
        self.all.values().filter(move |reader| reader.inputs.iter().any(news)).map(|reader| reader.waker.clone())
    }

    pub(super) fn wakers(&self) -> Vec<Waker> {
        self.all.values().map(|reader| reader.waker.clone()).collect()
    }

    /// The sources that lack something.
    pub(super) fn undelivered(&self, topics: &Topics) -> Vec<u64> {
        let lacks = |input: &Input| {
            input.visible < EVERYTHING && topics.get(&input.input.partition).is_ok_and(|p| input.end != Some(p.end))
        };
        let behind = |input: &Input| input.end.is_some_and(|end| input.visible < end);
        let lacking = self.all.iter().filter(|(_, reader)| reader.inputs.iter().any(|i| lacks(i) || behind(i)));
        lacking.map(|(id, _)| *id).collect()
    }

    /// Brings a source what it lacks; its waker, when it has something now that it had not.
    pub(super) fn deliver(&mut self, source: u64, topics: &Topics, fetch: Fetch) -> Option<Waker> {
        let reader = self.all.get_mut(&source)?;
        let mut news = false;
        for input in &mut reader.inputs {
            let Ok(partition) = topics.get(&input.input.partition) else { continue };
            let visible = partition.after(input.visible, fetch.records).max(input.visible);
            news |= visible > input.visible || input.end.is_none();
            input.visible = visible;
            input.end = Some(partition.end);
        }
        news.then(|| reader.waker.clone())
    }

    fn reader(&mut self, source: u64) -> Result<&mut Reader> {
        self.all.get_mut(&source).ok_or_else(|| crate::error::internal("a source that was closed is read"))
    }
}

impl Input {
    fn stand_at(&mut self, position: Position, prefetch: bool) {
        self.position = position;
        self.visible = if prefetch { position } else { EVERYTHING };
        self.told = 0;
    }

    fn has_watermark(&self, partition: &super::topics::Partition) -> bool {
        partition.watermark_at(self.position, self.visible) > self.told
    }

    /// What a poll gives of this input.
    fn poll(&mut self, topics: &Topics, limit: PollLimit) -> Result<Option<Polled>> {
        let at = &self.input.partition;
        let partition = topics.get(at)?;
        partition.check(at, self.position)?;
        let watermark = partition.watermark_at(self.position, self.visible);
        if watermark > self.told {
            self.told = watermark;
            return Ok(Some(Polled::Watermark { from: at.clone(), watermark }));
        }
        if let Some(batch) = partition.read(&self.input, self.position..self.visible, limit)? {
            self.position = batch.end().unwrap_or(self.position);
            return Ok(Some(Polled::Batch(batch)));
        }
        let to = self.visible.min(partition.end);
        if self.position < to {
            self.position = to;
            return Ok(Some(Polled::Skipped { partition: at.clone(), to }));
        }
        Ok(None)
    }
}

/// A task's hand on its reader.
pub(super) struct MemSource {
    shared: Arc<Shared>,
    process: u32,
    session: u64,
    id: u64,
}

impl MemSource {
    pub(super) fn open(client: &MemClient, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Self> {
        let (process, session) = (client.process, client.session);
        let mut state = client.shared.state.lock();
        state.look_up(process, session)?;
        let mut inputs = Vec::new();
        for input in &assignment.inputs {
            let at = &input.partition;
            let partition = state.ledger.topics.get(at)?;
            let position = from.get(at).copied().unwrap_or(partition.earliest());
            partition.check(at, position)?;
            let mut opened = Input { input: input.clone(), position, visible: position, end: None, told: 0 };
            opened.stand_at(position, state.sources.prefetch);
            inputs.push(opened);
        }
        let sources = &mut state.sources;
        sources.last += 1;
        let id = sources.last;
        sources.all.insert(id, Reader { waker, inputs, turn: 0 });
        drop(state);
        Ok(MemSource { shared: client.shared.clone(), process, session, id })
    }
}

impl Source for MemSource {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        let mut state = self.shared.state.lock();
        state.check_alive(self.process, self.session)?;
        let super::State { ledger, sources, weather, .. } = &mut *state;
        if weather.away && !sources.prefetch {
            return Ok(Polled::Pending);
        }
        let Reader { inputs, turn, .. } = sources.reader(self.id)?;
        for i in 0..inputs.len() {
            let asked = (*turn + i) % inputs.len();
            let input = &mut inputs[asked];
            if group.is_some_and(|group| group != input.input.group) {
                continue;
            }
            if let Some(polled) = input.poll(&ledger.topics, limit)? {
                if let Polled::Batch(_) = polled {
                    *turn = asked + 1;
                }
                return Ok(polled);
            }
        }
        Ok(Polled::Pending)
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        let mut state = self.shared.state.lock();
        state.check_alive(self.process, self.session)?;
        let super::State { ledger, sources, .. } = &mut *state;
        let prefetch = sources.prefetch;
        for input in &mut sources.reader(self.id)?.inputs {
            let at = &input.input.partition;
            let Some(to) = to.get(at) else { continue };
            ledger.topics.get(at)?.check(at, *to)?;
            input.stand_at(*to, prefetch);
        }
        Ok(())
    }

    fn ends(&self) -> Positions {
        let mut state = self.shared.state.lock();
        let super::State { ledger, sources, .. } = &mut *state;
        let prefetch = sources.prefetch;
        let Ok(reader) = sources.reader(self.id) else { return Positions::new() };
        let end = |input: &Input| {
            let at = &input.input.partition;
            let end = if prefetch { input.end } else { ledger.topics.get(at).map(|p| p.end).ok() };
            Some((at.clone(), end?))
        };
        reader.inputs.iter().filter_map(end).collect()
    }

    fn trouble(&self) -> Option<Error> {
        let state = self.shared.state.lock();
        state.check_alive(self.process, self.session).and_then(|()| state.weather.check_reachable()).err()
    }
}

impl Drop for MemSource {
    fn drop(&mut self) {
        let reader = self.shared.state.lock().sources.all.remove(&self.id);
        drop(reader);
    }
}
