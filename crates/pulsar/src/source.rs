// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The records of a task's inputs.

use std::sync::Arc;

use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::{PollLimit, Polled, Source};
use fnstream_core::record::{Position, Positions};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, Result};
use fnstream_frame::FrameBuilder;

use crate::messages::{pack, size};
use crate::position::position_of;
use crate::ring::{Ring, State};
use crate::schemas;
use crate::watermarks::Marks;

/// See [`Source`].
pub(crate) struct PulsarSource {
    rings: Vec<Arc<Ring>>,
    /// The ring that is looked at first.
    turn: usize,
    frame: FrameBuilder,
    marks: Arc<Marks>,
    /// Called when watermarks were emitted.
    _on_mark: Arc<Waker>,
}

impl PulsarSource {
    pub(crate) fn new(rings: Vec<Arc<Ring>>, marks: Arc<Marks>, waker: Waker) -> PulsarSource {
        let waker = Arc::new(waker);
        marks.register(&waker);
        PulsarSource { rings, turn: 0, frame: FrameBuilder::new(), marks, _on_mark: waker }
    }
}

impl Source for PulsarSource {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        // Until it is known which watermark holds here, nothing that comes after it is given.
        if !self.marks.is_caught_up()? {
            return Ok(Polled::Pending);
        }
        for _ in 0..self.rings.len() {
            let ring = self.rings[self.turn % self.rings.len()].clone();
            self.turn = (self.turn + 1) % self.rings.len();
            if group.is_some_and(|group| group != ring.group) {
                continue;
            }
            if let Some(watermark) =
                ring.with(|state| self.marks.at(&ring.at, state.position).filter(|w| state.told < Some(*w)))
            {
                ring.with(|state| state.told = Some(watermark));
                return Ok(Polled::Watermark { from: ring.at.clone(), watermark });
            }
            let frame = &mut self.frame;
            let (polled, has_news) = ring.with(|state| (poll(&ring, state, limit, frame), state.has_news()));
            if has_news {
                ring.news.notify_one();
            }
            if let Some(polled) = polled? {
                return Ok(polled);
            }
        }
        Ok(Polled::Pending)
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        for ring in &self.rings {
            if let Some(position) = to.get(&ring.at) {
                ring.seek(*position);
            }
        }
        Ok(())
    }

    fn ends(&self) -> Positions {
        let end = |ring: &Arc<Ring>| Some((ring.at.clone(), ring.with(|state| state.known_end())?));
        self.rings.iter().filter_map(end).collect()
    }

    fn trouble(&self) -> Option<Error> {
        self.rings.iter().find_map(|ring| ring.with(|state| state.trouble.clone()))
    }
}

impl Drop for PulsarSource {
    fn drop(&mut self) {
        self.rings.iter().for_each(|ring| ring.end());
    }
}

fn poll(ring: &Ring, state: &mut State, limit: PollLimit, frame: &mut FrameBuilder) -> Result<Option<Polled>> {
    if state.is_empty() {
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        return Ok(None);
    }
    frame.clear();
    let (mut positions, mut bytes): (Vec<Position>, usize) = (Vec::new(), 0);
    while positions.len() < limit.records.max(1) {
        let has_room = |message: &_| bytes == 0 || bytes + size(message) <= limit.bytes;
        let Some(message) = state.pop_if(has_room) else { break };
        bytes += size(message);
        let version = ring.schemas_of.as_deref().zip(message.schema_version.as_deref());
        let schema = version.map(|(topic, version)| schemas::tell(topic, version));
        pack(message, ring.group, schema.as_deref(), frame)?;
        positions.push(position_of(&message.id));
    }
    let is_contiguous = positions
        .last()
        .zip(positions.first())
        .is_some_and(|(last, first)| last.0 - first.0 + 1 == positions.len() as u128);
    let positions = match is_contiguous {
        true => BatchPositions::Contiguous(positions[0]),
        false => BatchPositions::Each(positions),
    };
    Ok(Some(Polled::Batch(Batch::new(ring.at.clone(), positions, frame.to_bytes().into())?)))
}
