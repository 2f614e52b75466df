// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The records of a task's inputs.

use std::sync::Arc;

use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::{PollLimit, Polled, Source};
use fnstream_core::record::{Position, Positions};
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordRef};

use crate::feed::Feed;
use crate::native::Message;
use crate::ring::{Ring, State};
use crate::watermarks::Marks;

/// See [`Source`].
pub(crate) struct KafkaSource {
    feed: Arc<Feed>,
    rings: Vec<Arc<Ring>>,
    /// The ring that is looked at first.
    turn: usize,
    frame: FrameBuilder,
    marks: Arc<Marks>,
    /// Called when watermarks were emitted.
    _on_mark: Arc<Waker>,
    /// Called when the source has let its partitions go.
    on_end: Box<dyn Fn() + Send>,
}

impl KafkaSource {
    pub(crate) fn new(
        feed: Arc<Feed>,
        rings: Vec<Arc<Ring>>,
        marks: Arc<Marks>,
        waker: Waker,
        on_end: impl Fn() + Send + 'static,
    ) -> KafkaSource {
        let waker = Arc::new(waker);
        marks.register(&waker);
        KafkaSource {
            feed,
            rings,
            turn: 0,
            frame: FrameBuilder::new(),
            marks,
            _on_mark: waker,
            on_end: Box::new(on_end),
        }
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        // Until it is known which watermark holds here, nothing that comes after it is given.
        if !self.marks.advance()? {
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
            let (polled, has_room) = ring.with(|state| {
                let polled = poll(&ring, state, limit, frame);
                (polled, state.resume_if_empty())
            });
            if has_room {
                self.feed.resume(&ring);
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
                let offset = offset_of(*position)?;
                if let Some(number) = ring.seek(offset) {
                    self.feed.seek(ring, offset, number);
                }
            }
        }
        Ok(())
    }

    fn ends(&self) -> Positions {
        let end = |ring: &Arc<Ring>| Some((ring.at.clone(), position_of(ring.with(|state| state.known_end())?)));
        self.rings.iter().filter_map(end).collect()
    }

    fn trouble(&self) -> Option<Error> {
        self.feed.trouble()
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.feed.release(&self.rings);
        (self.on_end)();
    }
}

/// Several sources as one: a task may read through several clients.
pub(crate) fn join(mut parts: Vec<KafkaSource>) -> Box<dyn Source> {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => Box::new(only),
        (last, _) => Box::new(Joined { turn: 0, parts: parts.into_iter().chain(last).collect() }),
    }
}

struct Joined {
    parts: Vec<KafkaSource>,
    /// The one that is polled first.
    turn: usize,
}

impl Source for Joined {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        for _ in 0..self.parts.len() {
            let turn = self.turn % self.parts.len();
            self.turn = turn + 1;
            match self.parts[turn].poll(group, limit)? {
                Polled::Pending => {}
                polled => return Ok(polled),
            }
        }
        Ok(Polled::Pending)
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.seek(to))
    }

    fn ends(&self) -> Positions {
        self.parts.iter().flat_map(|part| part.ends()).collect()
    }

    fn trouble(&self) -> Option<Error> {
        self.parts.iter().find_map(|part| part.trouble())
    }
}

fn poll(ring: &Ring, state: &mut State, limit: PollLimit, frame: &mut FrameBuilder) -> Result<Option<Polled>> {
    if state.records.is_empty() {
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        return Ok(state.end.filter(|end| *end > state.position).map(|end| {
            state.position = end;
            Polled::Skipped { partition: ring.at.clone(), to: position_of(end) }
        }));
    }
    frame.clear();
    let (mut offsets, mut bytes): (Vec<i64>, usize) = (Vec::new(), 0);
    while offsets.len() < limit.records.max(1) {
        let has_room = |message: &Message| bytes == 0 || bytes + message.weight() <= limit.bytes;
        let Some(message) = state.pop_if(has_room) else { break };
        bytes += message.weight();
        pack(message, ring.group, frame)?;
        offsets.push(message.offset());
    }
    let is_contiguous =
        offsets.last().zip(offsets.first()).is_some_and(|(last, first)| (last - first) as usize + 1 == offsets.len());
    let positions = match is_contiguous {
        true => BatchPositions::Contiguous(position_of(offsets[0])),
        false => BatchPositions::Each(offsets.into_iter().map(position_of).collect()),
    };
    Ok(Some(Polled::Batch(Batch::new(ring.at.clone(), positions, frame.to_bytes().into())?)))
}

pub(crate) fn pack(message: &Message, channel: u32, frame: &mut FrameBuilder) -> Result<()> {
    let mut headers = HeadersBuilder::new();
    message
        .headers(&mut headers)
        .map_err(|e| Error::new(ErrorCode::DataCorrupt, format!("a record's headers: {e}")))?;
    let value = message.value();
    let record = value.map_or(RecordRef::null(), RecordRef::new);
    frame.push(record.with_key(message.key()).with_headers(headers.as_headers()).at(message.timestamp()).on(channel));
    Ok(())
}

/// The offset of a position.
pub(crate) fn offset_of(position: Position) -> Result<i64> {
    i64::try_from(position.0).map_err(|_| {
        Error::new(ErrorCode::PositionUnknown, format!("position {position} is past all offsets of Kafka"))
    })
}

/// The position of an offset.
pub(crate) fn position_of(offset: i64) -> Position {
    Position(u128::try_from(offset).unwrap_or(0))
}
