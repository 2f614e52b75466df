// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A run of records of one partition, as a source hands it to a task.

use bytes::Bytes;
use fnstream_frame::{Frame, RecordView};

use crate::error::{Error, ErrorCode, Result};
use crate::record::{Position, TopicPartition};

/// Records of one input partition in order, packed in one frame, with their positions beside it.
#[derive(Debug, Clone)]
pub struct Batch {
    from: TopicPartition,
    positions: BatchPositions,
    frame: Bytes,
    len: usize,
}

/// The positions of a batch's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchPositions {
    /// Record `i` is at `first + i`.
    Contiguous(Position),
    /// One for each record, ascending.
    Each(Vec<Position>),
}

impl Batch {
    /// A batch from a frame; `Err` when the bytes are not a frame or the positions do not match it.
    ///
    /// The records' channel must be the input group that the partition belongs to.
    pub fn new(from: TopicPartition, positions: BatchPositions, frame: Bytes) -> Result<Self> {
        let len = Frame::parse(&frame)
            .map_err(|e| Error::new(ErrorCode::DataCorrupt, format!("a batch of {from}: {e}")))?
            .len();
        if let BatchPositions::Each(each) = &positions {
            let corrupt = |why: String| Err(Error::new(ErrorCode::DataCorrupt, format!("a batch of {from} has {why}")));
            if each.len() != len {
                return corrupt(format!("{len} records but {} positions", each.len()));
            }
            if !each.is_sorted_by(|a, b| a < b) {
                return corrupt("positions that do not ascend".to_owned());
            }
        }
        Ok(Batch { from, positions, frame, len })
    }

    /// The partition that the records come from.
    pub fn from(&self) -> &TopicPartition {
        &self.from
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The packed bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.frame
    }

    /// A view of the records.
    pub fn frame(&self) -> Frame<'_> {
        Frame::of_checked(&self.frame)
    }

    /// The position of record `index`.
    pub fn position(&self, index: usize) -> Position {
        match &self.positions {
            BatchPositions::Contiguous(first) => Position(first.0 + index as u128),
            BatchPositions::Each(each) => each[index],
        }
    }

    /// The position after the last record: where reading goes on. `None` for an empty batch.
    pub fn end(&self) -> Option<Position> {
        (self.len > 0).then(|| self.position(self.len - 1).next())
    }

    /// The records with their positions.
    pub fn iter(&self) -> impl Iterator<Item = (Position, RecordView<'_>)> {
        self.frame().iter().enumerate().map(|(i, record)| (self.position(i), record))
    }
}
