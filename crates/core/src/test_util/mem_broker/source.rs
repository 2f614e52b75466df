// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task's inputs, read in turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{MemClient, Shared};
use crate::broker::{Assignment, PollLimit, Polled, Source, TaskInput};
use crate::error::{Error, Result};
use crate::record::{Position, Positions, TopicPartition};
use crate::waker::Waker;

/// Who is woken by appends to which partitions.
#[derive(Default)]
pub(super) struct Wakers {
    all: BTreeMap<u64, (Vec<TopicPartition>, Waker)>,
    last: u64,
}

impl Wakers {
    pub fn of<'a>(&'a self, at: &'a TopicPartition) -> impl Iterator<Item = Waker> + 'a {
        self.all.values().filter(move |(partitions, _)| partitions.contains(at)).map(|(_, waker)| waker.clone())
    }
}

pub(super) struct MemSource {
    shared: Arc<Shared>,
    process: u32,
    session: u64,
    waker: u64,
    inputs: Vec<(TaskInput, Position)>,
    /// The watermark of each input that was given last.
    told: Vec<u64>,
    /// The input that is asked first at the next poll.
    turn: usize,
}

impl MemSource {
    pub fn open(client: &MemClient, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Self> {
        let mut state = client.shared.state.lock();
        state.check_alive(client.process, client.session)?;
        let mut inputs = Vec::new();
        for input in &assignment.inputs {
            let at = &input.partition;
            let partition = state.ledger.topics.get(at)?;
            let position = from.get(at).copied().unwrap_or(partition.earliest());
            partition.check(at, position)?;
            inputs.push((input.clone(), position));
        }
        let partitions = inputs.iter().map(|(input, _)| input.partition.clone()).collect();
        state.wakers.last += 1;
        let id = state.wakers.last;
        state.wakers.all.insert(id, (partitions, waker));
        drop(state);
        let (process, session) = (client.process, client.session);
        let told = vec![0; inputs.len()];
        Ok(MemSource { shared: client.shared.clone(), process, session, waker: id, inputs, told, turn: 0 })
    }
}

impl Source for MemSource {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        let state = self.shared.state.lock();
        state.check_alive(self.process, self.session)?;
        for i in 0..self.inputs.len() {
            let turn = (self.turn + i) % self.inputs.len();
            let (input, position) = &mut self.inputs[turn];
            if group.is_some_and(|group| group != input.group) {
                continue;
            }
            let partition = state.ledger.topics.get(&input.partition)?;
            let watermark = partition.watermark_at(*position);
            if watermark > self.told[turn] {
                self.told[turn] = watermark;
                return Ok(Polled::Watermark { from: input.partition.clone(), watermark });
            }
            if let Some(batch) = partition.read(input, *position, limit)? {
                *position = batch.end().unwrap_or(*position);
                self.turn = turn + 1;
                return Ok(Polled::Batch(batch));
            }
            if *position < partition.end {
                *position = partition.end;
                return Ok(Polled::Skipped { partition: input.partition.clone(), to: *position });
            }
        }
        Ok(Polled::Pending)
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        let state = self.shared.state.lock();
        state.check_alive(self.process, self.session)?;
        for ((input, position), told) in self.inputs.iter_mut().zip(&mut self.told) {
            let Some(to) = to.get(&input.partition) else { continue };
            state.ledger.topics.get(&input.partition)?.check(&input.partition, *to)?;
            *position = *to;
            *told = 0;
        }
        Ok(())
    }

    fn ends(&self) -> Positions {
        let state = self.shared.state.lock();
        let end = |at: &TopicPartition| state.ledger.topics.get(at).map(|p| p.end).ok();
        self.inputs.iter().filter_map(|(i, _)| Some((i.partition.clone(), end(&i.partition)?))).collect()
    }

    fn trouble(&self) -> Option<Error> {
        self.shared.state.lock().check_alive(self.process, self.session).err()
    }
}

impl Drop for MemSource {
    fn drop(&mut self) {
        let waker = self.shared.state.lock().wakers.all.remove(&self.waker);
        drop(waker);
    }
}
